# SPDX-License-Identifier: BSD-3-Clause
"""Runs of weir perf for bench.py, each once, and what they say of a goal."""
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

import bench_net

PLACES = ("near", "far")
ENOUGH = 20  # windows, as in apps/weir/tally.h
DEFECT = 4  # exit code of weir perf: messages lost, repeated, corrupt
KILLS = 11
HUGE_ENOUGH = 64  # free pages, for both sides' segments
ROUNDS = 4000
PARTS = ("commit", "transmit", "receive", "recv", "release", "answer", "ack")
SWEEP = 40  # runs' time: each size is to be seen near, or far
PRODUCERS_S = 4.5  # 20 rounds of four windows of 50 ms
TRIES = 4  # further runs for a placement that was hardly seen
PATIENCE_S = 30  # for a killed peer's other side


def load_goals(path):
    with open(path, "rb") as file:
        return tomllib.load(file)["goal"]


class NotMeasured(Exception):
    """Why there is no figure."""


class Runs:
    """Every run happens once; results, or why there is none, are kept."""

    def __init__(self, build, output, seconds, short, end):
        self.build = build.resolve()
        self.weir = self.build / "apps/weir/weir"
        self.sockets = build.resolve() / "apps/bench/weir-bench-sockets"
        self.output = output
        self.seconds = seconds
        self.short = short
        self.end = end
        # Before everybody else, on a machine with other work.
        self.first = ["chrt", "-r", "5"] if os.environ.get("BENCH_PRIO") \
            else []
        self.host = None
        self.defects = []
        self.results = {}
        self.tests = {}
        self.parts = None
        self.deaths = {}
        self.help = self.weir_says(["perf", "--help"])
        self.has_dpdk = any(line.startswith("dpdk ") and any(map(
            str.isdigit, line)) for line in
            self.weir_says(["info"]).splitlines())
        self.net = None
        self.taps = None
        self.runtime = tempfile.mkdtemp(prefix="weir-bench-")
        os.environ["WEIR_RUNTIME_DIR"] = self.runtime

    def weir_says(self, arguments):
        return subprocess.run([self.weir, *arguments], capture_output=True,
                              text=True, timeout=60, check=False).stdout

    def close(self):
        if self.net is not None:
            self.net.close()
        if self.taps is not None:
            self.taps.close()
        shutil.rmtree(self.runtime, ignore_errors=True)

    def over(self):
        return time.monotonic() > self.end

    def one_namespace(self):
        """Two veth ends in one namespace, for runs that start both sides."""
        if self.net is None:
            self.net = bench_net.Together()
        return self.net

    def test(self, name):
        """One of meson's. @return {passed, output}; raises NotMeasured."""
        if name in self.tests:
            return self.tests[name]
        if self.short:
            raise NotMeasured("the short form leaves it out")
        if self.over():
            raise NotMeasured("the time was up")
        print(f"bench: test {name}", file=sys.stderr, flush=True)
        done = subprocess.run(
            ["meson", "test", "-C", self.build, "--no-rebuild", "--verbose",
             name], capture_output=True, text=True, timeout=300, check=False)
        if re.search(r"^Skipped: +[1-9]", done.stdout, re.MULTILINE):
            raise NotMeasured(f"the test {name} cannot run here")
        if not re.search(r"^Ok: +1", done.stdout, re.MULTILINE) and \
           not re.search(r"^(Fail|Timeout): +[1-9]", done.stdout, re.MULTILINE):
            raise NotMeasured(f"this build has no test {name}")
        self.tests[name] = {"passed": done.returncode == 0,
                            "output": done.stdout}
        return self.tests[name]

    def cycles(self):
        """What the parts of a message's way take, by the clock."""
        program = self.build / "tests/perf/parts"
        if not program.exists():
            raise NotMeasured("this build has no tests of dpdk")
        if self.parts is None:
            done = subprocess.run([program, "cycles",
                                   str(20 if self.short else ROUNDS)],
                                  capture_output=True, text=True, timeout=120,
                                  check=False)
            if done.returncode != 0:
                raise NotMeasured(done.stderr.strip() or "it lost messages")
            self.parts = json.loads(done.stdout.strip().splitlines()[-1])
        return self.parts

    def cost(self):
        """For the report: cycles of the parts, and their instructions where
        callgrind could count them. None: neither."""
        try:
            table = {"ticks_per_ns": self.cycles()["ticks_per_ns"],
                     "cycles": self.cycles()["runs"]}
        except NotMeasured:
            return None
        try:
            output = self.test("instructions-parts")["output"]
        except NotMeasured:
            output = ""
        table["instructions"] = [
            {"burst": int(found[1]), "packets": found[2],
             **dict(zip(PARTS, map(float, re.findall(
                 r"([\d.]+) +\d+(?:\s|$)", found[3]))))}
            for found in re.finditer(r"^ *(\d+) (single|coalesce) +(.*)$",
                                     output, re.MULTILINE)]
        return table

    # ---- one run ----------------------------------------------------------

    def get(self, run):
        """@return the JSON of a run; raises NotMeasured."""
        if run not in self.results:
            try:
                self.results[run] = self.perform(run)
            except NotMeasured as why:
                self.results[run] = why
        result = self.results[run]
        if isinstance(result, NotMeasured):
            raise result
        return result

    def command(self, run):
        kind, endpoint, *options = run.split()
        prefix = []
        if endpoint == "@xdp":
            net = self.one_namespace()
            prefix = net.prefix()
            endpoint, peer = net.endpoints("net_af_xdp")
            options += ["--peer", peer]
        elif endpoint == "@tap":
            self.taps = self.taps or bench_net.Taps()
            prefix = self.taps.prefix()
            endpoint, peer = self.taps.endpoints()
            options += ["--peer", peer]
        if endpoint.startswith("dpdk") and not self.has_dpdk:
            raise NotMeasured("this weir has no dpdk driver")
        command = [*prefix, *self.first, str(self.weir), "perf", kind, endpoint, "--self",
                   *options]
        if kind == "sweep":
            total = 2 if self.short else SWEEP * self.seconds
            command += ["-T", f"{total:.0f}s", "-o",
                        str(self.output / f"sweep-{endpoint.split(':')[0]}")]
            if self.short:
                command = [word for word in command if word != "--edges"]
                command += ["-s", "0,48,49,4Ki"]
        else:
            seconds = self.seconds
            if "-P" in options or "--producers" in options:
                seconds = seconds if self.short else max(seconds, PRODUCERS_S)
            command += ["-t", f"{seconds * 1000:.0f}ms"]
        if self.short:
            command += ["-O", "20ms"]
        if kind == "load":
            command += ["--hlog", str(self.output / f"{name_of(run)}.hlog"),
                        "--plot", str(self.output / name_of(run))]
        return command

    def perform(self, run):
        if self.over():
            raise NotMeasured("the time was up")
        try:
            command = self.command(run)
        except bench_net.NoNetwork as why:
            raise NotMeasured(str(why)) from why
        print(f"bench: {run}", file=sys.stderr, flush=True)
        report = self.execute(run, command)
        self.keep(run, report)
        return report

    def keep(self, run, report):
        (self.output / f"{name_of(run)}.json").write_text(
            json.dumps(report, indent=1) + "\n")

    def place_now(self):
        try:
            return self.execute("lat", [
                self.weir, "perf", "lat", "shm:", "--self", "-s", "8", "-t",
                "100ms", "-O", "10ms"])["placement"]
        except NotMeasured:
            return None

    def see_missing(self):
        """The processors move by themselves, but may stay for minutes: what was
        seen in one placement only is run again in the other, as long as there
        is time."""
        tried = collections.Counter()
        while not self.over():
            missing = {run: lacking(run, report)
                       for run, report in self.results.items()}
            if not any(missing.values()):
                break
            place = self.place_now()
            wanted = [run for run in missing if place in missing[run]
                      and tried[run, place] < TRIES]
            if not wanted:
                time.sleep(1)
                continue
            run = min(wanted, key=lambda one: (tried[one, place],
                                               one.startswith("sweep")))
            tried[run, place] += 1
            print(f"bench: again, {place}: {run}", file=sys.stderr, flush=True)
            try:
                add_placements(run, self.results[run],
                               self.execute(run, self.command(run)))
                self.keep(run, self.results[run])
            except NotMeasured:
                pass  # what was seen stands

    def execute(self, run, command):
        try:
            done = subprocess.run([*command, "-J"], capture_output=True,
                                  text=True, check=False,
                                  timeout=60 + (SWEEP + 16) * self.seconds)
        except subprocess.TimeoutExpired as late:
            raise NotMeasured("the run took too long") from late
        if done.returncode == DEFECT or done.returncode < 0 or \
                "Sanitizer" in done.stderr:
            self.defects.append(f"{run}: {done.stderr.strip()}")
        if done.returncode not in (0, DEFECT):
            raise NotMeasured(done.stderr.strip() or
                              f"exit code {done.returncode}")
        report = json.loads(done.stdout)
        first = report["runs"][0] if "runs" in report else report
        self.host = self.host or first.get("host")
        return report

    def loads(self):
        return {run: result for run, result in self.results.items()
                if run.startswith("load") and isinstance(result, dict)}

    # ---- a death ----------------------------------------------------------

    def kill_peers(self, huge):
        """@return ms from SIGKILL to the end of the survivor, median."""
        if huge in self.deaths:
            return self.deaths[huge]
        if self.over():
            raise NotMeasured("the time was up")
        if huge and free_huge_pages() < HUGE_ENOUGH:
            raise NotMeasured("no huge pages are free")
        times = []
        for number in range(1 if self.short else KILLS):
            times.append(self.kill_peer(
                f"shm:bench-{os.getpid()}-{huge:d}-{number}",
                ["--hugepages", "require" if huge else "never"]))
        self.deaths[huge] = statistics.median(times), len(times)
        return self.deaths[huge]

    def kill_peer(self, endpoint, pages):
        with subprocess.Popen([self.weir, "-v", "perf", "serve", *pages,
                               endpoint],
                              stderr=subprocess.PIPE, text=True) as server:
            patience = threading.Timer(PATIENCE_S, server.kill)
            patience.start()
            try:
                await_line(server, "listening")
                with subprocess.Popen(
                        [self.weir, "perf", "lat", *pages, endpoint, "-t",
                         "60s"],
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL) as client:
                    try:
                        await_line(server, "new client")
                        time.sleep(0.3)
                        start = time.monotonic()
                        server.send_signal(signal.SIGKILL)
                        client.wait(timeout=PATIENCE_S)
                        return (time.monotonic() - start) * 1000
                    except subprocess.TimeoutExpired as late:
                        raise NotMeasured("the survivor did not end") from late
                    finally:
                        client.kill()
            finally:
                patience.cancel()
                server.kill()


