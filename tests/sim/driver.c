/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a driver does around a connection: the listener with its cookies,
 * GONE for links that nobody knows, trailers, packets in and out. And what an
 * attacker does who can send but not see.
 */
#include <errno.h>
#include <string.h>
#include "crc32c.h"
#include "world.h"

/* The same for all honest packets: what is checked is that bytes are. */
#define ADDRESS_LEN 12

static const uint8_t address[ADDRESS_LEN] = { 10, 0, 0,  1,   10, 0,
					      0,  2, 28, 232, 28, 232 };

/* --- set-up ----------------------------------------------------------- */

static struct siphash_key
secret_of(const struct side *side)
{
	uint64_t v = prng_mix(side->world->seed * 4 + (uint64_t)side->index);

	return (struct siphash_key){ { v, ~v } };
}

static struct siphash_key
cookie_key_of(const struct side *side)
{
	uint64_t v = prng_mix(side->world->seed * 4 + 2 + side->life);

	return (struct siphash_key){ { v, ~v } };
}

/* Of a process that begins: only its secret outlives it. */
void
side_listen(struct side *side)
{
	memset(&side->listen, 0, sizeof(side->listen));
	side->listen.secret = secret_of(side);
	weir_cookie_rotate(&side->listen.keys, cookie_key_of(side));
}

void
side_config(struct side *side)
{
	const struct sim_draw *draw = &side->world->draw;
	struct conn_config *config = &side->config;
	int i = side->index;

	weir_conn_config_init(config);
	config->token = 1; /* each connection gets its own, later */
	config->instance = prng_mix(side->world->seed + 77) + (uint64_t)i;
	config->frag_size = draw->frag[i];
	config->rx_window_packets = draw->window[i];
	config->rx_credit_msgs = draw->credit[i];
	config->tx_window_packets = draw->tx_window[i];
	config->tx_msgs = draw->tx_msgs[i];
	config->msg_size_max = draw->msg_max[i];
	config->features_offer = WIRE_FEATURE_ECN;
	if (draw->batch[i])
		config->features_offer |= WIRE_FEATURE_BATCH;
	if (draw->crc[i])
		config->features_offer |= WIRE_FEATURE_CRC32C;
	config->cc = (enum cc_kind)draw->cc[i];
	if (draw->padded && draw->frag[i] >= WIRE_INIT_LEN)
		config->hello_len = (WIRE_HDR_LEN + 16 + draw->frag[i]) & ~7u;
	config->tlp_learns = draw->tlp_learns[i];
	config->max_ack_delay_ns = draw->ack_delay_ns[i];
	if (!draw->keepalive)
		config->keepalive_ns = 0;
	/* Enough to outlive all chaos: giving up has tests of its own. */
	config->accept_tries = 14;
	config->linger_ns = 500 * MS;
	if (weir_conn_config_check(config) != 0)
		world_fail(side->world, "configuration refused");
	side_listen(side);
}

/* A connection of its own token; the index is where its owner finds it. */
static void
conn_new(struct side *side)
{
	struct conn_config *config = &side->config;
	struct prng prng;

	prng_init(&prng, side->world->seed,
		  200 + (uint64_t)side->index + 2 * side->conns++);
	config->token = prng_next(&prng) << 16 | (uint64_t)(side->index + 1);
	config->isn = side->world->draw.isn[side->index] + 1000 * side->life;
	config->epoch = side->life + 1;
	weir_cookie_proof(side->listen.secret, config->token, config->proof);
	side->conn = weir_conn_init(side->mem, config);
	memset(&side->last, 0, sizeof(side->last));
	side->last_ns = 0;
	side->newest_ns = 0;
	side->opened = false;
}

void
side_schedule(struct side *side, uint64_t at_ns)
{
	if (at_ns <= side->world->now_ns)
		at_ns = side->world->now_ns + 100;
	/* A poll that is still to come and sooner will do. */
	if (side->poll_at_ns > side->world->now_ns && side->poll_at_ns <= at_ns)
		return;
	side->poll_at_ns = at_ns;
	world_schedule(side->world, at_ns, side->index, NULL);
}

void
side_connect(struct side *side)
{
	conn_new(side);
	side->link_id = side->config.token;
	weir_conn_connect(side->conn, side_now(side));
	side_schedule(side, side->world->now_ns + 1);
}

/* --- packets in ------------------------------------------------------- */

