#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# weir perf: runs with a peer of its own and against perf serve, on whatever
# links there are; output formats, exit codes, interrupts, dead peers. Checks
# what is counted and promised, never how fast it was.
# perf.sh WEIR
. "$(dirname "$0")/lib.sh"

# holds FILE EXPRESSION: a Python expression over the JSON object r.
holds() {
	python3 - "$1" "$2" <<-'EOF' || fail "$CASE: $2 does not hold for $(cat "$1")"
		import json, sys
		r = json.load(open(sys.argv[1]))
		sys.exit(0 if eval(sys.argv[2]) else 1)
	EOF
}

# self LINK KIND ARGUMENT...: a run that must be clean; JSON in $DIR/json.
self() {
	local link=$1 kind=$2

	shift 2
	timeout 60 "$WEIR" perf "$kind" "$link" --self -J -t 100ms -O 10ms "$@" \
		>"$DIR/json" 2>"$DIR/err"
	equal "exit code of $kind $link $*" 0 $?
	if [ ! -s "$DIR/json" ]; then
		fail "$CASE: no result: $(cat "$DIR/err")"
		return
	fi
	[ ! -s "$DIR/err" ] || fail "$CASE: stderr: $(cat "$DIR/err")"
	holds "$DIR/json" "r['schema'] == 'weir.perf/1'"
	holds "$DIR/json" "sum(r['integrity'].values()) == 0"
	holds "$DIR/json" "r['test']['kind'] == '$kind'"
	holds "$DIR/json" "r['all'] is None or r['all']['rtt_ns']['samples'] > 0"
}

# perf_of LINK SIZE...: round trips and one way, with and without --verify.
perf_of() {
	local link=$1

	shift
	for size; do
		self "$link" lat -s "$size" --verify
		holds "$DIR/json" "r['result']['rtt_ns'] is not None"
		self "$link" bw -s "$size" -b 7 --verify
		holds "$DIR/json" "r['result']['rtt_ns'] is None"
	done
	self "$link" lat
	holds "$DIR/json" "r['test']['size'] == 64"
	# Rates say the same as the times beside them, if any window counts.
	holds "$DIR/json" "not r['result']['msgs_per_s'] or abs(r['result']['msgs_per_s'] * r['result']['rtt32_ns']['p50'] / 1e9 - 1) < 0.05"
	holds "$DIR/json" "r['floor'] is None or not r['floor']['msgs_per_s'] or abs(r['floor']['msgs_per_s'] * r['floor']['rtt_ns']['p50'] / 1e9 - 1) < 0.05"
	holds "$DIR/json" "r['placement'] in (None, 'smt', 'near', 'far', 'same')"
	holds "$DIR/json" "r['floor'] is not None"
	self "$link" bw -b 1
}

begin "mem, two threads"
perf_of mem: 0 49

begin "shm, two processes"
perf_of shm: 0 1 8 48 49 1024 65536

begin "asleep"
self mem: lat -s 48 --sleep
holds "$DIR/json" "r['floor'] is not None"
self shm: lat -s 48 --sleep --verify
holds "$DIR/json" "r['floor'] is not None"
holds "$DIR/json" "0 < r['rest']['polling'] and 0 <= r['rest']['asleep'] < 0.2"
self shm: lat -s 48
holds "$DIR/json" "r['rest'] is None"
for wrong in "bw shm: --self" "lat shm:" "sweep shm: --self"; do
	timeout 60 "$WEIR" perf $wrong --sleep 2>"$DIR/err"
	equal "exit code of $wrong --sleep" 2 $?
done

begin "several threads on one send half"
timeout 60 "$WEIR" perf bw shm: --self -P 3 -s 200 -t 100ms -J >"$DIR/json"
equal "exit code" 0 $?
holds "$DIR/json" "r['wrong'] == 0 and [x['burst'] for x in r['runs']] == [1, 32]"
timeout 60 "$WEIR" perf bw mem: --self -P 2 -s 48 -t 100ms -J >"$DIR/json"
equal "exit code of mem" 0 $?
holds "$DIR/json" "r['wrong'] == 0 and min(x['several_per_s'] for x in r['runs']) > 0"
timeout 60 "$WEIR" perf lat shm: --self -P 2 2>"$DIR/err"
equal "exit code" 2 $?
timeout 60 "$WEIR" perf bw mem:x,y=z --self -P 2 2>"$DIR/err"
equal "exit code of an endpoint that cannot be" 2 $?
one_line "$DIR/err" 'unknown key'

