#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Everything that must hold before a change lands; "make check" and CI.
#
#     config/check.sh [--long]
#
#     build-gcc    gcc, optimised     every test, style rules, outside users
#     build-clang  clang, optimised   no warning; the unit tests
#     build-asan   gcc, ASan + UBSan  every test, misuse checks on, no
#                                     huge pages
#     build-tsan   clang, TSan        mem, shm and core
#     build-fuzz   clang, libFuzzer   some seconds of each fuzz target
#
# A failure never stops the rest: the last line is a full count. --long runs
# every test on every build, repeats those that race, and adds valgrind.
set -u
cd "$(dirname "$0")/.." || exit 1

long=no
[ "${1:-}" = --long ] && long=yes
started=$SECONDS
failures=() # of what is not a test: a build that does not build
tested=()   # build directories with a test log

say() {
	printf '\n== %s  (%d s)\n' "$*" $((SECONDS - started))
}

# build DIR OPTIONS...: configure and compile; remember when that fails.
build() {
	local dir=$1

	say "building $*"
	if config/setup.sh "$@" && ninja -k 0 -C "$dir" \
		>"$dir/ninja.txt" 2>&1; then
		tail -n 1 "$dir/ninja.txt"
		return 0
	fi
	[ -f "$dir/ninja.txt" ] && grep -v '^\[' "$dir/ninja.txt" | tail -n 80
	failures+=("$dir does not build")
	return 1
}

# run_tests DIR PAGES OPTIONS...: run them with that many huge pages at hand.
# What meson is about to run is written down first, so that a test that never
# got its turn is missed by the count below.
run_tests() {
	local dir=$1 pages=$2

	shift 2
	say "testing $dir"
	rm -f "$dir"/meson-logs/testlog*
	meson test -C "$dir" --no-rebuild --list "$@" \
		>"$dir/expected.txt" 2>/dev/null
	tested+=("$dir")
	config/hugepages.sh "$pages" timeout -k 30 "$limit" \
		meson test -C "$dir" --no-rebuild --print-errorlogs \
		--num-processes 2 "$@"
}

# Far above what a quiet machine needs; a hanging test has limits of its own.
limit=900
if [ "$long" = yes ]; then
	limit=7200
	export WEIR_CHECK_LONG=1 # larger files in tests/tool
fi

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1
export LSAN_OPTIONS=suppressions=$PWD/config/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
# The tests' sockets get a directory of their own, gone afterwards.
WEIR_RUNTIME_DIR=$(mktemp -d /tmp/weir-check-XXXXXX) || exit 1
export WEIR_RUNTIME_DIR
trap 'rm -rf "$WEIR_RUNTIME_DIR"' EXIT
trap 'exit 130' HUP INT TERM
before=$(config/leftovers.sh | sort)

everything="-Ddpdk=enabled -Dtool=enabled -Dman=enabled"
repeat= once="--no-suite once"
[ "$long" = yes ] && repeat="--repeat 10" once=

if build build-gcc CC=gcc CXX=g++ $everything; then
	run_tests build-gcc 256
fi
if build build-clang CC=clang CXX=clang++ $everything; then
	if [ "$long" = yes ]; then
		run_tests build-clang 256 --no-suite lint --no-suite consumers \
			--no-suite model
	else
		run_tests build-clang 0 --suite unit
	fi
fi
if build build-asan CC=gcc CXX=g++ $everything -Doptimization=1 \
	-Dmisuse_checks=enabled \
	-Db_sanitize=address,undefined; then
	# What is about figures, or written in Python, has been run by now; "once"
	# is what takes long and has a shorter relative.
	run_tests build-asan 0 --no-suite lint --no-suite consumers \
		--no-suite model --no-suite figures --no-suite wire \
		$once --timeout-multiplier 3 $repeat
fi
if build build-tsan CC=clang CXX=clang++ -Ddpdk=disabled -Dtool=disabled \
	-Dman=disabled -Db_sanitize=thread -Db_lundef=false; then
	# The simulator has one thread, models none: nothing to find here.
	run_tests build-tsan 0 --no-suite lint --no-suite consumers \
		--no-suite sim --no-suite model --timeout-multiplier 4 $repeat
fi
if build build-fuzz CC=clang CXX=clang++ -Ddpdk=enabled -Dtool=disabled \
	-Dman=disabled -Dfuzz=enabled -Db_sanitize=address,undefined \
	-Db_lundef=false; then
	run_tests build-fuzz 0
fi
if [ "$long" = yes ] && command -v valgrind >/dev/null &&
	build build-valgrind CC=gcc CXX=g++ $everything; then
	run_tests build-valgrind 0 --suite unit --timeout-multiplier 20 \
		--wrap 'valgrind -q --error-exitcode=9 --leak-check=full'
fi

while read -r thing; do
	[ -n "$thing" ] && failures+=("left behind: $thing")
done < <(comm -13 <(echo "$before") <(config/leftovers.sh | sort))

if [ "$long" = yes ] && [ -x build-gcc/tests/kill/kill_matrix ]; then
	say "kills"
	WEIR_KILLS=5000 build-gcc/tests/kill/test_shm_kill ||
		failures+=("a random kill was not survived")
	build-gcc/tests/kill/kill_matrix --all --jobs "$(nproc)" ||
		failures+=("the crash matrix, or it cannot be run here")
fi
if [ "$long" = yes ]; then
	say "newer DPDK"
	config/dpdk_versions.sh || failures+=("a newer DPDK: does not build")
fi
if [ "$long" = yes ]; then
	say "NIC drivers"
	make -s check-nic || failures+=("a NIC's driver, see above")
fi
if [ "$long" = yes ]; then
	say "planted faults"
	python3 tests/contract/mutants.py . ||
		failures+=("a planted fault was not found")
fi

say "result"
exec python3 config/summary.py "${tested[@]}" -- "${failures[@]}"
