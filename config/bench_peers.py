# SPDX-License-Identifier: BSD-3-Clause
"""The comparison: weir, the kernel's TCP and UDP, UCX and libfabric over one
veth pair between two namespaces, and in shared memory. Everybody takes a turn
in each round, and the median round counts. Placement is not known here: who
runs longer than the processors stay, averages over them."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

import bench_net
from bench_runs import NotMeasured

ROUNDS = 3
SIZES = (64, 1400)
SERVER = bench_net.Apart.SERVER
CPUS = sorted(os.sched_getaffinity(0))


def cpu(side):
    return str(CPUS[min(side, len(CPUS) - 1)])


class TooLong(NotMeasured):
    """Trying again would take as long."""


FIRST = []  # before every command, whoever's: see Runs.first


class Server:
    """A process in the background, up once it has said a word."""

    def __init__(self, command, word=None, environment=None):
        self.process = subprocess.Popen(
            [*FIRST, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env={**os.environ, **(environment or {})})
        if word is None:
            return
        said = ""
        for line in self.process.stdout:
            if word in line:
                return
            said = line.strip()
        self.process.wait()
        self.process.stdout.close()
        raise NotMeasured(f"the server did not start: {said}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def output_of(command, seconds, environment=None):
    try:
        done = subprocess.run(
            [*FIRST, *command], capture_output=True, text=True, check=False,
            timeout=20 + 10 * seconds,
            env={**os.environ, **(environment or {})})
    except subprocess.TimeoutExpired as late:
        raise TooLong("took too long") from late
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotMeasured(said[-1] if said else
                          f"exit code {done.returncode}")
    return done.stdout


def ask_again(command, seconds, environment=None):
    """A server that says nothing may not be up yet."""
    for pause in (0.3, 1.0, 2.0):
        time.sleep(pause)
        try:
            return output_of(command, seconds, environment)
        except TooLong:
            raise
        except NotMeasured as why:
            last = why
    raise last


class Sockets:
    def __init__(self, runs, protocol):
        self.runs, self.protocol = runs, protocol
        self.name = f"kernel {protocol.upper()}"

    def measure(self, net, kind, size, seconds):
        program = str(self.runs.sockets)
        with Server([*net.prefix(0), program, self.protocol, "serve", SERVER,
                     "7611", cpu(1)], "listening"):
            report = json.loads(output_of(
                [*net.prefix(1), program, self.protocol, kind, SERVER, "7611",
                 cpu(0), str(size), str(seconds)], seconds))
        return report["rtt_ns"]["p50"] / 1000 if kind == "lat" \
            else report["msgs_per_s"]


class Weir:
    def __init__(self, runs, pmd):
        self.runs, self.pmd = runs, pmd
        self.name = f"weir {pmd or 'shm:'}"

    def endpoints(self):
        if self.pmd is None:
            name = f"shm:bench-peer-{os.getpid()}"
            return name, name
        if not self.runs.has_dpdk:
            raise NotMeasured("this weir has no dpdk driver")
        return (bench_net.port(self.pmd, "v0", 1),
                bench_net.port(self.pmd, "v1", 2))

    def measure(self, net, kind, size, seconds):
        here, there = self.endpoints()
        weir = str(self.runs.weir)
        prefixes = [net.prefix(0), net.prefix(1)] if self.pmd else [[], []]
        with Server([*prefixes[0], weir, "-v", "perf", "serve", here, "-n",
                     "1", "--cpu", cpu(1)], "listening"):
            report = json.loads(output_of(
                [*prefixes[1], weir, "perf", kind, there, "-s", str(size),
                 "-t", f"{seconds * 1000:.0f}ms", "--cpu", cpu(0), "-J"],
                seconds))
        return report["result"]["rtt_ns"]["p50"] / 1000 if kind == "lat" \
            else report["result"]["msgs_per_s"]


class Ucx:
    """ucx_perftest prints half of the round trip."""

    def __init__(self, transports):
        self.transports = transports
        self.name = f"UCX {transports.split(',')[0]}"

    def measure(self, net, kind, size, seconds):
        if shutil.which("ucx_perftest") is None:
            raise NotMeasured("Debian's ucx-utils is not installed")
        over_net = self.transports.startswith("tcp")
        prefixes = [net.prefix(0), net.prefix(1)] if over_net else [[], []]
        environment = {"UCX_TLS": self.transports,
                       "UCX_WARN_UNUSED_ENV_VARS": "n"}
        test = "tag_lat" if kind == "lat" else "tag_bw"
        count = int((20000 if over_net else 400000) * seconds)
        with Server([*prefixes[0], "ucx_perftest", "-t", test, "-c", cpu(1),
                     "-p", "7613"], None, environment):
            text = ask_again(
                [*prefixes[1], "ucx_perftest",
                 SERVER if over_net else "127.0.0.1", "-t", test, "-c",
                 cpu(0), "-p", "7613", "-s", str(size), "-n", str(count), "-w",
                 str(count // 10), "-v", "-f"], seconds, environment)
        heading, figures = [line.split(",") for line in
                            text.strip().splitlines()[-2:]]
        row = dict(zip(heading, figures))
        return 2 * float(row["50.0_percentile_lat"]) if kind == "lat" \
            else float(row["overall_mr"])


class Fabric:
    """fi_pingpong prints half of the mean round trip, and nothing one way."""

    def __init__(self, provider):
        self.provider = provider
        self.name = f"libfabric {provider}"

    def measure(self, net, kind, size, seconds):
        if shutil.which("fi_pingpong") is None:
            raise NotMeasured("Debian's libfabric-bin is not installed")
        if kind != "lat":
            raise NotMeasured("Debian's libfabric-bin has no one-way test")
        over_net = self.provider == "tcp"
        prefixes = [net.prefix(0), net.prefix(1)] if over_net else [[], []]
        common = ["-p", self.provider, "-e", "rdm", "-I",
                  str(int((4000 if over_net else 60000) * seconds)), "-S",
                  str(size)]
        with Server([*prefixes[0], "taskset", "-c", cpu(1), "fi_pingpong",
                     *common, "-B", "7615"]):
            text = ask_again([*prefixes[1], "taskset", "-c", cpu(0),
                              "fi_pingpong", *common, "-P", "7615",
                              SERVER if over_net else "127.0.0.1"], seconds)
        row = text.strip().splitlines()[-1].split()
        if not re.fullmatch(r"[\d.]+", row[-2]):
            raise NotMeasured(f"not understood: {text.strip()}")
        return 2 * float(row[-2])


def one(peer, net, kind, size, runs):
    """Median of the rounds is taken by the caller; here one of them."""
    try:
        return peer.measure(net, kind, size, runs.seconds / 4), None
    except NotMeasured as why:
        return None, str(why)
    except (OSError, ValueError, KeyError, IndexError) as wrong:
        return None, f"not understood: {wrong!r}"


def table(where, peers, net, runs):
    rows = []
    rounds = 1 if runs.short else ROUNDS
    for kind, size in [(kind, size) for kind in ("lat", "bw")
                       for size in SIZES]:
        found = {peer.name: [] for peer in peers}
        why = {}
        for _ in range(rounds):
            for peer in peers:
                if runs.over():
                    why.setdefault(peer.name, "the time was up")
                elif peer.name not in why:
                    value, reason = one(peer, net, kind, size, runs)
                    if value is None:
                        why[peer.name] = reason
                    else:
                        found[peer.name].append(value)
        for peer in peers:
            values = found[peer.name]
            rows.append({
                "where": where, "kind": kind, "size": size,
                "name": peer.name, "unit": "us" if kind == "lat" else "msg/s",
                "rounds": len(values),
                "value": statistics.median(values) if values else None,
                "note": "" if values else why.get(peer.name, "")})
        print(f"bench: compared {where}, {kind}, {size} B", file=sys.stderr,
              flush=True)
    return rows


def compare(runs):
    """Rows of the comparison; none in the short form but of shm."""
    FIRST[:] = runs.first
    rows = table("shared memory", [Weir(runs, None), Ucx("posix,self"),
                                   Fabric("shm")], None, runs) \
        if not runs.short else []
    peers = [Weir(runs, "net_af_xdp"), Weir(runs, "net_af_packet"),
             Sockets(runs, "tcp"), Sockets(runs, "udp"), Ucx("tcp,self"),
             Fabric("tcp")]
    if runs.short:
        peers = [Sockets(runs, "tcp"), Sockets(runs, "udp")]
    try:
        net = bench_net.Apart()
    except bench_net.NoNetwork as why:
        return rows + [{"where": "veth", "kind": kind, "size": size,
                        "name": peer.name, "unit": "", "rounds": 0,
                        "value": None, "note": str(why)}
                       for kind in ("lat", "bw") for size in SIZES
                       for peer in peers]
    try:
        return rows + table("veth", peers, net, runs)
    finally:
        net.close()
