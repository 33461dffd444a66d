#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Instructions of the protocol core per data packet, without losses.

    budget.py STREAM    (tests/perf/stream.c, built with the flags of a release)

Counted by callgrind, so the same on every run and machine. What the program
itself does, the loop that stands for a driver, is not counted; everything that
it calls is: push, next, encode, timers, acknowledgements both ways, pop.

The limits stand here and nowhere else. Above them a change needs either less
code on the data path or a good reason; below them by much, lower ones.
"""
import re
import shutil
import subprocess
import sys
import tempfile

BURSTS = 500

# controller, bytes: instructions on the send side, on the receive side, and
# per what. Messages of 64 bytes share packets.
BUDGET = {
    ("fixed", 1000): (160, 137, "packet"),
    ("newreno", 1000): (162, 137, "packet"),
    ("fixed", 64): (138, 48, "message"),
}


def count(out, side, inclusive):
    """Instructions of a function of STREAM as callgrind_annotate tells them."""
    text = subprocess.run(
        ["callgrind_annotate", "--auto=no", "--threshold=100",
         "--inclusive=" + inclusive, out],
        check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) .*:" + side + r"(\.\S+)?( \[.*)?$", line)
        if match:
            return int(match[1].replace(",", ""))
    sys.exit("callgrind does not know " + side)


def measure(stream, cc, size, out):
    """@return instructions of both sides, messages, packets."""
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out,
         stream, cc, str(BURSTS), str(size)],
        capture_output=True, text=True, timeout=100)
    match = re.match(r"(\d+) messages (\d+) packets", run.stdout)
    if run.returncode != 0 or not match:
        sys.exit("%s %s %d failed:\n%s" % (stream, cc, size, run.stderr))
    sides = [count(out, side, "yes") - count(out, side, "no")
             for side in ("send_side", "receive_side")]
    return sides, int(match[1]), int(match[2])


def main():
    if not shutil.which("valgrind") or not shutil.which("callgrind_annotate"):
        print("skipped: valgrind is not installed")
        return 77
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
