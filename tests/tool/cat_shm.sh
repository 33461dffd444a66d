#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# weir cat over shm: each framing with binary content both ways, empty
# messages, limits, files and pipes. cat_shm.sh WEIR
. "$(dirname "$0")/lib.sh"

cd "$DIR" || exit 1
head -c 20000011 /dev/urandom >bytes
{ head -c 3000000 /dev/urandom | tr -d '\n' | fold -b -w 700; echo; } >lines
python3 - <<'PY'
import random
random.seed(7)
with open("records", "wb") as out:
    for size in [0, 1, 47, 48, 49, 63, 64, 65, 4095, 4096, 65535, 65536, 0] + \
            [random.randrange(5000) for _ in range(1000)]:
        out.write(size.to_bytes(4, "little") + random.randbytes(size))
PY

# pair NAME INPUT_A INPUT_B OPTION...: what goes in here comes out there.
pair() {
	local a=$2 b=$3

	begin "$1"
	shift 3
	background far cat -v -l "shm:$NAME" "$@" <"$b"
	listening far
	timeout $LIMIT "$WEIR" cat "shm:$NAME" "$@" <"$a" >near.out 2>near.err
	equal 'exit code' 0 $?
	equal 'stderr' '' "$(cat near.err)"
	ended far 0
	same "$a" far.out
	same "$b" near.out
}

printf 'one\n\nthree\n\n' >short
: >empty
pair 'lines, both ways' lines short
pair 'lines: nothing at all' empty empty
pair 'lines: empty messages' short lines
pair 'records, both ways' records records --frame=length
pair 'bytes, both ways at once' bytes bytes --frame=file
pair 'bytes: one way' bytes empty --frame=file
pair 'bytes in small messages' lines bytes --frame=file -s 64
pair 'bytes in large messages' bytes lines --frame=file -s 4Mi
if [ -n "${WEIR_CHECK_LONG:-}" ]; then
	head -c 1073741824 /dev/urandom >gigabyte
	pair 'a gigabyte' gigabyte empty --frame=file
	rm -f gigabyte far.out
fi

begin 'a last line without newline is a message'
background far cat -v -l "shm:$NAME" </dev/null
listening far
printf 'a\nb' | timeout $LIMIT "$WEIR" cat "shm:$NAME" >near.out
ended far 0
equal 'output' "$(printf 'a\nb')" "$(cat far.out)"

begin 'pipes on all four ends'
background far cat -v -f file -l "shm:$NAME" < <(cat bytes)
listening far
cat bytes | timeout $LIMIT "$WEIR" cat -f file "shm:$NAME" | cat >near.out
ended far 0
same bytes far.out
same bytes near.out

begin 'files by name'
background far cat -v -f file -l "shm:$NAME" -i records -o far.file
listening far
timeout $LIMIT "$WEIR" cat -f file "shm:$NAME" -i bytes -o near.file
equal 'exit code' 0 $?
ended far 0
same bytes far.file
same records near.file

begin 'hex'
background far cat -v -f length -l "shm:$NAME" </dev/null
listening far
printf '00ff 10\n\nCAFE\n' | timeout $LIMIT "$WEIR" cat -x "shm:$NAME"
equal 'exit code' 0 $?
ended far 0
equal 'records' '0300000000ff10000000000200 0000cafe' \
	"$(od -An -v -tx1 far.out | tr -d ' \n' | sed 's/^.\{26\}/& /')"

begin 'hex output'
background far cat -v -x -l "shm:$NAME" </dev/null
listening far
printf 'az\n\n' | timeout $LIMIT "$WEIR" cat "shm:$NAME"
ended far 0
equal 'output' "$(printf '617a\n\n.')" "$(cat far.out; echo .)"

begin 'count: the sender stops after N'
background far cat -v -l "shm:$NAME" </dev/null
listening far
seq 100 | timeout $LIMIT "$WEIR" cat -n 10 "shm:$NAME"
equal 'exit code' 0 $?
ended far 0
equal 'output' "$(seq 10)" "$(cat far.out)"

begin 'count: the receiver leaves after N'
held silence
background far cat -v -n 3 -l "shm:$NAME" <silence
listening far
seq 3 | timeout $LIMIT "$WEIR" cat "shm:$NAME"
equal 'exit code' 0 $?
ended far 0
equal 'output' "$(seq 3)" "$(cat far.out)"

begin 'count: who only receives leaves after N, and its caller learns it'
background far cat -v --recv-only -n 300 -l "shm:$NAME"
listening far
seq 20000 | timeout $LIMIT "$WEIR" cat "shm:$NAME" 2>near.err
equal 'exit code' 1 $?
ended far 0
equal 'output' "$(seq 300)" "$(cat far.out)"

begin 'rate: 20 messages at 100 per second take 0.19 s or more'
background far cat -v -l "shm:$NAME" </dev/null
listening far
start=$(date +%s%N)
seq 20 | timeout $LIMIT "$WEIR" cat -r 100 "shm:$NAME"
equal 'exit code' 0 $?
[ $(($(date +%s%N) - start)) -ge 190000000 ] || fail "$CASE: too fast"
ended far 0
equal 'output' "$(seq 20)" "$(cat far.out)"

begin 'one way only: neither waits for its unused side'
held silence
background far cat -v --recv-only -f file -l "shm:$NAME" <silence
listening far
timeout $LIMIT "$WEIR" cat --send-only -f file "shm:$NAME" <bytes
equal 'exit code' 0 $?
ended far 0
same bytes far.out

begin 'a conversation: an answer comes before the input ends'
held greeting welcome
held silence
background far cat -v -l "shm:$NAME" <greeting
listening far
timeout $LIMIT "$WEIR" cat -n 1 "shm:$NAME" <silence >near.out
equal 'exit code' 0 $?
equal 'output' welcome "$(cat near.out)"
ended far 0

begin 'input that does not fit'
for bad in 'line:line 1 has 100:-s 99' 'length:record 1 has 808464432:-f length' \
	'hex:not hex:-x' 'length:ends inside:-f length -s 1Mi'; do
	what=${bad%%:*} pattern=${bad#*:}
	options=${pattern#*:} pattern=${pattern%%:*}
	CASE="input that does not fit: $what $options"
	background far cat -v -l "shm:$NAME" </dev/null
	listening far
	if [ "$pattern" = 'ends inside' ]; then
		printf '\144\0\0\0too short'
	else
		printf '%0100d\n' 0 | tr x z
		[ $what = hex ] && echo zz
	fi >bad.in
	# shellcheck disable=SC2086
	timeout $LIMIT "$WEIR" cat $options "shm:$NAME" <bad.in 2>near.err
	equal 'exit code' 2 $?
	one_line near.err "$pattern"
	ended far 1
	sed -i /listening/d far.err
	[ "$(grep -vc ' sent ' far.err)" = 1 ] || fail "$CASE: $(cat far.err)"
done

nothing_left
finish
