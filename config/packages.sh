#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What weir needs from Debian 12, for each thing that can be made of it.
#
#     config/packages.sh [--check] build|demo|check|peers|nic
#
# As root it installs what is missing. Otherwise, or with --check, it prints
# the one command that would and exits with 3. Silent when nothing is missing.
set -eu

build="gcc libc6-dev make meson ninja-build pkg-config
	libnuma-dev libdpdk-dev libjansson-dev zlib1g-dev scdoc"
# Namespaces and veth pairs for the tool's lab.
demo="iproute2"
# The second compiler and its sanitizer run-time, the C++ consumer, the test
# library, the formatter that the lint test pins, pgrep, the model checkers,
# the counter of instructions.
check="clang libclang-rt-14-dev g++ libcmocka-dev clang-format-14 procps spin
	relacy-dev valgrind gnuplot-nox"
# Plots, and what "make bench" compares weir with.
peers="gnuplot-nox ucx-utils libfabric-bin"

# An emulated machine; its kernel is fetched and unpacked by tests/nic/image.sh.
nic="qemu-system-x86 busybox-static cpio"

only_check=no
if [ "${1:-}" = --check ]; then
	only_check=yes
	shift
fi
case "${1:-}" in
build) wanted=$build ;;
demo) wanted="$build $demo" ;;
check) wanted="$build $demo $check" ;;
peers) wanted=$peers ;;
nic) wanted="$build libcmocka-dev $nic" ;;
*)
	echo "usage: config/packages.sh [--check] build|demo|check|peers|nic" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query >/dev/null; then
	echo "weir: not a Debian system; these packages' counterparts are" \
		"needed:" $wanted >&2
	exit 0
fi

missing=
for package in $wanted; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" \
		2>/dev/null) || status=
	case $status in
	*installed) [ "$status" = not-installed ] && missing="$missing $package" ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$only_check" = yes ] || [ "$(id -u)" != 0 ]; then
	echo "weir: Debian packages are missing. Install them as root with" >&2
	echo "    $install" >&2
	exit 3
fi

echo "weir: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2
	-o Dpkg::Use-Pty=0"
update() {
	# One source that cannot be reached must not stop the others.
	$apt update || echo "weir: apt-get update had errors, going on" >&2
}

# Lists that name no candidate are empty; lists that lead to a file that is
# gone are old. Either way one update is due, and one is enough.
for package in $missing; do
	if ! apt-cache policy "$package" | grep -q 'Candidate: [^(]'; then
		update
		break
	fi
done
$apt install -y --no-install-recommends $missing || {
	update
	$apt install -y --no-install-recommends $missing || {
		echo "weir: installing failed; by hand: $install" >&2
		exit 3
	}
}
