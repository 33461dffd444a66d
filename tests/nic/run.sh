#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# weir over the drivers of real NICs: an emulated machine has two of a kind,
# wired together, for each line of matrix.txt.
#
#     tests/nic/run.sh BUILD [DIR]
#
#     host    QEMU, software emulation, two processors, no network outside
#     guest   init: NICs to uio_pci_generic, huge pages, then one test
#
#     contract  the contract suite      (parts of it: NIC_CASES="close split")
#     cat       a file and its copy
#     loss      the same while 1 % of the frames that arrive are dropped
#
# NIC="e1000 virtio" and NIC_TESTS="cat loss" select lines and tests.
# NIC_LIMIT is what a machine may take, in seconds. One line per machine with
# counts of its test cases; its console stays in DIR. Exit code 1 if any failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${1:?the build directory}
dir=${2:-$build/nic}
limit=${NIC_LIMIT:-1800}
known=$(awk '!/^#/ { print $1 }' "$here/matrix.txt" | sort -u)
chosen=${NIC:-$known}
tests=${NIC_TESTS:-contract cat loss}
passed=0 failed=0 skipped=0

for name in $chosen; do
	grep -qx "$name" <<<"$known" || {
		echo "NIC=$name: none of" $known >&2
		exit 2
	}
done

# report WHAT passed|failed|skipped DETAIL
report() {
	printf '%-28s %-8s %s\n' "$1" "$2" "$3"
	case $2 in
	passed) passed=$((passed + 1)) ;;
	failed) failed=$((failed + 1)) ;;
	*) skipped=$((skipped + 1)) ;;
	esac
}

# What is missing, or nothing.
prerequisites() {
	local program

	for program in qemu-system-x86_64 busybox cpio; do
		command -v $program >/dev/null || {
			echo "no $program; config/packages.sh nic"
			return
		}
	done
	"$here/image.sh" "$build" "$dir" 2>&1 | tail -n 1
	[ -s "$dir/initramfs.gz" ] || echo "no initramfs"
}

# machine DEVICE LOG VARIABLE=VALUE...: run to its end; what init is told.
machine() {
	local device=$1 log=$2

	shift 2
	timeout -k 10 "$limit" nice -n 5 qemu-system-x86_64 \
		-accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
		-nodefaults -no-user-config -no-reboot -display none \
		-monitor none -serial "file:$log" \
		-kernel "$dir"/kernel/boot/vmlinuz-* \
		-initrd "$dir/initramfs.gz" \
		-append "console=ttyS0 quiet panic=-1 rdinit=/init $*" \
		-netdev hubport,id=n0,hubid=0 -netdev hubport,id=n1,hubid=0 \
		-device "$device,netdev=n0,addr=10.0,mac=52:54:00:00:00:01,romfile=" \
		-device "$device,netdev=n1,addr=11.0,mac=52:54:00:00:00:02,romfile=" \
		</dev/null >"$log.qemu" 2>&1
}

# verdict WHAT LOG: from what the machine printed last.
verdict() {
	local code counts reason

	code=$(sed -n 's/^nic: exit \([0-9]*\).*/\1/p' "$2" | tail -n 1)
	counts=$(tr -d '\r' <"$2" | sed -n 's/^contract [^:]*: //p' | tail -n 1)
	reason=$(tr -d '\r' <"$2" | grep '^nic:' | tail -n 2 | head -n 1)
	case $code in
	0) report "$1" passed "$counts" ;;
	77) report "$1" skipped "${reason#nic: }" ;;
	'') report "$1" failed "no end within $limit s; $2" ;;
	*) report "$1" failed "$counts exit code $code; $2" ;;
	esac
}

# one NAME OFFLOAD DEVICE TEST
one() {
	local what="$1 offload=$2 $4" log="$dir/$1-$2-$4.log"
	local variant=dpdk-nic part

	rm -f "$log"
	[ "$2" = on ] || variant=dpdk-nic-plain
	if [ "$4" != contract ]; then
		machine "$3" "$log" weir_job="$4" weir_arg=",offload=$2"
		verdict "$what" "$log"
		return
	fi
	for part in ${NIC_CASES:-""}; do
		log="$dir/$1-$2-$4${part:+-$part}.log"
		rm -f "$log"
		machine "$3" "$log" weir_job=contract weir_arg=$variant \
			weir_pattern="$part"
		verdict "$what${part:+ $part}" "$log"
	done
}

missing=$(prerequisites)
while read -r name offload device; do
	case "$name" in '#'* | '') continue ;; esac
	grep -qw "$name" <<<"$chosen" || continue
	for test in $tests; do
		if [ -n "$missing" ]; then
			report "$name offload=$offload $test" skipped "$missing"
		else
			one "$name" "$offload" "$device" "$test"
		fi
	done
done <"$here/matrix.txt"
if grep -qw virtio <<<"$chosen"; then
	report "virtio, several queues" skipped "QEMU's hubs have one queue pair"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
