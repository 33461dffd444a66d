#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# weir cat between two network namespaces joined by a veth pair, over
# af_packet and af_xdp: content, killed peers, -D names, an absent peer; IPv6,
# VLANs and distance.
# Needs root. cat_net.sh WEIR
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

A=weirt$$a B=weirt$$b
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

cd "$DIR" || exit 1
head -c ${WEIR_CHECK_LONG:+20}4000011 /dev/urandom >bytes # long: 204 MB
printf 'one\n\nthree\n' >short
# What runs in the namespaces; background takes the program from WEIR.
PROGRAM=$WEIR
mkdir bin
# Huge pages may go to another test between a look at them and their use.
for side in a b; do
	[ $side = a ] && ns=$A || ns=$B
	printf '#!/bin/sh\nexec ip netns exec %s "%s" --hugepages=never "$@"\n' $ns "$PROGRAM" \
		>bin/$side
done
chmod +x bin/a bin/b
at() { WEIR="$DIR/bin/$1"; }

said() {
	sed '/: listening$/d; / sent .* received /d; /^weir: \[/d' \
		"$1.err" >"$1.said"
	one_line "$1.said" "$2"
}

for pmd in net_af_packet net_af_xdp; do
	HERE="dpdk:10.77.0.1:7400,dev=${pmd}0,dev.iface=v0,local=10.77.0.1/24"
	THERE="dpdk:10.77.0.1:7400,dev=nic,local=10.77.0.2/24"
	NIC="nic=${pmd}0,iface=v1"

	begin "$pmd: a device that cannot be opened"
	at a
	timeout $LIMIT "$WEIR" cat -l "${HERE/v0/v9}" </dev/null 2>far.err
	equal 'exit code' 3 $?
	one_line far.err v9

	begin "$pmd: bytes, both ways at once"
	at a
	background far cat -v -f file -l "$HERE" <short
	listening far
	at b
	timeout $LIMIT "$WEIR" cat -f file -D "$NIC" "$THERE" <bytes \
		>near.out 2>near.err
	rc=$?
	equal 'exit code' 0 $rc
	equal 'stderr' '' "$(cat near.err)"
	ended far 0
	[ $rc = 0 ] || continue
	same bytes far.out
	same short near.out

	begin "$pmd: nobody answers"
	at b
	timeout $LIMIT "$WEIR" cat -w 500ms -D "$NIC" "$THERE" </dev/null \
		2>near.err
	equal 'exit code' 3 $?
	one_line near.err 10.77.0.1

	for side in near far; do
		begin "$pmd: the $side end is killed"
		at a
		background far cat -v -f file -l "$HERE" </dev/null
		listening far
		at b
		background near cat -v -f file -D "$NIC" "$THERE" </dev/zero
		until_true test -s far.out
		kill -KILL "${PIDS[$side]}"
		ended $side 137
		other=$([ $side = near ] && echo far || echo near)
		ended "$other" 1
		said "$other" dead

		CASE="$pmd: the next start works"
		at a
		background far cat -v -l "$HERE" </dev/null
		listening far
		at b
		timeout $LIMIT "$WEIR" cat -D "$NIC" "$THERE" <short
		equal 'exit code' 0 $?
		ended far 0
		same short far.out
		nothing_left
	done

	begin "$pmd: SIGINT"
	at a
	background far cat -v -f file -l "$HERE" </dev/null
	listening far
	at b
	background near cat -v -f file -D "$NIC" "$THERE" </dev/zero
	until_true test -s far.out
	kill -INT "${PIDS[near]}"
	ended near 130
	ended far 1
	said far 'gave up'
done