def free_huge_pages():
    try:
        text = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^HugePages_Free: +(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def await_line(server, text):
    for line in server.stderr:
        if text in line:
            return
    raise NotMeasured(f"the server never said {text!r}")


def seen(run, report):
    """(what a run says of each placement, which of its keys has the weight)."""
    if run.startswith("sweep"):
        return report["no_cliff"], "sizes"
    if report.get("fault"):
        return report["fault"]["placements"], "pairs"
    return report["placements"], "windows"


def lacking(run, report):
    """@return the placements that the run has not seen long enough."""
    if not isinstance(report, dict) or not ("floor" in report or
                                            "no_cliff" in report):
        return []
    places, weight = seen(run, report)
    if weight == "sizes":
        judged = [found["placement"] for found in places
                  if found["verdict"] != "not measured"]
        return [place for place in PLACES if judged.count(place) < 2]
    return [place for place in PLACES
            if not any(found["placement"] == place and found[weight] >= ENOUGH
                       for found in places)]


def add_placements(run, report, more):
    """Of each placement, and of a sweep of each kind too, the run that saw it
    longer speaks."""
    places, weight = seen(run, report)
    for found in seen(run, more)[0]:
        same = [other for other in places
                if (other["placement"], other.get("kind")) ==
                (found["placement"], found.get("kind"))]
        if not same:
            places.append(found)
        elif found[weight] > same[0][weight]:
            places[places.index(same[0])] = found


def name_of(run):
    kept = [c if c.isalnum() or c in "-=." else "_" for c in run]
    return "".join(kept).replace("__", "_").strip("_")


# ---- a goal -------------------------------------------------------------------


def place_of(report, place):
    for found in report.get("placements") or []:
        if found["placement"] == place:
            return found
    raise NotMeasured(f"the processors were never {place}")


def known(value, place=None):
    if value is None:
        raise NotMeasured("fewer than 20 windows" +
                          (f" {place}" if place else ""))
    return value


def quantity(part, kind):
    """(figure, unit) of a result or a floor."""
    if kind == "lat":
        times = part.get("rtt32_ns") or part["rtt_ns"]
        return times["p50"], "ns"
    return part["msgs_per_s"], "msg/s"


def by_place(goal, runs, report, place):
    """@return value, weir's figure, floor's figure, unit."""
    found = place_of(report, place)
    kind = goal["run"].split()[0]
    ours, unit = quantity(found["result"], kind)
    floor = quantity(found["floor"], kind)[0] if found["floor"] else None
    value = goal["value"]
    if value in ("ratio", "ratio_p99"):
        if value == "ratio_p99":
            ours = found["result"]["rtt32_ns"]["p99"]
            floor = found["floor"] and found["floor"]["rtt_ns"]["p99"]
        if not found["floor"]:
            raise NotMeasured((report["warnings"] or [{"text": "no floor"}])
                              [0]["text"])
        return known(found[value], place), ours, floor, unit
    other = place_of(runs.get(goal["other"]), place)
    if min(found["windows"], other["windows"]) < ENOUGH:
        known(None, place)
    if value == "floor_over":
        ours = found["result"]["bytes_per_s"]
        floor, unit = other["floor"]["bytes_per_s"], "B/s"
    else:
        floor = quantity(other["result"], kind)[0]
    return known(ours) / known(floor), ours, floor, unit


def step_of(goal, report, place):
    for found in report["no_cliff"]:
        if (found["kind"], found["placement"]) != (goal["kind"], place):
            continue
        seen = f"{found['sizes']} of {found['planned']} sizes"
        if found["verdict"] == "not measured":
            raise NotMeasured(f"{seen} have a figure, no cliff among them")
        return (found["worst"], None, None, "",
                f"worst from {found['from']} to {found['to']} B, {seen}")
    raise NotMeasured(f"the processors were never {place} for long enough")


def goodput_of(report, place):
    """Beside it what raw frames that are kept in order come to."""
    for found in report["fault"]["placements"]:
        if found["placement"] == place and found["pairs"] >= ENOUGH:
            raw = found["raw_goodput"] if found["raw_pairs"] >= ENOUGH else None
            return (known(found["relative_goodput"]), None, raw, "",
                    f"{found['pairs']} windows; floor: raw frames in order")
    raise NotMeasured(f"the processors were never {place} for long enough")


def service_of(report, share, place):
    """Of an open loop, over the floor's closed loop."""
    for point in report["points"]:
        for found in point["placements"]:
            if (point["share"], found["placement"]) == (share, place) and \
                    found["ratio"] is not None:
                return (found["ratio"], found["service_ns"]["p50"],
                        found["floor_ns"]["p50"], "ns",
                        f"{found['floor_turns']} turns")
    raise NotMeasured(f"the processors were never {place} for long enough")


def slow_of(report):
    points = report["points"]
    if len(points) < 2:
        raise NotMeasured("no rate is kept up: the machine has other work")
    point = points[1]
    slow, p99_9 = point["slow"], point["response_ns"]["p99_9"]
    causes = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in
                       slow["causes"].items() if count) or "too few samples"
    return (p99_9 if p99_9 is not None else known(None), None, None, "ns",
            f"of {slow['samples']} slower: {causes}")


