#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Count the tests that meson ran, from its own logs.

    summary.py BUILD... -- [OTHER FAILURE]...

A program of the test library counts by its cases, any other as one; what one
that searches says it has looked at stands behind it. A test
that was to run (BUILD/expected.txt) and left no result has failed. The last
line is "N passed, N failed, N skipped"; exit status 1 if anything failed.
"""
import json
import os
import re
import sys
import textwrap

CASE = re.compile(r"^\[\s*(RUN|OK|FAILED|SKIPPED)\s*\]\s+(\S.*)$")
REASON = re.compile(r"^\[\s*reason\s*\]\s+(?:[\w+-]+: )?(\S.*)$")
COUNT = re.compile(r"^(?:\S+: )?\d+ test")
# How much a program that searches has looked at, as it says itself.
SEARCHED = re.compile(r"^(?:\S+: )?(\d+ (?:seeds in|of \d+ killed|executions|"
                      r"inputs|stretches|kills|runs|states)\b.*)$")


class Program:
    """One line of a test log: a program that ran in one build."""

    def __init__(self, entry):
        self.name = entry["name"].removeprefix("weir:")
        self.result = entry["result"]
        self.seconds = entry.get("duration", 0.0)
        self.ok, self.bad, self.skipped = [], [], []  # skipped: (case, why)
        self.searched = ""
        output = entry.get("stdout", "") + "\n" + entry.get("stderr", "")
        self.cases(output)
        self.settle(output)

    def cases(self, output):
        """What the test library says about each case."""
        why = ""
        for line in output.splitlines():
            match = CASE.match(line)
            searched = SEARCHED.match(line)
            if searched:
                self.searched = searched.group(1)
            if not match:
                said = REASON.match(line)
                if said:
                    why = said.group(1)
                elif line.strip() and not line.startswith("["):
                    why = line.strip()
                continue
            kind, case = match.groups()
            if COUNT.match(case):
                continue  # the totals at its end repeat the cases
            if kind == "RUN":
                why = ""
            elif kind == "OK":
                self.ok.append(case)
            elif kind == "SKIPPED":
                if case not in [name for name, _ in self.skipped]:
                    self.skipped.append((case, why or "no reason given"))
            elif case not in self.bad:
                self.bad.append(case)

    def settle(self, output):
        """Make the cases agree with how the program ended."""
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        if self.result == "SKIP":
            why = lines[-1] if lines else "no reason given"
            self.ok, self.bad, self.skipped = [], [], [("all", why)]
        elif self.result not in ("OK", "EXPECTEDFAIL"):
            self.bad = self.bad or [self.result.lower()]
        elif not self.ok and not self.skipped:
            self.ok = [self.name]

    def line(self):
        state = "FAIL" if self.bad else "ok" if self.ok else "skip"
        cases = f"{len(self.ok)} passed"
        if self.bad:
            cases += f", {len(self.bad)} failed"
        if self.skipped:
            cases += f", {len(self.skipped)} skipped"
        if self.searched:
            cases += f": {self.searched}"
        return f"  {state:<5} {self.name:<44} {self.seconds:7.1f} s  {cases}"


def read(build):
    """The programs of a build, those without a result included."""
    programs = []
    try:
        with open(os.path.join(build, "meson-logs", "testlog.json")) as log:
            programs = [Program(json.loads(line)) for line in log]
    except FileNotFoundError:
        pass
    with open(os.path.join(build, "expected.txt")) as names:
        expected = [line.strip() for line in names if line.strip()]
    seen = {program.name for program in programs}
    for name in expected:
        if name.removeprefix("weir:") not in seen:
            programs.append(Program({"name": name, "result": "NEVER RAN"}))
    return programs


def wrapped(title, items):
    return textwrap.fill(", ".join(items), 78, initial_indent=" " * 6 + title,
                         subsequent_indent=" " * 8, break_on_hyphens=False)


def main(arguments):
    split = arguments.index("--")
    failures = list(arguments[split + 1:])
    passed, skips = 0, {}  # skips: why -> (cases, {build: {program: how many}})
    for build in arguments[:split]:
        programs = read(build)
        if not programs:
            failures.append(f"{build}: no test was run")
        print(f"{build}:")
        for program in programs:
            print(program.line())
            passed += len(program.ok)
            failures += [f"{build}: {program.name}: {case}"
                         for case in program.bad]
            for case, why in program.skipped:
                cases, places = skips.setdefault(why, ({}, {}))
                cases[case] = True
                programs_of = places.setdefault(build, {})
                name = program.name.split(" / ")[-1]
                programs_of[name] = programs_of.get(name, 0) + 1
    if skips:
        print("\nskipped:")
        for why, (cases, places) in skips.items():
            print(f"  {why}")
            print(wrapped("cases: ", cases))
            for build, counts in places.items():
                print(wrapped(f"{build}: ", [f"{name} ({count})" for
                                             name, count in counts.items()]))
    if failures:
        print("\nfailed:")
        for failure in failures:
            print(f"  {failure}")
    skipped = sum(sum(counts.values()) for _, places in skips.values()
                  for counts in places.values())
    print(f"\n{passed} passed, {len(failures)} failed, {skipped} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
