#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A second decoder of weir's wire protocol, written from docs/wire.md alone.

    decode.py docs/wire.md     decode the golden packets of section 11 and
                               compare every field that the page names
    decode.py FILE.pcap        print what a capture has, packet by packet

Numbers in comments are sections of that page. Nothing here was taken from the
C sources, and nothing in the C sources from here: where the two disagree, one
of them or the page is wrong.
"""

import re
import struct
import sys

# 3
INIT, RETRY, ACCEPT, REJECT, DATA, ACK, PING, FIN, RESET, GONE = range(1, 11)
BATCH = 13
TYPES = {1: "INIT", 2: "RETRY", 3: "ACCEPT", 4: "REJECT", 5: "DATA", 6: "ACK",
         7: "PING", 8: "FIN", 9: "RESET", 10: "GONE", 13: "BATCH"}
WITH_PAYLOAD = (DATA, BATCH, INIT, ACCEPT)
CONSUMES_SEQ = (DATA, BATCH, FIN)

# 2.1
F_FIRST, F_LAST, F_ACKREQ, F_RETX = 0x01, 0x02, 0x04, 0x08
F_ACKV, F_TRAILER, F_KEYPHASE, F_STOP = 0x10, 0x20, 0x40, 0x80

# 4.2
FEAT_BATCH, FEAT_CRC, FEAT_ECN = 1, 2, 4


class Drop(Exception):
    """The packet is dropped, under this name (2.3)."""


# --- arithmetic on the wire -------------------------------------------------

def crc32c(data):
    """2.4: polynomial 1edc6f41, reflected, ones before, inverted after."""
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def crc_table():
    reflected = int(f"{0x1edc6f41:032b}"[::-1], 2)
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (reflected if value & 1 else 0)
        yield value


CRC_TABLE = list(crc_table())


def siphash128(key, data):
    """SipHash-2-4 with 128 bits."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee,
         k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]

    def rotate(x, bits):
        return (x << bits | x >> (64 - bits)) & mask

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    whole = len(data) // 8 * 8
    last = data[whole:].ljust(7, b"\0") + bytes([len(data) & 0xff])
    for at in range(0, whole, 8):
        word, = struct.unpack_from("<Q", data, at)
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    word, = struct.unpack("<Q", last)
    v[3] ^= word
    rounds(2)
    v[0] ^= word
    v[2] ^= 0xee
    rounds(4)
    low = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xdd
    rounds(4)
    return struct.pack("<QQ", low, v[0] ^ v[1] ^ v[2] ^ v[3])


def internet_sum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


# --- the packet, section 2 ---------------------------------------------------

class Params:
    """4.2"""

    def __init__(self, body):
        (self.version_min, self.version_max, self.modes, self.data_port,
         self.token, self.features, self.instance, self.epoch, self.isn,
         self.frag_size, self.window, self.credit, self.msg_size_max,
         self.max_ack_delay, self.dead_timeout, self.zero) = \
            struct.unpack_from("<xxBBHHQQQQIIIIIIII", body)
        self.proof = bytes(body[72:88])

    def same_but_sizes(self, other):
        """A repeated INIT may be shorter, with a frag_size to match (4.4)."""
        mine, others = dict(vars(self)), dict(vars(other))
        mine["frag_size"] = others["frag_size"] = 0
        return mine == others


