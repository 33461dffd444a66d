#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# weir over the drivers of real NICs: an emulated machine has two of a kind,
# wired together, for each line of matrix.txt and each test.
#
#     tests/nic/run.sh BUILD [DIR]
#
#     host    QEMU, software emulation, two processors, no network outside
#     guest   init: NICs to uio_pci_generic, huge pages, then one test
#
#     cat       a file and its copy
#     loss      the same while 1 % of the frames that arrive are dropped
#     contract  the contract suite      (parts of it: NIC_CASES="close split")
#
# NAME-mq: two queue pairs, so taps on a bridge in a namespace of our own, and
# all tests between the second queue of one device and that of the other. The
# way in which frames come to their queue must be the one that steers() tells.
#
# NIC="e1000 virtio" and NIC_TESTS="cat loss" select lines and tests.
# NIC_LIMIT is what a machine may take, in seconds. A table of lines and tests,
# what there is to say about its cells, and their count; consoles stay in DIR.
# Exit code 1 if any failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${1:?the build directory}
dir=${2:-$build/nic}
limit=${NIC_LIMIT:-1800}
boot_limit=120 # seconds until init speaks; 4 are usual
known=$(awk '!/^#/ { print $1 }' "$here/matrix.txt" | sort -u)
chosen=${NIC:-$known}
tests=${NIC_TESTS:-cat loss contract}
passed=0 failed=0 skipped=0
notes=()

check_choice() {
	local what

	for what in $chosen; do
		grep -qx "$what" <<<"$known" || {
			echo "NIC=$what: none of" $known >&2
			exit 2
		}
	done
	for what in $tests; do
		case $what in
		cat | loss | contract) ;;
		*)
			echo "NIC_TESTS=$what: none of cat loss contract" >&2
			exit 2
			;;
		esac
	done
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

# A namespace with taps of two queues on a bridge: net, what runs there.
net=()
space=weirnic$$
make_taps() {
	local tap

	[ ${#net[@]} = 0 ] || return 0
	ip netns add $space && net=(ip netns exec $space) &&
		"${net[@]}" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 &&
		ip -n $space link add br0 type bridge &&
		ip -n $space link set br0 up || return
	for tap in n0 n1; do
		ip -n $space tuntap add dev $tap mode tap multi_queue &&
			ip -n $space link set $tap master br0 &&
			ip -n $space link set $tap up || return
	done
}

remove_taps() {
	[ ${#net[@]} = 0 ] || ip netns del $space
}

# backend NAME: what stands behind the NICs, to netdevs.
backend() {
	local number kind

	netdevs=()
	for number in 0 1; do
		kind=hubport,hubid=0
		case $1 in
		*-mq) kind=tap,ifname=n$number,queues=2,script=no,downscript=no ;;
		esac
		netdevs+=(-netdev "$kind,id=n$number")
	done
}

# start DEVICE LOG VARIABLE=VALUE...: what init is told. Its kernel stays where
# it is linked to: moved at random, some boots never ended.
start() {
	local device=$1 log=$2

	shift 2
	rm -f "$log"
	timeout -k 10 "$limit" "${net[@]}" nice -n 10 qemu-system-x86_64 \
		-accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
		-nodefaults -no-user-config -no-reboot -display none \
		-monitor none -serial "file:$log" \
		-kernel "$dir"/kernel/boot/vmlinuz-* \
		-initrd "$dir/initramfs.gz" -append \
		"console=ttyS0 quiet panic=-1 nokaslr rdinit=/init $*" \
		"${netdevs[@]}" \
		-device "$device,netdev=n0,addr=10.0,mac=52:54:00:00:00:01,romfile=" \
		-device "$device,netdev=n1,addr=11.0,mac=52:54:00:00:00:02,romfile=" \
		</dev/null >"$log.qemu" 2>&1 &
	machine=$!
}

# Did init say anything, in time? If not, the machine is stopped.
has_booted() {
	local end=$((SECONDS + boot_limit))

	while kill -0 "$machine" 2>/dev/null; do
		grep -qs '^nic:' "$1" && return 0
		[ $SECONDS -lt $end ] || break
		sleep 0.2
	done
	grep -qs '^nic:' "$1" && return 0
	kill "$machine" 2>/dev/null
	wait "$machine" 2>/dev/null
	return 1
}

# run_machine DEVICE LOG VARIABLE=VALUE...: to its end. An emulated kernel that
# does not come up says nothing about weir: it has three tries.
run_machine() {
	for _ in 1 2 3; do
		start "$@"
		if has_booted "$2"; then
			wait "$machine"
			return
		fi
	done
	echo "nic: the machine did not come up, three times" >>"$2"
}

# judge LOG: the verdict, by what the machine printed, to cell and reason.
judge() {
	local code said

	said=$(tr -d '\r' <"$1")
	code=$(sed -n 's/^nic: exit \([0-9]*\).*/\1/p' <<<"$said" | tail -n 1)
	reason=$(sed -n 's/^contract [^:]*: //p' <<<"$said" | tail -n 1)
	case $code in
	0) cell=ok ;;
	77)
		cell=skipped
		reason=$(sed -n 's/^nic: //p' <<<"$said" | tail -n 2 | head -n 1)
		;;
	'')
		cell=FAIL
		reason=$(grep '^nic: the machine' <<<"$said")
		reason="${reason:-no end within $limit s}; $1"
		;;
	*)
		cell=FAIL
		reason="$reason${reason:+, }exit code $code; $1"
		;;
	esac
}