def copied_of(report, packet):
    """Without what was sent again, which is always copied. packet: bytes of
    payload in one."""
    tx, rx = report["counters"]["tx"], report["counters"]["rx"]
    messages = max(tx["messages"], 1)
    again = report["transport"]["retransmits"]
    copied = tx["copied_bytes"] + rx["copied_bytes"] - again * packet
    return (max(copied, 0) / messages, None, None, "B",
            f"{messages} messages of our side, and {again} packets sent again")


def producers_of(report, burst):
    """It takes turns with itself, wherever the processors are."""
    if report["windows"] < ENOUGH:
        raise NotMeasured("fewer than 20 windows")
    for run in report["runs"]:
        if run["burst"] == burst:
            return (run["ratio"], run["several_per_s"], run["one_per_s"],
                    "msg/s", f"{report['windows']} windows")
    raise NotMeasured(f"no windows with bursts of {burst}")


def counted_of(report, side):
    """Of the protocol core, by the first line of budget.py's table."""
    found = re.search(r"^fixed +1000 B +([\d.]+) +[\d.]+ +([\d.]+)",
                      report["output"], re.MULTILINE)
    if found is None:
        raise NotMeasured("the test printed no table")
    return (float(found[1 if side == "send" else 2]), None, None, "",
            "callgrind; the same on every machine")


