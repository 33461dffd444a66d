#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# List what weir's programs could leave behind on this machine, one a line.
# Taken before and after, the difference should be empty.
cd "$(dirname "$0")/.." || exit 1

# Sockets, memory and huge-page files, EAL's run-time directories. A runtime
# directory itself may stay, as a home directory does.
ls -d /dev/shm/*weir* /dev/shm/*rte* /run/weir/* /tmp/weir-*/* \
	/dev/hugepages/* /run/dpdk/* 2>/dev/null
grep -o '@weir.*' /proc/net/unix
if command -v ip >/dev/null; then
	ip netns list 2>/dev/null | sed 's/ .*//; s/^/namespace /'
	ip -brief link 2>/dev/null |
		sed -nE 's/^(weir[^ @]*|veth[^ @]*).*/interface \1/p'
fi
# Our own programs that still run.
for exe in /proc/[0-9]*/exe; do
	target=$(readlink "$exe" 2>/dev/null) || continue
	case $target in
	"$PWD"/build*) echo "process ${exe//[^0-9]/}: $target" ;;
	esac
done
exit 0
