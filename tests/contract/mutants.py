#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""
Does the suite have teeth? Plants one fault at a time into a copy of the tree,
builds the suite against it and expects it to fail.

    tests/contract/mutants.py SOURCE_ROOT [PATTERN]
    tests/contract/mutants.py --pieces SOURCE_ROOT      is the table up to date?

A fault is a piece of source and what to put in its place. A piece that is no
longer there is an error of its own: the table below is out of date. Faults in
code that all drivers share run over mem.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

INLINE = 'lib/weir_inline.h'
ERROR = 'lib/error.c'
TX = 'lib/tx.c'
RX = 'lib/rx.c'
MEM = 'drivers/mem/mem_datapath.c'
LANE = 'drivers/mem/mem_lane.c'
SHM_TX = 'drivers/shm/shm_tx.c'
SHM_RX = 'drivers/shm/shm_rx.c'
SHM_HALF = 'drivers/shm/shm_tx_half.c'
SHM_MULTI = 'drivers/shm/shm_tx_multi.c'
SHM_MULTI_HALF = 'drivers/shm/shm_multi_half.c'
CLAIM = 'lib/claim.h'
SHM_ALL = ('shm', 'shm-process')

# name, variants, file, piece, replacement
MUTANTS = [
    ('leak on -EMSGSIZE', ('mem',), INLINE,
     'tx->ops->drop(tx, permit);\n\t\tslot->tx = NULL;',
     'slot->tx = NULL;'),
    ('nothing is latched', ('mem', 'shm'), ERROR,
     '!__atomic_compare_exchange_n(status, &first, rc, false,',
     '!__atomic_compare_exchange_n(status, &first, *status, false,'),
    ('everything is latched', ('mem',), ERROR,
     'if (!is_passing(rc) &&', 'if ('),
    ('close with slots out', ('mem',), TX,
     'now.permitted + now.allocated != 0', 'now.permitted > 1000'),
    ('a second close is fine', ('mem',), TX,
     'rc = -EALREADY;', 'rc = 0;'),
    ('send does not count its copy', ('mem',), TX,
     'count_copy(tx, len);', ''),
    ('cancel is not forgotten', ('mem',), 'lib/wait.c',
     'wait->cancel, &count, count - 1, true,',
     'wait->cancel, &count, count, true,'),
    ('cancel does not wake', ('mem',), TX,
     'tx->ops->wake(tx);', ''),
    ('a wait gives up early', ('mem',), 'lib/wait.c',
     'if (now_ns >= wait->deadline_ns)',
     'if (now_ns + 1000000 >= wait->deadline_ns)'),
    ('forward releases what it could not send', ('mem',), TX,
     'if (rc == 0)\n\t\tweir_msg_release(msg);', 'weir_msg_release(msg);'),

    ('several threads: one cancel is as good as two', ('shm',), TX,
     'if (tx->shared)\n\t\t__atomic_fetch_add(&tx->cancel',
     'if (0)\n\t\t__atomic_fetch_add(&tx->cancel'),
    ('several threads: claims are not atomic', ('shm',), CLAIM,
     '} while (!atomic_compare_exchange_weak(word, &seen, seen & ~got));',
     '\tfor (volatile int i = 0; i < 300; i++)\n\t\t\t;\n'
     '\t\tatomic_store(word, seen & ~got);\n\t} while (0);'),

    ('shm multi: one number for two commits', ('shm',), SHM_MULTI,
     'uint64_t seq = atomic_fetch_add(&mt->seq, 1);',
     'uint64_t seq = atomic_load(&mt->seq);\n\n'
     '\tsched_yield();\n'
     '\tatomic_store(&mt->seq, seq + 1);'),
    ('shm multi: one number for a burst', ('shm',), SHM_MULTI,
     'uint64_t seq = atomic_fetch_add(&mt->seq, n);',
     'uint64_t seq = atomic_fetch_add(&mt->seq, 1);'),
    ('a burst is committed without its last one', ('mem',), INLINE,
     'for (uint16_t i = 0; i < n; i++)\n\t\t\tweir_slot_commit(&slots[i]);',
     'for (uint16_t i = 0; i + 1 < n; i++)\n\t\t\tweir_slot_commit(&slots[i]);'),
    ('shm multi: leak on drop', ('shm',), SHM_MULTI,
     'give_both(mt, permit->cookie);', '(void)permit;'),
    ('shm multi: leak on discard', ('shm',), SHM_MULTI,
     'give_both(mt, (uint32_t)slot->cookie);', ''),
    ('shm multi: a body comes back without its token', ('shm',), SHM_MULTI,
     'if (token != body)\n\t\tgive_body(mt, token);', '(void)token;'),
    ('shm multi: a small alloc keeps the large pledge', ('shm-multi',),
     SHM_MULTI, 'give_body(mt, pledged);', ''),
    ('shm multi: a drop wakes nobody', ('shm',), SHM_MULTI,
     'wake_if_any(mt);\n\tif (count', 'if (count'),
    ('shm multi: who drains passes nothing on', ('shm',), SHM_MULTI,
     'else if (slept)\n\t\tpass_on(mt);', 'else if (0)\n\t\tpass_on(mt);'),
    ('shm multi: an error wakes nobody else', ('shm',), SHM_MULTI,
     'if (rc < 0)\n\t\tweir_shm_multi_wake_all(mt);\n\telse if (slept)',
     'if (slept && rc >= 0)'),
    ('shm multi: a close wakes nobody', ('shm',), SHM_MULTI_HALF,
     'pthread_mutex_unlock(&mt->life);\n\tweir_shm_multi_wake_all(mt);',
     'pthread_mutex_unlock(&mt->life);'),
    ('shm multi: close with slots out', ('shm',), SHM_MULTI_HALF,
     'taken == outstanding && (taken == 0 || all_published(mt))',
     'all_published(mt)'),
    ('shm multi: bytes that came back are not counted', ('shm',), SHM_MULTI,
     'mt->payload_returned += shm_state_len(state);', ''),

    ('mem: leak on discard', ('mem',), MEM,
     'mt->free[class][mt->free_count[class]++] = cell;\n\tmt->free_credits++;'
     '\n\tmt->counters.discarded++;',
     'mt->counters.discarded++;'),
    ('mem: discard keeps the credit', ('mem',), MEM,
     'mt->free_credits++;\n\tmt->counters.discarded++;',
     'mt->counters.discarded++;'),
    ('mem: EOF before drain', ('mem',), MEM,
     'if (*ready != 0 || end == MEM_END_OPEN)\n\t\treturn 0;',
     'if (end == MEM_END_OPEN)\n\t\treturn 0;\n\t*ready = 0;'),
    ('mem: the mark after the tail', ('mem', 'mem-connect'), MEM,
     'end = atomic_load_explicit(&lane->tx_end, memory_order_acquire);\n'
     '\t*ready = atomic_load_explicit(&lane->tail, memory_order_acquire) -\n'
     '\t\t mr->head;',
     '*ready = atomic_load_explicit(&lane->tail, memory_order_acquire) -\n'
     '\t\t mr->head;\n'
     '\tend = atomic_load_explicit(&lane->tx_end, memory_order_acquire);'),
    ('mem: an abort looks like a close', ('mem',), MEM,
     'mem_end(&lane->tx_end, MEM_END_ABORTED,',
     'mem_end(&lane->tx_end, MEM_END_CLOSED,'),
    ('mem: close is ignored', ('mem',), MEM,
     'mem_end(&mt->lane->tx_end, MEM_END_CLOSED, mt->lane,',
     'if (0)\n\t\tmem_end(&mt->lane->tx_end, MEM_END_CLOSED, mt->lane,'),
    ('mem: double use of a cell', ('mem',), MEM,
     'cell = mt->free[class][--mt->free_count[class]];',
     'cell = mt->free[class][--mt->free_count[class] & ~1u];'),
    ('mem: release does nothing', ('mem',), MEM,
     'atomic_fetch_or_explicit(&lane->returned[msg->cookie / WORD_BITS], bit,',
     'bit = 0;\n\t'
     'atomic_fetch_or_explicit(&lane->returned[msg->cookie / WORD_BITS], bit,'),
    ('mem: release is not atomic', ('mem',), MEM,
     'atomic_fetch_or_explicit(&lane->returned[msg->cookie / WORD_BITS], bit,\n'
     '\t\t\t\t memory_order_release);',
     'lane->returned[msg->cookie / WORD_BITS] =\n'
     '\t\tatomic_load_explicit(&lane->returned[msg->cookie / WORD_BITS],\n'
     '\t\t\tmemory_order_relaxed) | bit;'),
    ('mem: order of alloc', ('mem',), MEM,
     '&lane->ring[mt->tail & (lane->credits - 1)];',
     '&lane->ring[(uint32_t)slot->cookie & (lane->credits - 1)];'),
    ('mem: large hints get small cells', ('mem',), MEM,
     'return size <= lane->small_size ? MEM_SMALL : MEM_LARGE;',
     'return size <= lane->small_size + 64 ? MEM_SMALL : MEM_LARGE;'),
    ('mem: the pledge is not given back', ('mem',), MEM,
     'mt->pledged[permit->cookie]--;\n\tmt->permits--;\n\tmt->free_credits++;',
     'mt->permits--;\n\tmt->free_credits++;'),
    ('mem: reserve grants one too many', ('mem',), MEM,
     'return cells < mt->free_credits ? cells : mt->free_credits;',
     'return cells < mt->free_credits ? cells + 1 : mt->free_credits;'),
    ('mem: arm does not look again (receive)', ('mem',), MEM,
     'return mem_recv_empty(mr, &ready) == 0 && ready == 0;', 'return 1;'),
    ('mem: arm does not look again (send)', ('mem',), MEM,
     'return mem_room(mt, mem_class_for(mt->lane, size)) == 0 &&\n'
     '\t       mem_tx_trouble(mt) == 0;', 'return 1;'),
    ('mem: a release rings nobody', ('mem',), MEM,
     'if (weir_doorbell_wanted(&lane->tx_sleeping, lane->fence))\n'
     '\t\tweir_doorbell_ring(lane->tx_fd);\n\tweir_mem_released(lane);',
     'weir_mem_released(lane);'),
    ('mem: an end rings nobody', ('mem',), MEM,
     'if (weir_doorbell_wanted(sleeping, lane->fence))\n'
     '\t\tweir_doorbell_ring(fd);', '(void)sleeping;\n\t(void)fd;'),
    ('mem: a commit rings nobody', ('mem',), MEM,
     'if (weir_doorbell_wanted(&lane->rx_sleeping, lane->fence)) {',
     'if (0) {'),
    ('mem: a gone receiver is not noticed', ('mem',), MEM,
     '? 0\n\t\t       : -ECONNRESET;', '? 0\n\t\t       : 0;'),
    ('mem: cells go with the receive half', ('mem',), MEM,
     'int64_t change = BALANCE_ORPHAN - (int64_t)mr->counters.messages;',
     'int64_t change = BALANCE_ORPHAN -\n'
     '\t\tatomic_load_explicit(&mr->lane->balance, memory_order_relaxed);'),
    ('mem: payload bytes are not counted', ('mem',), MEM,
     'mt->counters.payload_bytes += slot->len;', ''),
    ('mem: cells overlap', ('mem',), LANE,
     'WEIR_LINK_MULTI_PRODUCER) != 0;\n\tlane->small_size = size <',
     'WEIR_LINK_MULTI_PRODUCER) != 0;\n\tsize -= 64;\n'
     '\tlane->small_size = size <'),
    ('mem: the length is lost', ('mem',), MEM,
     'msgs[i].len = desc->len;', 'msgs[i].len = (desc->len + 7u) & ~7u;'),

    ('shm: leak on discard', ('shm',), SHM_TX,
     'bodies_free(st, body / SHM_GROUP_SIZE,\n\t\t    '
     'UINT64_C(1) << body % SHM_GROUP_SIZE);\n\tst->cursor--;', '(void)body;\n\tst->cursor--;'),
    ('shm: EOF before drain', SHM_ALL, SHM_RX,
     'if ((uint32_t)end == (uint32_t)sr->seq) {', 'if (1) {'),
    ('shm: an abort looks like a close', SHM_ALL, SHM_HALF,
     'SHM_END_ABORTED, st->seq);', 'SHM_END_CLOSED, st->seq);'),
    ('shm: close is ignored', ('shm',), SHM_HALF,
     'return weir_shm_peer_gone(st);\n'
     '\tweir_shm_end_sending(st->session, SHM_END_CLOSED, st->seq);',
     'return weir_shm_peer_gone(st);'),
    ('shm: double use of a body', SHM_ALL, SHM_TX,
     '\t*word &= *word - 1;\n', ''),
    ('shm: a body held is used again', SHM_ALL, SHM_TX,
     'generation[i])\n\t\t\tback |=',
     'generation[i] || i % 7 == 3)\n\t\t\tback |='),
    ('shm: the dead are silent', ('shm-process',), SHM_RX,
     'return end >> 32 != SHM_END_OPEN ? ended(sr, end) : -ETIMEDOUT;',
     'return end >> 32 != SHM_END_OPEN ? ended(sr, end) : 0;'),
    ('shm: death is the end of the stream', ('shm-process',), SHM_RX,
     'ended(sr, end) : -ETIMEDOUT;', 'ended(sr, end) : WEIR_EOF;'),
    ('shm: a commit rings nobody', SHM_ALL, SHM_TX,
     'weir_doorbell_wanted(&st->peer->sleeping, st->fence), 0))\n'
     '\t\tring_and_claim(', '0, 0))\n\t\tring_and_claim('),
    ('shm: an end rings nobody', SHM_ALL, SHM_HALF,
     'weir_doorbell_wanted(&s->peer.front->rx.sleeping, s->fence))', '0)'),
    ('shm: arm does not look again (receive)', SHM_ALL, SHM_RX,
     'none = end >> 32 == SHM_END_OPEN && is_stale(sr, next_word(sr));',
     'none = end >> 32 == SHM_END_OPEN;'),
    ('shm: arm does not look again (send)', SHM_ALL, SHM_HALF,
     'return shm_room_of(st, shm_class_for(st, size)) == 0 &&\n',
     'return 1 &&\n'),
    ('shm: the pledge is not given back', ('shm',), SHM_TX,
     'st->class_free[pledged]++;\n\tst->class_free[k]--;',
     'st->class_free[k]--;'),
    ('shm: a gone receiver is not noticed', ('shm',), SHM_TX,
     '? -ECONNRESET\n\t\t       : -ETIMEDOUT', '? 0\n\t\t       : -ETIMEDOUT'),
]


