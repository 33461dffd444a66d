# SPDX-License-Identifier: BSD-3-Clause
"""report.md, report.json and the plots of bench.py, and whether they are
whole."""
import collections
import json
import shutil
import subprocess

import bench_runs

VERDICTS = ("reached", "missed", "shown", "not measured")
HEAD = """# What weir reaches on this machine

{time}, {seconds} s in all, {seconds_per_run} s for each run; {cpu}, {cpus}
processors{vm}, Linux {kernel}.

A ratio compares a link with the machine's floor in the same windows of the same
run; docs/performance.md says how. near and far is the distance of the two
processors, which a virtual machine changes by itself: what was seen in too few
windows has no ratio.
"""


def figure(value, unit):
    if value is None:
        return "-"
    if unit == "ns":
        return f"{value / 1000:.3f} us"
    if unit in ("msg/s", "B/s"):
        for letter, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
            if value >= factor:
                return f"{value / factor:.2f} {letter}{unit}"
    digits = ",.0f" if abs(value) >= 1000 else ".4g"
    return f"{value:{digits}} {unit}".strip()


def value_text(line):
    if line["value"] is None:
        return "-"
    if line["unit"] in ("ms", "B") or line["weir"] is None and line["unit"]:
        return figure(line["value"], line["unit"])
    return f"{line['value']:.3f}"


def escape(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def row(*cells):
    return "| " + " | ".join(escape(cell) for cell in cells) + " |\n"


def goals_text(report, area):
    text = f"\n## {area}\n\n" + row(
        "what", "placement", "goal", "measured", "weir", "floor", "verdict",
        "remarks") + "|---" * 8 + "|\n"
    for line in report["goals"]:
        if line["area"] == area:
            text += row(line["text"], line["placement"] or "-",
                        line["limit"] or "-", value_text(line),
                        figure(line["weir"], line["unit"]),
                        figure(line["floor"], line["unit"]),
                        line["verdict"], line["note"])
    return text


def times_cells(times):
    return [figure(times[q], "ns") for q in
            ("p50", "p99", "p99_9", "p99_99", "max")]


def floors_text(load):
    lines = [(point["share"], place) for point in load["points"]
             for place in point["placements"] if place["ratio"] is not None]
    if not lines:
        return ""
    return "\nService beside the floor's closed loop:\n\n" + row(
        "share", "placement", "service p50", "floor p50", "ratio", "at p99") + \
        "|---" * 6 + "|\n" + "".join(
            row(f"{share:.0%}", place["placement"],
                figure(place["service_ns"]["p50"], "ns"),
                figure(place["floor_ns"]["p50"], "ns"), place["ratio"],
                "-" if place["ratio_p99"] is None else place["ratio_p99"])
            for share, place in lines)


def load_text(run, load):
    if not load["points"]:
        return f"\n`weir perf {run}`: no rate was kept up.\n"
    text = (f"\n`weir perf {run}`: the highest rate that is kept up is "
            f"{figure(load['max_rate'], 'msg/s')}.\n\n")
    text += row("share", "rate", "what", "samples", "p50", "p99", "p99.9",
                "p99.99", "max") + "|---" * 9 + "|\n"
    for point in load["points"]:
        for name in ("response", "service", "reserve_wait"):
            times = point[f"{name}_ns"]
            text += row(f"{point['share']:.0%}",
                        figure(point["rate"], "msg/s"),
                        name.replace("_", " "), times["samples"],
                        *times_cells(times))
    text += floors_text(load)
    text += "\nSlower than p99.9, and why:\n\n"
    for point in load["points"]:
        causes = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count
                           in point["slow"]["causes"].items() if count)
        text += (f"- {point['share']:.0%}: {point['slow']['samples']} "
                 f"messages: {causes or 'too few samples'}\n")
    return text


def loads_text(report):
    if not report["loads"]:
        return ""
    return "\n## Open loop\n" + "".join(
        load_text(run, load) for run, load in report["loads"].items())


COST = """
## The cost of a message by part

A dpdk link over net_ring on one thread, 64 B, both sides and the two rings that
are the device, per message: cycles of the time stamp counter ({ghz:.2f} a ns) and
instructions. Around the clock the processor finishes one part before it begins the
next; the whole is timed without that.

"""


def cost_text(report):
    cost = report["cost"]
    if cost is None:
        return ""
    text = COST.format(ghz=cost["ticks_per_ns"])
    text += row("burst, packets", "", *bench_runs.PARTS, "sum", "whole") + \
        "|---" * (len(bench_runs.PARTS) + 4) + "|\n"
    for run in cost["cycles"]:
        name = f"{run['burst']}, {run['packets']}"
        parts = [run[part] for part in bench_runs.PARTS]
        text += row(name, "cycles", *parts, round(sum(parts), 1), run["whole"])
        for counted in cost["instructions"]:
            if (counted["burst"], counted["packets"]) == \
                    (run["burst"], run["packets"]):
                parts = [counted[part] for part in bench_runs.PARTS]
                text += row(name, "instructions", *parts,
                            round(sum(parts), 1), "")
    return text


