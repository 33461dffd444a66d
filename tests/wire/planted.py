# SPDX-License-Identifier: BSD-3-Clause
"""Does rules.py notice? Takes a capture without violations, changes one packet
of it in one respect, checksums made right again, and expects a complaint."""

import struct

import decode as d
import rules

HEADER = 14 + 20 + 8  # of a frame over IPv4, in front of the packet


def seal(frame):
    """IP and UDP checksums over what is there now."""
    frame[24:26] = frame[40:42] = b"\0\0"
    struct.pack_into(">H", frame, 24,
                     d.internet_sum(bytes(frame[14:34])) ^ 0xffff)
    size, = struct.unpack_from(">H", frame, 38)
    pseudo = frame[26:34] + struct.pack(">HH", 17, size)
    total = d.internet_sum(bytes(pseudo + frame[34:34 + size])) ^ 0xffff
    struct.pack_into(">H", frame, 40, total or 0xffff)


def add(offset, form, amount):
    """Add to a field of the packet."""
    def change(frame):
        at = HEADER + offset
        value, = struct.unpack_from(form, frame, at)
        mask = (1 << 8 * struct.calcsize(form)) - 1
        struct.pack_into(form, frame, at, value + amount & mask)
    return change


def flip(offset, bits):
    def change(frame):
        frame[HEADER + offset] ^= bits
    return change


def flip_frame(offset, bits):
    def change(frame):
        frame[offset] ^= bits
    return change


def is_type(kind, **wanted):
    def match(p):
        return p.type == kind and all(
            bool(p.flags & getattr(d, "F_" + name.upper())) == value
            for name, value in wanted.items())
    return match


NEW = is_type(d.DATA, retx=False)
AGAIN = is_type(d.DATA, retx=True)
ANY = is_type(d.ACK)


def payload_at(p):
    return p.hlen * 8


# Name, which packet (the n-th that matches), what is done to it.
PLANTED = [
    ("a number is left out", NEW, 20, add(4, "<I", 1)),
    ("a number is used twice", NEW, 20, add(4, "<I", -1)),
    ("RETX is missing", AGAIN, 2, flip(1, d.F_RETX)),
    ("RETX is set on what is new", NEW, 20, flip(1, d.F_RETX)),
    ("other bytes are sent again", lambda p: AGAIN(p) and p.payload, 1,
     "payload"),
    ("LAST is missing", is_type(d.DATA, retx=False, last=True), 9,
     flip(1, d.F_LAST)),
    ("FIRST in a message", is_type(d.DATA, retx=False, first=False), 3,
     flip(1, d.F_FIRST)),
    ("an offset is wrong", is_type(d.DATA, retx=False, first=False), 5,
     add(36, "<I", 1)),
    ("ack of what has not come", ANY, 10, add(16, "<I", 300)),
    ("ack goes back", ANY, 12, add(16, "<I", -40)),
    ("window shrinks", ANY, 12, add(20, "<I", -3000)),
    ("window without storage", ANY, 12, add(20, "<I", 3000)),
    ("credit goes back", ANY, 12, add(32, "<H", -3000)),
    ("credit for nothing", ANY, 12, add(32, "<H", 9000)),
    ("an ACK has a number", ANY, 4, add(4, "<I", 1)),
    ("ts goes back", ANY, 10, add(24, "<I", -100000000)),
    ("ts_echo of the future", ANY, 10, add(28, "<I", 1)),
    ("bit 0 of SACK", lambda p: p.type == d.ACK and p.sack, 1,
     flip(48, 1)),
    ("SACK of what has not come", lambda p: p.type == d.ACK and p.sack, 1,
     flip(55, 0x80)),
    ("mlo in ACK", ANY, 5, add(36, "<I", 1)),
    ("FIN is not the next", is_type(d.FIN, retx=False), 0,
     add(4, "<I", 1)),
    ("PAD has something", is_type(d.FIN), 0, flip(44, 1)),
    ("reserved flag", ANY, 3, flip(1, d.F_KEYPHASE)),
    ("reserved type", ANY, 3, flip(0, 2 ^ 12 ^ 6)),
    ("a token of nobody", ANY, 3, flip(12, 1)),
    ("trailer that was not agreed on", ANY, 3, flip(1, d.F_TRAILER)),
    ("ACCEPT chooses what was not offered", is_type(d.ACCEPT), 0,
     flip(40 + 16, 0x80)),
    ("ACCEPT with another window", is_type(d.ACCEPT), 0, add(20, "<I", 1)),
    ("ACCEPT to another INIT", is_type(d.ACCEPT), 0, add(16, "<I", 1)),
    ("ACCEPT echoes another ts", is_type(d.ACCEPT), 0, add(28, "<I", 1)),
    ("INIT with another isn", is_type(d.INIT), 1, flip(40 + 40, 1)),
    ("INIT with another cookie", is_type(d.INIT), 1, flip(40 + 88 + 9, 1)),
    ("RETRY to nobody", is_type(d.RETRY), 0, flip(9, 1)),
    ("TTL", ANY, 3, flip_frame(22, 1)),
    ("don't-fragment", ANY, 3, flip_frame(20, 0x40)),
    ("ECN on an ACK", ANY, 3, flip_frame(15, 2)),
    ("records that do not fit", is_type(d.BATCH), 3, add(36, "<I", 1)),
]


def complaints(events):
    checker = rules.Checker()
    for number, (when, what, _, frame) in enumerate(events):
        getattr(checker, what)(number, when, frame)
    checker.finish(events[-1][0])
    return checker.violations


def plant(events, match, which, change):
    """A copy with one packet changed as it was sent; None: there is none."""
    for number, (when, what, side, frame) in enumerate(events):
        if what != "sent":
            continue
        try:
            outer = d.Frame(frame)
            packet = d.Packet(outer.packet, outer.addresses)
        except d.Drop:
            continue
        if not match(packet):
            continue
        which -= 1
        if which >= 0:
            continue
        changed = bytearray(frame)
        if change == "payload":
            changed[HEADER + payload_at(packet)] ^= 1
        else:
            change(changed)
        seal(changed)
        copy = list(events)
        copy[number] = (when, what, side, bytes(changed))
        return copy
    return None


def try_all(events):
    """@return names of what was not noticed."""
    missed, tried = [], 0
    if complaints(events):
        return ["(the capture itself is not clean)"]
    for name, match, which, change in PLANTED:
        copy = plant(events, match, which, change)
        if copy is None:
            missed.append(name + " (no such packet)")
            continue
        tried += 1
        if not complaints(copy):
            missed.append(name)
    # Two answers to one INIT whose sender is not known to be there.
    for number, (_, what, side, frame) in enumerate(events):
        if what == "sent" and side == 0:
            copy = events[:number] + [events[number]] + events[number:]
            if not complaints(copy):
                missed.append("amplification")
            break
    print(f"    {tried + 1} planted violations, {len(missed)} not found")
    return missed
