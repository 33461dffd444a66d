#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run a libFuzzer target from its corpus, and keep what it found.

    run.py [--seconds N] [--learn] [--golden WIRE.MD] TARGET CORPUS

A corpus is a text file, one input per line as hex digits, '#' for comments.
Golden packets of the wire protocol's document are more inputs to begin with.
With --learn the corpus is written again afterwards: the smallest set of
inputs that covers what is known, at most 64 KiB of text. The last line says
how many executions there were; a crash prints its input.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

TEXT_MAX = 64 * 1024
# Their inputs are one frame or text, or their operations are quick; others
# are operations that take time.
LONG = ("fuzz_parser", "fuzz_text", "fuzz_neigh", "fuzz_shm_segment")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--learn", action="store_true")
    parser.add_argument("--golden", type=pathlib.Path)
    parser.add_argument("target", type=pathlib.Path)
    parser.add_argument("corpus", type=pathlib.Path)
    return parser.parse_args()


def unpack(text, folder):
    for number, line in enumerate(text.splitlines()):
        if line and not line.startswith("#"):
            (folder / f"seed{number}").write_bytes(bytes.fromhex(line))


def golden(text, folder):
    """The packets of the document, bare: repair 64."""
    blocks = re.findall(r"^```golden (\S+)\n(.*?)^```", text, re.M | re.S)
    for name, digits in blocks:
        (folder / name).write_bytes(b"\0\0\x40" + bytes.fromhex(digits))


def run(target, folder, seconds, work):
    """Fuzz; @return executions, or None after a crash."""
    done = subprocess.run(
        [target, f"-max_total_time={seconds}", "-print_final_stats=1",
         f"-max_len={256 if target.name in LONG else 128}", "-timeout=20", "-rss_limit_mb=2048", "-entropic=0",
         f"-artifact_prefix={work}/", "-verbosity=0", folder],
        capture_output=True, text=True, errors="replace")
    count = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    if done.returncode == 0 and count:
        return int(count.group(1))
    print(done.stderr[-6000:])
    for artifact in work.iterdir():
        if artifact.is_file():
            print(f"input ({artifact.name}): {artifact.read_bytes().hex()}")
    return None


def keep(target, folder, corpus, work):
    """The smallest inputs first, as long as they add something."""
    merged = work / "merged"
    merged.mkdir()
    subprocess.run([target, "-set_cover_merge=1", merged, folder], check=True,
                   capture_output=True)
    lines, size = [], 0
    for data in sorted((path.read_bytes() for path in merged.iterdir()),
                       key=lambda data: (len(data), data)):
        size += 2 * len(data) + 1
        if data and size <= TEXT_MAX:
            lines.append(data.hex())
    notes = [line for line in corpus.read_text().splitlines()
             if line.startswith("#")]
    corpus.write_text("\n".join(notes + lines) + "\n")
    print(f"{corpus.name}: {len(lines)} inputs")


def main():
    given = arguments()
    target = given.target.resolve()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        folder = work / "inputs"
        folder.mkdir()
        unpack(given.corpus.read_text(), folder)
        if given.golden:
            golden(given.golden.read_text(), folder)
        count = run(target, folder, given.seconds, work)
        if count is None:
            return 1
        if given.learn:
            keep(target, folder, given.corpus, work)
    print(f"{target.name}: {count} executions, "
          f"{count // max(given.seconds, 1)} per second")
    return 0


sys.exit(main())
