#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# weir lab: both ends of a command, other programs, exit codes, and that
# nothing survives whoever is killed. lab.sh WEIR
. "$(dirname "$0")/lib.sh"

if ! "$WEIR" lab run true 2>"$DIR/err"; then
	echo "no lab here: $(cat "$DIR/err")"
	exit 77
fi
cd "$DIR" || exit 1

# Processes of this test that run inside of labs are known by this word.
MARK=86411$$
count_marked() {
	pgrep -fc "sleep $MARK" || true
}
none_marked() {
	[ "$(count_marked)" = 0 ]
}
some_marked() {
	[ "$(count_marked)" -ge "$1" ]
}

begin "a program sees one interface, and the other end with another"
timeout $LIMIT "$WEIR" lab run -- sh -c \
	'ls /sys/class/net >/dev/null; cat /proc/net/dev;
	 echo "$WEIR_LAB_LISTEN"; echo "$WEIR_LAB_CONNECT"' >out 2>err
equal "exit code" 0 $?
equal "v0" 1 "$(grep -c '^ *v0:' out)"
equal "interfaces" 2 "$(grep -c '^ *[a-z0-9]*: ' out)"
equal "listen" 1 "$(grep -c '^dpdk:\*:7400,.*local=10.7.0.1' out)"
equal "connect" 1 "$(grep -c '^dpdk:10.7.0.1:7400,.*local=10.7.0.2' out)"

begin "endpoints of the other kind: IPv6, in a VLAN"
timeout $LIMIT "$WEIR" lab run --ipv6 --vlan 7 -- sh -c \
	'echo "$WEIR_LAB_LISTEN"; echo "$WEIR_LAB_CONNECT"' >out 2>err
equal "exit code" 0 $?
equal "listen" 1 "$(grep -c '^dpdk:\*:7400,.*local=fd00:7::1/64,vlan=7$' out)"
equal "connect" 1 \
	"$(grep -c '^dpdk:\[fd00:7::1\]:7400,.*local=fd00:7::2/64,vlan=7$' out)"
timeout $LIMIT "$WEIR" lab run --ipv6 --mtu 1000 true 2>err
equal "too small for IPv6" 2 $?
equal "one line" 1 "$(wc -l <err)"
timeout $LIMIT "$WEIR" lab run --vlan 4095 true 2>err
equal "no VLAN" 2 $?

begin "enter b goes to the other namespace"
timeout $LIMIT "$WEIR" lab run -- sh -c \
	"readlink /proc/self/ns/net; '$WEIR' lab enter b -- readlink /proc/self/ns/net; '$WEIR' lab enter a -- readlink /proc/self/ns/net" >out 2>err
equal "lines" 3 "$(wc -l <out)"
equal "a twice, b once" 2 "$(sort -u out | wc -l)"
equal "a is where we were" "$(sed -n 1p out)" "$(sed -n 3p out)"

begin "exit codes are the command's"
timeout $LIMIT "$WEIR" lab run -- sh -c 'exit 7' 2>err
equal "exit 7" 7 $?
timeout $LIMIT "$WEIR" lab run -- sh -c 'kill -9 $$' 2>err
equal "killed" 137 $?
timeout $LIMIT "$WEIR" lab run -- ./no-such-program 2>err
equal "not found" 127 $?
equal "one line" 1 "$(wc -l <err)"
timeout $LIMIT "$WEIR" lab walk 2>err
equal "usage" 2 $?
timeout $LIMIT "$WEIR" lab enter --name "$NAME" a true 2>err
equal "not up" 3 $?

begin "a lab stays until it is taken down"
timeout $LIMIT "$WEIR" lab up --name "$NAME" >out 2>err
equal "up" 0 $?
timeout $LIMIT "$WEIR" lab up --name "$NAME" >out 2>err
equal "up again" 3 $?
timeout $LIMIT "$WEIR" lab enter --name "$NAME" b -- cat /proc/net/dev >out
equal "v0 in b" 1 "$(grep -c '^ *v0:' out)"
timeout $LIMIT "$WEIR" lab down --name "$NAME"
equal "down" 0 $?
timeout $LIMIT "$WEIR" lab down --name "$NAME" 2>err
equal "down again" 3 $?

begin "daemons of the command end with it"
timeout $LIMIT "$WEIR" lab run -- \
	sh -c "setsid sleep $MARK & setsid sh -c 'sleep $MARK & sleep $MARK' &
	       sleep 0.2" 2>err
equal "exit code" 0 $?
equal "left behind" 0 "$(count_marked)"

for victim in starter guardian; do
	begin "kill -9 of the $victim ends everything"
	"$WEIR" lab run -- sh -c "setsid sleep $MARK & sleep $MARK" \
		2>err &
	starter=$!
	until_true some_marked 2
	if [ $victim = starter ]; then
		kill -9 $starter
		until_true none_marked
	else
		# Its daemons it alone knew: the direct child goes with it.
		kill -9 "$(pgrep -P $starter)"
		pkill -9 -f "setsid sleep $MARK|^sleep $MARK"
		until_true none_marked
	fi
	wait $starter 2>/dev/null
done

begin "SIGTERM is passed on, and the lab ends"
"$WEIR" lab run -- sh -c "trap 'exit 9' TERM; : >trapped; sleep $MARK & wait" \
	2>err &
starter=$!
until_true test -e trapped
kill -TERM $starter
wait $starter
equal "exit code" 9 $?
until_true none_marked

if "$WEIR" info | grep -q '^dpdk .*[0-9]'; then
	head -c 3000011 /dev/urandom >bytes
	devices=af_packet
	[ "$(id -u)" = 0 ] && devices="af_packet af_xdp"
	for dev in $devices; do
		begin "cat crosses the cable, $dev"
		timeout $LIMIT "$WEIR" lab run --dev $dev -- cat \
			<bytes >copy 2>err
		equal "exit code" 0 $?
		equal "stderr" "" "$(cat err)"
		same bytes copy
		begin "cat crosses it in IPv6, in a VLAN, $dev"
		timeout $LIMIT "$WEIR" lab run --dev $dev --ipv6 --vlan 7 -- \
			cat <bytes >copy 2>err
		equal "exit code" 0 $?
		equal "stderr" "" "$(cat err)"
		same bytes copy
		begin "perf has both ends, $dev"
		timeout $LIMIT "$WEIR" lab run --dev $dev -- \
			perf lat -t 200ms -J >out 2>err
		equal "exit code" 0 $?
		equal "stderr" "" "$(cat err)"
		grep -q '"rtt_ns"' out || fail "$CASE: no round trip"
	done
fi
finish
