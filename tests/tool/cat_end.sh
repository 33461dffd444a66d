#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# How weir cat ends when something goes wrong, over shm: killed peers, signals,
# readers that go away. Nothing is left, and the next start works.
# cat_end.sh WEIR
. "$(dirname "$0")/lib.sh"

cd "$DIR" || exit 1
EP=shm:$NAME

# A stream that never ends, and a peer that takes it.
stream() {
	background far cat -v -f file -l $EP </dev/null
	listening far
	background near cat -v -f file $EP </dev/zero
	until_true test -s far.out
}

# Without its harmless lines, NAME.err is one line that matches.
said() {
	sed '/: listening$/d; / sent .* received /d' "$1.err" >"$1.said"
	one_line "$1.said" "$2"
}

next_start_works() {
	background far cat -v -l $EP </dev/null
	listening far
	echo again | timeout $LIMIT "$WEIR" cat $EP
	equal 'exit code' 0 $?
	ended far 0
	equal 'output' again "$(cat far.out)"
	nothing_left
}

begin 'the sender is killed'
stream
kill -KILL "${PIDS[near]}"
ended near 137
ended far 1
said far 'dead'
next_start_works

begin 'the receiver is killed'
stream
kill -KILL "${PIDS[far]}"
ended far 137
ended near 1
said near 'dead'
next_start_works

begin 'an idle peer is killed'
held silence
background far cat -v -l $EP <silence
listening far
held line one
background near cat -v $EP <line
until_true test -s far.out
kill -KILL "${PIDS[near]}"
ended near 137
ended far 1
said far 'dead'
equal 'output' one "$(cat far.out)"
next_start_works

begin 'a listener is killed while it waits'
background far cat -v -l $EP </dev/null
listening far
kill -KILL "${PIDS[far]}"
ended far 137
next_start_works

begin 'a listener is killed while it waits at a file'
background far cat -v -l $EP,path=1 </dev/null
listening far
kill -KILL "${PIDS[far]}"
ended far 137
timeout $LIMIT "$WEIR" check >check.out
grep -q '^warn  leftovers' check.out || fail "$CASE: $(cat check.out)"
timeout $LIMIT "$WEIR" check --clean >check.out
grep -q '^ok    leftovers' check.out || fail "$CASE: $(cat check.out)"
nothing_left
background far cat -v -l $EP,path=1 </dev/null
listening far
kill -KILL "${PIDS[far]}"
ended far 137
background far cat -v -l $EP,path=1 </dev/null
listening far
echo over | timeout $LIMIT "$WEIR" cat $EP,path=1
equal 'exit code' 0 $?
ended far 0
nothing_left

for signal in INT TERM; do
	begin "the sender gets SIG$signal"
	stream
	kill -$signal "${PIDS[near]}"
	ended near 130
	ended far 1
	said far 'gave up'
	next_start_works

	begin "the receiver gets SIG$signal"
	stream
	kill -$signal "${PIDS[far]}"
	ended far 130
	ended near 1
	said near 'gave up'
	next_start_works

	begin "SIG$signal while waiting for a peer"
	background far cat -v -l $EP </dev/null
	listening far
	kill -$signal "${PIDS[far]}"
	ended far 130
	background near cat -w 20s $EP </dev/null
	sleep 0.1
	kill -$signal "${PIDS[near]}"
	ended near 130
	next_start_works
done

begin 'SIGINT while idle'
held silence
background far cat -v -l $EP <silence
listening far
held line one
background near cat -v $EP <line
until_true test -s far.out
sleep 0.3
kill -INT "${PIDS[far]}"
ended far 130
ended near 1
said near 'gave up'

begin 'the reader of the output goes away'
background near cat -v -f file -l $EP </dev/zero
listening near
timeout $LIMIT "$WEIR" cat -f file $EP </dev/null 2>far.err | head -c 100 |
	wc -c >count
code=${PIPESTATUS[0]}
equal 'bytes' 100 "$(cat count)"
equal 'exit code' 3 "$code"
said far 'Broken pipe'
ended near 1
said near 'gave up'

begin 'the output is full'
if [ -c /dev/full ]; then
	background near cat -v -f file -l $EP </dev/zero
	listening near
	timeout $LIMIT "$WEIR" cat -f file -o /dev/full $EP </dev/null \
		2>far.err
	equal 'exit code' 3 $?
	said far 'No space left'
	ended near 1
fi

begin 'idle, it sleeps'
held silence
background far cat -v -l $EP <silence
listening far
held line one
background near cat -v $EP <line
until_true test -s far.out
ticks() { cut -d' ' -f14,15 "/proc/${PIDS[$1]}/stat" | tr ' ' '+'; }
before=$(($(ticks near) + $(ticks far)))
sleep 1
after=$(($(ticks near) + $(ticks far)))
# Two processes, one second, 100 ticks each if they spun.
[ $((after - before)) -le 20 ] || fail "$CASE: $((after - before)) ticks"
kill -INT "${PIDS[near]}"
ended near 130
ended far 1

begin 'another user may not connect'
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 0711 "$DIR"
	mkdir -p "$DIR/open" && chmod 0755 "$DIR/open"
	background far cat -v -w 5s -l "$EP,path=$DIR/open/sock" </dev/null
	listening far
	WEIR_RUNTIME_DIR= timeout $LIMIT setpriv --reuid=65534 --regid=65534 \
		--clear-groups "$WEIR" cat "$EP,path=$DIR/open/sock,uid=0" \
		</dev/null 2>near.err
	rc=$?
	if [ $rc = 126 ] || [ $rc = 127 ]; then
		echo "  (skipped: nobody may not run $WEIR)"
	else
		equal 'exit code' 3 $rc
		one_line near.err 'ermission|refused|may not|another user'
	fi
	kill -INT "${PIDS[far]}"
	ended far 130
else
	echo "  (skipped: needs root and setpriv)"
fi

begin 'huge pages that are required are missed at once'
if [ "$(awk '/HugePages_Total/ { print $2 }' /proc/meminfo)" = 0 ]; then
	timeout $LIMIT "$WEIR" cat -l --hugepages=require "$EP" \
		</dev/null 2>near.err
	equal 'exit code' 3 $?
	one_line near.err 'huge pages'
else
	echo "  (skipped: there are huge pages)"
fi

nothing_left
finish
