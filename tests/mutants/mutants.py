#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Defects that the simulator must find, each of one line.

    mutants.py LIB OUT NAME...

copies the files NAME... from LIB to OUT and plants every row of the table that
concerns them with the macro of mutant.h. OUT/mutants_table.h gets number, place
and meaning of each. A row whose place is not found exactly once is listed
there too, so that it is missed when the simulator runs, not when it builds.

A row: file, where (one or more lines that are there once), the expression
in it that is replaced (there once), by what, what that means.
"""
import os
import sys

TABLE = [
    # --- numbers, windows, timers --------------------------------------
    ('seq.h', 'return near + (uint64_t)(int64_t)(int32_t)(wire - (uint32_t)near);',
     'near + (uint64_t)(int64_t)(int32_t)(wire - (uint32_t)near)',
     '(near >> 32 << 32 | wire)',
     'sequence numbers do not wrap'),
    ('seq.h', 'return (int32_t)(a - b) < 0;', '(int32_t)(a - b) < 0', 'a < b',
     'clocks on the wire do not wrap'),
    ('seq.h', 'return (int16_t)(uint16_t)(wire - (uint16_t)near);',
     '(int16_t)(uint16_t)(wire - (uint16_t)near)',
     '(int32_t)wire - (int32_t)(uint16_t)near',
     'credit on the wire does not wrap'),
    ('credit.h', 'a->allowed += count;', 'count', 'count + 1',
     'one more is allowed than came back'),
    ('credit.h', '(used == a->told && a->allowed > a->told);',
     'used == a->told && a->allowed > a->told', '0',
     'a limit that was used up grows in silence'),
    ('credit.h', '*limit += (uint32_t)ahead;', '(uint32_t)ahead',
     '(uint32_t)ahead + 1', 'credit is learnt with one too many'),
    ('sack.h', '(64 - shift)', '64 - shift', '63 - shift',
     'SACK words that straddle two words are wrong'),
    ('sack.h', 'uint64_t words = (end - ack + 63) >> 6;', 'end - ack + 63',
     'end - ack', 'the last SACK word is missing'),
    ('rtt.h', 'rto_ns = rtt->srtt_ns + dev_ns + ack_delay_ns;', 'ack_delay_ns',
     '0', 'the retransmission timer forgets the ack delay'),
    ('rtt.h', 'pto_ns += ack_delay_ns;', 'ack_delay_ns', '0',
     'the tail-loss probe forgets the ack delay'),
    ('rtt.h', '(sample_ns >> 3) - (rtt->srtt_ns >> 3)',
     '(sample_ns >> 3) - (rtt->srtt_ns >> 3)', 'sample_ns >> 3',
     'the smoothed round trip only grows'),
    ('timer.h', 'if (at_ns < t->wake)', 'at_ns < t->wake', '0',
     'a sooner deadline wakes nobody'),
    ('timer.h', 'if (t->at[i] < wake)', 't->at[i] < wake',
     'i != TIMER_LOSS && t->at[i] < wake', 'the loss timer is forgotten'),
    # --- the send window -----------------------------------------------
    ('arq_tx.h', 'end_seq <= tx->una)', 'tx->una', 'tx->una + 1',
     'a message is given back one packet early'),
    ('arq_tx.c', 'if (left > tx->frag_size)', 'left > tx->frag_size',
     'left >= tx->frag_size', 'a full last fragment is not the last'),
    ('arq_tx.c', '+ body + msg->len > room', 'room',
     'room + 8', 'a batch longer than a packet may be'),
    ('arq_tx.c', 'to += wire_round8(len);', 'wire_round8(len)', 'len', 'records are not padded'),
    ('arq_tx.c', 'tx->cut += count;', 'count', 'count - 1',
     'the last of a batch is sent twice'),
    ('arq_tx.c', 'tx->lost--;\n\treturn send_again', 'tx->lost--', '0',
     'what is sent again is still counted as lost'),
    ('arq_tx.c', 'slot->sent_ns = now_ns;\n\tif (slot->tries', 'now_ns',
     'slot->sent_ns', 'what is sent again keeps its old time'),
    ('arq_tx.c', 'bitring_test(&tx->sacked_bits, *seq))\n\t\t*seq = tx->una',
     'bitring_test(&tx->sacked_bits, *seq)', '0',
     'the tail-loss probe repeats what has arrived'),
    ('arq_tx.c', 'bitring_clear(&tx->sacked_bits, seq);\n\t\t\ttx->sacked--',
     'tx->sacked--', '0', 'sacked packets stay counted'),
    ('arq_tx.c', 'base + (uint32_t)__builtin_ctzll(news)',
     'base + (uint32_t)__builtin_ctzll(news)',
     'base + (uint32_t)__builtin_ctzll(news) + 1', 'SACK is off by one'),
    ('arq_tx.c', 'tx->sack_hi - seq > ARQ_PACKET_THRESHOLD',
     'ARQ_PACKET_THRESHOLD', '1000000',
     'three later packets make nothing lost'),
    ('arq_tx.c', 'if (slot->sent_ns + rto_ns > now_ns)',
     'slot->sent_ns + rto_ns > now_ns', '1',
     'the retransmission timer finds nothing lost'),
    ('arq_tx.c', 'if (slot->tries == 0 && !tx->reorder_seen &&',
     'slot->tries == 0', '1', 'what is sent again is lost again at once'),
    ('arq_tx.h', '- tx->sacked - tx->lost;', 'tx->sacked', '0',
     'sacked packets count as in flight'),
    ('arq_tx.h', 'return end < tx->limit ? end : tx->limit;',
     'end < tx->limit ? end : tx->limit', 'end < tx->limit ? end : tx->limit + 1',
     'one packet beyond the window'),
    ('arq_tx.h', '!arq_tx_has_unsent(tx) &&', '!arq_tx_has_unsent(tx)', '1',
     'FIN before the last message'),
    ('arq_tx.h', 'uint32_t most = tx->cwnd + tx->sacked + tx->lost;',
     'tx->cwnd + tx->sacked + tx->lost', 'tx->window',
     'the congestion window does not bind'),
    # --- the receive window --------------------------------------------
    ('arq_rx.c', 'rx->msg_offset += packet->len;', 'packet->len',
     'packet->len + 1', 'offsets drift'),
    ('arq_rx.c', 'bitring_clear(&rx->bits, seq);\n\t\trx->parked--;\n\t}\n',
     'rx->parked--', '0', 'filled holes stay counted'),
    ('arq_rx.c', 'rx->fin_known && rx->nxt == rx->fin_seq)',
     'rx->fin_known && rx->nxt == rx->fin_seq', '0',
     'FIN behind a hole is forgotten'),
    ('arq_rx.c', 'if (bitring_test(&rx->bits, seq))\n\t\treturn ARQ_RX_DUP',
     'bitring_test(&rx->bits, seq)', '0',
     'a duplicate of a parked packet is kept'),
    ('arq_rx.c', 'rx->hi = seq + 1;', 'seq + 1', 'seq',
     'the highest parked packet is not known'),
    ('arq_rx.c', 'if (seq < rx->nxt)\n\t\treturn ARQ_RX_DUP',
     'seq < rx->nxt', '0', 'an old duplicate is taken for new'),
    ('arq_rx.h', 'rx->parked == 0 && !rx->fin_known', 'rx->parked == 0', '1',
     'what was parked is never delivered'),
    ('arq_rx.c', 'if (rx->stopped || seq == rx->nxt)',
     'rx->stopped || seq == rx->nxt', '1', 'EOF before the holes are filled'),
    ('arq_rx.c', 'seq == rx->fin_seq ? ARQ_RX_DUP', 'seq == rx->fin_seq',
     'seq == rx->fin_seq && !rx->ended', 'FIN again is a violation'),
    ('arq_rx.c', 'rx->ended ? rx->fin_seq : rx->nxt;',
     'rx->ended ? rx->fin_seq : rx->nxt', '0',
     'who stops reading does not give packets back'),
    ('arq_rx.c', 'rx->drop_end = rx->hi;', 'rx->hi', 'rx->hi - 1',
     'the last parked packet is not given back'),
    ('arq_rx.c', 'rx->started += count;', 'count', '1',
     'a batch uses one message of credit'),
    ('arq_rx.h', 'if (rx->ended && rx->head == rx->fin_seq)',
     'rx->ended && rx->head == rx->fin_seq', '0', 'FIN is read as a message'),
    # --- packets in ------------------------------------------------------
    ('conn.c', 'if (head_word(p->head, 4) != (uint32_t)seq ||',
     'head_word(p->head, 4) != (uint32_t)seq', '0',
     'a stream goes on with any number'),
    ('conn.c', 'if (head_word(p->head, 4) != (uint32_t)rx->hi ||',
     'head_word(p->head, 4) != (uint32_t)rx->hi', '0',
     'a stream behind a hole goes on with any number'),
    ('conn.c', 'most = conn->burst_end - tx->nxt;',
     'conn->burst_end - tx->nxt', 'conn->burst_end - tx->nxt + 1',
     'a burst ends one packet beyond the window'),
    ('conn.c', 'while (n < most && arq_tx_goes_alone(tx, n))',
     'arq_tx_goes_alone(tx, n)', 'arq_tx_goes_alone(tx, 0)',
     'a burst takes what must be cut or may share'),
    ('conn.c', 'uint32_t seq = WIRE_LE32((uint32_t)(first + i));',
     '(uint32_t)(first + i)', '(uint32_t)(first + i / 2)',
     'two packets of a burst have one number'),
    ('conn.c', '!seq_before(hdr->ts, conn->echo_ts)',
     '!seq_before(hdr->ts, conn->echo_ts)', '1', 'an old clock is echoed'),
    ('conn.c', 'hdr->token != conn->config.token) {\n\t\tif (!prepare_rare',
     'hdr->token != conn->config.token', '0', 'tokens are not looked at'),
    ('conn.c', 'conn->rto_times = 0;', '0', 'conn->rto_times',
     'back-off is never taken back'),
    ('conn.c', '} else if (seq_before(hdr->ts, conn->ack_ts)) {',
     'seq_before(hdr->ts, conn->ack_ts)', '0',
     'older acknowledgements are used'),
    ('conn.c', 'conn->tx.limit += more;', 'more', 'more + 1',
     'the window is learnt with one too many'),
    ('conn.c', 'if (ack > tx->una) {', 'ack > tx->una', 'ack > tx->una + 1',
     'an acknowledgement of one packet is ignored'),
    ('conn.c', 'tx->una > tx->fin_seq && !conn->tx_done',
     'tx->una > tx->fin_seq', '1',
     'closed before FIN is acknowledged'),
    ('conn.c', 'else if (conn->unacked == 1)', 'conn->unacked == 1', '0',
     'the delayed acknowledgement never comes'),
    ('conn.c', 'conn->due |= DUE_ACK;\n\tif (rc >= ARQ_RX_ERRORS)',
     'DUE_ACK', '0', 'FIN is not acknowledged'),
    ('conn.c', 'conn->due |= DUE_ACK;\n\tswitch (rc)', 'DUE_ACK', '0',
     'duplicates are not acknowledged again'),
    ('conn.c', 'case WIRE_PING:\n\t\tconn->due |= DUE_ACK;', 'DUE_ACK', '0',
     'PING is not answered'),
    # --- packets out -----------------------------------------------------
    ('conn.c', 'rx->held -= packets;', 'packets', '0',
     'released packets stay counted'),
    ('conn.c', 'rx->started) || tell)', 'tell', '0',
     'the window opens in silence'),
    ('conn.c', 'return conn->peer_credit < room ? conn->peer_credit : room;',
     'conn->peer_credit < room ? conn->peer_credit : room', 'room',
     'the credit does not bind'),
    ('conn.c', 'conn->rx.window.told = conn->rx.window.allowed;',
     'conn->rx.window.allowed', 'conn->rx.window.told',
     'the window is never announced'),
    ('conn.c', 'conn->tx.popped + conn->config.tx_msgs;',
     'conn->config.tx_msgs', 'conn->config.tx_msgs + 1',
     'one more permit than there are slots'),
    ('conn.c', '.ack = (uint32_t)conn->rx.nxt,', '(uint32_t)conn->rx.nxt',
     '(uint32_t)conn->rx.nxt + (conn->rx.parked != 0)',
     'a hole is acknowledged'),
    ('conn.c', 'conn->rx.nxt + 64 * i', 'conn->rx.nxt + 64 * i',
     'conn->rx.nxt + 64 * i + 1', 'SACK is sent off by one'),
    ('conn.c', 'conn->tlp_done = false;\n\ttimer_set(&conn->timers, TIMER_LOSS',
     'TIMER_LOSS', 'TIMER_PACE', 'nobody watches the first packet in flight'),
    ('conn.c', 'conn->stats.cwnd_full++;\n\tweir_conn_arm_probe(conn, now_ns)',
     'weir_conn_arm_probe(conn, now_ns)', '(void)0',
     'a closed window is not probed'),
    # --- timers ------------------------------------------------------------
    ('conn_time.c', 'timer_clear(&conn->timers, TIMER_LOSS);\n'
     '\t\tweir_conn_arm_probe(conn, now_ns)',
     'weir_conn_arm_probe(conn, now_ns)', '(void)0',
     'nobody asks for credit when all is acknowledged'),
    ('conn_time.c', 'return tx->nxt >= tx->limit;', 'tx->nxt >= tx->limit',
     '0', 'a closed window does not count as blocked'),
    ('conn_time.c', 'conn->stats.probes++;\n\t/* Sending it sets the timer '
     'again. */\n\tconn->due |= DUE_PING;', 'DUE_PING', '0',
     'the probe timer sends nothing'),
    ('conn_time.c', 'conn->due |= DUE_PING;\n\t\t\tconn->stats.keepalives++',
     'DUE_PING', '0', 'keepalive sends nothing'),
    ('conn_time.c', 'if (dead_ns <= now_ns)', 'dead_ns <= now_ns', '0',
     'a dead peer is never noticed'),
    ('conn_time.c', 'timer_clear(timers, TIMER_ACK);\n\t\tconn->due |= DUE_ACK',
     'DUE_ACK', '0', 'the delayed acknowledgement is forgotten'),
    ('conn_time.c', 'oldest->tries >= CONN_NARROW_TRIES',
     'oldest->tries >= CONN_NARROW_TRIES', '0',
     'repeats that vanish are nothing to worry about'),
    ('conn_time.c', 'conn->due = 0;\n\t\tconn->over = true;', 'true', 'false',
     'lingering never ends'),
    ('conn_time.c', 'base_ns + rto_ns > now_ns)', 'rto_ns', 'rto_ns / 16',
     'the retransmission timer is 16 times too eager'),
    ('conn_time.c', 'arq_tx_has_unsent(&conn->tx))\n'
     '\t\tweir_arq_tx_give_up(&conn->tx)', 'weir_arq_tx_give_up(&conn->tx)',
     '(void)0', 'an aborted direction waits for credit for ever'),
    ('conn_hello.c', 'conn->silent >= CONN_SILENT_INITS &&',
     'conn->silent >= CONN_SILENT_INITS', '0',
     'shorter hellos are not tried'),
    # --- ends --------------------------------------------------------------
    ('conn_end.c', '!conn->tx_done || !conn->rx.ended || conn->lingering',
     '!conn->rx.ended', '0', 'lingering begins when one direction is over'),
    ('conn_end.c', 'weir_arq_tx_kill(&conn->tx);',
     'weir_arq_tx_kill(&conn->tx)', '(void)0',
     'a failed link keeps its messages'),
    ('conn_end.c', 'conn->tx_error = -ECONNRESET;\n\tweir_arq_tx_abandon(tx);',
     'weir_arq_tx_abandon(tx)', '(void)0',
     'messages for nobody are kept'),
    ('conn_end.c', 'tx->fin_wanted = true;\n\tconn->progress_ns', 'true',
     'tx->fin_wanted', 'STOP is not answered with FIN'),
    ('conn_end.c', 'conn->base_flags |= WIRE_F_STOP;', 'WIRE_F_STOP', '0',
     'STOP is never said'),
    ('conn_end.c', 'conn->fin_code = WIRE_E_ABORT;', 'WIRE_E_ABORT', '0',
     'an abort looks like an end in good order'),
    ('conn_end.c', 'any == 0 || other != 0', 'other != 0', '0',
     'GONE needs no proof'),
    # --- set-up ------------------------------------------------------------
    ('conn_hello.c', 'conn->due &= ~(uint32_t)DUE_HELLO;\n\tarm_hello(conn, '
     'now_ns)', 'arm_hello(conn, now_ns)', '(void)0',
     'a lost INIT is not repeated'),
    ('conn_hello.c', 'conn->tx.limit = conn->tx.una + conn->peer.window_packets',
     'conn->tx.una', 'conn->tx.una + 1', 'the first window is one too wide'),
    ('conn_hello.c', '/* The server becomes OPEN by hearing from us. */\n'
     '\tconn->due |= DUE_ACK;', 'DUE_ACK', '0',
     'ACCEPT is not acknowledged'),
    ('conn_hello.c', 'limits->frag_size = params->frag_size < '
     'config->frag_size\n', 'params->frag_size < config->frag_size', '0',
     "packets longer than the peer's limit"),
    ('conn_hello.c', 'limits->features = params->features & '
     'config->features_offer;', 'params->features & config->features_offer',
     'params->features', 'features nobody offered'),
    ('conn_hello.c', 'hdr->ack != conn->config.isn) {\n\t\tconn->stats.drops['
     'CONN_DROP_PARAMS]++;\n\t\treturn;\n\t}\n\tweir_wire_get_params',
     'hdr->ack != conn->config.isn', 'hdr->ack == conn->config.isn',
     'ACCEPT is refused'),
    ('conn_hello.c', 'memcpy(conn->cookie, hdr->cookie, hdr->cookie[1] * 8u);',
     'hdr->cookie[1] * 8u', '2', 'the cookie is not sent back'),
    ('conn_hello.c', 'init->params.epoch > conn->peer.epoch',
     'init->params.epoch > conn->peer.epoch', '1',
     'an earlier life ends a later one'),
    ('cookie.c', 'put(ext + 4, now_s, 4);', 'now_s', 'now_s - 60',
     'cookies are too old when they are made'),
    ('cookie.c', 'return difference == 0;', 'difference == 0', '1',
     'any cookie will do'),
    # --- the listener ------------------------------------------------------
    ('listen.c', 'return door->cookie == LISTEN_COOKIE_ALWAYS ||',
     'door->cookie == LISTEN_COOKIE_ALWAYS', '0', 'cookies are not asked for'),
    ('listen.c', 'if (door->paired || !former)', '!former', '1',
     'former links end for whoever says so'),
    ('listen.c', 'if (known->same) {', 'known->same', '0',
     'an INIT that is repeated makes another link'),
    ('listen.c', 'weir_cookie_proof(listen->secret, token, proof);',
     'token', 'token + 1', 'GONE proves another link'),
    # --- packets -----------------------------------------------------------
    ('wire.c', 'out->payload_len -= WIRE_TRAILER_LEN;', 'WIRE_TRAILER_LEN',
     '0', 'the trailer is part of the payload'),
    ('wire.c', 'put_u32(dst + 40, params->isn);', 'params->isn',
     'params->isn + 1', 'hellos name another first number'),
    ('wire.c', 'return get_u64(sack + 8 * word);', '8 * word', '0',
     'all SACK words are the first'),
    ('wire.h', 'return memcmp(packet + len - WIRE_TRAILER_LEN, want, '
     'sizeof(want)) == 0;',
     'memcmp(packet + len - WIRE_TRAILER_LEN, want, sizeof(want)) == 0', '1',
     'CRC32C is not looked at'),
    # --- congestion control ------------------------------------------------
    ('cc.c', 'cc->cwnd = between(packets, 1, cc->window);', 'cc->window',
     'cc->window + 1', 'a window wider than it may be'),
    ('cc.c', 'cc->cwnd = between(packets, least, cc->window);', 'least', '0',
     'a congestion window of nothing'),
    ('cc.c', 'if (fraction < CC_TINY)', 'fraction < CC_TINY', '0',
     'swift has no least window'),
    ('conn_cc.c', 'timer_set(&conn->timers, TIMER_PACE, conn->pace_ns);',
     'conn->pace_ns', 'TIMER_NEVER', 'who waits for its turn is not woken'),
    ('conn_cc.c', 'conn->pace_ns += conn->cc.gap_ns;', 'conn->cc.gap_ns', '0',
     'packets are not spaced'),
]


def plant(name, text):
    """Returns the text with its mutants, and (number, line or 0) of each."""
    found = []
    for number, (file, where, good, bad, _) in enumerate(TABLE, 1):
        if file != name:
            continue
        if text[0].count(where) != 1 or where.count(good) != 1:
            found.append((number, 0))
            continue
        at = text[0].index(where) + where.index(good)
        found.append((number, text[0].count('\n', 0, at) + 1))
    # Places are found in the original; now they are changed, last one first.
    places = []
    for number, line in found:
        if line == 0:
            continue
        _, where, good, bad, _ = TABLE[number - 1]
        at = text[0].index(where) + where.index(good)
        places.append((at, len(good), 'MUTANT(%d, %s, %s)'
                       % (number, good, bad)))
    out = text[0]
    for at, length, new in sorted(places, reverse=True):
        out = out[:at] + new + out[at + length:]
    return '#include "mutant.h"\n#line 1 "%s"\n' % name + out, found


def main():
    lib, out = sys.argv[1:3]
    lines = {}
    for name in sys.argv[3:]:
        with open(os.path.join(lib, name), encoding='utf-8') as file:
            text = file.read()
        text, found = plant(name, [text])
        lines.update(found)
        with open(os.path.join(out, name), 'w', encoding='utf-8') as file:
            file.write(text)
    with open(os.path.join(out, 'mutants_table.h'), 'w',
              encoding='utf-8') as file:
        for number, (name, _, _, _, what) in enumerate(TABLE, 1):
            file.write('{ "%s", %d, "%s" },\n'
                       % (name, lines.get(number, 0), what))


main()