class Packet:
    """One decoded packet; `addresses` as the trailer covers them (2.4)."""

    def __init__(self, data, addresses=None):
        if len(data) < 40:
            raise Drop("short")
        (vt, self.flags, self.hlen, self.ce, self.seq, self.token, self.ack,
         self.window, self.ts, self.ts_echo, self.credit, self.ack_dly,
         self.mlo) = struct.unpack_from("<BBBBIQIIIIHHI", data)
        self.version, self.type = vt >> 4, vt & 15
        self.bytes = data
        if self.version != 1:
            raise Drop("version")
        if self.type not in TYPES:
            raise Drop("type")
        if self.type == INIT and len(data) < 256:
            raise Drop("short")
        if self.flags & F_KEYPHASE:
            raise Drop("flags")
        end = self.hlen * 8
        if self.hlen < 5 or self.hlen > 31 or end > len(data):
            raise Drop("header_length")
        self.read_extensions(data[40:end])
        tail = len(data)
        if self.flags & F_TRAILER:
            tail -= 4
            if tail < end:
                raise Drop("crc")
            if addresses is not None:
                wanted, = struct.unpack_from("<I", data, tail)
                if crc32c(addresses + data[:tail]) != wanted:
                    raise Drop("crc")
        self.payload = data[end:tail]
        if self.payload and self.type not in WITH_PAYLOAD:
            raise Drop("payload")
        self.records = self.read_records() if self.type == BATCH else None

    def read_extensions(self, rest):
        self.extensions = {}
        self.sack = self.params = self.cookie = self.error = None
        self.part = None
        while rest:
            if len(rest) < 8:
                raise Drop("extension")
            kind, words = rest[0], rest[1]
            body = rest[:words * 8]
            if words == 0 or len(body) != words * 8 or \
                    kind in self.extensions:
                raise Drop("extension")
            self.read_extension(kind, words, body)
            self.extensions[kind] = body
            rest = rest[words * 8:]

    def read_extension(self, kind, words, body):
        # 2.2: length in words, least and most.
        lengths = {1: (2, 17), 3: (2, 8), 4: (11, 255), 6: (2, 255),
                   7: (2, 2)}
        if kind in lengths:
            least, most = lengths[kind]
            if not least <= words <= most:
                raise Drop("extension")
        elif kind < 128:
            raise Drop("critical_extension")
        if kind == 1:
            self.sack = int.from_bytes(body[8:], "little")
            self.sack_words = words - 1
        elif kind == 3:
            self.cookie = body[2:]
        elif kind == 4:
            self.params = Params(body)
        elif kind == 6:
            self.error = struct.unpack_from("<xxBBIII", body)
        elif kind == 7:
            self.part = struct.unpack_from("<xxBBIII", body)

    def read_records(self):
        """5.4: n lengths, zeros to 8, messages with zeros to 8 between."""
        count, payload = self.mlo, self.payload
        if self.part is not None:
            return None  # only a piece of it
        if not 2 <= count <= 64:
            raise Drop("batch")
        at = (2 * count + 7) // 8 * 8
        if len(payload) < at or any(payload[2 * count:at]):
            raise Drop("batch")
        records = []
        for i, size in enumerate(struct.unpack_from(f"<{count}H", payload)):
            if i:
                at = (at + 7) // 8 * 8
            records.append(payload[at:at + size])
            at += size
        if at != len(payload):
            raise Drop("batch")
        return records

    @property
    def ackv(self):
        return bool(self.flags & F_ACKV)

    @property
    def name(self):
        return TYPES[self.type]

    def sacked(self):
        """Sequence numbers beyond ack that are reported (5.2)."""
        bits, at = self.sack or 0, 0
        while bits:
            if bits & 1:
                yield (self.ack + at) & 0xffffffff
            bits >>= 1
            at += 1

    def __str__(self):
        text = f"{self.name} seq {self.seq:08x} token {self.token:016x}"
        if self.flags & ~F_ACKV:
            names = ("FIRST", "LAST", "ACKREQ", "RETX", "", "TRAILER", "",
                     "STOP")
            text += " " + "+".join(n for i, n in enumerate(names)
                                   if n and self.flags >> i & 1)
        if self.ackv:
            text += f" ack {self.ack:08x} window {self.window:08x}" \
                    f" credit {self.credit}"
        if self.sack:
            text += " sack " + ",".join(f"{s:08x}" for s in self.sacked())
        if self.type in (DATA, BATCH):
            text += f" mlo {self.mlo} payload {len(self.payload)}"
        if self.error:
            text += f" error {self.error[2]:#x}"
        return text


# --- encapsulation, section 1 ------------------------------------------------

