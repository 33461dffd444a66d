#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Bad input: one line that says what to do, and the exit code that says whose
# turn it is: 2 correct the command line, 3 mend the environment.
# usage.sh WEIR
. "$(dirname "$0")/lib.sh"

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

refused 2 "did you mean 'cat'" cta
refused 2 "weir --help" zzzzzz
refused 2 "usage:" cat
refused 2 "one argument too many" cat shm:a shm:b
refused 2 "did you mean --frame" cat --frme=line shm:$NAME
refused 2 "line, length or file" cat --frame=word shm:$NAME
refused 2 "16777216" cat -s 32Mi shm:$NAME
refused 2 "not a size" cat -s big shm:$NAME
refused 2 "leave one out" cat --send-only --recv-only shm:$NAME
refused 2 "leave out --frame" cat --hex --frame=file shm:$NAME
refused 2 "names no device" cat -D nic0 dpdk:x,dev=nic0

refused 2 "not an endpoint" cat demo
refused 2 "did you mean shm:" cat shn:demo
refused 2 "there are .*shm" cat carrier-pigeon:demo
refused 2 "unknown key 'colour'" cat shm:$NAME,colour=red
refused 2 "not key=value" cat shm:$NAME,colour
refused 2 "not key=value" cat shm:$NAME,
refused 2 "use shm:" cat mem:demo
refused 2 "inside one process" cat dpdk:demo,dev=net_ring
refused 2 "longer than" cat "shm:$(printf 'x%.0s' {1..600})"
refused 2 "shm:" cat -l "shm:$(printf 'x%.0s' {1..300})"
refused 2 "not an endpoint" check demo

refused 3 "listener" cat -w 100ms shm:$NAME-nobody
refused 3 "no peer came" cat -l -w 100ms shm:$NAME
refused 3 "no/such/file" cat -i no/such/file shm:$NAME
refused 3 "no/such/dir" cat -o no/such/dir/file shm:$NAME

begin 'a runtime directory that others can write to'
mkdir -m 0777 "$DIR/open" && chmod 0777 "$DIR/open"
WEIR_RUNTIME_DIR=$DIR/open timeout $LIMIT "$WEIR" check shm: >"$DIR/out"
equal 'exit code' 3 $?
grep -q 'fail  runtime' "$DIR/out" || fail "$CASE: $(cat "$DIR/out")"

begin 'address in use'
background first cat -v -l shm:$NAME-taken
listening first
refused 3 "in use|already listens|taken" cat -l shm:$NAME-taken
kill -INT "${PIDS[first]}"
ended first 130

begin 'standard output that is full'
if [ -c /dev/full ]; then
	"$WEIR" info >/dev/full 2>"$DIR/err"
	equal 'exit code' 3 $?
	one_line "$DIR/err" "No space left"
fi
nothing_left
finish