def cycles_of(cycles, burst, packets):
    for run in cycles["runs"]:
        if (run["burst"], run["packets"]) == (burst, packets):
            ns = run["whole"] / cycles["ticks_per_ns"]
            return (run["whole"], None, None, "cycles",
                    f"{ns:.1f} ns, both sides; the parts stand below")
    raise NotMeasured("no such run")


def without_place(goal, runs):
    value = goal["value"]
    if value == "test":
        report = runs.test(goal["run"])
        return (1.0 if report["passed"] else 0.0), None, None, "", \
            f"the test {goal['run']}"
    if value == "instructions":
        return counted_of(runs.test(goal["run"]), goal["side"])
    if value == "dead_peer":
        median, count = runs.kill_peers(goal["pages"] == "huge")
        return median, None, None, "ms", f"median of {count}"
    if value == "cycles":
        return cycles_of(runs.cycles(), goal["burst"], goal["packets"])
    report = runs.get(goal["run"])
    if value == "slow":
        return slow_of(report)
    if value == "rest":
        return (report["rest"]["asleep"], report["rest"]["asleep"],
                report["rest"]["polling"], "CPU", "floor: polling")
    if value == "producers":
        return producers_of(report, goal["burst"])
    if value == "copied":
        one_packet = goal["any"] != ""
        return copied_of(report, report["test"]["size"] if one_packet else 0)
    raise ValueError(f"{goal['text']}: no such value: {value}")


