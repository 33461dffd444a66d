#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# weir stat: what running processes show, what is left of dead ones, and what
# those see who are lied to.
# stat.sh WEIR
. "$(dirname "$0")/lib.sh"

# stat CODE ARGUMENT...: output in $DIR/out, errors in $DIR/err.
stat_run() {
	local code=$1 rc

	shift
	timeout $LIMIT "$WEIR" stat "$@" </dev/null >"$DIR/out" 2>"$DIR/err"
	rc=$?
	equal "exit code of stat $*" "$code" "$rc"
}

# json EXPRESSION: true of the output; p is the list of processes, link(p) the
# only link of one.
json() {
	python3 - "$DIR/out" "$1" <<'PY'
import json
import sys
j = json.load(open(sys.argv[1]))
p = {q["pid"]: q for q in j["processes"]}
def link(pid):
    (one,) = p[pid]["links"]
    return one
sys.exit(not eval(sys.argv[2]))
PY
}

shows() {
	stat_run 0 -J list
	json "$1"
}

so() {
	json "$1" || fail "$CASE: not so: $1: $(cat "$DIR/out")"
}

entries() {
	find "$WEIR_RUNTIME_DIR" -name 'stat.*' | wc -l
}

export WEIR_STATS=1

begin 'nobody is there'
stat_run 0 list
equal 'lines' 1 "$(wc -l <"$DIR/out")"
shows 'p == {}' || fail "$CASE: somebody is"
stat_run 3 show $$
one_line "$DIR/err" 'WEIR_STATS=1'

begin 'counters of both ends of a shm link are live'
held hear
background hear -v cat -l "shm:$NAME" <"$DIR/hear"
hear=${PIDS[hear]}
listening hear
held say 'first'
background say cat "shm:$NAME" <"$DIR/say"
say=${PIDS[say]}
until_true shows "$hear in p and $say in p and p[$hear]['links'] and \
	link($hear)['rx']['messages'] == 1 and \
	link($say)['tx']['messages'] == 1"
so "link($say)['tx']['payload_bytes'] == link($hear)['rx']['payload_bytes']"
so "link($hear)['peer'] == 'pid $say' and link($hear)['driver'] == 'shm'"
so "link($say)['endpoint'] == 'shm:$NAME' and p[$say]['program'] == 'weir'"
so "link($say)['state'] == 'open' and len(p[$say]['ports']) == 1"
for i in $(seq 41); do
	echo "line $i" >"$DIR/say"
done
until_true shows "link($hear)['rx']['messages'] == 42 and \
	link($say)['tx']['messages'] == 42"
stat_run 0 show "$hear"
grep -Eq '^ +messages +42( |$)' "$DIR/out" || fail "$CASE: $(cat "$DIR/out")"
stat_run 0 list
grep -Eq "^ *$say weir +1 open +42 +0  shm:$NAME$" "$DIR/out" ||
	fail "$CASE: $(cat "$DIR/out")"
stat_run 0 -J show "$say"
so "list(p) == [$say]"

begin 'rates'
stat_run 0 -J watch -n 2 -i 50ms "$say"
equal 'looks' 2 "$(wc -l <"$DIR/out")"
tail -n 1 "$DIR/out" >"$DIR/last" && mv "$DIR/last" "$DIR/out"
so "link($say)['tx']['messages_per_s'] == 0"
stat_run 0 watch -n 1 -i 10ms
grep -Eq "^ *$say +1 " "$DIR/out" || fail "$CASE: $(cat "$DIR/out")"

begin 'others may not read'
entry=$(readlink "$WEIR_RUNTIME_DIR/stat.$say")
equal 'mode' 600 "$(stat -L -c %a "$entry")"
equal 'owner' "$(id -u)" "$(stat -L -c %u "$entry")"

begin 'what a killed process leaves is removed by who looks'
kill -KILL "$say"
ended say 137
ended hear 1
equal 'entries' 1 "$(entries)"
shows "p == {}" || fail "$CASE: $(cat "$DIR/out")"
equal 'entries' 0 "$(entries)"

begin 'who did not ask shows nothing'
held quiet
WEIR_STATS=0 background quiet -v cat -l "shm:$NAME" <"$DIR/quiet"
listening quiet
shows "p == {}" || fail "$CASE: $(cat "$DIR/out")"
equal 'entries' 0 "$(entries)"
kill "${PIDS[quiet]}"
ended quiet 130

# A liar: right on the outside, random inside; entries that lead elsewhere.
begin 'lies'
cat >"$DIR/liar.py" <<'PY'
import fcntl
import os
import random
import struct
import sys
import time

