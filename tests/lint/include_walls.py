#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who may include whom.

    apps     -> weir.h, weir_stats.h and their own headers
    drivers  -> the public headers, lib's pure and shared nouns, their own
    lib core -> lib; driver.c, the list of drivers, alone knows drivers
    pure     -> only each other and the freestanding part of libc
    rte_*    -> only the files that are about DPDK

    include_walls.py SOURCE_ROOT
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')

PUBLIC = {"weir.h", "weir_inline.h", "weir_driver.h", "weir_stats.h"}
PURE = re.compile(r"(seq|rtt|sack|credit|timer\w*|wire|siphash|cookie|crc32c|cc|"
                  r"bucket|listen|arq_\w+|conn\w*)\.[ch]")
PURE_LIBC = {"errno.h", "limits.h", "stdbool.h", "stddef.h", "stdint.h",
             "string.h"}
NOUNS = {"spsc.h", "retring.h", "doorbell.h", "clock.h", "claim.h", "sleepers.h",
         "board.h"}
# May be included by a program that asks for DPDK by name.
DPDK = {"weir_dpdk.h"}


def pure(name):
    return PURE.fullmatch(name) is not None


def about_dpdk(path):
    """Is this one of the places where DPDK's headers belong?"""
    name = path.as_posix()
    return (name.startswith("drivers/dpdk/") or name == "lib/weir_dpdk.h"
            or name == "apps/weir/floor_dpdk.c"
            or name.startswith("apps/examples/")  # DPDK applications
            or (name.startswith("tests/") and "dpdk" in name))


def allowed(path, header):
    """May the file include this header of ours?"""
    own = (ROOT / path.parent / header).exists()
    top = path.parts[0]
    if top == "tests":
        return True
    if header in DPDK:
        return about_dpdk(path)
    if top == "apps":
        if header == "board.h":  # weir stat reads what others publish
            return path.name == "stat_read.c"
        return own or header in ("weir.h", "weir_stats.h")
    if top == "drivers":
        return own or header in PUBLIC | NOUNS or pure(header)
    if pure(path.name):
        return pure(header)
    if path.name in PUBLIC | DPDK:
        return header in PUBLIC | DPDK
    if path.name == "driver.c":
        return own  # the list of drivers
    return own and "/" not in header  # the core


def complaints(path):
    for number, line in enumerate((ROOT / path).open(), 1):
        where = f"{path}:{number}"
        if re.search(r"\bRTE_VERSION", line) and \
                path.name != "dpdk_compat.h":
            yield f"{where}: RTE_VERSION belongs in dpdk_compat.h"
        match = INCLUDE.match(line)
        if not match:
            continue
        form, header = match.groups()
        if header.startswith("rte_"):
            if not about_dpdk(path):
                yield f"{where}: {header} outside of the dpdk driver"
        elif form == '"':
            if not allowed(path, header):
                yield f"{where}: may not include {header}"
        elif path.parts[0] == "lib" and pure(path.name) and \
                header not in PURE_LIBC:
            yield f"{where}: a pure file may not include <{header}>"


def main():
    files = [file.relative_to(ROOT) for top in
             ("lib", "drivers", "apps", "tests")
             for file in sorted((ROOT / top).rglob("*.[ch]"))]
    found = [text for path in files for text in complaints(path)]
    print("\n".join(found + [f"{len(files)} files, {len(found)} complaints"]))
    return 1 if found or not files else 0


sys.exit(main())