def verdict(value, limit):
    if limit == "":
        return "shown"
    if limit == "passes":
        return "reached" if value == 1.0 else "missed"
    operator, number = limit.split()[:2]
    number = float(number)
    held = value <= number if operator == "<=" else value >= number
    return "reached" if held else "missed"


def disturbed(value, limit):
    """A link that does the same work cannot beat its floor by much."""
    return limit.startswith(">=") and float(limit.split()[1]) <= 1 and \
        value > 1.25


def judge(goal, runs, place):
    """One line of the report."""
    limit = goal.get(place, "")
    line = {"area": goal["area"], "text": goal["text"], "limit": limit,
            "placement": place if place in PLACES else None,
            "run": goal.get("run"), "value": None, "weir": None,
            "floor": None, "unit": "", "note": "", "verdict": "not measured"}
    try:
        if "why" in goal:
            raise NotMeasured(goal["why"])
        if runs.short and not goal.get("short"):
            raise NotMeasured("the short form leaves it out")
        if goal.get("needs", "") not in runs.help:
            raise NotMeasured(f"this weir perf has no {goal['needs']}")
        if place == "any":
            figures = without_place(goal, runs)
        elif goal["value"] == "step":
            figures = step_of(goal, runs.get(goal["run"]), place)
        elif goal["value"] == "service":
            figures = service_of(runs.get(goal["run"]), goal["share"], place)
        elif goal["value"] == "goodput":
            figures = goodput_of(runs.get(goal["run"]), place)
        else:
            figures = by_place(goal, runs, runs.get(goal["run"]), place)
        if goal["value"] == "ratio" and disturbed(figures[0], limit):
            raise NotMeasured(f"the floor was slower than the link, "
                              f"{1 / figures[0]:.2f} of it: the machine has "
                              "other work; BENCH_PRIO=1 puts it last")
        line.update(zip(("value", "weir", "floor", "unit", "note"), figures))
        line["verdict"] = verdict(line["value"], limit)
    except NotMeasured as why:
        line["note"] = str(why)
    return line


def judge_all(goals, runs):
    lines = []
    for goal in goals:
        places = [place for place in (*PLACES, "any") if place in goal]
        for place in places or ["any"]:
            lines.append(judge(goal, runs, place))
    return lines
