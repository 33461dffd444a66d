# SPDX-License-Identifier: BSD-3-Clause
"""The rules of docs/wire.md over what two sides were seen to say.

A capture is a list of events in order of time: Sent(side, frame) when a side
sent a frame, Arrived(side, frame) when the wire handed one to a side, unchanged
or not. Whoever owns the wire knows both; so a side can be held to what it can
have known: limits that had arrived, packets that had arrived.

    checker = Checker()
    for event in events: checker.sent(...) or checker.arrived(...)
    checker.finish()
    checker.violations -> list of (packet number, text)

Numbers in messages are sections of the page.
"""

import decode as d
from decode import ACCEPT, ACK, BATCH, DATA, FIN, GONE, INIT, PING, \
    REJECT, RESET, RETRY

MASK = 0xffffffff
# A side on a busy machine may be away for so long before it must answer.
PATIENCE_NS = 2 * 10**9


def behind(a, b):
    """How far b is ahead of a, modulo 2^32, signed."""
    return ((b - a + (1 << 31)) & MASK) - (1 << 31)


def wide(near, wire, bits=32):
    """The number nearest to `near` that has these low bits."""
    half, size = 1 << (bits - 1), 1 << bits
    return near + ((wire - near + half) % size) - half


class Side:
    """What one end of a link has said, and what has reached it."""

    def __init__(self, hello):
        self.token = hello.token
        self.isn = hello.isn
        self.hello = hello
        # As a sender of data.
        self.next = hello.isn       # 64-bit numbers, beginning at the ISN
        self.sent = {}              # seq -> (type, first/last, mlo, bytes)
        self.fin = None
        self.fin_error = None
        self.open = None            # (length, bytes so far) of a message
        self.messages = 0
        self.limit = None           # window and credit that reached us
        self.credit = None
        self.stopped = False        # STOP reached us
        self.parts = {}
        # As a receiver.
        self.got = set()            # numbers that reached us, not in order
        self.got_next = None        # all before have
        self.ends = 0               # whole messages in order
        self.told = None            # ack, window, credit as last said
        self.reported = set()
        self.said_stop = False
        self.fin_seen = None
        # Clocks.
        self.ts = None
        self.ts_seen = {}           # peer's ts that reached us -> when
        self.ts_newest = None
        self.echo = None
        self.owes_since = None      # an answer is due
        self.over = False           # has sent or got RESET, or GONE
        self.last_sent = 0
        self.established = False


class Link:
    def __init__(self, init, server):
        self.client = Side(init)
        self.server = Side(server)
        for a, b in ((self.client, self.server), (self.server, self.client)):
            a.limit = a.isn + b.hello.window
            a.credit = b.hello.credit
            a.got_next = b.isn
            a.told = (b.isn, b.isn + a.hello.window, a.hello.credit)
        self.features = server.features
        self.frag_size = server.frag_size
        self.crc = bool(self.features & d.FEAT_CRC)


class Attempt:
    """One INIT and its answers, by the client's token."""

    def __init__(self, packet):
        self.init = packet
        self.lengths = set()      # of the INITs that arrived
        self.init_ts = set()
        self.arrived = 0
        self.arrived_bytes = 0
        self.answers = 0
        self.answer_bytes = 0
        self.validated = False
        self.cookies = []         # as sent by the server
        self.accept = None


