#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Messages of 16 MiB over af_xdp on a veth pair that loses 1 % of all frames,
# repeats and reorders some: every byte is looked at, and the memory of both
# processes must not grow. 200 MB; WEIR_CHECK_LONG=1: 10 GB.
# Needs root. fault_large.sh WEIR [ENDPOINT KEYS, for example cc=fixed]
. "$(dirname "$0")/lib.sh"
no_leak_check

if [ "$(id -u)" != 0 ] || ! command -v ip >/dev/null; then
	echo "needs root and ip"
	exit 77
fi
if ! "$WEIR" info | grep -q '^dpdk .*[0-9]'; then
	echo "no dpdk driver here"
	exit 77
fi
KEYS=${2:-cc=fixed}
COUNT=${WEIR_CHECK_LONG:+596} # of 16 MiB: 10 GB
COUNT=${COUNT:-12}
FAULT=loss=1%,dup=0.5%,reorder=1%:8
GROWTH=8192 # KiB that a process may grow by in the second half

A=weirg$$a B=weirg$$b
net_down() {
	cleanup
	ip netns del $A 2>/dev/null
	ip netns del $B 2>/dev/null
}
trap net_down EXIT
if ! ip netns add $A 2>"$DIR/err" || ! ip netns add $B 2>>"$DIR/err" ||
	! ip -n $A link add v0 type veth peer name v1 netns $B 2>>"$DIR/err"
then
	echo "cannot make namespaces: $(cat "$DIR/err")"
	exit 77
fi
for side in "$A v0" "$B v1"; do
	set -- $side
	ip netns exec $1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1
	ip -n $1 link set lo up
	ip -n $1 link set $2 up
done

# in NS NAME ARGUMENT...: weir there, in the background; its own process.
inside() {
	local ns=$1 name=$2

	shift 2
	ip netns exec $ns "$WEIR" --hugepages=never "$@" </dev/null \
		>"$DIR/$name.out" 2>"$DIR/$name.err" &
	PIDS[$name]=$!
}

rss() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/${PIDS[$1]}/status" 2>/dev/null; }

begin "16 MiB messages, $COUNT of them, $FAULT, $KEYS"
inside $B b perf serve -v -s 16Mi -n 1 --verify --fault "$FAULT,seed=21" \
	"dpdk:*:7400,dev=net_af_xdp0,dev.iface=v1,local=10.7.0.2/24,$KEYS"
until_true grep -q listening "$DIR/b.err"
start=$(date +%s.%N)
inside $A a perf bw -s 16Mi -b 1 -n $COUNT -t 3600s -O 0 --verify -J \
	--fault "$FAULT,seed=22" \
	"dpdk:10.7.0.2:7400,dev=net_af_xdp0,dev.iface=v0,local=10.7.0.1/24,$KEYS"
LIMIT=3600
while ! gone "${PIDS[a]}"; do
	rss a >>"$DIR/a.rss"
	rss b >>"$DIR/b.rss"
	sleep 0.1
done
ended a 0
end=$(date +%s.%N)
ended b 0
python3 - "$DIR/a.out" "$COUNT" "$start" "$end" <<'END' || fail "$CASE: see above"
import json, sys
r = json.load(open(sys.argv[1]))
count, took = int(sys.argv[2]), float(sys.argv[4]) - float(sys.argv[3])
size = count * 16 * 2**20
print(f"  {size / 1e9:.2f} GB in {took:.0f} s, {size / took / 1e6:.1f} MB/s; "
      f"of {r['transport']['tx_packets']} packets "
      f"{r['transport']['retransmits']} were sent again, "
      f"{r['transport']['rto_fired']} time-outs; {r['integrity']}")
sys.exit( sum(r["integrity"].values()) != 0
         or r["transport"]["retransmits"] == 0)
END
# Large buffers are touched one after the other: what the first half of the
# time has taken must do for the second.
for side in a b; do
	python3 - "$DIR/$side.rss" $side $GROWTH <<'END' || fail "$CASE: memory grows"
import sys
kib = [int(line) for line in open(sys.argv[1])]
half = len(kib) // 2
first, second = max(kib[:half]), max(kib[half:])
print(f"  memory of {sys.argv[2]}: at most {first} KiB in the first half, "
      f"{second} KiB in the second, {len(kib)} samples")
sys.exit(second - first > int(sys.argv[3]))
END
done
finish