void
side_arrive(struct side *side, struct packet *packet)
{
	if (side->vanished || side->done) {
		packet_free(side->world, packet);
		return;
	}
	packet->next = NULL;
	*side->inbox_end = packet;
	side->inbox_end = &packet->next;
	side_schedule(side, side->world->now_ns + side->poll_ns);
}

void
side_drop_inbox(struct side *side)
{
	while (side->inbox != NULL) {
		struct packet *packet = side->inbox;

		side->inbox = packet->next;
		packet_free(side->world, packet);
	}
	side->inbox_end = &side->inbox;
}

static void
seal(struct packet *packet)
{
	if (!(packet->bytes[1] & WIRE_F_TRAILER))
		return;
	wire_put_trailer(packet->bytes + packet->len,
			 crc32c_trailer(address, ADDRESS_LEN, packet->bytes,
					packet->len));
	packet->len += WIRE_TRAILER_LEN;
}

/* @return WIRE_OK, or why the packet is nothing. */
static enum wire_drop
open_packet(struct side *side, const struct packet *packet,
	    struct wire_hdr *hdr)
{
	uint32_t len = packet->len - WIRE_TRAILER_LEN;
	enum wire_drop drop;

	if (packet->broken)
		return WIRE_DROP_CRC;
	drop = weir_wire_decode(packet->bytes, packet->len, hdr);
	if (drop != WIRE_OK)
		return drop;
	hdr->marked = packet->marked;
	if (!(hdr->flags & WIRE_F_TRAILER) ||
	    wire_trailer_is(
		    packet->bytes, packet->len,
		    crc32c_trailer(address, ADDRESS_LEN, packet->bytes, len)))
		return WIRE_OK;
	side->crc_caught++;
	return WIRE_DROP_CRC;
}

/*
 * Before an address is validated it gets no more than it gave: ACCEPT, and
 * RETRY, REJECT, GONE beside it.
 */
static void
check_amplification(const struct side *side)
{
	const struct weir_conn *conn = side->conn;
	bool stranger = conn == NULL ||
			(conn->state == CONN_ACCEPT_SENT && !conn->validated);

	if (side->index == 1 && stranger && side->bytes_out > side->bytes_in)
		world_fail(side->world, "%llu bytes for %llu of a stranger",
			   (unsigned long long)side->bytes_out,
			   (unsigned long long)side->bytes_in);
}

static void
send_answer(struct side *side, struct packet *packet)
{
	side->bytes_out += packet->len;
	check_amplification(side);
	world_send(side->world, side->index, packet, false);
}

/* Without a connection: the answer goes back, if it was the peer who asked. */
static void
answer(struct side *side, const struct listen_visit *visit, bool forged)
{
	struct packet *packet = packet_new(side->world);

	memcpy(packet->bytes, visit->answer, visit->answer_len);
	packet->len = visit->answer_len;
	seal(packet);
	if (visit->answer_len >= visit->len)
		world_fail(side->world, "an answer longer than its cause");
	weir_listen_sent(&side->listen, visit);
	side->world->count->cookies += (visit->answer[0] & 15) == WIRE_RETRY;
	if (forged)
		packet_free(side->world, packet);
	else
		send_answer(side, packet);
}

/* The peer of this link was restarted, says a newer one. */
static void
supersede(struct side *side, const struct conn_init *init)
{
	side->world->count->superseded++;
	if (!side->world->crashed)
		world_fail(side->world, "superseded without a crash");
	if (init->params.epoch <= weir_conn_peer(side->conn)->epoch)
		world_fail(side->world, "superseded by an earlier life");
	weir_conn_supersede(side->conn, side_now(side));
}

/* @return false: there is no memory for a link now. */
static bool
welcome(struct side *side, const struct conn_init *init)
{
	struct world *world = side->world;

	if (world->now_ns < world->draw.heal_ns &&
	    prng_chance(&side->net, world->draw.starve * 4)) {
		world->count->refused++;
		return false;
	}
	conn_new(side);
	side->link_id = init->params.token;
	weir_conn_accept(side->conn, init, side_now(side));
	return true;
}

static enum listen_verdict
on_good_init(struct side *side, const struct listen_door *door,
	     struct listen_visit *visit, bool forged)
{
	struct weir_conn *conn = forged ? NULL : side->conn;
	const struct conn_init *init = &visit->init;
	struct listen_known known = { 0 };
	enum listen_verdict verdict;