class Checker:
    def __init__(self, ttl=64):
        self.ttl = ttl
        self.violations = []
        self.number = 0
        self.counts = {}
        self.attempts = {}        # client token -> Attempt
        self.links = {}           # token -> (Link, side that owns it)
        self.arrived_tokens = {}  # unknown ones that could be answered
        self.seen_flags = 0

    def wrong(self, text):
        self.violations.append((self.number, text))

    def count(self, name):
        self.counts[name] = self.counts.get(name, 0) + 1

    # --- both -----------------------------------------------------------------

    def decode(self, frame):
        outer = d.Frame(frame)
        return outer, d.Packet(outer.packet, outer.addresses)

    def sent(self, number, time, frame):
        """A side sent this. What it sends must be right in every respect."""
        self.number = number
        try:
            outer, packet = self.decode(frame)
        except d.Drop as reason:
            if str(reason) in ("foreign_ether", "foreign_ip"):
                return
            self.wrong(f"2.3: sent what must be dropped: {reason}")
            return
        self.count(packet.name)
        self.check_outer(outer, packet)
        self.check_form(packet)
        if packet.type in (INIT, RETRY, ACCEPT, REJECT):
            getattr(self, "sent_" + packet.name.lower())(packet)
        elif packet.type == GONE:
            self.sent_gone(packet)
        else:
            self.sent_on_link(time, outer, packet)

    def arrived(self, number, time, frame):
        """The wire handed this over; it may be spoilt, then nothing counts."""
        self.number = number
        try:
            _, packet = self.decode(frame)
        except d.Drop:
            return
        if packet.type == INIT:
            attempt = self.attempts.get(packet.params.token)
            if attempt is not None:
                attempt.arrived += 1
                attempt.arrived_bytes += len(packet.bytes)
                attempt.lengths.add(len(packet.bytes))
                attempt.init_ts.add(packet.ts)
                if packet.cookie is not None and \
                        packet.cookie in attempt.cookies:
                    attempt.validated = True
            return
        if packet.type in (RETRY, REJECT):
            return
        if packet.type == GONE:
            for link, side in set(self.links.values()):
                if link.client is not side and link.client.token and \
                        side.token == packet.token:
                    link.client.over = True
                other = link.server if side is link.client else link.client
                if side.token == packet.token and \
                        packet.bytes[16:32] == side.hello.proof:
                    other.over = True
            return
        self.arrived_on_link(time, packet)

    def check_outer(self, outer, packet):
        if outer.ip6:
            if outer.flow:
                self.wrong("1: IPv6 flow label is not 0")
        else:
            if outer.fragment != 0x4000:
                self.wrong("1: don't-fragment is not set alone")
            if outer.id:
                self.wrong("1: IPv4 identification is not 0")
        if outer.ttl != self.ttl:
            self.wrong(f"1: TTL {outer.ttl}")
        if outer.ecn not in (0, 2) or \
                (outer.ecn and packet.type not in (DATA, BATCH)):
            self.wrong(f"1: ECN field {outer.ecn} on {packet.name}")

    def check_form(self, p):
        """What is said to be zero is, and what goes with a type does."""
        if p.type not in (DATA, BATCH) and p.mlo:
            self.wrong("2: mlo is not 0")
        if p.type == BATCH and p.flags & 3 != 3:
            self.wrong("2.1: BATCH without FIRST and LAST")
        if p.type not in (DATA, BATCH) and p.flags & 3:
            self.wrong("2.1: FIRST or LAST on " + p.name)
        if p.type in (INIT, ACCEPT) and any(p.payload):
            self.wrong("3: padding is not zero")
        if p.params and (p.params.zero or p.type not in (INIT, ACCEPT)):
            self.wrong("4.2: PARAMS")
        if p.error and p.error[4]:
            self.wrong("2.2: ERROR ends in something")
        if p.error and p.type not in (REJECT, FIN, RESET):
            self.wrong("2.2: ERROR on " + p.name)
        if p.type in (REJECT, RESET) and not p.error:
            self.wrong("3: " + p.name + " without ERROR")
        if p.sack is not None:
            if any(p.extensions[1][2:8]):
                self.wrong("2.2: SACK bytes 2 to 7")
            if p.type == DATA and p.sack_words > 8:
                self.wrong("5.2: more than 8 words of SACK in DATA")
            if p.sack & 1:
                self.wrong("5.2: bit 0 of SACK is set")
            if not p.ackv:
                self.wrong("5.2: SACK without ACKV")
        if any(any(body[2:]) for kind, body in p.extensions.items()
               if kind == 130):
            self.wrong("2.2: PAD is not zero")
        if p.type in (PING, FIN) and \
                len(p.bytes) - (4 if p.flags & d.F_TRAILER else 0) <= 40:
            self.wrong("3: " + p.name + " is as short as GONE")

    # --- set-up, section 4 ------------------------------------------------------

    def sent_init(self, p):
        if p.token or p.params is None or p.params.isn != p.seq:
            self.wrong("4: INIT")
            return
        h = p.params
        if not (h.token and h.version_min and h.modes and
                h.version_min <= h.version_max and
                64 <= h.frag_size <= 65000 and 1 <= h.window <= 32768 and
                1 <= h.credit <= 32767):
            self.wrong("4.2: out of range")
        attempt = self.attempts.setdefault(h.token, Attempt(p))
        if attempt.init is not p:
            first = attempt.init
            if first.seq != p.seq or not h.same_but_sizes(first.params):
                self.wrong("4, rule 1: INIT changed")
            if behind(first.ts, p.ts) < 0:
                self.wrong("5.3: ts went back")
            if len(p.bytes) > len(first.bytes):
                self.wrong("4.4: INIT is longer than the first")
        if p.cookie is not None and p.cookie not in attempt.cookies:
            self.wrong("4.3: a cookie that nobody gave")
        crc = bool(h.features & d.FEAT_CRC)
        if crc != bool(p.flags & d.F_TRAILER):
            self.wrong("2.4: INIT and its trailer")

    def answer(self, p, what):
        """RETRY, ACCEPT, REJECT: to an INIT that came. @return it."""
        attempt = self.attempts.get(p.token)
        if attempt is None or not attempt.arrived:
            self.wrong(f"4: {what} to nobody")
            return None
        attempt.answers += 1
        attempt.answer_bytes += len(p.bytes)
        if p.ack != attempt.init.seq:
            self.wrong(f"4: {what} with ack {p.ack:08x}")
        if len(p.bytes) > max(attempt.lengths):
            self.wrong(f"4, rule 2: {what} is longer than INIT")
        if not attempt.validated and (
                attempt.answers > attempt.arrived or
                attempt.answer_bytes > attempt.arrived_bytes):
            self.wrong("4, rule 2: more sent than received, not validated")
        if p.ts_echo not in attempt.init_ts:
            self.wrong(f"4: {what} echoes a ts that was not in INIT")
        if (attempt.init.flags ^ p.flags) & d.F_TRAILER:
            self.wrong(f"2.4: {what} and its trailer")
        return attempt

    def sent_retry(self, p):
        attempt = self.answer(p, "RETRY")
        if p.cookie is None:
            self.wrong("4.3: RETRY without COOKIE")
        elif attempt is not None:
            attempt.cookies.append(p.cookie)

    def sent_reject(self, p):
        self.answer(p, "REJECT")

    def sent_accept(self, p):
        attempt = self.answer(p, "ACCEPT")
        if attempt is None or p.params is None:
            self.wrong("4: ACCEPT")
            return
        mine, offer = p.params, attempt.init.params
        if p.seq != mine.isn or not p.ackv or \
                p.window != (p.ack + mine.window) & MASK or \
                p.credit != mine.credit:
            self.wrong("4, rule 3: seq, window or credit of ACCEPT")
        if mine.version_min != mine.version_max or \
                not offer.version_min <= mine.version_min <= \
                offer.version_max:
            self.wrong("4.2: version chosen")
        if mine.features & ~offer.features or \
                bin(mine.modes).count("1") != 1 or \
                mine.modes & ~offer.modes or \
                mine.frag_size > offer.frag_size:
            self.wrong("4.2: a choice out of what was not offered")
        if len(p.bytes) not in attempt.lengths:
            self.wrong("4.4: ACCEPT has the length of no INIT")
        first = attempt.accept
        if first is not None and first.params.token == mine.token:
            # 4.4: a smaller frag_size may be chosen yet.
            if not first.params.same_but_sizes(mine) or first.seq != p.seq \
                    or mine.frag_size > first.params.frag_size:
                self.wrong("4, rule 3: not the same ACCEPT")
            return
        attempt.accept = p
        link = Link(offer, mine)
        link.attempt = attempt
        self.links[offer.token] = (link, link.client)
        self.links[mine.token] = (link, link.server)
        link.client.ts = attempt.init.ts
        link.server.ts = p.ts

    def sent_gone(self, p):
        if len(p.bytes) != 40 or p.flags or p.ce or p.seq or \
                any(p.bytes[32:]):
            self.wrong("8.6: GONE is not 40 bytes with zeros")
        if p.token not in self.arrived_tokens:
            self.wrong("8.6: GONE for a token that did not come")

    # --- what is sent on a link ---------------------------------------------------

    def sent_on_link(self, time, outer, p):
        if p.token not in self.links:
            if p.type != RESET or p.token:
                self.wrong(f"4.1: {p.name} to a token that nobody has")
            return
        link, receiver = self.links[p.token]
        sender = link.server if receiver is link.client else link.client
        if sender is link.server and not sender.established:
            self.wrong("4, rule 3: sent before it was established")
        if link.crc != bool(p.flags & d.F_TRAILER):
            self.wrong("2.4: trailer")
        if len(p.bytes) > len(link.attempt.accept.bytes):
            self.wrong("4.4: longer than the handshake has shown to pass")
        if outer.ecn and not link.features & d.FEAT_ECN:
            self.wrong("1: ECT without ECN agreed")
        if behind(sender.ts, p.ts) < 0:
            self.wrong("5.3: ts went back")
        sender.ts = p.ts
        sender.last_sent = time
        if p.flags & d.F_STOP:
            sender.said_stop = True
        elif sender.said_stop:
            self.wrong("8.3: STOP was taken back")
        if p.type in (DATA, BATCH, FIN):
            self.sent_sequenced(link, sender, receiver, p)
        else:
            if p.seq != sender.next & MASK:
                self.wrong(f"2: {p.name} has seq {p.seq:08x}, the next is "
                           f"{sender.next & MASK:08x}")
            if p.flags & d.F_RETX:
                self.wrong("2.1: RETX on " + p.name)
        if p.type == RESET:
            sender.over = True
            return
        if p.ackv:
            self.sent_ack(time, sender, receiver, p)
        elif p.type in (DATA, BATCH, ACK, PING, FIN):
            self.count("without ACKV")

    def sent_sequenced(self, link, sender, receiver, p):
        seq = wide(sender.next, p.seq)
        again = seq < sender.next
        if again != bool(p.flags & d.F_RETX):
            self.wrong(f"2.1: RETX is {'not ' if again else ''}set on "
                       f"{p.seq:08x}")
        if again:
            self.count("RETX")
            self.sent_again(sender, seq, p)
            return
        if seq != sender.next:
            self.wrong(f"2: seq {p.seq:08x} is not the next, "
                       f"{sender.next & MASK:08x}")
        if sender.fin is not None:
            self.wrong("8.1: a number is used after FIN")
        if p.part is not None:
            self.wrong("5.5: PART in what was not sent before")
        sender.next = seq + 1
        if p.type == FIN:
            sender.fin = seq
            if sender.open and not p.error:
                self.wrong("8.1: FIN inside a message")
            sender.sent[seq] = (FIN, 0, 0, p.error and p.error[2])
            if seq > sender.limit:
                self.wrong("6: FIN beyond the window")
            return
        if seq >= sender.limit:
            self.wrong("6: beyond the window that reached the sender")
        if len(p.payload) > link.frag_size:
            self.wrong("5.1: payload longer than frag_size")
        sender.sent[seq] = (p.type, p.flags & 3, p.mlo, p.payload)
        if p.type == BATCH:
            self.sent_batch(link, sender, receiver, p)
        else:
            self.sent_fragment(sender, receiver, p)

    def sent_again(self, sender, seq, p):
        first = sender.sent.get(seq)
        if first is None:
            self.wrong("2: repeats what was never sent")
        elif p.part is not None:
            self.sent_part(sender, seq, first, p)
        elif p.type == FIN:
            if first[0] != FIN or (p.error and p.error[2]) != first[3]:
                self.wrong("5.1: FIN changed when sent again")
        elif first != (p.type, p.flags & 3, p.mlo, p.payload):
            self.wrong("5.1: changed when sent again")

    def sent_part(self, sender, seq, first, p):
        number, count, total, each, zero = p.part
        piece = first[3][number * each:(number + 1) * each]
        if not 2 <= count <= 64 or each % 8 or zero or \
                total != len(first[3]) or number >= count or \
                (count - 1) * each >= total or count * each < total or \
                p.payload != piece or \
                (p.type, p.flags & 3, p.mlo) != first[:3]:
            self.wrong("5.5: part")

    def sent_fragment(self, sender, receiver, p):
        first, last = p.flags & d.F_FIRST, p.flags & d.F_LAST
        if bool(first) == bool(sender.open):
            self.wrong("5.1: FIRST if and only if no message is open")
        if first:
            sender.open = [p.mlo, 0]
            sender.messages += 1
            if sender.messages > sender.credit:
                self.wrong("6: beyond the credit that reached the sender")
            if p.mlo > receiver.hello.msg_size_max:
                self.wrong("5.1: longer than the receiver takes")
            if not p.payload and p.mlo:
                self.wrong("5.1: empty fragment")
        elif sender.open:
            if p.mlo != sender.open[1]:
                self.wrong("5.1: offset")
            if not p.payload:
                self.wrong("5.1: empty fragment")
        if not sender.open:
            return
        sender.open[1] += len(p.payload)
        if sender.open[1] > sender.open[0] or \
                (sender.open[1] == sender.open[0]) != bool(last):
            self.wrong("5.1: LAST and the length disagree")
        if last:
            sender.open = None

    def sent_batch(self, link, sender, receiver, p):
        self.count("records")
        if not link.features & d.FEAT_BATCH:
            self.wrong("5.4: BATCH was not agreed upon")
        if sender.open:
            self.wrong("5.4: BATCH inside a message")
        sender.messages += len(p.records)
        if sender.messages > sender.credit:
            self.wrong("6: BATCH beyond the credit that reached the sender")
        if any(len(r) > receiver.hello.msg_size_max for r in p.records):
            self.wrong("5.1: longer than the receiver takes")

    def sent_ack(self, time, side, peer, p):
        """side acknowledges what peer has sent."""
        ack = wide(side.told[0], p.ack)
        window = wide(side.told[1], p.window)
        credit = wide(side.told[2], p.credit, 16)
        size = side.hello.window
        for name, now, before in (("ack", ack, side.told[0]),
                                  ("window", window, side.told[1]),
                                  ("credit", credit, side.told[2])):
            if now < before:
                self.wrong(f"5.2: {name} went back")
        side.told = (ack, window, credit)
        stopped = side.said_stop
        if ack > side.got_next and not (
                stopped and side.fin_seen is not None and
                ack == side.fin_seen + 1):
            self.wrong(f"5.2: acknowledges {ack & MASK:08x}, only up to "
                       f"{side.got_next & MASK:08x} has arrived")
        if window - size > max(ack, peer.isn):
            self.wrong("6: window tells of storage that was not used")
        if credit - side.hello.credit > side.ends:
            self.wrong("6: credit for messages that have not come")
        reported = {wide(ack, s) for s in p.sacked()}
        if any(s >= side.got_next and s not in side.got for s in reported):
            self.wrong("5.2: SACK of what has not arrived")
        if peer.fin in reported:
            self.wrong("5.2: SACK of FIN")
        if p.sack is not None or p.type == ACK:
            reach = ack + 64 * (p.sack_words if p.sack is not None else 0)
            lost = {s for s in side.reported
                    if ack <= s < reach and s not in reported}
            if lost and not stopped:
                self.wrong("5.2: what was reported was not kept")
        side.reported |= reported
        self.sent_echo(time, side, p)
        side.owes_since = None

    def sent_echo(self, time, side, p):
        if side.echo is not None and behind(side.echo, p.ts_echo) < 0:
            self.wrong("5.3: ts_echo went back")
        side.echo = p.ts_echo
        when = side.ts_seen.get(p.ts_echo)
        if when is None:
            self.wrong("5.3: ts_echo is no ts that has arrived")
        elif p.ack_dly != 65535 and \
                p.ack_dly * 64 > time - when[0] + 1000000:
            self.wrong("2: ack_dly is longer than ts_echo has been here")

    # --- what arrives on a link -----------------------------------------------------

    def arrived_on_link(self, time, p):
        if len(p.bytes) > 40 and p.type in (DATA, BATCH, PING, FIN):
            self.arrived_tokens[p.token] = time
        if p.token not in self.links:
            return
        link, side = self.links[p.token]
        peer = link.server if side is link.client else link.client
        if link.crc != bool(p.flags & d.F_TRAILER):
            return
        if side is link.server and p.ackv:
            link.server.established = True
            link.attempt.validated = True
        side.ts_seen.setdefault(p.ts, (time,))
        if p.type == RESET:
            side.over = True
            return
        if p.ackv:
            side.limit = max(side.limit, wide(side.limit, p.window))
            side.credit = max(side.credit, wide(side.credit, p.credit, 16))
        if p.flags & d.F_STOP:
            side.stopped = True
        if p.type in (PING, FIN, ACCEPT) or \
                (p.type in (DATA, BATCH) and p.part is None):
            side.owes_since = side.owes_since or time
        if p.type in (DATA, BATCH, FIN):
            self.arrived_sequenced(side, peer, p)

    def arrived_sequenced(self, side, peer, p):
        seq = wide(side.got_next, p.seq)
        if seq not in peer.sent:
            return  # that it was sent has been found wrong already
        if p.type == FIN:
            side.fin_seen = seq
        if p.part is not None:
            parts = side.parts.setdefault(seq, set())
            parts.add(p.part[0])
            if len(parts) < p.part[1]:
                return
        side.got.add(seq)
        while side.got_next in side.got:
            side.got.discard(side.got_next)
            kind, ends, mlo, _ = peer.sent[side.got_next]
            if kind == BATCH:
                side.ends += mlo
            elif kind == DATA and ends & d.F_LAST:
                side.ends += 1
            side.got_next += 1

    # --- the end ------------------------------------------------------------------

    def finish(self, time, all_delivered=True):
        """all_delivered: every link is expected to have ended well."""
        for link in {link for link, _ in self.links.values()}:
            if not link.server.established:
                continue
            for name, side, peer in (("client", link.client, link.server),
                                     ("server", link.server, link.client)):
                if not all_delivered or side.over or peer.over:
                    continue
                if side.fin is None:
                    self.wrong(f"8.1: no FIN from the {name}")
                elif peer.told[0] != side.fin + 1 and not peer.said_stop:
                    self.wrong(f"7: FIN of the {name} was never acknowledged")
                if side.owes_since and \
                        time - side.owes_since > PATIENCE_NS:
                    self.wrong(f"5.2: the {name} never answered")
