#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run weir perf and print a table of what it measured beside its floor.

    measure.py WEIR [--seconds N] "lat|bw ENDPOINT SIZE"...

A row per placement of the two processors that the run saw long enough.
"""
import json
import subprocess
import sys

HEAD = (f"  {'link':<6} {'test':<4} {'bytes':>8}  {'cpus':<5}"
        f" {'weir':>23} {'floor':>14} {'ratio':>6}")
FOOT = ("  lat: round trip, ratio weir / floor (1 is best, lower is better);"
        " bw: one way,\n  ratio weir / floor (1 is best, higher is better);"
        " cpus: near or far from each other")


def microseconds(value_ns):
    return "-" if value_ns is None else f"{value_ns / 1000:.3f}"


def rate(per_second):
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if per_second >= factor:
            return f"{per_second / factor:.2f} {unit}"
    return f"{per_second:.0f} "


def latency(part):
    rtt = part.get("rtt_ns") or {}
    return f"p50 {microseconds(rtt.get('p50'))}", \
        f"p99 {microseconds(rtt.get('p99'))} us"


def throughput(part, size):
    """Messages below 4 KiB, bytes above: what the reader can compare."""
    if size < 4096:
        return f"{rate(part.get('msgs_per_s') or 0)}msg/s"
    return f"{rate(part.get('bytes_per_s') or 0)}B/s"


def rows(kind, size, report):
    places = report.get("placements") or [report]
    for place in places:
        result = place.get("result") or report["result"]
        floor = place.get("floor") or report.get("floor") or {}
        ratio = place.get("ratio")
        if kind == "lat":
            weir = " ".join(latency(result))
            base = latency(floor)[0] + " us"
        else:
            weir, base = throughput(result, size), throughput(floor, size)
        yield (place.get("placement") or "?", weir, base,
               "-" if ratio is None else f"{ratio:.2f}")


def measure(weir, seconds, spec):
    kind, endpoint, size = spec.split()
    done = subprocess.run(
        [weir, "perf", kind, endpoint, "--self", "-s", size, "-J",
         "-t", f"{seconds}s"],
        capture_output=True, text=True, timeout=60 + 4 * seconds)
    if done.returncode != 0:
        print(f"  {endpoint:<6} {kind:<4} {size:>8}  "
              f"failed: {done.stderr.strip() or done.returncode}")
        return False
    report = json.loads(done.stdout)
    for place, result, floor, ratio in rows(kind, int(size), report):
        print(f"  {endpoint:<6} {kind:<4} {size:>8}  {place:<5}"
              f" {result:>23} {floor:>14} {ratio:>6}", flush=True)
    for warning in report.get("warnings") or []:
        print(f"      {warning.get('text', warning)}")
    return True


def main(arguments):
    weir, seconds = arguments[0], 3
    specs = arguments[1:]
    if specs[0] == "--seconds":
        seconds, specs = int(specs[1]), specs[2:]
    print(HEAD, flush=True)
    good = all([measure(weir, seconds, spec) for spec in specs])
    print(FOOT)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
