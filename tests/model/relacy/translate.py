#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Turn the shared-memory ring into what relacy can run: the same files, the
same statements, C++ where C11 has words of its own.

    translate.py SOURCE OUT      SOURCE is the top of the tree

Prints the defects that are planted on the way, one per line and test that has
to find it: number, test, file, what is wrong. Each is a switch, see defect() in
relacy.h: with none thrown, the code is the code.
"""

import pathlib
import re
import sys

FILES = [
    "lib/claim.h",
    "lib/doorbell.h",
    "lib/sleepers.h",
    "lib/sleepers.c",
    "drivers/shm/shm_lane.h",
    "drivers/shm/shm_bell.h",
    "drivers/shm/shm_fork.h",
    "drivers/shm/shm_handshake.h",
    "drivers/shm/shm_layout.h",
    "drivers/shm/shm_segment.h",
    "drivers/shm/shm_tx.h",
    "drivers/shm/shm_tx.c",
    "drivers/shm/shm_tx_half.c",
    "drivers/shm/shm_rx.c",
    "drivers/shm/shm_orphan.c",
    "drivers/shm/shm_multi.h",
    "drivers/shm/shm_tx_multi.c",
    "drivers/shm/shm_multi_half.c",
]

# file, tests, what is wrong, where (once in the file; white space is free), and
# what stands there instead. Nothing: the last memory order is relaxed. SKIP:
# it is left out.
SKIP = "{ if (!defect(@)) { %s } }"
DEFECTS = [
    ("shm_tx.c", "publish", "the word is published in no order",
     "(seq + 1) << 32 | len, memory_order_release", None),
    ("shm_rx.c", "publish", "the word is read in no order",
     "word = atomic_load_explicit(&cell->word, memory_order_acquire", None),
    ("shm_orphan.c", "publish,hold,bursts", "a body is returned in no order",
     "&s->returns[(uint16_t)cookie], (uint16_t)(cookie >> 16), "
     "memory_order_release",
     None),
    ("shm_tx.c", "publish,hold", "a return is read in no order",
     "&returns[i], memory_order_acquire", None),
    ("shm_tx.c", "bursts", "the words of a burst are published in no order",
     "number | slots[i].len, memory_order_release", None),
    ("shm_rx.c", "bursts", "the words of a burst are read in no order",
     "atomic_load_explicit(&cell[i].word, memory_order_acquire", None),
    ("shm_tx.c", "bursts", "the returns of the next cells are read in no order",
     "&st->returns[at + back], memory_order_acquire", None),
    ("shm_orphan.c", "returns", "the group word overtakes the return",
     "(uint32_t)(cookie >> 32), memory_order_release", None),
    ("shm_tx.c", "returns", "the group word is read in no order",
     "&st->groups[g], memory_order_acquire", None),
    ("doorbell.h", "doorbell", "the publisher has no barrier",
     "atomic_signal_fence(memory_order_seq_cst);", SKIP),
    ("doorbell.h", "doorbell-fence", "the publisher has no fence",
     "atomic_thread_fence(memory_order_seq_cst);", SKIP),
    ("shm_tx_half.c", "doorbell", "the sender does not look after arming",
     "weir_shm_collect(st, true);", SKIP),
    ("shm_rx.c", "doorbell,close-asleep,abort-asleep",
     "the receiver does not look after arming",
     "end >> 32 == SHM_END_OPEN && is_stale(sr, next_word(sr));",
     "defect(@) || (%s);"),
    ("shm_rx.c", "doorbell", "the receiver drains its bell after looking",
     "return none;",
     "if (defect(@)) weir_shm_bell_drain(&sr->session->rx_bell); %s;"),
    ("shm_orphan.c", "doorbell", "a release does not ring",
     "weir_doorbell_wanted(&s->peer_tx->sleeping, false)",
     "!defect(@) && %s"),
    ("shm_tx_half.c", "close,abort", "the end is published in no order",
     "(uint64_t)how << 32 | (uint32_t)messages, memory_order_release", None),
    ("shm_rx.c", "close,abort", "the end is read in no order",
     "uint64_t end = atomic_load_explicit(&sr->peer->end, "
     "memory_order_acquire); if", None),
    ("shm_rx.c", "close,abort", "the end counts no messages",
     "(uint32_t)end == (uint32_t)sr->seq", "defect(@) || %s"),
    ("shm_rx.c", "abort,abort-asleep", "an abort is told as a close",
     "end >> 32 == SHM_END_CLOSED", "(defect(@) || %s)"),
    ("shm_tx_half.c", "close-asleep,abort-asleep", "the end does not ring",
     "weir_doorbell_wanted(&s->peer.front->rx.sleeping, s->fence)",
     "!defect(@) && %s"),
    ("shm_orphan.c", "orphan-order", "the mark is published in no order",
     "(uint16_t)(cookie >> 16), memory_order_release); } /* The", None),
    ("shm_orphan.c", "orphan-order", "the mark is read in no order",
     "atomic_load_explicit(&t->done, memory_order_acquire", None),
    ("shm_orphan.c", "orphan", "the half that goes has no barrier",
     "weir_doorbell_arm(&unused);", SKIP),
    ("shm_orphan.c", "orphan", "the flag is looked at before the mark",
     "mark_done(s, cookie); if (__builtin_expect(weir_doorbell_wanted("
     "&flags[flag], false), 0))",
     "bool early = defect(@) && atomic_load_explicit(&flags[flag], "
     "memory_order_relaxed) != 0; mark_done(s, cookie); if (defect(@) ? "
     "early : weir_doorbell_wanted(&flags[flag], false))"),
    ("shm_tx_multi.c", "several", "the word is published in no order",
     "(seq + 1) << 32 | len, memory_order_release", None),
    ("shm_tx_multi.c", "several-bursts", "a burst takes one number for all",
     "atomic_fetch_add(&mt->seq, n);",
     "atomic_fetch_add(&mt->seq, defect(@) ? 1 : n);"),
    ("shm_tx_multi.c", "several", "a return is read in no order",
     "&mt->base.returns[body], memory_order_acquire", None),
    ("claim.h", "several", "what is given back is in no order",
     "atomic_fetch_or(word, bits);",
     "word->fetch_or(bits, defect(@) ? rl::mo_relaxed : rl::mo_seq_cst, $);"),
    ("claim.h", "several", "a claim takes what another one took meanwhile",
     "while (!atomic_compare_exchange_weak(word, &seen, seen & ~got));",
     "while (defect(@) ? (atomic_fetch_and(word, ~got), false) : "
     "!atomic_compare_exchange_weak(word, &seen, seen & ~got));"),
    ("shm_tx_multi.c", "several-close",
     "reserve does not look for a close after its claim",
     "return (int)unless_stopped(mt, permits, got);",
     "if (defect(@)) return (int)got; %s;"),
    ("shm_multi_half.c", "several-close",
     "close does not wait for who is inside commit",
     "(taken == 0 || all_published(mt))", "(defect(@) || %s)"),
    ("shm_tx_multi.c", "several-asleep",
     "who drained the bell does not pass on what it was for",
     "else if (slept)", "else if (slept && !defect(@))"),
    ("shm_multi_half.c", "several-asleep", "a sender does not look after arming",
     "(weir_shm_multi_room(mt) & 1u << k) == 0", "(defect(@) || %s)"),
]

# The loads and stores themselves stay as they are: see relacy.h.
RULES = [
    (r"#include <stdatomic.h>", "#include \"relacy.h\""),
    # Sizes are those of the real thing; relacy's atomics remember more.
    (r"(?s)\n(?:_S|s)tatic_assert\(.*?;", ""),
    # A few bodies do: each iteration makes all return words anew.
    (r"(define SHM_GROUPS_MAX +)544u", r"\g<1>1u"),
    (r"(define SHM_BODIES_MAX +)\(.*\)", r"\g<1>8u"),
    # What is static would be made before there is a run that it belongs to.
    (r"static _Atomic (\w+) (\w+)\[FLAGS\];",
     r"static rl::atomic<\1> *\2;"),
    (r"static _Atomic (\w+) (\w+);",
     r"static rl::atomic<\1> &\2 = unused_static<rl::atomic<\1>>();"),
    (r"static pthread_mutex_t (\w+) = PTHREAD_MUTEX_INITIALIZER;",
     r"static rl::mutex *\1;"),
    (r"pthread_mutex_(lock|unlock)\(&(\w+)\)", r"\2->\1($)"),
    (r"pthread_mutex_t life;", "rl::mutex life;"),
    (r"pthread_mutex_(lock|unlock)\(&mt->life\)", r"mt->life.\1($)"),
    (r"pthread_mutex_(init|destroy)\(.*\);", ""),
    (r"sched_yield\(\)", "rl::yield(1, $)"),
    # Its threads are all in one of ours.
    (r"static _Thread_local char self;",
     "static char selves[8];\n"
     "#define self (selves[rl::ctx().threadx_->index_])"),
    # Bodies that there are not are always free, so nobody need look at them.
    (r"(bits = )~", r"\1((1u << CELLS) - 1) & ~"),
    (r"_Atomic (\w+)", r"rl::atomic<\1>"),
    (r"_Alignas", "alignas"),
    (r"\bclass\b(?!_)", "class_"),
]


def planted(number, old, new):
    if new is None:
        head, order = old.rsplit("memory_order_", 1)
        order, tail = re.match(r"(\w+)(.*)", order, re.S).groups()
        return "%sRELAXED_IF(%d, rl::mo_%s)%s" % (head, number, order, tail)
    old = old[:-1] if old.endswith(";") and new != SKIP else old
    return new.replace("@", str(number)).replace("%s", old)


def plant(name, text):
    for number, (file, test, wrong, old, new) in enumerate(DEFECTS, 1):
        if file != name:
            continue
        pattern = re.sub(r"(\\?\s)+", r"\\s+", re.escape(old))
        pattern = re.sub(r"(\\\()", r"\1\\s*", pattern)
        with_it = planted(number, old, new)
        text, found = re.subn(pattern, lambda m: with_it, text)
        if found != 1:
            sys.exit("%s: found %d times: %s" % (file, found, old))
        for one in test.split(","):
            print(number, one, file, wrong, sep="\t")
    return text


def main():
    source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    for path in FILES:
        name = pathlib.Path(path).name
        text = plant(name, (source / path).read_text())
        for old, new in RULES:
            text = re.sub(old, new, text)
        (out / name).write_text(text)


main()