class Frame:
    """Ethernet, one tag at most, IPv4 or IPv6, UDP; `packet` is in it."""

    def __init__(self, data):
        at, ether = 14, struct.unpack_from(">H", data, 12)[0]
        self.tag = None
        if ether == 0x8100:
            self.tag, ether = struct.unpack_from(">HH", data, 14)
            at = 18
        if ether == 0x0800:
            at = self.read_ip4(data, at)
        elif ether == 0x86dd:
            at = self.read_ip6(data, at)
        else:
            raise Drop("foreign_ether")
        self.sport, self.dport, length, self.udp_sum = \
            struct.unpack_from(">HHHH", data, at)
        if length < 8 or at + length > len(data):
            raise Drop("bad_udp")
        datagram = data[at:at + length]
        if self.udp_sum == 0:
            raise Drop("udp_no_checksum")
        if internet_sum(self.pseudo(length) + datagram) != 0xffff:
            raise Drop("udp_checksum")
        self.addresses = self.src + self.dst + datagram[:4]
        self.packet = datagram[8:]

    def read_ip4(self, data, at):
        ip = data[at:at + 20]
        if len(ip) < 20 or ip[0] != 0x45:
            raise Drop("bad_ip")
        if internet_sum(ip) != 0xffff:
            raise Drop("ip_checksum")
        self.ip6 = False
        self.ecn, self.ttl, protocol = ip[1] & 3, ip[8], ip[9]
        self.id, self.fragment = struct.unpack_from(">HH", ip, 4)
        self.src, self.dst = ip[12:16], ip[16:20]
        if protocol != 17:
            raise Drop("foreign_ip")
        return at + 20

    def read_ip6(self, data, at):
        ip = data[at:at + 40]
        if len(ip) < 40 or ip[0] >> 4 != 6:
            raise Drop("bad_ip")
        self.ip6 = True
        word, = struct.unpack_from(">I", ip)
        self.flow, self.ecn = word & 0xfffff, word >> 20 & 3
        self.ttl = ip[7]
        self.src, self.dst = ip[8:24], ip[24:40]
        if ip[6] != 17:
            raise Drop("foreign_ip")
        return at + 40

    def pseudo(self, length):
        if self.ip6:
            return self.src + self.dst + struct.pack(">II", length, 17)
        return self.src + self.dst + struct.pack(">HH", 17, length)


# --- captures ------------------------------------------------------------------

def read_pcap(path):
    """Yields (time in ns, frame)."""
    with open(path, "rb") as file:
        data = file.read()
    magic, = struct.unpack_from("<I", data)
    scale = {0xa1b2c3d4: 1000, 0xa1b23c4d: 1}[magic]
    at = 24
    while at + 16 <= len(data):
        sec, part, size, _ = struct.unpack_from("<IIII", data, at)
        yield sec * 10**9 + part * scale, data[at + 16:at + 16 + size]
        at += 16 + size


def write_pcap(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 65535, 1))
        for time, frame in frames:
            file.write(struct.pack("<IIII", time // 10**9, time % 10**9,
                                   len(frame), len(frame)))
            file.write(frame)


# --- golden packets, section 11 ------------------------------------------------

TOKEN_C, TOKEN_S = 0xa1a2a3a4a5a60003, 0x1122334455660007
ISN_C, ISN_S = 0xc0ffee00, 0xfffffff0
SECRET = bytes(range(16))
WIRE = bytes([10, 7, 0, 1, 10, 7, 0, 2]) + struct.pack(">HH", 49152, 7400)


def expect(packet, **fields):
    for name, value in fields.items():
        got = getattr(packet, name)
        if got != value:
            raise AssertionError(f"{name} is {got!r}, the page says {value!r}")


def expect_hello(params, token, isn):
    expect(params, version_min=1, version_max=1, modes=1, data_port=0,
           token=token, instance=0x0123456789abcdef, epoch=7, isn=isn,
           frag_size=1400, window=256, credit=256, msg_size_max=65536,
           max_ack_delay=20000, dead_timeout=3000, zero=0)
    # 8.6, advice: the proof is SipHash of the token.
    expect(params, proof=siphash128(SECRET, struct.pack("<Q", token)))


def golden_init(p):
    expect(p, type=INIT, flags=0, token=0, seq=ISN_C, cookie=None)
    expect_hello(p.params, TOKEN_C, ISN_C)
    assert len(p.bytes) >= 256 and not any(p.payload)


def golden_retry(p):
    expect(p, type=RETRY, token=TOKEN_C, ack=ISN_C, params=None)
    # 4.3, advice: key number, zero, seconds; then a hash.
    assert p.cookie[0] == 7 and p.cookie[1] == 0 and len(p.cookie) == 22
    assert struct.unpack_from("<I", p.cookie, 2)[0] == 1000