begin "messages of 1 MiB"
self shm: lat -s 1Mi
self shm: bw -s 1Mi

if "$WEIR" info | grep -q '^dpdk .*[0-9]'; then
	begin "dpdk, two processes, memif"
	for size in 0 64 65536; do
		self dpdk: lat -s $size --verify
		self dpdk: bw -s $size --verify
	done
	self dpdk: bw -s 64 --verify --coalesce=off
	self dpdk: lat -s 64 --verify --links 40
	timeout 60 "$WEIR" perf lat dpdk: --self --sleep 2>"$DIR/err"
	equal "exit code of a device without interrupts" 2 $?
	one_line "$DIR/err" 'no rx interrupts'
	first=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
	if chrt -f 1 true 2>/dev/null; then
		timeout 60 taskset -c "$first" chrt -f 1 "$WEIR" check dpdk: \
			>"$DIR/out"
		equal "exit code of SCHED_FIFO on one processor" 0 $?
	fi
	timeout 60 "$WEIR" perf bw dpdk:,dev=net_ring --self -P 2 -t 100ms -J \
		>"$DIR/json"
	equal 'exit code of -P in one process' 0 $?
	holds "$DIR/json" "r['wrong'] == 0"
fi

# One CPU for both: a sender that never yields runs out of credits for sure.
one_cpu() {
	timeout 60 taskset -c "$(taskset -pc $$ | sed 's/.*: //; s/[-,].*//')" "$@"
}

begin "counters: all in JSON, waits and drops as text where there are any"
one_cpu "$WEIR" perf bw shm: --self -J -t 300ms -O 0s -b 32 >"$DIR/json"
equal "exit code" 0 $?
holds "$DIR/json" "r['counters']['tx']['reserve_wait_credit'] + \
r['counters']['tx']['reserve_wait_small'] > 0"
holds "$DIR/json" "r['counters']['link']['drop_duplicate'] == 0"
holds "$DIR/json" "'frame_udp_checksum' in r['counters']['port']"
one_cpu "$WEIR" perf bw shm: --self -t 300ms -O 0s -b 32 >"$DIR/text"
equal "exit code" 0 $?
grep -q 'tx reserve_wait_[a-z]* [0-9]* times' "$DIR/text" ||
	fail "$CASE: $(cat "$DIR/text")"
if grep -q 'link drop_' "$DIR/text"; then
	fail "$CASE: $(cat "$DIR/text")"
fi

begin "the other side's drops, waits and repairs too"
if "$WEIR" info | grep -q '^dpdk .*[0-9]'; then
	timeout 60 "$WEIR" perf bw dpdk:,coalesce=off --self \
		-s 64 -t 200ms -O 0s --fault 'dup=20%,seed=1' \
		--assert 'peer.link.drop_duplicate>0' >"$DIR/text"
	equal "exit code" 0 $?
	grep -q 'peer link drop_duplicate [0-9]* packets' "$DIR/text" ||
		fail "$CASE: $(cat "$DIR/text")"
	background server -v perf serve "dpdk:$NAME" -n 2 \
		--fault 'dup=20%,seed=1'
	listening server
	timeout 60 "$WEIR" perf bw "dpdk:$NAME" -s 64 -t 200ms -J >"$DIR/json"
	equal "exit code" 0 $?
	holds "$DIR/json" "r['peer_counters']['link']['drop_duplicate'] > 0"
	holds "$DIR/json" "r['counters']['link']['drop_duplicate'] == 0"
	timeout 60 "$WEIR" perf lat "dpdk:$NAME" -s 64 -t 200ms -J >"$DIR/json"
	equal "exit code" 0 $?
	holds "$DIR/json" "r['peer_counters'] is None"
	ended server 0
fi

begin "one CPU for both sides"
one_cpu "$WEIR" perf lat shm: --self -J -t 300ms >"$DIR/json"
equal "exit code" 0 $?
holds "$DIR/json" "r['placement'] in (None, 'same')"

begin "a sweep is one JSON object, a CSV has a header and rows"
timeout 60 "$WEIR" perf sweep mem: --self -s 8,64 -t 50ms -O 0s -J -o - \
	>"$DIR/json"
