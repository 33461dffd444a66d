#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Links over devices that lose, repeat, reorder, delay and damage frames, and
# over cables that are pulled: memif, af_packet and af_xdp. Content, order and
# counts are checked, never how fast it was.
# WEIR_CHECK_LONG=1: every kind of fault alone, and longer. fault.sh WEIR
. "$(dirname "$0")/lib.sh"
no_leak_check

if ! "$WEIR" info | grep -q '^dpdk .*[0-9]'; then
	echo "no dpdk driver here"
	exit 77
fi
LONG=${WEIR_CHECK_LONG:-}
ALL=loss=1%,burst=0.05%:10,dup=1%,reorder=1%:8,truncate=0.2%,delay=20us:50us
TIME=${LONG:+5s}

# counts FILE EXPRESSION: a Python expression over the JSON object r.
counts() {
	python3 - "$1" "$2" <<-'END' || fail "$CASE: $2 does not hold for $(cat "$1")"
		import json, sys
		r = json.load(open(sys.argv[1]))
		sys.exit(0 if eval(sys.argv[2]) else 1)
	END
}

# perf SPEC KIND ENDPOINT ARGUMENT...: both sides, content looked at.
perf() {
	local spec=$1 kind=$2 link=$3

	shift 3
	timeout 120 "$WEIR" perf "$kind" "$link" --self --verify -J \
		-t "${TIME:-400ms}" -O 0 --fault "$spec" "$@" \
		>"$DIR/json" 2>"$DIR/err"
	equal "exit code of $kind $link $spec" 0 $?
	[ ! -s "$DIR/err" ] || fail "$CASE: stderr: $(cat "$DIR/err")"
	[ -s "$DIR/json" ] || return
	counts "$DIR/json" "sum(r['integrity'].values()) == 0"
	counts "$DIR/json" "r['fault']['spec'] == '$spec'"
	counts "$DIR/json" "r['fault']['pairs'] > 0"
	counts "$DIR/json" "r['fault']['peers']['frames'] > 0"
}

# device ENDPOINT [--peer ENDPOINT]: a device with every kind of fault.
device() {
	local kind

	# Frames with a wire have a checksum, the others the trailer.
	for kind in lat bw; do
		perf "$ALL,corrupt=0.5%,seed=3" $kind "$@" -s 1000
	done
	perf "$ALL,corrupt=0.5%,seed=4" bw "$@" -s 100000
	counts "$DIR/json" "r['transport']['retransmits'] > 0"
	[ -n "$LONG" ] || return
	for kind in loss=5% burst=0.2%:20 dup=5% reorder=5%:20 delay=100us \
		delay=10us:200us corrupt=2% truncate=2%; do
		perf "$kind" bw "$@" -s 1000
		perf "$kind" lat "$@" -s 64
	done
}

begin "what a fault may not be"
timeout 20 "$WEIR" perf lat dpdk:$NAME --self --fault loss=1 2>"$DIR/err"
equal "exit code" 2 $?
one_line "$DIR/err" 'loss=1: not a rate'
timeout 20 "$WEIR" perf lat shm:$NAME --self --fault loss=1% 2>"$DIR/err"
equal "exit code" 2 $?
one_line "$DIR/err" 'only dpdk: endpoints'
timeout 20 "$WEIR" cat -l dpdk:$NAME --fault los=1% 2>"$DIR/err" </dev/null
equal "exit code" 2 $?
one_line "$DIR/err" 'no such fault'

begin "the environment's is for devices only"
WEIR_FAULT=loss=1% timeout 60 "$WEIR" perf lat shm:$NAME --self -J -t 100ms \
	>"$DIR/json"
equal "exit code" 0 $?
counts "$DIR/json" "r['fault'] is None and r['relative_goodput'] is None"

begin "memif"
device dpdk:$NAME,crc=on
perf loss=1%,seed=5 bw dpdk:$NAME -s 1400
counts "$DIR/json" "0 < r['relative_goodput'] < 10"
counts "$DIR/json" "r['fault']['peers']['lost'] > 0"
counts "$DIR/json" "0 < r['fault']['raw_goodput'] < 10"
counts "$DIR/json" "sum(p['pairs'] for p in r['fault']['placements']) <= r['fault']['pairs']"
nothing_left

