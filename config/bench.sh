#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Latency and rate over the sizes that matter, each beside its floor in the
# same run; docs/performance.md says how to read it. As root with huge pages,
# given back afterwards.
#
#     config/bench.sh BUILD_DIR
set -eu

weir=$(realpath "$1")/apps/weir/weir
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d "$(realpath "$1")/bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
export WEIR_RUNTIME_DIR=$work/run
mkdir -m 700 "$WEIR_RUNTIME_DIR"

"$here/hugepages.sh" 256 python3 "$here/measure.py" "$weir" --seconds 5 \
	"lat shm: 32" "lat shm: 256" "lat shm: 4096" "lat shm: 65536" \
	"bw shm: 32" "bw shm: 64" "bw shm: 1024" "bw shm: 65536" \
	"bw shm: 1048576" \
	"lat dpdk: 64" "lat dpdk: 1024" "lat dpdk: 65536" \
	"bw dpdk: 64" "bw dpdk: 1024" "bw dpdk: 65536"
