#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Make kernel and initramfs of the emulated machine.
#
#     tests/nic/image.sh BUILD DIR
#
# DIR/kernel/ is a Debian kernel package, unpacked and never installed;
# DIR/initramfs.gz holds busybox, the init beside this file, and of BUILD the
# contract suite and the tool, with the libraries that ldd names and the few
# DPDK drivers that the machine has devices for. EAL loads every driver that
# is installed, which costs an emulated processor many seconds.
set -eu

build=$(realpath "$1")
mkdir -p "$2"
dir=$(realpath "$2")
programs="tests/contract/contract-dpdk apps/weir/weir"
here=$(cd "$(dirname "$0")" && pwd)

# Fetched by apt from where the machine has its packages: newest of the lists.
get_kernel() {
	local package

	compgen -G "$dir/kernel/boot/vmlinuz-*" >/dev/null && return
	package=$(apt-cache depends linux-image-amd64 |
		sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)
	[ -n "$package" ] || {
		echo "apt's lists name no linux-image-amd64; apt-get update" >&2
		exit 77
	}
	rm -rf "$dir/kernel" "$dir/deb"
	mkdir -p "$dir/deb"
	(cd "$dir/deb" && apt-get -qq -o APT::Sandbox::User=root \
		download "$package") || {
		echo "apt-get download $package: failed" >&2
		exit 77
	}
	dpkg-deb -x "$dir"/deb/*.deb "$dir/kernel"
	rm -rf "$dir/deb"
}

# What of a list of programs and libraries ld.so would load, as paths.
libraries_of() {
	ldd "$@" 2>/dev/null | sed -nE 's/.*(=> |^\s+)(\/[^ ]+) \(.*/\2/p' |
		sort -u
}

# copy FILE...: to the same path of the root. Links stay links: of a driver that
# is found under two names, EAL must see one file.
copy() {
	local file real

	for file in "$@"; do
		file=$(realpath "$(dirname "$file")")/$(basename "$file")
		real=$(realpath "$file")
		mkdir -p "$root$(dirname "$file")" "$root$(dirname "$real")"
		cp "$real" "$root$real"
		[ "$file" = "$real" ] || ln -sf "$real" "$root$file"
	done
}

fill_root() {
	local eal drivers plugins file

	mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root/modules"
	for file in bin sbin lib lib64; do
		ln -s "usr/$file" "$root/$file"
	done
	cp "$(command -v busybox)" "$root/bin/busybox"
	cp "$here/init" "$root/init"
	chmod 755 "$root/init"
	# As in the build: programs find the libraries by their own place.
	for file in $programs drivers/dpdk/libweir-dpdk.so.0 libweir.so.0; do
		mkdir -p "$root/weir/$(dirname "$file")"
		cp -L "$build/$file" "$root/weir/$file"
	done
	find "$dir/kernel/lib/modules" -name uio.ko -o \
		-name uio_pci_generic.ko | xargs -I{} cp {} "$root/modules/"

	eal=$(libraries_of "$build/tests/contract/contract-dpdk" |
		grep librte_eal)
	drivers=$(echo "$(dirname "$(realpath "$eal")")"/dpdk/pmds-*)
	plugins=()
	for file in bus_pci bus_vdev mempool_ring net_e1000 net_virtio \
		net_vmxnet3; do
		plugins+=("$drivers/librte_$file.so")
	done
	copy "${plugins[@]}"
	copy $(libraries_of "$build/tests/contract/contract-dpdk" \
		"$build/apps/weir/weir" "$build/drivers/dpdk/libweir-dpdk.so.0" \
		"${plugins[@]}" | grep -v libweir) \
		$(ldconfig -p | sed -n "s/.*libgcc_s.so.1 (.*x86-64) => //p")
}

get_kernel
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fill_root
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) \
	>"$dir/initramfs.gz"