if [ "$(id -u)" != 0 ] || ! command -v ip >/dev/null; then
	echo "the rest needs root and ip"
	finish
fi
A=weirf$$a B=weirf$$b
net_down() {
	cleanup
	ip netns del $A 2>/dev/null
	ip netns del $B 2>/dev/null
}
trap net_down EXIT
if ! ip netns add $A 2>"$DIR/err" || ! ip netns add $B 2>>"$DIR/err" ||
	! ip -n $A link add v0 type veth peer name v1 netns $B 2>>"$DIR/err"
then
	echo "the rest needs namespaces: $(cat "$DIR/err")"
	finish
fi
for side in "$A v0" "$B v1"; do
	set -- $side
	ip netns exec $1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1
	ip -n $1 link set lo up
	ip -n $1 link set $2 up
done
PROGRAM=$WEIR
mkdir "$DIR/bin"
for side in a b; do
	[ $side = a ] && ns=$A || ns=$B
	printf '#!/bin/sh\nexec ip netns exec %s "%s" --hugepages=never "$@"\n' \
		$ns "$PROGRAM" >"$DIR/bin/$side"
done
chmod +x "$DIR/bin/a" "$DIR/bin/b"
at() { WEIR="$DIR/bin/$1"; }
head -c ${LONG:+40}8000011 /dev/urandom >"$DIR/bytes"

# listen PMD ARGUMENT...: a receiver of the file, as $DIR/got.
listen() {
	local pmd=$1

	shift
	at b
	background b cat -l "dpdk:*:7400,dev=${pmd}0,dev.iface=v1,local=10.7.0.2/24,crc=on" \
		-v --recv-only --frame length -o "$DIR/got" "$@" </dev/null
	until_true grep -q listening "$DIR/b.err"
}

# send PMD ARGUMENT...: the file, in messages of 30,000 bytes.
send() {
	local pmd=$1

	shift
	at a
	python3 - "$DIR/bytes" >"$DIR/framed" <<-'END'
		import struct, sys
		data = open(sys.argv[1], "rb").read()
		out = sys.stdout.buffer
		for at in range(0, len(data), 30000):
		    part = data[at:at + 30000]
		    out.write(struct.pack("<I", len(part)) + part)
	END
	background a cat "dpdk:10.7.0.2:7400,dev=${pmd}0,dev.iface=v0,local=10.7.0.1/24,crc=on" \
		--send-only --frame length -i "$DIR/framed" "$@" </dev/null
}

arrived() {
	ended a 0
	ended b 0
	cmp "$DIR/framed" "$DIR/got" || fail "$CASE: content differs"
}

for pmd in net_af_packet net_af_xdp; do
	if [ $pmd = net_af_xdp ] && ! "$DIR/bin/a" check --help >/dev/null; then
		continue
	fi
	begin "$pmd: a file with every kind of fault, both ways"
	listen $pmd --fault "$ALL,corrupt=0.5%,corrupt=0.2%:sum,seed=6"
	send $pmd --fault "$ALL,corrupt=0.5%,corrupt=0.2%:sum,seed=7"
	arrived

	begin "$pmd: the cable is pulled, either end"
	listen $pmd
	send $pmd --rate 400
	for side in "$A v0" "$B v1"; do
		set -- $side
		sleep 0.1
		ip -n $1 link set $2 down
		sleep 0.2
		ip -n $1 link set $2 up
	done
	arrived

	begin "$pmd: the receiver stands still, its descriptors run out"
	listen $pmd
	send $pmd
	sleep 0.05
	kill -STOP "${PIDS[b]}"
	sleep 0.5
	kill -CONT "${PIDS[b]}"
	arrived
done

begin "weir lab: the cable's faults are the commands'"
WEIR=$PROGRAM
timeout 100 "$WEIR" lab run --fault loss=2%,dup=1%,seed=8 -- \
	perf bw -s 1000 -t 400ms --verify -J >"$DIR/json" 2>"$DIR/err"
rc=$?
if [ $rc = 3 ]; then
	echo "no lab here: $(cat "$DIR/err")"
else
	equal "exit code" 0 $rc
	counts "$DIR/json" "sum(r['integrity'].values()) == 0"
	counts "$DIR/json" "r['transport']['retransmits'] > 0"
fi
nothing_left
finish