# count WHAT CELL REASON
count() {
	case $2 in
	ok) passed=$((passed + 1)) ;;
	skipped) skipped=$((skipped + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
	[ -z "$3" ] || notes+=("$1: $2: $3")
}

# One machine per part of the suite; the worst verdict is the cell's.
contract() {
	local name=$1 offload=$2 device=$3 variant=dpdk-nic part log worst=ok

	case $name in *-mq) variant+=-mq ;; esac
	[ "$offload" = on ] || variant+=-plain
	for part in ${NIC_CASES:-""}; do
		log="$dir/$name-$offload-contract${part:+-$part}.log"
		run_machine "$device" "$log" weir_job=contract \
			weir_arg=$variant weir_pattern="$part"
		judge "$log"
		count "$name offload=$offload contract${part:+ $part}" \
			$cell "$reason"
		[ $cell = ok ] || [ $worst = FAIL ] || worst=$cell
	done
	cell=$worst
}

# steers NAME: the way that its device allows; a word, init looks for it.
steers() {
	case $1 in
	virtio-rss-mq) echo computed-RSS ;;
	*-mq) echo software-hop ;;
	esac
}

# cannot NAME: why not, to reason; false if it can.
cannot() {
	reason=$missing
	case $1 in
	*-mq)
		[ -z "$reason" ] || return 0
		make_taps 2>"$dir/taps.txt" ||
			reason="no taps: $(tail -n 1 "$dir/taps.txt")"
		;;
	esac
	[ -n "$reason" ]
}

# one NAME OFFLOAD DEVICE TEST
one() {
	local what="$1 offload=$2 $4" log="$dir/$1-$2-$4.log" keys=

	backend "$1"
	case $1 in *-mq) keys=,queues=2,queue=1 ;; esac
	if cannot "$1"; then
		cell=skipped
		count "$what" skipped "$reason"
	elif [ "$4" = contract ]; then
		contract "$1" "$2" "$3"
	else
		run_machine "$3" "$log" weir_job="$4" \
			weir_arg=",offload=$2$keys" weir_steer="$(steers "$1")"
		judge "$log"
		count "$what" $cell "$reason"
	fi
}

stop() {
	[ -z "${machine:-}" ] || kill "$machine" 2>/dev/null
	exit 130 # and remove_taps
}

check_choice
trap stop INT TERM
trap remove_taps EXIT
missing=$(prerequisites)
printf '%-13s %-8s' nic offload
printf ' %-8s' $tests
echo
while read -r name offload device; do
	case "$name" in '#'* | '') continue ;; esac
	tr ' ' '\n' <<<"$chosen" | grep -qx "$name" || continue
	printf '%-13s %-8s' "$name" "$offload"
	for test in $tests; do
		one "$name" "$offload" "$device" "$test"
		printf ' %-8s' "$cell"
	done
	echo
done <"$here/matrix.txt"
[ ${#notes[@]} = 0 ] || printf '%s\n' "" "${notes[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