def copy_tree(root, target):
    for name in ('lib', 'drivers', 'tests', 'apps', 'docs', 'config'):
        shutil.copytree(os.path.join(root, name), os.path.join(target, name))
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if os.path.isfile(path):
            shutil.copy2(path, target)


def build(where):
    return subprocess.run(
        ['ninja', '-C', os.path.join(where, 'b'), 'tests/contract/contract'],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(where, variant):
    """@return (caught, what was seen)."""
    env = dict(os.environ, WEIR_CONTRACT_LIMIT_S='3')
    program = os.path.join(where, 'b', 'tests/contract/contract')
    try:
        done = subprocess.run([program, variant], env=env, timeout=150,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True,
                              errors='replace')
    except subprocess.TimeoutExpired:
        return True, 'the whole program hangs'
    failed = re.findall(r'\[  (?:FAILED|ERROR)\s+\] (\w+)$', done.stdout, re.M)
    names = list(dict.fromkeys(failed))
    over = re.search(r'over the time limit: (\w+)', done.stdout)
    if over:
        names.append(over.group(1) + ' (time limit)')
    seen = '%d cases: %s' % (len(names), ', '.join(names[:3]))
    if not names and done.returncode != 0:
        seen = 'exit code %d' % done.returncode
    return done.returncode != 0, seen


def plant(where, root, mutant):
    name, variants, path, piece, other = mutant
    with open(os.path.join(root, path)) as file:
        text = file.read()
    if text.count(piece) != 1:
        return 'STALE', 'the piece is there %d times' % text.count(piece)
    target = os.path.join(where, path)
    with open(target, 'w') as file:
        file.write(text.replace(piece, other))
    built = build(where)
    result = ('STALE', 'does not build: ' + built.stdout[-400:])
    if built.returncode == 0:
        for variant in variants:
            caught, seen = run(where, variant)
            result = ('caught' if caught else 'MISSED', seen)
            if caught:
                break
    with open(target, 'w') as file:
        file.write(text)
    return result


def pieces(root):
    stale = 0
    for name, _, path, piece, _ in MUTANTS:
        with open(os.path.join(root, path)) as file:
            count = file.read().count(piece)
        if count != 1:
            print(f'{name}: the piece is there {count} times in {path}')
            stale += 1
    print(f'{len(MUTANTS)} planted faults, {stale} out of date')
    return stale != 0


def main():
    if sys.argv[1] == '--pieces':
        return pieces(sys.argv[2])
    root = os.path.abspath(sys.argv[1])
    pattern = sys.argv[2] if len(sys.argv) > 2 else ''
    bad = 0
    with tempfile.TemporaryDirectory(prefix='weir-mutants-') as where:
        copy_tree(root, where)
        subprocess.run(['meson', 'setup', os.path.join(where, 'b'), where,
                        '-Ddpdk=disabled', '-Dtool=disabled',
                        '-Dwerror=false', '-Dman=disabled'],
                       check=True, stdout=subprocess.DEVNULL)
        for mutant in MUTANTS:
            if pattern not in mutant[0]:
                continue
            verdict, seen = plant(where, root, mutant)
            bad += verdict != 'caught'
            print('%-7s %-42s %s' % (verdict, mutant[0], seen), flush=True)
    print('mutants: %d not caught' % bad)
    return bad != 0


if __name__ == '__main__':
    sys.exit(main())