	known.same = conn != NULL && weir_conn_is_same_init(conn, init);
	known.former = conn != NULL && listen_is_former(conn, init);
	verdict = weir_listen_judge(&side->listen, door, visit, &known);
	if (forged && (verdict == LISTEN_ACCEPT || init->validated))
		world_fail(side->world, "a stranger is let in");
	if (verdict == LISTEN_ACCEPT &&
	    (known.same || (known.former && !init->validated)))
		world_fail(side->world, "let in beside a link of his");
	if (verdict == LISTEN_AGAIN)
		weir_conn_on_packet(conn, visit->hdr, NULL, side_now(side));
	if (init->validated && known.former)
		supersede(side, init);
	/* The application has one link at a time. */
	if (verdict == LISTEN_ACCEPT && side->conn == NULL &&
	    !welcome(side, init))
		verdict = weir_listen_no_memory(&side->listen, visit);
	return verdict;
}

static void
on_init(struct side *side, const struct wire_hdr *hdr, uint32_t len,
	bool forged)
{
	struct world *world = side->world;
	uint8_t from[ADDRESS_LEN];
	struct listen_visit visit = { .hdr = hdr,
				      .len = len,
				      .addr = from,
				      .addr_len = ADDRESS_LEN,
				      .now_ns = side_now(side) };
	struct listen_door door = { .policy = &side->config, .open = true };
	enum listen_verdict verdict;

	memcpy(from, address, ADDRESS_LEN);
	from[0] ^= forged;
	door.cookie = world->draw.cookies ? LISTEN_COOKIE_ALWAYS
					  : LISTEN_COOKIE_OFF;
	verdict = weir_listen_read(&side->listen, &door, &visit);
	if (verdict == LISTEN_LOOK)
		verdict = on_good_init(side, &door, &visit, forged);
	else if (!forged)
		world_fail(world, "INIT refused: %d", verdict);
	if (verdict == LISTEN_ANSWER)
		answer(side, &visit, forged);
}

static void
on_gone(struct side *side, const struct wire_hdr *hdr, bool honest)
{
	const struct wire_params *peer =
		side->conn != NULL ? weir_conn_peer(side->conn) : NULL;

	if (peer == NULL || peer->token != hdr->token)
		return;
	if (weir_conn_on_gone(side->conn, hdr, side_now(side)))
		side->world->count->gone++;
	else if (honest && side->conn->state == CONN_OPEN)
		world_fail(side->world, "GONE, and its proof is wrong");
	else
		side->world->count->gone_refused++;
}

static void
on_unknown(struct side *side, const struct wire_hdr *hdr, uint32_t len,
	   bool forged)
{
	struct listen_visit visit = { .hdr = hdr,
				      .len = len,
				      .now_ns = side_now(side) };

	if (weir_listen_unknown(&side->listen, &visit) == LISTEN_ANSWER)
		answer(side, &visit, forged);
}

/* @return true: the connection keeps the packet. */
static int
dispatch(struct side *side, struct packet *packet, const struct wire_hdr *hdr,
	 bool forged)
{
	struct world *world = side->world;
	struct conn_stream_packet stream;
	uint8_t type = wire_hdr_type(hdr);

	if (type == WIRE_INIT) {
		if (side->index == 1)
			on_init(side, hdr, packet->len, forged);
		return 0;
	}
	world->count->reject_heard += type == WIRE_REJECT && !forged &&
				      side->conn != NULL &&
				      side->conn->state == CONN_INIT_SENT;
	if (type == WIRE_GONE) {
		on_gone(side, hdr, !forged && !packet->damaged);
		return 0;
	}
	if (side->conn == NULL || hdr->token != side->config.token)
		on_unknown(side, hdr, packet->len, forged);
	if (side->conn == NULL)
		return 0;
	/* As a driver does, but for decoding it before. */
	if (!hdr->marked &&
	    conn_stream_packet(&stream, packet->bytes, packet->len, packet) &&
	    weir_conn_on_stream(side->conn, &stream, 1, side_now(side)) == 1)
		return 1;
	return weir_conn_on_packet(side->conn, hdr, packet, side_now(side));
}

static bool
is_open(const struct side *side)
{
	return side->conn != NULL && side->conn->state == CONN_OPEN;
}

