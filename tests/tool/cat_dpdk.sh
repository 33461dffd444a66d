#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# weir cat over dpdk's default device, a memif pair between two processes:
# content, order of starting, signals, bad input. A killed memif peer is not
# tried: DPDK's memif may take the survivor down, see weir info.
# cat_dpdk.sh WEIR
. "$(dirname "$0")/lib.sh"
no_leak_check

if ! "$WEIR" info | grep -q '^dpdk .*[0-9]'; then
	echo "no dpdk driver here"
	exit 77
fi
cd "$DIR" || exit 1
# Huge pages may go to another test between a look at them and their use.
printf '#!/bin/sh\nexec "%s" --hugepages=never "$@"\n' "$WEIR" >never
chmod +x never
AUTO=$WEIR
WEIR=$DIR/never
EP=dpdk:$NAME
head -c 8000011 /dev/urandom >bytes
python3 - <<'PY'
import random
random.seed(11)
with open("records", "wb") as out:
    for size in [0, 1, 64, 1400, 1500, 2034, 65535, 65536, 0] + \
            [random.randrange(9000) for _ in range(300)]:
        out.write(size.to_bytes(4, "little") + random.randbytes(size))
PY
printf 'one\n\nthree\n' >short

# pair NAME INPUT_A INPUT_B OPTION...
pair() {
	local a=$2 b=$3

	begin "$1"
	shift 3
	background far cat -v -l "$EP" "$@" <"$b"
	listening far
	timeout $LIMIT "$WEIR" cat "$EP" "$@" <"$a" >near.out 2>near.err
	equal 'exit code' 0 $?
	equal 'stderr' '' "$(cat near.err)"
	ended far 0
	same "$a" far.out
	same "$b" near.out
}

# Without the log, NAME.err is one line that matches.
said() {
	sed '/: listening$/d; / sent .* received /d; /^weir: \[/d' \
		"$1.err" >"$1.said"
	one_line "$1.said" "$2"
}

pair 'lines, both ways' short short
pair 'records, both ways' records records --frame=length
pair 'bytes, both ways at once' bytes bytes --frame=file
pair 'bytes: one way' bytes /dev/null --frame=file

begin 'the connector comes first'
background near cat -w 20s "$EP" <short
sleep 1
background far cat -v -l "$EP" </dev/null
ended near 0
ended far 0
same short far.out

for side in near far; do
	begin "SIGINT at the $side end, in band"
	background far cat -v -f file -l "$EP" </dev/null
	listening far
	background near cat -v -f file "$EP" </dev/zero
	until_true test -s far.out
	kill -INT "${PIDS[$side]}"
	ended $side 130
	other=$([ $side = near ] && echo far || echo near)
	ended "$other" 1
	said "$other" 'gave up'
done

# refused CODE PATTERN ARGUMENT...
refused() {
	local code=$1 pattern=$2 rc

	shift 2
	begin "weir $*"
	timeout $LIMIT "$WEIR" "$@" </dev/null >"$DIR/out" 2>"$DIR/err"
	rc=$?
	equal 'exit code' "$code" "$rc"
	equal 'standard output' '' "$(cat "$DIR/out")"
	one_line "$DIR/err" "$pattern"
}

refused 2 "unknown key 'colour'" cat "$EP,colour=red"
refused 2 'mtu' cat -l "$EP,mtu=many"
refused 2 'local' cat -l 'dpdk:10.9.9.1:7400,dev=net_null0,local=10.9.9.300/24'
refused 2 '10\.9\.9\.300' cat 'dpdk:10.9.9.300:7400,dev=net_null0,local=10.9.9.1/24'
refused 2 'own address' cat 'dpdk:10.9.9.1:7400,dev=net_null0,local=10.9.9.1/24'
refused 2 '10\.9\.9\.300' cat -l 'dpdk:10.9.9.300:7400,dev=net_null0,local=10.9.9.1/24'
refused 2 'not our address' cat -l 'dpdk:10.9.9.77:7400,dev=net_null0,local=10.9.9.1/24'
refused 2 'not an address' cat -l 'dpdk:0:7400,dev=net_null0,local=10.9.9.1/24'
refused 2 'port' cat -l 'dpdk:10.9.9.1:99999,dev=net_null0,local=10.9.9.1/24'
refused 3 'net_nosuch0' cat -l 'dpdk:10.9.9.1:7400,dev=net_nosuch0,local=10.9.9.1/24'
refused 3 'weir-none' cat -l 'dpdk:10.9.9.1:7400,dev=net_af_packet0,dev.iface=weir-none,local=10.9.9.1/24'
refused 3 'listener' cat -w 1s "$EP"
refused 3 'answer|listener|address' cat -w 1s 'dpdk:10.9.9.2:7400,dev=net_null0,local=10.9.9.1/24'
[ "$(awk '/HugePages_Total/ { print $2 }' /proc/meminfo)" = 0 ] &&
	refused 3 'huge' cat -l --hugepages=require "$EP"

begin 'address in use'
background first cat -v -l "$EP-taken" </dev/null
listening first
refused 3 'in use|already listens|taken' cat -l "$EP-taken"
kill -INT "${PIDS[first]}"
ended first 130

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	begin 'no permission'
	WEIR_RUNTIME_DIR=$DIR/other timeout $LIMIT setpriv --reuid=65534 \
		--regid=65534 --clear-groups "$AUTO" --hugepages=never cat -l \
		dpdk:10.9.9.1:7400,dev=net_af_packet0,dev.iface=lo,local=10.9.9.1/8 \
		</dev/null >/dev/null 2>near.err
	rc=$?
	if [ $rc = 126 ] || [ $rc = 127 ]; then
		echo "  (skipped: nobody may not run $WEIR)"
	else
		equal 'exit code' 3 $rc
		one_line near.err 'ermi|CAP_|root'
	fi
fi

nothing_left
finish
