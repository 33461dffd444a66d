# SPDX-License-Identifier: BSD-3-Clause
# The few commands that a person needs; meson does the building.

PREFIX ?= /usr/local

.PHONY: build demo check check-long check-nic check-versions coverage fuzz kill-matrix model mutants \
	bench bench-short install clean help

build:
	@config/packages.sh --check build
	@config/setup.sh build -Dtests=false -Dtool=enabled
	@ninja -C build

help:
	@echo "make             build the libraries and the tool in build/"
	@echo "make demo        see it work: a file through shm and dpdk, latencies"
	@echo "make check       every test on five builds; about 13 minutes"
	@echo "make check-long  the same with repeats and valgrind; hours"
	@echo "make check-versions  do newer DPDKs take it? Fetches and links them"
	@echo "make check-nic   the drivers of real NICs, in an emulated machine; NIC=e1000"
	@echo "make model       models of the wire protocol, the ring under relacy;"
	@echo "                 with WEIR_CHECK_LONG=1 more faults, 100 times the runs"
	@echo "make mutants     planted defects, and the seed that finds each of them"
	@echo "make coverage    lines and branches of the wire protocol under test"
	@echo "make fuzz        20 s of each fuzz target; FUZZ_SECONDS=1800 for more"
	@echo "make kill-matrix SIGKILL at every instruction of the shm data path"
	@echo "make bench       a report: every goal of speed, its floor, the verdict,"
	@echo "                 and sockets, UCX, libfabric; 18 min, into BENCH_DIR"
	@echo "make bench-short the same form in 20 s: is the report whole?"
	@echo "make install     to PREFIX=$(PREFIX), DESTDIR is honoured"
	@echo "make clean       remove the build directories"
	@echo
	@echo "demo, check and bench install missing Debian packages when run as"
	@echo "root and print the command that does so otherwise."

demo:
	@config/packages.sh demo
	@config/setup.sh build -Dtests=false -Dtool=enabled
	@ninja -C build
	@config/demo.sh build

check:
	@config/packages.sh check
	@config/check.sh

check-long:
	@config/packages.sh check
	@config/check.sh --long

# NIC="e1000 virtio" NIC_TESTS="cat loss" take a part: tests/nic/run.sh.
check-nic:
	@config/packages.sh nic
	@config/setup.sh build-nic -Dbuildtype=release -Ddpdk=enabled \
		-Dtool=enabled -Dman=disabled
	@ninja -C build-nic tests/contract/contract-dpdk apps/weir/weir \
		>build-nic/ninja.txt
	@NIC="$(NIC)" NIC_TESTS="$(NIC_TESTS)" tests/nic/run.sh build-nic

check-versions:
	@config/packages.sh build
	@config/dpdk_versions.sh

model:
	@config/packages.sh check
	@tests/model/run.sh
	@tests/model/relacy.sh

mutants:
	@config/packages.sh check
	@config/setup.sh build-mutants -Dbuildtype=release -Ddpdk=disabled \
		-Dtool=disabled -Dman=disabled
	@ninja -C build-mutants tests/mutants/mutants >build-mutants/ninja.txt
	@build-mutants/tests/mutants/mutants --jobs $$(nproc)

coverage:
	@config/packages.sh check
	@config/coverage.sh

fuzz:
	@config/packages.sh check
	@config/fuzz.sh

kill-matrix:
	@config/packages.sh check
	@config/setup.sh build-kill -Dbuildtype=release -Ddpdk=disabled \
		-Dtool=disabled -Dman=disabled
	@ninja -C build-kill tests/kill/kill_matrix >build-kill/ninja.txt
	@build-kill/tests/kill/kill_matrix --all --jobs $$(nproc)

# What weir is compared with is no condition: the report says what is missing.
# Some goals are judged by tests that count.
bench:
	@config/packages.sh check
	-@config/packages.sh peers
	@config/setup.sh build-bench -Dtool=enabled -Dman=disabled
	@ninja -C build-bench >build-bench/ninja.txt
	@config/bench.sh build-bench

bench-short:
	@config/packages.sh demo
	@config/setup.sh build -Dtests=false -Dtool=enabled
	@ninja -C build
	@config/bench.sh build --short

install: build
	@meson configure build -Dprefix=$(abspath $(PREFIX))
	@meson install -C build $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig

clean:
	rm -rf build build-*