void
side_take_packets(struct side *side)
{
	struct world *world = side->world;

	while (side->inbox != NULL) {
		struct packet *packet = side->inbox;
		struct wire_hdr hdr;
		enum wire_drop drop;
		int kept = 0;

		side->inbox = packet->next;
		if (side->inbox == NULL)
			side->inbox_end = &side->inbox;
		side->bytes_in += packet->len;
		drop = open_packet(side, packet, &hdr);
		world->count->late_heard += packet->late && is_open(side);
		if (drop == WIRE_OK) {
			world_trace(world, side,
				    "<- %s seq %x len %u ack %x win %x cr %u "
				    "flags %02x sack %u",
				    weir_wire_type_name(wire_hdr_type(&hdr)),
				    hdr.seq, hdr.payload_len, hdr.ack,
				    hdr.window, hdr.credit, hdr.flags,
				    hdr.sack_words);
			kept = dispatch(side, packet, &hdr, false);
		} else if (!packet->damaged) {
			world_fail(world, "cannot decode: %s",
				   weir_wire_drop_name(drop));
		}
		if (!kept)
			packet_free(world, packet);
	}
}

/* --- packets of an attacker ---------------------------------------------- */

/* A link for a stranger, or the peer's own INIT from another address. */
static void
forge_init(struct side *side, struct wire_hdr *hdr, struct packet *packet)
{
	struct prng *prng = &side->evil;
	const struct weir_conn *copied = side_peer(side)->conn;
	uint32_t cookie_len = 0;
	uint8_t *at = packet->bytes + WIRE_HDR_LEN;
	struct wire_params params = {
		.token = prng_next(prng) | 1,
		.instance = side_peer(side)->config.instance,
		.epoch = prng_next(prng),
		.isn = hdr->seq,
		.frag_size = 1000,
		.window_packets = 10,
		.credit_msgs = 10,
		.msg_size_max = 1000,
		.modes = WIRE_MODE_BARE,
		.version_min = 1,
		.version_max = 1,
	};

	if (copied != NULL && prng_below(prng, 2) == 0) {
		weir_conn_own_params(copied, &params);
		hdr->seq = params.isn;
		cookie_len = copied->cookie[1] * 8u;
	}
	at += weir_wire_put_params(&params, at);
	if (cookie_len != 0)
		memcpy(at, copied->cookie, cookie_len);
	at += cookie_len;
	hdr->hlen = (uint8_t)((uint32_t)(at - packet->bytes) / 8);
	wire_encode(hdr, packet->bytes);
	packet->len = WIRE_INIT_LEN;
}

/* Anything, with a token that is not ours, but may be close. */
static void
forge(struct side *side, struct packet *packet)
{
	struct prng *prng = &side->evil;
	struct wire_hdr hdr = {
		.vt = (uint8_t)(WIRE_VERSION_MAX << 4 |
				prng_range(prng, WIRE_INIT, WIRE_BATCH)),
		.flags = (uint8_t)prng_next(prng) & ~WIRE_F_KEYPHASE,
		.hlen = WIRE_HDR_LEN / 8,
		.seq = (uint32_t)prng_next(prng),
		.token = prng_next(prng),
		.ack = (uint32_t)prng_next(prng),
		.window = (uint32_t)prng_next(prng),
		.ts = (uint32_t)prng_next(prng),
		.ts_echo = (uint32_t)prng_next(prng),
		.credit = (uint16_t)prng_next(prng),
		.mlo = (uint32_t)prng_below(prng, 64),
	};
	const struct wire_params *peer =
		side->conn != NULL ? weir_conn_peer(side->conn) : NULL;

	if (prng_below(prng, 2) == 0)
		hdr.token = side->config.token ^
			    UINT64_C(1) << prng_below(prng, 64);
	if (wire_hdr_type(&hdr) == WIRE_GONE && peer != NULL)
		hdr.token = peer->token;
	if (wire_hdr_type(&hdr) == WIRE_INIT)
		hdr.token = 0;
	packet->len = WIRE_HDR_LEN;
	wire_encode(&hdr, packet->bytes);
	if (wire_hdr_type(&hdr) == WIRE_INIT) {
		forge_init(side, &hdr, packet);
	} else if (prng_below(prng, 2) == 0) {
		packet->bytes[packet->len++] = 0;
	}
	seal(packet);
}

