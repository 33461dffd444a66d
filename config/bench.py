#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The report of "make bench": every goal of config/goals.toml as reached,
missed or not measured, with its floor in the same run; loss, copies, open
loops, and a comparison with the kernel's sockets, UCX and libfabric.

    bench.py BUILD_DIR OUTPUT_DIR [--time SECONDS] [--short]

Writes report.md, report.json, every run's JSON and command, and plots with
their data and scripts. How fast something is never makes it fail: exit code 1
means lost or corrupt messages, or a report that is not whole.
"""
import argparse
import datetime
import json
import pathlib
import sys
import time

import bench_peers
import bench_report
import bench_runs

HERE = pathlib.Path(__file__).resolve().parent
LIMIT_S = 18 * 60  # nothing new begins later


def parse(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--time", type=float, default=5.0,
                        help="seconds for each run")
    parser.add_argument("--short", action="store_true",
                        help="some seconds: is the report whole?")
    args = parser.parse_args(arguments)
    if args.short:
        args.time = 0.1
    return args


def main(arguments):
    args = parse(arguments)
    started = time.monotonic()
    args.output.mkdir(parents=True, exist_ok=True)
    runs = bench_runs.Runs(args.build, args.output, args.time, args.short,
                           started + LIMIT_S)
    goals = bench_runs.load_goals(HERE / "goals.toml")
    try:
        lines = bench_runs.judge_all(goals, runs)
        peers = bench_peers.compare(runs)
        if not args.short:
            runs.see_missing()
            lines = bench_runs.judge_all(goals, runs)
    finally:
        runs.close()
    report = {
        "schema": "weir.bench/1",
        "time": datetime.datetime.now(datetime.timezone.utc)
                .isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started),
        "seconds_per_run": args.time,
        "short": args.short,
        "host": runs.host,
        "goals": lines,
        "loads": runs.loads(),
        "cost": runs.cost(),
        "comparison": peers,
        "defects": runs.defects,
    }
    bench_report.write(report, args.output)
    faults = bench_report.check(args.output, goals) + runs.defects
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    print(bench_report.summary(report))
    print(f"report: {args.output}/report.md")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