# From PMD HERE-KEYS THERE-KEYS ADDRESS: bytes cross, or nobody is found.
cross() {
	at a
	background far cat -f file -v -l \
		"dpdk:*:7400,dev=${1}0,dev.iface=v0,$2" </dev/null
	listening far
	at b
	timeout $LIMIT "$WEIR" cat -w "${5:-10s}" -f file \
		"dpdk:$4:7400,dev=${1}0,dev.iface=v1,$3" <bytes 2>near.err
}
meet() {
	begin "$1: $2 meets $3"
	cross "$@"
	equal 'exit code' 0 $?
	equal 'stderr' '' "$(cat near.err)"
	ended far 0
	same bytes far.out
}
miss() {
	begin "$1: $2 misses $3"
	cross "$@" 700ms
	equal 'exit code' 3 $?
	kill -INT "${PIDS[far]}"
	ended far 130
}

head -c 3000011 /dev/urandom >bytes
for pmd in net_af_packet net_af_xdp; do
	meet $pmd local=fd00:77::1/64 local=fd00:77::2/64 '[fd00:77::1]'
	meet $pmd local=fe80::1/64,vlan=7,pcp=5 local=fe80::2/64,vlan=7 \
		'[fe80::1]'
done
meet net_af_packet local=10.77.0.1/24,vlan=4094 \
	local=10.77.0.2/24,vlan=4094 10.77.0.1
meet net_af_packet local=fd00:77::1/64,ttl-min=255 \
	local=fd00:77::2/64,ttl-min=255 '[fd00:77::1]'
meet net_af_packet local=fd00:77::1/64,vlan=9,crc=on \
	local=fd00:77::2/64,vlan=9,crc=require '[fd00:77::1]'
meet net_af_xdp local=10.77.0.1/24,crc=require,cookie=pressure \
	local=10.77.0.2/24,crc=on 10.77.0.1
miss net_af_packet local=10.77.0.1/24,vlan=7 local=10.77.0.2/24 10.77.0.1
miss net_af_packet local=fd00:77::1/64,vlan=7 local=fd00:77::2/64,vlan=8 \
	'[fd00:77::1]'
miss net_af_packet local=fd00:77::1/64,ttl-min=255 local=fd00:77::2/64 \
	'[fd00:77::1]'

begin 'addresses that cannot be'
at a
for wrong in 'dpdk:fd00::1,dev=net_af_packet0,dev.iface=v0,local=fd00::2/64' \
	'dpdk:[fd00::1:7400,dev=net_af_packet0,dev.iface=v0,local=fd00::2/64' \
	'dpdk:[fd00::1]:7400,dev=net_af_packet0,dev.iface=v0,local=fd00::2' \
	'dpdk:[fd00::1]:7400,dev=net_af_packet0,dev.iface=v0,local=10.0.0.1/8' \
	'dpdk:[fd00::1]:7400,dev=net_af_packet0,dev.iface=v0,local=fd00::2/64,pcp=1' \
	'dpdk:[fd00::1]:7400,dev=net_af_packet0,dev.iface=v0,local=fd00::2/64,vlan=4095'
do
	timeout $LIMIT "$WEIR" cat "$wrong" </dev/null 2>near.err
	equal "exit code of $wrong" 2 $?
	equal "lines for $wrong" 1 "$(wc -l <near.err)"
done

begin 'check of a device'
at a
timeout $LIMIT "$WEIR" check "$HERE" >check.out
equal 'exit code' 0 $?
grep -q '^ok    interface   v0: up' check.out || fail "$CASE: $(cat check.out)"
grep -q '^ok    endpoint' check.out || fail "$CASE: $(cat check.out)"
! grep -q '^info  steering' check.out || fail "$CASE: $(cat check.out)"
timeout $LIMIT "$WEIR" check -J \
	"${HERE/af_xdp/af_packet},queues=2,queue=0" >check.out
equal 'exit code' 0 $?
grep -q '2 queues, steering by' check.out || fail "$CASE: $(cat check.out)"
grep -q '"name": "steering"' check.out || fail "$CASE: $(cat check.out)"
ip -n $A link set v0 down
timeout $LIMIT "$WEIR" check "$HERE" >check.out
equal 'exit code' 3 $?
grep -q '^fail  interface   v0: down' check.out ||
	fail "$CASE: $(cat check.out)"

nothing_left
finish