/* A packet without our token changes nothing but counters. */
void
side_forge(struct side *side)
{
	struct world *world = side->world;
	static struct weir_conn before, after;
	struct packet *packet;
	struct wire_hdr hdr;
	bool had = side->conn != NULL;

	/* Without cookies a stranger's INIT is as good as any. */
	if (!prng_chance(&side->evil, world->draw.forge) ||
	    (!world->draw.cookies && side->index == 1))
		return;
	packet = packet_new(world);
	memset(packet, 0, offsetof(struct packet, bytes) + WIRE_INIT_LEN);
	forge(side, packet);
	if (had)
		before = *side->conn;
	if (open_packet(side, packet, &hdr) == WIRE_OK) {
		world->count->forged++;
		if (dispatch(side, packet, &hdr, true) != 0)
			world_fail(world, "a forged packet was kept");
	}
	packet_free(world, packet);
	if (had != (side->conn != NULL))
		world_fail(world, "a forged packet made or ended a link");
	if (!had)
		return;
	after = *side->conn;
	after.stats = before.stats;
	if (memcmp(&before, &after, sizeof(after)) != 0)
		world_fail(world, "a forged packet (type %u) changed the link",
			   wire_hdr_type(&hdr));
}

/* --- packets out ------------------------------------------------------ */

/* Is there memory for one more packet? */
static bool
may_send(struct side *side)
{
	struct world *world = side->world;

	if (world->now_ns >= world->draw.heal_ns ||
	    !prng_chance(&side->net, world->draw.starve))
		return true;
	side->starving = true;
	world->count->starved++;
	return false;
}

static void
check_packet(const struct side *side, const struct conn_tx_packet *out)
{
	struct world *world = side->world;
	const struct arq_tx *tx = &side->conn->tx;
	uint32_t most = out->kind != CONN_TX_CONTROL ? WIRE_DATA_HDR_MAX
			: out->type <= WIRE_ACCEPT   ? PACKET_MAX
						     : WIRE_CONTROL_MAX;

	if (out->hdr_len > most || out->hdr_len % 8 != 0)
		world_fail(world, "header of %u bytes", out->hdr_len);
	if (out->kind != CONN_TX_CONTROL && (uintptr_t)out->ref <= side->popped)
		world_fail(world, "packet of a message given back");
	if (out->kind == CONN_TX_DATA && arq_tx_in_flight(tx) > tx->cwnd)
		world_fail(world, "%u in flight, and the window is %u",
			   arq_tx_in_flight(tx), tx->cwnd);
	if (out->kind != CONN_TX_CONTROL &&
	    arq_tx_slot(tx, out->seq)->sent_ns != side_now(side))
		world_fail(world, "sent, but not its time");
	if (out->kind == CONN_TX_RETX &&
	    bitring_test(&tx->sacked_bits, out->seq))
		world_fail(world, "sent again, and the peer has it");
	if (out->type == WIRE_ACK && out->sack_words == 0 &&
	    side->conn->rx.parked != 0 && !side->conn->rx.stopped)
		world_fail(world, "an ACK that is silent about a hole");
}

/* Was it any good to send this again? */
static void
judge_repair(struct side *side, const struct conn_tx_packet *out, bool probe)
{
	const struct sent_copy *copy = &side->copies[out->seq % COPIES];
	bool hurt = copy->arrives_ns == NEVER || copy->overtaken;

	side->world->count->tlp_repaired += probe && hurt;
	side->needless += !hurt;
}

/* What becomes of a numbered packet, and of those that it overtakes. */
static void
note_copy(struct side *side, uint32_t seq, uint64_t at_ns)
{
	const struct arq_tx *tx = &side->conn->tx;

	side->copies[seq % COPIES] = (struct sent_copy){ at_ns, false };
	if (at_ns >= side->newest_ns) {
		side->newest_ns = at_ns == NEVER ? side->newest_ns : at_ns;
		return;
	}
	for (uint64_t i = tx->una; i < tx->nxt; i++)
		side->copies[i % COPIES].overtaken |=
			side->copies[i % COPIES].arrives_ns > at_ns;
}

