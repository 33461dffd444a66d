# SPDX-License-Identifier: BSD-3-Clause
# Shared by the tests of the weir program: a directory of our own, bounded
# waits, checks that name what failed. Sourced; $1 is the program.
#
# Every process is started by `background` or `timeout`, and ended on exit.

set -u
WEIR=$(realpath "${1:?the path of weir}") || exit 1
LIMIT=30 # seconds that anything may take

DIR=$(mktemp -d) || exit 1
export WEIR_RUNTIME_DIR="$DIR/run"
NAME=t$$ # of links; nobody else's
FAILED=0
CASES=0
declare -A PIDS=()

cleanup() {
	for name in "${!PIDS[@]}"; do
		kill -KILL "${PIDS[$name]}" 2>/dev/null
		wait "${PIDS[$name]}" 2>/dev/null
	done
	rm -rf "$DIR"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

fail() {
	echo "FAILED: $*"
	FAILED=1
}

# case NAME: what the next checks are about.
begin() {
	CASES=$((CASES + 1))
	CASE=$1
	echo "- $CASE"
}

finish() {
	echo "$CASES cases, $([ $FAILED = 0 ] && echo all good || echo FAILED)"
	exit $FAILED
}

# equal WHAT EXPECTED GOT
equal() {
	[ "$2" = "$3" ] || fail "$CASE: $1: expected '$2', got '$3'"
}

# same FILE FILE
same() {
	[ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ] ||
		fail "$CASE: $1 and $2 differ"
}

# until COMMAND...: try for LIMIT seconds.
until_true() {
	local end=$((SECONDS + LIMIT))

	while ! "$@"; do
		if [ $SECONDS -ge $end ]; then
			fail "$CASE: waited in vain for: $*"
			return 1
		fi
		sleep 0.02
	done
}

# background NAME ARGUMENT...: weir in the background, its streams in
# $DIR/NAME.out and $DIR/NAME.err; standard input is what it is for the call.
background() {
	local name=$1

	shift
	# What an earlier one said is gone before anybody looks.
	: >"$DIR/$name.out"
	: >"$DIR/$name.err"
	"$WEIR" "$@" <&0 >"$DIR/$name.out" 2>"$DIR/$name.err" &
	PIDS[$name]=$!
}

# held NAME [LINE]: make $DIR/NAME, an input that holds LINE and does not end.
held() {
	local fd

	rm -f "$DIR/$1"
	mkfifo "$DIR/$1"
	exec {fd}<>"$DIR/$1" # stays open: the end never comes
	[ $# = 1 ] || echo "$2" >&"$fd"
}

# ended NAME EXPECTED: wait for the end of a background weir.
ended() {
	local pid=${PIDS[$1]} rc

	until_true gone "$pid" || kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	rc=$?
	unset "PIDS[$1]"
	if [ "$rc" != "$2" ]; then
		fail "$CASE: $1: expected exit code $2, got $rc"
		cat "$DIR/$1.err"
	fi
}

# A zombie has ended: only its exit code is left.
gone() {
	local state

	state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) || return 0
	[ -z "$state" ] || [ "$state" = Z ]
}

# listening NAME: the background weir -v has printed that it listens.
listening() {
	until_true grep -q listening "$DIR/$1.err"
}

# one_line FILE PATTERN: an error is one line, "weir: subject: cause; advice".
one_line() {
	local lines

	lines=$(grep -c '' "$1")
	[ "$lines" = 1 ] || fail "$CASE: $lines lines on stderr: $(cat "$1")"
	grep -Eq '^weir: [^:]+.*: .*; ' "$1" ||
		fail "$CASE: not 'weir: subject: cause; advice': $(cat "$1")"
	grep -Eq -- "$2" "$1" ||
		fail "$CASE: '$2' is not in: $(cat "$1")"
}

# nothing_left: no file, no huge page, no process of ours.
nothing_left() {
	local files

	files=$(find "$WEIR_RUNTIME_DIR" -mindepth 1 2>/dev/null)
	[ -z "$files" ] || fail "$CASE: left behind: $files"
	files=$(find /dev/shm /dev/hugepages -name '*weir*' 2>/dev/null)
	[ -z "$files" ] || fail "$CASE: left behind: $files"
}

# The leak check at exit stumbles over DPDK: libxdp forgets its umem, and
# memory that EAL has reserved cannot always be read. Errors are still found.
no_leak_check() {
	export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
}
