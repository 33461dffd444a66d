#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Read an HdrHistogram log by the letter of its format, without weir's code,
and compare it with the JSON of the same run.

    hlog.py LOG JSON

Every tag's count, maximum and percentiles must be those of the JSON.
"""
import base64
import json
import struct
import sys
import zlib

QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999),
             ("p99_99", 0.9999))


def varints(data):
    """ZigZag numbers in little-endian groups of 7 bits, at most 9 bytes."""
    at = 0
    while at < len(data):
        value = shift = 0
        for place in range(9):
            byte = data[at]
            at += 1
            value |= (byte if place == 8 else byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                break
        yield value >> 1 ^ -(value & 1)


def decode(text):
    """@return {value: count}, the highest value of each bucket."""
    packed = base64.b64decode(text, validate=True)
    cookie, length = struct.unpack_from(">II", packed)
    assert cookie == 0x1c849314 and length == len(packed) - 8, "outer head"
    plain = zlib.decompress(packed[8:])
    cookie, length, offset, digits, low, high, factor = \
        struct.unpack_from(">IIIIQQd", plain)
    assert cookie == 0x1c849313 and length == len(plain) - 40, "inner head"
    assert (offset, digits, low, factor) == (0, 3, 1, 1.0), "parameters"
    # Three digits: 2,048 exact values, then 1,024 buckets per doubling.
    counts, index = {}, 0
    for number in varints(plain[40:]):
        if number < 0:
            index -= number
            continue
        if number > 0:
            shift = max(index // 1024 - 1, 0)
            value = (index - shift * 1024 << shift) + (1 << shift) - 1
            assert value <= high or value >> shift == high >> shift
            counts[value] = number
        index += 1
    return counts


def quantile(counts, fraction):
    wanted = max(1, -(-int(fraction * 10000) * sum(counts.values()) // 10000))
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return 0


def read_log(path):
    histograms = {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            if not line.startswith("Tag="):
                assert line[0] in '#"', line
                continue
            tag, start, length, most, text = line.strip().split(",")
            assert float(start) >= 0 and float(length) >= 0
            histograms[tag[4:]] = (decode(text), float(most) * 1e6)
    return histograms


def expected(report):
    if "points" not in report:
        return {"rtt": report["all"]["rtt_ns"]}
    wanted = {}
    for point in report["points"]:
        share = point["share"]
        tail = "" if share is None else f"-{share * 100:.0f}%"
        for name in ("response", "service", "reserve_wait"):
            wanted[name + tail] = point[name + "_ns"]
    return wanted


def compare(tag, counts, most, times):
    assert sum(counts.values()) == times["samples"], f"{tag}: samples"
    if not counts:
        return
    assert abs(most - times["max"]) <= 1, f"{tag}: maximum"
    for name, fraction in QUANTILES:
        if times[name] is not None:
            got = min(quantile(counts, fraction), times["max"])
            assert got == times[name], f"{tag}: {name}: {got}"


def main(log, result):
    with open(result, encoding="utf-8") as file:
        wanted = expected(json.load(file))
    found = read_log(log)
    assert set(found) == set(wanted), (set(found), set(wanted))
    for tag, (counts, most) in found.items():
        compare(tag, counts, most, wanted[tag])
    print(f"{len(found)} histograms agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
