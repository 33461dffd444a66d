#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Instructions of the data paths: of the protocol core per data packet without
losses, and of the calls on mem and shm links per message of 48 bytes.

    budget.py STREAM    (tests/perf/stream.c, built with the flags of a release)
    budget.py --lanes LANE    (tests/perf/lane.c, likewise)
    budget.py --parts PARTS   (tests/perf/parts.c: a whole dpdk link)

Counted by callgrind, so the same on every run and machine. What the program
itself does, the loop that stands for a driver, is not counted; everything that
it calls is: push, next, encode, timers, acknowledgements both ways, pop. Of a
lane all is counted: the calls are inline, and the loop around them is short. So
it is of a dpdk link, with the polls and the rings that stand for a device.

The limits stand here and nowhere else. Above them a change needs either less
code on the data path or a good reason; below them by much, lower ones.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

BURSTS = 500

# controller, bytes: instructions on the send side, on the receive side, and
# per what. Messages of 64 bytes share packets.
BUDGET = {
    ("fixed", 1000): (93, 83, "packet"),
    ("newreno", 1000): (95, 83, "packet"),
    ("fixed", 64): (101, 48, "message"),
}

ROUNDS = 4096

# endpoint, messages per burst, how (see lane.c): instructions to send, to
# receive, per message. What one thread alone pays must not grow by what several
# threads need.
LANES = {
    ("shm", 1, None): (211, 132),
    ("shm", 32, None): (137, 88),
    ("shm", 1, "multi"): (300, 132),
    # With a store to each cell that is claimed: six more than without it.
    ("shm", 32, "multi"): (188, 88),
    ("shm", 32, "together"): (182, 88),
    ("shm", 32, "bursts"): (103, 80),
    ("mem", 1, None): (230, 147),
    ("mem", 32, None): (127, 57),
    ("mem", 1, "multi"): (360, 142),
    ("mem", 32, "multi"): (140, 85),
}


# Functions of lane.c.
SIDES = {"together": ("send_together", "receive_side"),
         "bursts": ("send_burst", "receive_burst")}

PARTS = ("commit", "transmit", "receive", "recv", "release", "answer", "ack")

# messages per burst, may they share packets: instructions per message of each
# part, see parts.c. With one at a time a part that polls pays a whole poll.
# Of the two polls of one end the limit holds for the sum: an acknowledgement
# whose time has come on a busy machine leaves with the first instead.
PARTS_BUDGET = {
    (32, "single"): (95, 182, 212, 21, 26, 91, 96),
    (32, "coalesce"): (95, 140, 109, 21, 26, 63, 83),
    (1, "single"): (242, 1115, 1150, 80, 57, 655, 665),
}
TOGETHER = (("transmit", "ack"), ("receive", "answer"))

# On a busy machine more acknowledgements become due, of which no code is to blame:
# what is above a limit is counted again, so many times in all.
TRIES = 3

# Instructions of a poll of a port that nobody uses, with one link that is awake.
# With many links, of which one may be awake, it may cost 5 % more than these.
IDLE_BUDGET = 270
IDLE_LINKS = 33
IDLE_POLLS = 2000
IDLE_MORE = 1.05


def count(out, side, inclusive):
    """Instructions of a function of STREAM as callgrind_annotate tells them."""
    text = subprocess.run(
        ["callgrind_annotate", "--auto=no", "--threshold=100",
         "--inclusive=" + inclusive, out],
        check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) .*\.c:" + side + r"(\.\S+)?( \[.*)?$",
                         line)
        if match:
            return int(match[1].replace(",", ""))
    sys.exit("callgrind does not know " + side)


def run_counted(out, *command, below=None):
    """All, or what a function calls. @return messages, packets."""
    collect = ["--toggle-collect=%s*" % below] if below else []
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out,
         *collect, *command],
        capture_output=True, text=True, timeout=100)
    match = re.match(r"(\d+) messages (\d+) packets", run.stdout)
    if run.returncode != 0 or not match:
        sys.exit("%s failed:\n%s" % (" ".join(command), run.stderr))
    return int(match[1]), int(match[2])


