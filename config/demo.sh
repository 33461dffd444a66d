#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# See it work: a file of at least 50 MB crosses a shm link and a dpdk link
# between two processes and arrives as it was; then latency and rate, each
# beside the machine's own floor. Needs no network card, no huge pages and no
# root, and leaves nothing behind.
#
#     config/demo.sh BUILD_DIR
set -eu

weir=$(realpath "$1")/apps/weir/weir
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d "$(realpath "$1")/demo-XXXXXX")
receiver=

finish() {
	[ -z "$receiver" ] || kill "$receiver" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Sockets in a directory of our own: two demos at a time do not meet.
export WEIR_RUNTIME_DIR=$work/run
mkdir -m 700 "$WEIR_RUNTIME_DIR"

# A library or compiler of that size if there is one, else all of DPDK's
# archives and the compiler in one.
file=$(find -L /usr/lib/*-linux-gnu -maxdepth 1 -name "*.so*" \
	-type f -size +50M -size -250M \
	2>/dev/null | sort | head -n 1)
name=$file
if [ -z "$file" ]; then
	file=$work/archives
	name="the compiler and DPDK's archives"
	cat "$(gcc -print-prog-name=cc1)" "$(gcc -print-prog-name=lto1)" \
		/usr/lib/*/librte_*.a >"$file"
fi
size=$(stat -L -c %s "$file")
sum=$(sha256sum <"$file")
echo "A file through weir cat, from one process to another:"
echo "    $name, $((size / 1000000)) MB"

stream() {
	local endpoint=$1 begin end ms

	begin=$(date +%s%N)
	timeout 60 "$weir" cat -l "$endpoint" --frame file \
		</dev/null >"$work/copy" &
	receiver=$!
	timeout 60 "$weir" cat "$endpoint" --frame file <"$file"
	wait "$receiver"
	receiver=
	end=$(date +%s%N)
	if [ "$(sha256sum <"$work/copy")" != "$sum" ]; then
		echo "    $endpoint: the copy DIFFERS" >&2
		exit 4
	fi
	ms=$(((end - begin) / 1000000))
	printf '    %-6s SHA-256 equal, %d.%03d s in all, %d MB/s\n' \
		"${endpoint%%:*}:" $((ms / 1000)) $((ms % 1000)) \
		$((size / 1000 / (ms > 0 ? ms : 1)))
}

stream shm:demo
stream dpdk:demo

echo
echo "Latency and rate, both ends on this machine, beside its floor:"
python3 "$here/measure.py" "$weir" --seconds 2 \
	"lat shm: 32" "bw shm: 64" "bw shm: 65536" "lat dpdk: 64" "bw dpdk: 64"