holds "$DIR/json" "[(x['test']['kind'], x['test']['size']) for x in r['runs']] == [('lat', 8), ('lat', 64), ('bw', 8), ('bw', 64)]"
holds "$DIR/json" "isinstance(r['no_cliff'], list)"
timeout 60 "$WEIR" perf lat shm: --self -t 300ms -f csv -o "$DIR/csv"
grep -q '^kind,endpoint,size,placement' "$DIR/csv" ||
	fail "$CASE: $(cat "$DIR/csv")"

begin "a sweep around the edges of classes, into a folder, in time"
timeout 60 "$WEIR" perf sweep shm: --self --edges -s 40,100 -T 1s \
	-o "$DIR/sweep" >"$DIR/out" 2>"$DIR/err"
equal "exit code" 0 $?
grep -q '^repeat: ' "$DIR/out" || fail "$CASE: $(cat "$DIR/out")"
# At least 40 and 100 B, and three sizes around an edge between them, unless
# the machine is so slow that the time is over before.
grep -q 'time is up' "$DIR/err" ||
	holds "$DIR/sweep/sweep.json" "len(r['runs']) >= 10"
for file in sweep.json sweep.csv sweep.dat sweep.gp; do
	[ -f "$DIR/sweep/$file" ] || fail "$CASE: no $file"
done

begin "a sweep leaves its files in a folder of its own name"
(cd "$DIR" && timeout 60 "$WEIR" perf sweep mem: --self -s 8 -t 50ms -O 0s) \
	>"$DIR/out" 2>"$DIR/err"
equal "exit code" 0 $?
grep -q '^files: weir-sweep-mem$' "$DIR/out" || fail "$CASE: $(cat "$DIR/out")"
for file in sweep.json sweep.csv sweep.dat sweep.gp; do
	[ -f "$DIR/weir-sweep-mem/$file" ] || fail "$CASE: no $file"
done

begin "open loop: every planned message is counted, three histograms"
HERE=$(dirname "$0")
timeout 60 "$WEIR" perf load shm: --self -r 20k -t 200ms -O 0s --verify -J \
	--hlog "$DIR/log" --plot "$DIR/plot" >"$DIR/json" 2>"$DIR/err"
equal "exit code" 0 $?
for file in load-64.dat load-64.gp; do
	[ -s "$DIR/plot/$file" ] || fail "$CASE: no $file"
done
# Floor and link alternate; which turns count depends on the processors.
holds "$DIR/json" "r['floor_missing'] is None"
holds "$DIR/json" "all(q['ratio'] is None or q['floor_ns']['p50'] > 0 for p in r['points'] for q in p['placements'])"
holds "$DIR/json" "r['schema'] == 'weir.perf.load/1' and len(r['points']) == 1"
holds "$DIR/json" "sum(r['integrity'].values()) == 0"
holds "$DIR/json" "all(p['planned'] == p['answered'] + p['unsent'] and p['planned'] > 0 for p in r['points'])"
holds "$DIR/json" "all(p[k]['samples'] == p['answered'] for p in r['points'] for k in ('response_ns', 'service_ns', 'reserve_wait_ns'))"
holds "$DIR/json" "all(sum(p['slow']['causes'].values()) == p['slow']['samples'] for p in r['points'])"
python3 "$HERE/hlog.py" "$DIR/log" "$DIR/json" || fail "$CASE: $(cat "$DIR/log")"
timeout 60 "$WEIR" perf lat mem: --self -t 100ms -J --hlog "$DIR/log" \
	>"$DIR/json"
python3 "$HERE/hlog.py" "$DIR/log" "$DIR/json" || fail "$CASE: $(cat "$DIR/log")"

begin "open loop: the highest rate, and shares of it"
timeout 120 "$WEIR" perf load mem: --self --find-max -t 60ms -O 0s -J \
	--assert 'response.max>0ns' >"$DIR/json" 2>"$DIR/err"
equal "exit code" 0 $?
# A machine with other work may keep up with nothing.
holds "$DIR/json" "not r['points'] or [p['share'] for p in r['points']] == [0.1, 0.5, 0.9]"
holds "$DIR/json" "all(abs(p['rate'] - p['share'] * r['max_rate']) <= 1 for p in r['points'])"