def golden_init_cookie(p):
    init, retry = GOLDEN["init"], GOLDEN["retry"]
    expect(p, type=INIT, token=0, seq=ISN_C, cookie=retry.cookie,
           ts=init.ts + 5120 // 64)
    expect_hello(p.params, TOKEN_C, ISN_C)
    expect(retry, ts_echo=init.ts)


def golden_accept(p):
    init = GOLDEN["init"]
    expect(p, type=ACCEPT, token=TOKEN_C, seq=ISN_S, ackv=True, ack=ISN_C,
           ts_echo=init.ts, ack_dly=320 // 64, window=ISN_C + 256,
           credit=256)
    expect_hello(p.params, TOKEN_S, ISN_S)


def golden_reject(p):
    expect(p, type=REJECT, token=TOKEN_C, ack=ISN_C,
           ts_echo=GOLDEN["init"].ts, error=(1, 1, 3, ISN_C, 0))
    assert len(p.bytes) <= 256


def data(p, seq, first, last, **fields):
    expect(p, type=DATA, token=TOKEN_S, seq=seq, ackv=True, ack=ISN_S,
           **fields)
    expect(p, flags=p.flags & ~3 | first * F_FIRST | last * F_LAST)


def golden_data_whole(p):
    data(p, ISN_C, 1, 1, payload=b"hello, weir", mlo=11)


def golden_data_crc(p):
    data(p, ISN_C, 1, 1, payload=b"hello, weir", mlo=11)
    assert p.flags & F_TRAILER


def golden_data_empty(p):
    data(p, ISN_C + 1, 1, 1, payload=b"", mlo=0)


def golden_data_first(p):
    data(p, ISN_C + 2, 1, 0, mlo=24)
    assert len(p.payload) == 16
    assert list(p.sacked()) == [0xfffffff1, 0xfffffff2]


def golden_data_last(p):
    data(p, ISN_C + 3, 0, 1, mlo=16)
    assert len(p.payload) == 8 and p.flags & F_RETX


def golden_batch(p):
    expect(p, type=BATCH, token=TOKEN_S, mlo=3)
    assert p.flags & 3 == 3 and len(p.records) == 3
    assert len(p.records[1]) == 0 and p.records[0] == b"hello, weir"


def golden_ack(p):
    expect(p, type=ACK, token=TOKEN_S, ackv=True, sack_words=2)
    assert list(p.sacked()) == [0xfffffff1, 0x2f, 0x30, 0x32]


def golden_ping(p):
    expect(p, type=PING, token=TOKEN_S)
    assert p.flags & F_STOP and len(p.bytes) > 40


def golden_fin(p):
    expect(p, type=FIN, token=TOKEN_S, error=None)
    assert len(p.bytes) > 40


def golden_fin_abort(p):
    expect(p, type=FIN, token=TOKEN_S)
    assert p.error[2] == 0x20


def golden_reset(p):
    expect(p, type=RESET, token=TOKEN_S)
    assert p.error[2] == 0x11


def golden_gone(p):
    expect(p, type=GONE, token=TOKEN_S, flags=0, ce=0, seq=0, hlen=5)
    assert len(p.bytes) == 40 and not any(p.bytes[32:])
    assert p.bytes[16:32] == siphash128(SECRET, struct.pack("<Q", TOKEN_S))


GOLDEN = {}


def check_golden(page):
    with open(page, encoding="utf-8") as file:
        text = file.read()
    blocks = re.findall(r"^```golden (\S+)\n(.*?)^```$", text, re.M | re.S)
    wrong = 0
    for name, dump in blocks:
        try:
            packet = Packet(bytes.fromhex(dump), WIRE)
            GOLDEN[name] = packet
            if packet.type not in (GONE,) and packet.bytes[0] != \
                    0x10 | packet.type:
                raise AssertionError("vt")
            globals()["golden_" + name.replace("-", "_")](packet)
            print(f"{name:12} {packet}")
        except (Drop, AssertionError, KeyError, TypeError) as error:
            print(f"{name:12} WRONG: {error!r}")
            wrong += 1
    known = [n for n in globals() if n.startswith("golden_")]
    if len(known) != len(blocks):
        print(f"{len(blocks)} golden packets, {len(known)} are known here")
        wrong += 1
    print(f"{len(blocks)} golden packets, {wrong} wrong")
    return 1 if wrong or not blocks else 0


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    if sys.argv[1].endswith(".md"):
        return check_golden(sys.argv[1])
    for number, (time, frame) in enumerate(read_pcap(sys.argv[1]), 1):
        try:
            outer = Frame(frame)
            print(number, time, Packet(outer.packet, outer.addresses))
        except Drop as reason:
            print(number, time, "dropped:", reason)
    return 0


if __name__ == "__main__":
    sys.exit(main())