run, seed = sys.argv[1], int(sys.argv[2])
random.seed(seed)
fd = os.memfd_create("weir-stat", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
os.ftruncate(fd, 4096 + 64 * 2048)
head = struct.pack("<8sIIQ16sIIQ", b"weirstat", 1, os.getpid(), 0,
                   b"\x1b[2Jrandom......", 0xffffffff, 0, 0)
os.pwrite(fd, head, 0)
for i in range(64):
    slot = bytearray(random.randbytes(2048))
    struct.pack_into("<IIII", slot, 0, 2 * i + 1, i % 5, i, i % 9)
    os.pwrite(fd, bytes(slot), 4096 + 2048 * i)
fcntl.fcntl(fd, 1033, 2)  # F_ADD_SEALS, F_SEAL_SHRINK
os.symlink("/proc/%d/fd/%d" % (os.getpid(), fd),
           "%s/stat.%d" % (run, os.getpid()))
r, w = os.pipe()
os.symlink("/proc/%d/fd/%d" % (os.getpid(), r), "%s/stat.%d.x" % (run, fd))
os.symlink("/etc/passwd", run + "/stat.1")
os.symlink("/proc/1/fd/0 ", run + "/stat.2")
open(run + "/stat.3", "w").close()
print("ready", flush=True)
time.sleep(60)
PY
for seed in 1 2 3; do
	: >"$DIR/liar.out"
	python3 "$DIR/liar.py" "$WEIR_RUNTIME_DIR" $seed >"$DIR/liar.out" &
	PIDS[liar]=$!
	until_true grep -q ready "$DIR/liar.out"
	stat_run 0 list
	stat_run 0 show
	LC_ALL=C grep -q "$(printf '\033')" "$DIR/out" &&
		fail "$CASE: sends escapes to the terminal"
	shows "${PIDS[liar]} in p" || fail "$CASE: $(cat "$DIR/err")"
	equal 'what leads elsewhere stays' 5 "$(entries)"
	kill "${PIDS[liar]}"
	wait "${PIDS[liar]}" 2>/dev/null
	unset 'PIDS[liar]'
	rm -f "$WEIR_RUNTIME_DIR"/stat.*
done

begin 'another version'
: >"$DIR/liar.out"
python3 - "$WEIR_RUNTIME_DIR" <<'PY' >"$DIR/liar.out" &
import fcntl
import os
import struct
import sys
import time
fd = os.memfd_create("weir-stat", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
os.ftruncate(fd, 8192)
os.pwrite(fd, struct.pack("<8sII", b"weirstat", 99, os.getpid()), 0)
fcntl.fcntl(fd, 1033, 2)
os.symlink("/proc/%d/fd/%d" % (os.getpid(), fd),
           "%s/stat.%d" % (sys.argv[1], os.getpid()))
print("ready", flush=True)
time.sleep(60)
PY
PIDS[old]=$!
until_true grep -q ready "$DIR/liar.out"
shows "p == {}" || fail "$CASE: $(cat "$DIR/out")"
grep -q 'another version' "$DIR/err" || fail "$CASE: $(cat "$DIR/err")"
equal 'entries' 1 "$(entries)"
kill "${PIDS[old]}"
wait "${PIDS[old]}" 2>/dev/null
unset 'PIDS[old]'
rm -f "$WEIR_RUNTIME_DIR"/stat.*

begin 'a send half that several threads share'
background many perf bw shm: --self -P 2 -t 30s
many=${PIDS[many]}
until_true shows "$many in p and len(p[$many]['links']) == 2 and \
	min(l['tx']['messages'] for l in p[$many]['links']) > 1000"
kill "$many"
ended many 130

begin 'wrong usage'
stat_run 2 lisst
one_line "$DIR/err" 'did you mean list'
stat_run 2
stat_run 2 show x
one_line "$DIR/err" 'process id'

# The polling thread copies what it alone knows.
begin 'a dpdk link'
if ! "$WEIR" info -J | grep -q '"dpdk": "'; then
	echo "  skipped: no dpdk driver here"
	finish
fi
held hear
background hear -v cat -l "dpdk:$NAME" <"$DIR/hear"
hear=${PIDS[hear]}
listening hear
held say 'hello'
background say cat "dpdk:$NAME" <"$DIR/say"
say=${PIDS[say]}
until_true shows "$hear in p and $say in p and p[$hear]['links'] and \
	link($hear)['rx']['messages'] == 1 and \
	link($hear).get('transport', {}).get('rx_packets', 0) > 0 and \
	link($say).get('transport', {}).get('tx_packets', 0) > 0 and \
	link($hear)['state'] == link($say)['state'] == 'up'"
so "p[$say]['ports'][0]['counters']['polls'] > 0"
so "link($say)['peer'] == '$NAME' and link($say)['age_ms'] < 60000"
stat_run 0 show "$say"
grep -Eq '^ +tx_packets +[1-9][0-9]*  packets: ' "$DIR/out" ||
	fail "$CASE: $(cat "$DIR/out")"
kill "$say"
ended say 130
kill "$hear" 2>/dev/null
until_true gone "$hear"
wait "$hear" 2>/dev/null
unset 'PIDS[hear]'
until_true eval '[ "$(entries)" = 0 ]'
nothing_left
finish
