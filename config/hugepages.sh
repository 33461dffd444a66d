#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Run a command with 2 MiB huge pages at hand, and give them back afterwards.
#
#     config/hugepages.sh COUNT command [argument]...
#
# Only root can reserve them; for others, and where the kernel has none to
# give, the command runs without. Pages are given back on every way out, as
# many as were got, so that two of these may overlap.
set -u

count=$1
shift
pool=/sys/kernel/mm/hugepages/hugepages-2048kB
got=0
child=

give_back() {
	trap - EXIT
	if [ "$got" -gt 0 ]; then
		local now
		now=$(cat $pool/nr_hugepages)
		echo $((now > got ? now - got : 0)) >$pool/nr_hugepages
	fi
}

# The command runs beside us: bash runs a trap only between commands, and a
# signal to us alone must still end the command and give the pages back.
interrupted() {
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null
		wait "$child"
	fi
	exit "$1"
}

trap give_back EXIT
trap 'interrupted 129' HUP
trap 'interrupted 130' INT
trap 'interrupted 143' TERM

if [ "$(id -u)" = 0 ] && [ -w $pool/nr_hugepages ]; then
	free=$(cat $pool/free_hugepages)
	if [ "$free" -lt "$count" ]; then
		before=$(cat $pool/nr_hugepages)
		echo $((before + count - free)) 2>/dev/null >$pool/nr_hugepages
		got=$(($(cat $pool/nr_hugepages) - before))
	fi
fi

"$@" </dev/null &
child=$!
wait "$child"
status=$?
child=
exit "$status"