def comparison_text(report):
    text = ("\n## Beside others\n\nRound trips p50 (libfabric: mean), rates "
            "counted by the receiver; the median of the rounds, without regard "
            "to placement.\n\n")
    text += row("where", "test", "bytes", "who", "figure", "rounds",
                "remarks") + "|---" * 7 + "|\n"
    for line in report["comparison"]:
        text += row(line["where"],
                    "round trip" if line["kind"] == "lat" else "one way",
                    line["size"], line["name"],
                    figure(line["value"], line["unit"]), line["rounds"],
                    line["note"])
    return text


def summary(report):
    counts = collections.Counter(line["verdict"] for line in report["goals"])
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)


def markdown(report, pictures):
    host = report["host"] or {"cpu": "?", "cpus": "?", "vm": False,
                              "kernel": "?"}
    text = HEAD.format(**report, **{**host, "vm": ", virtual"
                                    if host["vm"] else ""})
    text += f"\n**{summary(report)}**\n"
    if report["defects"]:
        text += "\n**Lost or corrupt messages:**\n\n" + "".join(
            f"- {defect}\n" for defect in report["defects"])
    for area in sorted({line["area"] for line in report["goals"]},
                       reverse=True):
        text += goals_text(report, area)
    text += cost_text(report) + loads_text(report) + comparison_text(report)
    text += "\n## Plots\n\n" + ("".join(
        f"![{picture}]({picture})\n" for picture in pictures)
        or "None: gnuplot is not installed, or nothing was seen long enough.\n")
    return text


# ---- plot of the comparison ----------------------------------------------------

SCRIPT = """# gnuplot compare.gp: the comparison as SVG and PNG
set style fill solid 0.6
set boxwidth 0.7
set logscale y
set grid y
set xtics rotate by -30
unset key
do for [end in 'svg png'] {
if (end eq 'svg') { set terminal svg size 1100,800 dynamic }
if (end eq 'png') { set terminal pngcairo size 1100,800 }
set output 'compare.'.end
set multiplot layout 2,1
"""


def plot_comparison(report, folder):
    blocks, script = "", SCRIPT
    for kind, label in (("lat", "round trip of 64 B, us"),
                        ("bw", "64 B one way, messages/s")):
        lines = [line for line in report["comparison"]
                 if line["kind"] == kind and line["size"] == 64 and
                 line["value"]]
        if not lines:
            continue
        blocks += f"# {kind}: who figure\n" + "".join(
            f"\"{line['name']}\" {line['value']}\n" for line in lines) + "\n\n"
        script += (f"set ylabel '{label}'\nplot 'compare.dat' index '{kind}:' "
                   "using 0:2:xtic(1) with boxes\n")
    (folder / "compare.dat").write_text(blocks)
    (folder / "compare.gp").write_text(
        script + "unset multiplot\nunset output\n}\n")
    if blocks and shutil.which("gnuplot"):
        subprocess.run(["gnuplot", "compare.gp"], cwd=folder, check=False,
                       capture_output=True, timeout=120)


# ---- files ---------------------------------------------------------------------


def write(report, folder):
    plot_comparison(report, folder)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    pictures = sorted(str(path.relative_to(folder))
                      for path in folder.rglob("*.svg"))
    (folder / "report.md").write_text(markdown(report, pictures))


def check_line(line):
    """What is wrong with a line of the report; None: nothing."""
    if line["verdict"] not in VERDICTS:
        return f"no such verdict: {line['verdict']}"
    if line["verdict"] == "not measured":
        return None if line["note"] else "not measured, and no reason"
    if not isinstance(line["value"], (int, float)):
        return "a verdict without a figure"
    if (line["verdict"] == "shown") != (line["limit"] == ""):
        return "verdict and limit disagree"
    return None


def check(folder, goals):
    """Read what was written; @return what is wrong with it."""
    report = json.loads((folder / "report.json").read_text())
    text = (folder / "report.md").read_text()
    wanted = collections.Counter()
    for goal in goals:
        places = [place for place in ("near", "far", "any") if place in goal]
        for place in places or ["any"]:
            wanted[(goal["area"], goal["text"],
                    None if place == "any" else place)] += 1
    found = collections.Counter((line["area"], line["text"],
                                 line["placement"])
                                for line in report["goals"])
    faults = [f"{key}: {wanted[key]} wanted, {found[key]} in the report"
              for key in wanted | found if wanted[key] != found[key]]
    for line in report["goals"]:
        fault = check_line(line)
        if fault is not None:
            faults.append(f"{line['text']}: {fault}")
        if escape(line["text"]) not in text:
            faults.append(f"{line['text']}: not in report.md")
    if not report["comparison"]:
        faults.append("no comparison")
    return faults
