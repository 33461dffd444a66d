#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the documents point at is there, README shows hello.c as it is,
weir(3) lists every public call, and SECURITY.md names tests that exist.

    docs.py SOURCE_ROOT
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A path of ours in code quotes, maybe with a line or a brace list behind it.
PATH = re.compile(
    r"`((?:lib|drivers|apps|tests|config|docs)/[\w./-]*\w)`")
CODE = re.compile(r"^```.*?^```", re.S | re.M)
# Of the headers, but for weir itself.
INTERNAL = {"weir_latch", "weir_misuse"}
HELLO_MAX = 40
HEADING = re.compile(r"^#+ (.*)$", re.M)


def anchors(text):
    """The names that a rendered page gives its headings."""
    for title in HEADING.findall(CODE.sub("", text)):
        plain = re.sub(r"[^\w\- ]", "", title.lower())
        yield plain.strip().replace(" ", "-")


def complaints(page):
    text = page.read_text()
    name = page.relative_to(ROOT)
    for link in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target) if target else page
        if not path.exists():
            yield f"{name}: link to {link}: no such file"
        elif anchor and path.suffix == ".md" and \
                anchor not in anchors(path.read_text()):
            yield f"{name}: link to {link}: no such heading"
    for path in PATH.findall(text):
        if not (ROOT / path).exists():
            yield f"{name}: names {path}, which is not there"


def hello():
    example = ROOT / "apps/examples/hello.c"
    source = example.read_text() if example.exists() else None
    if f"```c\n{source}```\n" not in (ROOT / "README.md").read_text():
        yield "README.md: does not show apps/examples/hello.c as it is"
    if source is not None and source.count("\n") > HELLO_MAX:
        yield f"apps/examples/hello.c: more than {HELLO_MAX} lines"


def calls():
    page = (ROOT / "docs/man/weir.3.scd").read_text()
    for header in ("weir.h", "weir_inline.h", "weir_stats.h", "weir_dpdk.h"):
        text = (ROOT / "lib" / header).read_text()
        names = re.findall(r"WEIR_API[^;]*?\b(weir_\w+)\(", text)
        names += re.findall(r"static inline [^;{]*?\b(weir_\w+)\(", text)
        for name in sorted(set(names) - INTERNAL):
            if f"*{name}*()" not in page:
                yield f"docs/man/weir.3.scd: does not list {name}(), {header}"


def threats():
    """Every test that the table of threats names is there."""
    text = (ROOT / "docs/SECURITY.md").read_text()
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("*.c"))
    for row in re.findall(r"^\| .* \|$", text, re.M):
        for name in re.findall(r"`([a-z]+(?:_[a-z0-9]+){3,})`",
                               row.rsplit("|", 2)[1]):
            if f"\n{name}(void **state)" not in tests:
                yield f"docs/SECURITY.md: there is no test {name}"


pages = [ROOT / "README.md"] + sorted((ROOT / "docs").rglob("*.md"))
found = [text for page in pages for text in complaints(page)] + list(hello()) + \
    list(calls()) + list(threats())
print("\n".join(found + [f"{len(pages)} pages, {len(found)} complaints"]))
sys.exit(1 if found else 0)
