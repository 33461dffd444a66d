#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What loss costs a link over memif, as the table in docs/performance.md says:
#
#   goodput   1,400 byte messages, each congestion control and rate of loss,
#             relative to the same link without loss in the same run
#   tail      64 byte round trips at 0.1 % loss, beside those without
#
# Exit code 1 if cc=fixed or the tail misses its goal. With LOSS_PRIO=1 (root)
# the two processes run before everybody else's, for machines with other work.
# loss.sh WEIR [TIME]
set -u
weir=$(realpath "${1:?the path of weir}")
time=${2:-4s}
first=()
[ -z "${LOSS_PRIO:-}" ] || first=(chrt -r 5)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export WEIR_RUNTIME_DIR="$dir/run"
missed=0

run() { "${first[@]}" timeout 120 "$weir" perf "$@" --self -J >"$dir/json"; }

echo "goodput relative to no loss, 1,400 B, memif"
echo "cc         loss   relative  Mmsg/s  without  sent again  windows"
for cc in fixed swift dctcp newreno; do
	for goal in 0.1:0.99 1:0.95 5:0.75; do
		run bw "dpdk:,cc=$cc" -s 1400 -t "$time" \
			--fault "loss=${goal%:*}%,seed=1" || missed=1
		python3 - "$dir/json" $cc ${goal%:*} ${goal#*:} <<'END' || missed=1
import json, sys
r = json.load(open(sys.argv[1]))
got = r["relative_goodput"]
held = sys.argv[2] != "fixed" or got >= float(sys.argv[4])
print(f"{sys.argv[2]:8} {sys.argv[3]:>5} %  {got:9.3f} "
      f"{r['result']['msgs_per_s'] / 1e6:7.2f} "
      f"{r['fault']['clean_msgs_per_s'] / 1e6:8.2f} "
      f"{r['transport']['retransmits']:11} {r['fault']['pairs']:8}"
      + ("" if held else f"  MISSED: goal {sys.argv[4]}"))
sys.exit(not held)
END
	done
done

echo
echo "round trips of 64 B at 0.1 % loss, us"
run lat "dpdk:,cc=fixed" -s 64 -t "$time" --fault loss=0.1%,seed=1 || missed=1
python3 - "$dir/json" <<'END' || missed=1
import json, sys
r = json.load(open(sys.argv[1]))
lossy, clean = r["result"]["rtt_ns"], r["fault"]["clean_rtt_ns"]
srtt = r["counters"]["link"]["srtt_ns"]
# 3 srtt + max_ack_delay + 10 us, and what the machine adds without loss.
delay = 20000
goal = 3 * srtt + delay + 10000 + clean["p99_9"]
for name, rtt in (("without", clean), ("with", lossy)):
    print(f"{name:8} " + "  ".join(
        f"{q} {(rtt[q] or 0) / 1000:.1f}" for q in ("p50", "p99", "p99_9", "max")))
print(f"p99.9 {lossy['p99_9'] / 1000:.1f}, goal {goal / 1000:.1f} "
      f"(srtt {srtt / 1000:.1f})")
sys.exit(lossy["p99_9"] > goal)
END
exit $missed
