#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How much of the wire protocol the tests execute.

    coverage.py BUILD [--lines FILE]

Reads what programs built with --coverage in BUILD have left behind, by gcov.
Looked at are the sources of weir_proto (lib/meson.build) and the headers of
lib/ that they include. A line or branch counts if any object took it. Prints
lines and branches per file; --lines lists what FILE misses. Exit status 1
below LINES or BRANCHES per cent.
"""
import collections
import json
import pathlib
import re
import subprocess
import sys

LINES, BRANCHES = 95.0, 85.0
ROOT = pathlib.Path(__file__).resolve().parent.parent
LIB = ROOT / "lib"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"/]+)"', re.M)


def watched():
    """The protocol's sources and, transitively, their headers."""
    text = (LIB / "meson.build").read_text()
    block = re.search(r"proto_sources = files\((.*?)\)", text, re.S).group(1)
    names = set(re.findall(r"'([\w.]+)'", block))
    waiting = list(names)
    while waiting:
        for name in INCLUDE.findall((LIB / waiting.pop()).read_text()):
            if name not in names and (LIB / name).exists():
                names.add(name)
                waiting.append(name)
    return names


def reports(build):
    """gcov's answer for each object that was executed."""
    data = sorted(str(path) for path in build.rglob("*.gcda"))
    if not data:
        sys.exit(f"{build}: no test has run here, or without --coverage")
    for at in range(0, len(data), 50):
        out = subprocess.run(
            ["gcov", "--json-format", "--stdout", "--branch-probabilities",
             *data[at:at + 50]],
            check=True, capture_output=True, text=True, cwd=build).stdout
        for line in out.splitlines():
            if line.startswith("{"):
                yield json.loads(line)


def collect(build, names):
    """name -> {line: count}, name -> {(line, nth branch): count}."""
    lines = collections.defaultdict(collections.Counter)
    branches = collections.defaultdict(collections.Counter)
    for report in reports(build):
        for file in report["files"]:
            path = (pathlib.Path(report["current_working_directory"]) /
                    file["file"]).resolve()
            if path.parent != LIB or path.name not in names:
                continue
            for line in file["lines"]:
                number = line["line_number"]
                lines[path.name][number] += line["count"]
                for nth, branch in enumerate(line["branches"]):
                    branches[path.name][number, nth] += branch["count"]
    return lines, branches


def share(counter):
    hit = sum(count > 0 for count in counter.values())
    return hit, len(counter)


def percent(hit, total):
    return 100.0 * hit / total if total else 100.0


def show_missed(name, lines, branches):
    source = (LIB / name).read_text().splitlines()
    for number, count in sorted(lines[name].items()):
        missed = [nth for (at, nth), taken in branches[name].items()
                  if at == number and taken == 0]
        if count == 0 or missed:
            mark = "never" if count == 0 else f"not {sorted(missed)}"
            print(f"{name}:{number}: {mark:14} {source[number - 1].strip()}")


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    names = watched()
    lines, branches = collect(build, names)
    if sys.argv[2:3] == ["--lines"]:
        for name in sys.argv[3:] or sorted(names):
            show_missed(name, lines, branches)
        return 0
    sums = [0, 0, 0, 0]
    print(f"{'file':16} {'lines':>16} {'branches':>17}")
    for name in sorted(names):
        row = [*share(lines[name]), *share(branches[name])]
        sums = [a + b for a, b in zip(sums, row)]
        print(f"{name:16} {row[0]:5}/{row[1]:<5}{percent(*row[:2]):5.1f} "
              f"{row[2]:5}/{row[3]:<5}{percent(*row[2:]):6.1f}")
    result = percent(*sums[:2]), percent(*sums[2:])
    print(f"total: {result[0]:.1f} % of {sums[1]} lines, {result[1]:.1f} % of "
          f"{sums[3]} branches; wanted {LINES:.0f} and {BRANCHES:.0f}")
    return int(result[0] < LINES or result[1] < BRANCHES)


sys.exit(main())
