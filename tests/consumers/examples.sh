#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Install weir into an empty directory, build the DPDK examples against it with
# their own Makefiles, and run two of each, one in either end of a lab:
#
#     l2link   a capture goes in at one end and must come out at the other
#     feed     messages there and back, beacons beside them
#
#     examples.sh BUILD_DIR EXAMPLES_DIR
set -eu

build=$1
examples=$2
work=$(mktemp -d "$build/examples-XXXXXX")
limit=60 # seconds that a run may take
trap 'rm -rf "$work"' EXIT

meson install -C "$build" --no-rebuild --quiet --destdir "$work/stage" \
	>"$work/install.txt" 2>&1 || {
	cat "$work/install.txt"
	exit 1
}
pc=$(dirname "$(find "$work/stage" -name weir-dpdk.pc)")
weir=$(find "$work/stage" -path '*/bin/weir' | head -n 1)
export PKG_CONFIG_PATH=$pc
export LD_LIBRARY_PATH=${pc%/pkgconfig}
for name in l2link feed; do
	cp -r "$examples/$name" "$work/$name"
	CFLAGS=-Werror make --no-print-directory -s -C "$work/$name"
done
cd "$work"
export RUNTIME_DIRECTORY=$work # of EAL

if [ -z "$weir" ] || ! "$weir" lab run true 2>lab.err; then
	echo "built; not run, since no lab can be made here: $(cat lab.err)"
	exit 77
fi

# Each is an EAL of its own, without huge pages and files.
cpu=$(taskset -cp $$ | sed 's/.*: *//; s/[,-].*//')
eal="--no-pci --no-huge -m 192 --no-shconf --no-telemetry --log-level=1"
eal="$eal --file-prefix=weir-example-$$ -l $cpu"

# pair DIR A B: run program A in end a and B in end b, both must succeed.
pair() {
	timeout $limit "$weir" lab run -- sh -c "
		$2 >a.out 2>a.err & a=\$!
		'$weir' lab enter b -- $3 >b.out 2>b.err
		b=\$?
		wait \$a && [ \$b = 0 ]" || {
		echo "$1 failed"
		cat a.out a.err b.out b.err
		exit 1
	}
}

python3 - <<'PY'
import random
import struct
random.seed(1)
with open("in.pcap", "wb") as f:
    f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for i in range(200):
        frame = random.randbytes(random.choice((60, 61, 200, 1000, 1400)))
        f.write(struct.pack("<IIII", i, 0, len(frame), len(frame)) + frame)
PY
up='--vdev=net_af_packet0,iface=v0'
pair l2link \
	"./l2link/l2link $eal --vdev=net_pcap0,tx_pcap=out.pcap $up -- \
		-l 'dpdk:10.7.0.1:7400,local=10.7.0.1/24,coalesce=off'" \
	"./l2link/l2link $eal --vdev=net_pcap0,rx_pcap=in.pcap $up -- \
		-c 'dpdk:10.7.0.1:7400,local=10.7.0.2/24,coalesce=off' -n 200"
cat a.out b.out
python3 - <<'PY'
import struct
import sys
def frames(name):
    data, at = open(name, "rb").read(), 24
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16:at + 16 + length]
        at += 16 + length
there, back = list(frames("in.pcap")), list(frames("out.pcap"))
if there != back:
    sys.exit("%d frames went in, %d came out, not the same"
             % (len(there), len(back)))
print("all frames came out as they went in")
PY

pair feed \
	"./feed/feed $eal $up -- -l 'dpdk:10.7.0.1:7400,local=10.7.0.1/24'" \
	"./feed/feed $eal $up -- \
		-c 'dpdk:10.7.0.1:7400,local=10.7.0.2/24' -n 2000"
cat a.out b.out
grep -q '^2000 messages came back$' b.out
grep -Eq '^beacons sent 0, seen [1-9]' a.out