/* A packet leaves: what it says is judged, what becomes of it noted. */
static void
send_packet(struct side *side, struct packet *packet,
	    const struct conn_tx_packet *out, uint64_t probes)
{
	struct world *world = side->world;
	bool numbered = out->type == WIRE_DATA || out->type == WIRE_BATCH ||
			out->type == WIRE_FIN;
	uint64_t at_ns;

	packet->len = out->hdr_len + out->payload_len;
	seal(packet);
	side->bytes_out += packet->len;
	check_amplification(side);
	world->count->batches_again += out->type == WIRE_BATCH &&
				       out->kind == CONN_TX_RETX;
	world->count->short_init += out->type == WIRE_INIT &&
				    packet->len <= CONN_SAFE_LEN &&
				    side->config.hello_len > CONN_SAFE_LEN;
	world->count->sack_wide += out->sack_words > 1;
	world_trace(world, side, "-> %s seq %x len %u flags %02x",
		    weir_wire_type_name(out->type), out->seq, out->payload_len,
		    out->flags);
	if (numbered && (out->flags & WIRE_F_RETX))
		judge_repair(side, out, side->conn->stats.tlp != probes);
	at_ns = world_send(world, side->index, packet, out->ect);
	if (numbered)
		note_copy(side, out->seq, at_ns);
}

/* The packet that weir_conn_next() decided on. */
static void
transmit_one(struct side *side, const struct conn_tx_packet *out,
	     uint64_t probes)
{
	struct packet *packet = packet_new(side->world);

	check_packet(side, out);
	memset(packet->bytes, 0xee, out->hdr_len);
	weir_conn_encode(side->conn, out, packet->bytes);
	if (out->type == WIRE_BATCH)
		weir_conn_gather(side->conn, out, packet->bytes + out->hdr_len);
	else if (out->payload_len != 0)
		memcpy(packet->bytes + out->hdr_len, out->payload,
		       out->payload_len);
	send_packet(side, packet, out, probes);
}

/* What weir_conn_next() would have said of it. */
static struct conn_tx_packet
burst_packet(const uint8_t *bytes, const struct conn_tx_msg *msg, bool ect)
{
	struct conn_tx_packet out = {
		.ref = msg->ref,
		.payload = msg->payload,
		.payload_len = msg->len,
		.hdr_len = WIRE_HDR_LEN,
		.kind = CONN_TX_DATA,
		.type = WIRE_DATA,
		.flags = bytes[1],
		.ect = ect,
		.whole = true,
	};
	struct wire_hdr hdr;

	if (weir_wire_decode(bytes, WIRE_HDR_LEN + msg->len, &hdr) == WIRE_OK)
		out.seq = hdr.seq;
	return out;
}

/* What goes on with the packet before, as far as there is room for it. @return
 * true: there was room for all. */
static bool
transmit_burst(struct side *side)
{
	struct packet *packets[CONN_BURST_MAX];
	struct conn_tx_packet outs[CONN_BURST_MAX];
	uint8_t *dst[CONN_BURST_MAX];
	uint32_t most, count = 0;
	const struct conn_tx_msg *msg =
		weir_conn_burst(side->conn, side_now(side), &most);
	bool ect;

	while (count < most && may_send(side))
		count++;
	if (count == 0)
		return most == 0;
	for (uint32_t i = 0; i < count; i++) {
		packets[i] = packet_new(side->world);
		dst[i] = packets[i]->bytes;
		memset(dst[i], 0xee, WIRE_HDR_LEN);
		memcpy(dst[i] + WIRE_HDR_LEN, msg[i].payload, msg[i].len);
	}
	ect = weir_conn_burst_take(side->conn, dst, count);
	for (uint32_t i = 0; i < count; i++) {
		outs[i] = burst_packet(dst[i], &msg[i], ect);
		check_packet(side, &outs[i]);
	}
	side->world->count->bursts += count > 1;
	for (uint32_t i = 0; i < count; i++)
		send_packet(side, packets[i], &outs[i], 0);
	return count == most;
}

void
side_transmit(struct side *side)
{
	uint64_t probes = side->conn->stats.tlp;
	struct conn_tx_packet out;
	uint32_t fresh = 0;

	while (may_send(side) &&
	       weir_conn_next(side->conn, side_now(side), &out)) {
		fresh += out.kind == CONN_TX_DATA;
		if (side->conn->cc.gap_ns != 0 && fresh > CC_BURST + 1)
			world_fail(side->world, "%u at once: not spaced",
				   fresh);
		transmit_one(side, &out, probes);
		probes = side->conn->stats.tlp;
		if (out.more == CONN_TX_LAST &&
		    weir_conn_next(side->conn, side_now(side), &out))
			world_fail(side->world, "nothing more, it said");
		if (!transmit_burst(side))
			return;
	}
}