begin "progress on a terminal, and only there"
python3 - "$WEIR" >"$DIR/out" <<-'END'
	import pty, sys
	for what in ("lat", "load", "bw", "sweep"):
	    more = {"load": ["-r", "10k"], "sweep": ["-s", "8,64"]}.get(what, [])
	    pty.spawn([sys.argv[1], "perf", what, "mem:", "--self", "-o",
	               "/dev/null" if what != "sweep" else "-", "-O", "0s", "-t",
	               "150ms", *more])
	END
for text in '64 B: 0.* s, windows:' '64 B: 1e+04 messages/s: ' 'sweep: 1 done'; do
	grep -q "$text" "$DIR/out" || fail "$CASE: $(cat -v "$DIR/out")"
done
timeout 60 "$WEIR" perf load mem: --self -r 10k -t 60ms 2>"$DIR/err" >/dev/null
[ ! -s "$DIR/err" ] || fail "$CASE: $(cat "$DIR/err")"

begin "serve answers one client after the other"
background server -v perf serve "shm:$NAME" -n 3
listening server
for kind in lat bw; do
	timeout 30 "$WEIR" perf $kind "shm:$NAME" -J -t 100ms -O 10ms --verify \
		>"$DIR/json" 2>"$DIR/err"
	equal "exit code of $kind" 0 $?
	holds "$DIR/json" "r['result']['messages'] > 0"
	holds "$DIR/json" "sum(r['integrity'].values()) == 0"
	holds "$DIR/json" "r['floor'] is None and r['ratio'] is None"
done
timeout 30 "$WEIR" perf lat "shm:$NAME" -s 1Mi 2>"$DIR/err"
equal "exit code for a message too long" 2 $?
one_line "$DIR/err" "shorter messages"
ended server 0

begin "an assertion that does not hold is exit code 5"
timeout 30 "$WEIR" perf lat mem: --self -t 100ms --assert 'rtt.max<1ns' \
	>/dev/null 2>"$DIR/err"
equal "exit code" 5 $?
grep -q 'does not hold' "$DIR/err" || fail "$CASE: $(cat "$DIR/err")"
timeout 30 "$WEIR" perf lat mem: --self -t 100ms --assert 'lost==0' \
	>/dev/null 2>"$DIR/err"
equal "exit code when it holds" 0 $?

begin "an interrupt prints what there is, exit code 130"
background run perf lat shm: --self -t 60s -O 0s -n 1000G
until_true pgrep -P "${PIDS[run]}" >/dev/null
sleep 0.5 # until it measures; later or earlier changes nothing
kill -INT "${PIDS[run]}"
ended run 130

begin "a peer that dies is exit code 1 and one line"
for kind in lat bw; do
	background run perf $kind shm: --self -t 60s -O 60s
	until_true pgrep -P "${PIDS[run]}" >/dev/null
	sleep 2
	pkill -KILL -P "${PIDS[run]}"
	ended run 1
	grep -q '^weir: shm:.*' "$DIR/run.err" ||
		fail "$CASE: $(cat "$DIR/run.err")"
done

begin "a peer dies with its run"
background run perf lat shm: --self -t 60s -O 60s
until_true pgrep -P "${PIDS[run]}" >/dev/null
peer=$(pgrep -P "${PIDS[run]}")
kill -KILL "${PIDS[run]}"
ended run 137
until_true gone "$peer"

begin "bad input is exit code 2 and one line"
while read -r pattern arguments; do
	# shellcheck disable=SC2086 # words
	timeout 30 "$WEIR" perf $arguments >"$DIR/out" 2>"$DIR/err"
	equal "exit code of perf $arguments" 2 $?
	one_line "$DIR/err" "$pattern"
done <<-'EOF'
	lat lap shm: --self
	serve serve shm: --self
	16Mi lat shm: --self -s 17Mi
	shm lat shn: --self
	understood lat shm: --self --assert p99<20us
	--cpu lat shm: --self --cpu 0
	--cpu lat shm: --self --cpu x
	leave lat shm: --self -a -s 8
	--self lat shm: --peer shm:x
	--edges lat shm: --self --edges
	--self load shm: -r 10
	find-max load shm: --self
	find-max load shm: --self -r 10 --find-max
	--plot lat shm: --self --plot x
EOF

begin "nothing is left behind"
nothing_left
finish
