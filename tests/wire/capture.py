#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two weir processes over a bad wire that sees everything they say.

    capture.py WEIR [--seed N] [--keep DIR]

    namespace A            namespace M: this program           namespace B
    weir cat -l -- v0 ===== f0 -> lose, double, delay, -> f1 ===== v1 -- weir cat
                                  spoil, write down

What each side sends is held against every rule of docs/wire.md by rules.py,
which knows what had reached that side by then. The content must arrive
unharmed, too. Needs root; exits with 77 where it cannot run. A capture that
breaks a rule is kept as a pcap file.
"""

import argparse
import heapq
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # nothing is left in the source tree
import decode
import planted
import rules

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE = 33
LIMIT_S = 60
QUIET_S = 1.5  # longer than a side lingers


def skip(why):
    print(why)
    sys.exit(77)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True,
                          check=False, timeout=30)


# --- the namespaces --------------------------------------------------------------

class Place:
    """Three namespaces and two pairs; gone when left."""

    def __init__(self):
        self.names = [f"weirw{os.getpid()}{x}" for x in "amb"]

    def __enter__(self):
        a, m, b = self.names
        for name in self.names:
            if run("ip", "netns", "add", name).returncode:
                self.__exit__()
                skip("cannot make namespaces")
        for far, inner, outer in ((a, "f0", "v0"), (b, "f1", "v1")):
            made = run("ip", "-n", m, "link", "add", inner, "type", "veth",
                       "peer", "name", outer, "netns", far)
            if made.returncode:
                self.__exit__()
                skip("cannot make veth pairs: " + made.stderr)
            for ns, dev in ((m, inner), (far, outer)):
                run("ip", "netns", "exec", ns, "sysctl", "-qw",
                    "net.ipv6.conf.all.disable_ipv6=1")
                run("ip", "-n", ns, "link", "set", dev, "up")
            run("ip", "-n", far, "link", "set", "lo", "up")
        return self.names

    def __exit__(self, *_):
        for name in self.names:
            run("ip", "netns", "del", name)


# --- the wire ----------------------------------------------------------------------

class Wire:
    """Passes frames between f0 and f1 and remembers them in order."""

    def __init__(self, seed, faults):
        self.random = random.Random(seed)
        self.faults = faults
        self.ports = [self.open_port("f0"), self.open_port("f1")]
        self.later = []   # (when, number, side to, frame)
        self.events = []  # (time, "sent" or "arrived", side, frame)
        self.tally = dict.fromkeys(("lost", "doubled", "late", "delayed",
                                    "spoilt", "passed"), 0)

    @staticmethod
    def open_port(name):
        port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                             socket.htons(ETH_P_ALL))
        port.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        port.bind((name, 0))
        port.setblocking(False)
        return port

    def close(self):
        for port in self.ports:
            port.close()

    def missed(self):
        """Frames that came while we did not look."""
        return sum(struct.unpack("II", port.getsockopt(
            SOL_PACKET, PACKET_STATISTICS, 8))[1] for port in self.ports)

    def hand_over(self, side, frame):
        now = time.monotonic_ns()
        # Before it is sent: the other side may answer at once.
        self.events.append((now, "arrived", side, frame))
        try:
            self.ports[side].send(frame)
        except OSError:
            self.events.pop()

    def at(self, delay_s, side, frame):
        when = time.monotonic_ns() + int(delay_s * 1e9)
        heapq.heappush(self.later, (when, len(self.events), side, frame))

    def spoil(self, frame):
        spoilt = bytearray(frame)
        bit = self.random.randrange(14 * 8, len(frame) * 8)
        spoilt[bit // 8] ^= 1 << bit % 8
        return bytes(spoilt)

    def pass_on(self, side, frame):
        """A frame from one side: what becomes of it?"""
        if frame[12:14] == b"\x08\x06" or \
                frame[12:14] == b"\x86\xdd" and frame[20] == 58:
            self.ports[1 - side].send(frame)  # ARP, neighbour discovery
            return
        self.events.append((time.monotonic_ns(), "sent", side, frame))
        chance, to = self.random.random(), 1 - side
        for fate, share in self.faults.items():
            chance -= share
            if chance < 0:
                break
        else:
            fate = "passed"
        self.tally[fate] += 1
        if fate == "delayed":
            self.at(self.random.uniform(0.0001, 0.003), to, frame)
        elif fate == "spoilt":
            self.hand_over(to, self.spoil(frame))
        elif fate != "lost":
            self.hand_over(to, frame)
            if fate == "doubled":
                self.hand_over(to, frame)
            elif fate == "late":
                self.at(self.random.uniform(0.005, 0.3), to, frame)

    def step(self):
        """@return whether anything came."""
        came = False
        wait = 0.002 if self.later else 0.02
        ready, _, _ = select.select(self.ports, [], [], wait)
        for port in ready:
            for _ in range(64):
                try:
                    frame, address = port.recvfrom(65536)
                except BlockingIOError:
                    break
                if address[2] == PACKET_OUTGOING:
                    continue
                came = True
                self.pass_on(self.ports.index(port), frame)
        while self.later and self.later[0][0] <= time.monotonic_ns():
            _, _, side, frame = heapq.heappop(self.later)
            self.hand_over(side, frame)
        return came


# --- what is sent ------------------------------------------------------------------

def messages(seed, size):
    """Small ones in rows, some of a packet, a few of many; length-framed."""
    rng = random.Random(seed)
    out = bytearray()
    while len(out) < size:
        kind = rng.random()
        if kind < 0.1:
            lengths = [rng.randrange(1400, 65537)]
        elif kind < 0.4:
            lengths = [rng.randrange(1500)]
        else:
            lengths = [rng.randrange(200) for _ in range(40)]
        for length in lengths:
            out += struct.pack("<I", length) + rng.randbytes(length)
    return bytes(out)


class Case:
    def __init__(self, name, keys="", ways=2, cut=None, faults=None, size=1,
                 ip6=False):
        self.name = name
        self.ip6 = ip6
        self.keys = keys    # of the endpoints
        self.ways = ways    # who sends: 2 both, 1 the caller alone
        self.cut = cut      # signal for the listener in the middle
        self.faults = BAD if faults is None else faults
        self.size = size


BAD = {"lost": 0.02, "doubled": 0.01, "late": 0.003, "delayed": 0.03,
       "spoilt": 0.003}
CASES = [
    Case("both ways", faults={}),
    Case("both ways, bad wire"),
    Case("both ways, bad wire, CRC32C", ",crc=on"),
    Case("one way, bad wire, IPv6", ways=1, ip6=True),
    Case("one message per packet, bad wire", ",coalesce=off"),
    Case("the listener is interrupted", cut=signal.SIGINT),
    Case("the listener is killed", cut=signal.SIGKILL),
    Case("a very bad wire", size=0.25,
         faults={"lost": 0.2, "doubled": 0.05, "late": 0.02,
                 "delayed": 0.2, "spoilt": 0.02}),
]


class Run:
    """One case: two processes, a wire, and the verdict."""

    def __init__(self, case, args, names, work):
        self.case, self.args, self.work = case, args, work
        self.names = names
        self.size = int(args.size * case.size)
        self.wire = Wire(args.seed, case.faults)

    def start(self, ns, which, data, *rest):
        with open(f"{self.work}/{which}.in", "wb") as file:
            file.write(data)
        # EAL keeps memory for ever: not what is looked for here.
        leaks = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        env = dict(os.environ, WEIR_RUNTIME_DIR=f"{self.work}/run",
                   ASAN_OPTIONS=leaks)
        return subprocess.Popen(
            ["ip", "netns", "exec", ns, self.args.weir, "--hugepages=never",
             "cat", "-f", "length", *rest],
            stdin=open(f"{self.work}/{which}.in", "rb"),
            stdout=open(f"{self.work}/{which}.out", "wb"),
            stderr=open(f"{self.work}/{which}.err", "wb"), env=env)

    def run(self):
        """@return list of complaints."""
        there = messages(self.args.seed + 1, self.size)
        back = messages(self.args.seed + 2, self.size) \
            if self.case.ways == 2 else b""
        net = "fd79::" if self.case.ip6 else "10.79.0."
        where = "dpdk:" + (f"[{net}1]:7400" if self.case.ip6 else
                           f"{net}1:7400")
        bits = 64 if self.case.ip6 else 24
        listener = self.start(
            self.names[0], "listener", back, "-l",
            f"{where},dev=net_af_packet0,dev.iface=v0,"
            f"local={net}1/{bits}{self.case.keys}")
        caller = self.start(
            self.names[2], "caller", there, "-w", "20s",
            f"{where},dev=net_af_packet0,dev.iface=v1,"
            f"local={net}2/{bits}{self.case.keys}")
        try:
            hung = self.drive(listener, caller)
        finally:
            for process in (listener, caller):
                if process.poll() is None:
                    process.kill()
                process.wait()
        wrong = ["did not end in time"] if hung else []
        if self.wire.missed():
            wrong.append("frames were missed: nothing can be said")
        if self.case.cut is None:
            wrong += self.check_content(listener, caller, there, back)
        self.wire.close()
        return wrong + self.check_rules()

    def drive(self, listener, caller):
        end = time.monotonic() + LIMIT_S
        quiet = None
        half = self.size // 2
        cut = self.case.cut
        while time.monotonic() < end:
            came = self.wire.step()
            if cut is not None and \
                    os.path.getsize(f"{self.work}/listener.out") > half:
                listener.send_signal(cut)
                cut = None
            over = listener.poll() is not None and caller.poll() is not None
            if not over or came:
                quiet = None
            elif quiet is None:
                quiet = time.monotonic()
            elif time.monotonic() - quiet > 0.3:
                return False
        return True

    def check_content(self, listener, caller, there, back):
        wrong = []
        for which, process, expected in (("listener", listener, there),
                                         ("caller", caller, back)):
            with open(f"{self.work}/{which}.out", "rb") as file:
                if file.read() != expected:
                    wrong.append(f"the {which} got other bytes")
            if process.returncode:
                with open(f"{self.work}/{which}.err",
                          encoding="utf-8") as file:
                    wrong.append(f"the {which} exits with "
                                 f"{process.returncode}: {file.read()}")
        return wrong

    def check_rules(self):
        checker = rules.Checker()
        for number, (when, what, _, frame) in enumerate(self.wire.events):
            getattr(checker, what)(number, when, frame)
        checker.number = len(self.wire.events)
        if self.wire.events:
            checker.finish(self.wire.events[-1][0], self.case.cut is None)
        print("   ", ", ".join(f"{v} {k}" for k, v in
                               self.wire.tally.items() if v))
        print("   ", ", ".join(f"{v} {k}" for k, v in
                               sorted(checker.counts.items())))
        wrong = [f"packet {n}: {text}" for n, text in checker.violations]
        for part in ("INIT", "ACCEPT", "DATA", "ACK"):
            if not checker.counts.get(part):
                wrong.append(f"no {part} was seen")
        return wrong

    def keep(self, folder):
        path = os.path.join(folder, f"weir-{os.getpid()}.pcap")
        with open(path + ".txt", "w", encoding="utf-8") as file:
            for number, (when, what, side, frame) in \
                    enumerate(self.wire.events):
                try:
                    outer = decode.Frame(frame)
                    text = decode.Packet(outer.packet, outer.addresses)
                except decode.Drop as reason:
                    text = f"dropped: {reason}"
                file.write(f"{number} {when} {what} {'AB'[side]} {text}\n")
        decode.write_pcap(path, [(e[0], e[3]) for e in self.wire.events
                                 if e[1] == "sent"])
        return path


# --- the program -------------------------------------------------------------------

def inside(args, names):
    """In the middle namespace."""
    failed = good = 0
    for case in CASES:
        if args.case and args.case not in case.name:
            continue
        print("-", case.name, flush=True)
        with tempfile.TemporaryDirectory() as work:
            one = Run(case, args, names, work)
            wrong = one.run()
        for text in wrong[:20]:
            print("    WRONG:", text)
        if not wrong and not good and one.wire.tally["lost"]:
            # The checker must find what is wrong in a capture, too.
            good = 1
            missed = planted.try_all(one.wire.events)
            wrong = [f"planted, not found: {name}" for name in missed]
            for text in wrong:
                print("    WRONG:", text)
        if len(wrong) > 20:
            print(f"    and {len(wrong) - 20} more")
        if wrong:
            failed += 1
            print("    kept:", one.keep(args.keep))
        sys.stdout.flush()
    print(f"seed {args.seed}: {failed} cases failed")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, help="bytes each way")
    parser.add_argument("--case", default="")
    parser.add_argument("--keep", default=tempfile.gettempdir())
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.weir = os.path.realpath(args.weir)
    long = bool(os.environ.get("WEIR_CHECK_LONG"))
    if args.size is None:
        args.size = 30000000 if long else 1500000
    if args.inside:
        return inside(args, args.inside.split(","))
    if os.geteuid() or run("ip", "-V").returncode:
        skip("needs root and ip")
    if "dpdk " not in run(args.weir, "info").stdout:
        skip("no dpdk driver here")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Place() as names:
        command = ["ip", "netns", "exec", names[1], sys.executable, __file__,
                   args.weir, f"--seed={args.seed}", f"--size={args.size}",
                   f"--case={args.case}", f"--keep={args.keep}",
                   f"--inside={','.join(names)}"]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