def measure(stream, cc, size, out):
    """@return instructions of both sides, messages, packets."""
    messages, packets = run_counted(out, stream, cc, str(BURSTS), str(size))
    sides = [count(out, side, "yes") - count(out, side, "no")
             for side in ("send_side", "receive_side")]
    return sides, messages, packets


def lanes(program):
    bad = 0
    print("lane  burst how        send limit   receive limit")
    for (scheme, burst, how), limits in LANES.items():
        with tempfile.NamedTemporaryFile(prefix="weir-callgrind-") as out, \
                tempfile.TemporaryDirectory(prefix="weir-lane-") as runtime:
            os.environ["WEIR_RUNTIME_DIR"] = runtime
            messages, _ = run_counted(out.name, program, scheme + ":budget",
                                      str(burst), str(ROUNDS // burst),
                                      *([how] if how else []))
            got = [count(out.name, side, "yes") / messages
                   for side in SIDES.get(how, ("send_side", "receive_side"))]
        print("%-5s %5d %-10s %5.1f %5d   %7.1f %5d"
              % (scheme, burst, how or "alone", got[0], limits[0], got[1], limits[1]))
        bad += (got[0] > limits[0]) + (got[1] > limits[1])
    return bad


def idle_poll(program, links):
    with tempfile.NamedTemporaryFile(prefix="weir-callgrind-") as out:
        polls, _ = run_counted(out.name, program, "idle", str(links),
                               str(IDLE_POLLS), below="measured_idle")
        return count(out.name, "measured_idle", "yes") / polls


def above(got, limits):
    """How many parts, or pairs of them, are above their limit."""
    groups = list(TOGETHER)
    groups += [(part,) for part in PARTS if part not in sum(TOGETHER, ())]
    return sum(sum(got[part] for part in group) >
               sum(limits[part] for part in group) for group in groups)


def parts_of(program, burst, packets):
    """@return instructions per message of each part."""
    with tempfile.NamedTemporaryFile(prefix="weir-callgrind-") as out:
        messages, _ = run_counted(out.name, program, str(burst),
                                  str(ROUNDS // 16 if burst == 1
                                      else ROUNDS // burst), packets,
                                  below="measured")
        return {part: count(out.name, "part_" + part, "yes") / messages
                for part in PARTS}


def parts(program):
    bad = 0
    print("burst packets %s" % "".join("%15s" % part for part in PARTS))
    for (burst, packets), limits in PARTS_BUDGET.items():
        limits = dict(zip(PARTS, limits))
        for _ in range(TRIES):
            got = parts_of(program, burst, packets)
            print("%5d %-8s" % (burst, packets) +
                  "".join("%9.1f %5d" % (got[part], limits[part])
                          for part in PARTS))
            if above(got, limits) == 0:
                break
        bad += above(got, limits)
    one, many = idle_poll(program, 1), idle_poll(program, IDLE_LINKS)
    limit = IDLE_BUDGET * IDLE_MORE
    print("idle poll: %.0f with 1 link, %.0f with %d, limit %.0f"
          % (one, many, IDLE_LINKS, limit))
    return bad + (max(one, many) > limit)


def main():
    if not shutil.which("valgrind") or not shutil.which("callgrind_annotate"):
        print("skipped: valgrind is not installed")
        return 77
    if sys.argv[1] in ("--lanes", "--parts"):
        bad = (lanes if sys.argv[1] == "--lanes" else parts)(sys.argv[2])
        if bad:
            print("%d above the limit" % bad)
        return 1 if bad else 0
    bad = 0
    print("instructions     send limit   receive limit")
    for (cc, size), (send, receive, unit) in BUDGET.items():
        with tempfile.NamedTemporaryFile(prefix="weir-callgrind-") as out:
            sides, messages, packets = measure(sys.argv[1], cc, size, out.name)
        per = packets if unit == "packet" else messages
        got = [total / per for total in sides]
        print("%-8s %5d B %5.0f %5d   %7.0f %5d  per %s"
              % (cc, size, got[0], send, got[1], receive, unit))
        bad += (got[0] > send) + (got[1] > receive)
    if bad:
        print("%d above the limit" % bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
