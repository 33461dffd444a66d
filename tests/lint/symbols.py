#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the linker sees of us.

    symbols.py prefix ARCHIVE...       global symbols begin with weir_
    symbols.py pure ARCHIVE            it needs memory functions, no more
    symbols.py exports LIBRARY HEADER...
                                       exported is exactly what the headers
                                       mark WEIR_API
    symbols.py needs LIBRARY NAME...   it needs these libraries, no more
"""
import re
import subprocess
import sys

# What compilers call on their own account, besides the memory functions.
PURE = {"memcpy", "memset", "memmove", "memcmp", "__stack_chk_fail",
        "_GLOBAL_OFFSET_TABLE_", "__cpu_model"}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True,
                          text=True).stdout


def names(*command):
    """The symbol of each line of nm's POSIX format."""
    return {line.split()[0] for line in run("nm", "-P", *command).splitlines()
            if line and not line.endswith(":")}


def prefix(*archives):
    found = set()
    for archive in archives:
        found |= names("-g", "--defined-only", archive)
    return {f"{name}: does not begin with weir_" for name in found
            if not name.startswith("weir_")}, len(found)


def pure(archive):
    found = names("-u", archive)
    own = names("-g", "--defined-only", archive)
    return {f"{name}: not for a pure file" for name in found - PURE - own}, \
        len(own)


def declared(header):
    """Names that a header marks WEIR_API."""
    text = re.sub(r"/\*.*?\*/", "", open(header).read(), flags=re.S)
    text = re.sub(r"^\s*#.*?(?<!\\)$", "", text, flags=re.S | re.M)
    for statement in re.findall(r"\bWEIR_API\b([^;{]*)", text):
        match = re.search(r"\b(weir_\w+)\s*(?:\(|$)", statement.strip())
        if match:
            yield match.group(1)


def exports(library, *headers):
    found = names("-D", "--defined-only", library)
    # The version node of the script is a symbol too.
    found = {name.split("@")[0] for name in found}
    found = {name for name in found if not re.fullmatch(r"WEIR_\d+", name)}
    marked = {name for header in headers for name in declared(header)}
    return {f"{name}: exported, but in no header" for name in found - marked} \
        | {f"{name}: in a header, but not exported" for name in
           marked - found}, len(marked)


def needs(library, *allowed):
    text = run("readelf", "-d", library)
    found = set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))
    return {f"{name}: not to be needed" for name in found
            if name.split(".so")[0] not in allowed
            and not name.startswith("ld-linux")}, len(found)


checks = {"prefix": prefix, "pure": pure, "exports": exports, "needs": needs}
wrong, count = checks[sys.argv[1]](*sys.argv[2:])
print("\n".join(sorted(wrong) + [f"{count} looked at, {len(wrong)} wrong"]))
sys.exit(1 if wrong or count == 0 else 0)
