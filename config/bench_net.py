# SPDX-License-Identifier: BSD-3-Clause
"""veth pairs in namespaces of their own, gone when closed."""
import os
import shutil
import subprocess


class NoNetwork(Exception):
    """Why there is none."""


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True,
                          check=False, timeout=30)
    if done.returncode != 0:
        raise NoNetwork(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Namespaces:
    def __init__(self, count):
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise NoNetwork("needs root and ip")
        self.names = []
        try:
            for number in range(count):
                name = f"weirb{os.getpid()}{type(self).__name__}{number}"
                ip("netns", "add", name)
                self.names.append(name)
                self.quiet(name)
                ip("-n", name, "link", "set", "lo", "up")
        except NoNetwork:
            self.close()
            raise

    @staticmethod
    def quiet(name):
        """No IPv6 of the kernel's own: its packets are no part of this."""
        subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw",
                        "net.ipv6.conf.all.disable_ipv6=1"],
                       capture_output=True, check=False, timeout=30)

    def prefix(self, number=0):
        return ["ip", "netns", "exec", self.names[number]]

    def close(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False,
                           capture_output=True, timeout=30)
        self.names = []


def port(pmd, interface, number):
    return (f"dpdk:10.78.0.1:7400,dev={pmd}0,dev.iface={interface},"
            f"local=10.78.0.{number}/24")


class Together(Namespaces):
    """Both ends of a veth pair in one namespace, without addresses."""

    def __init__(self):
        super().__init__(1)
        try:
            ip("-n", self.names[0], "link", "add", "v0", "type", "veth",
               "peer", "name", "v1")
            for end in ("v0", "v1"):
                ip("-n", self.names[0], "link", "set", end, "up")
        except NoNetwork:
            self.close()
            raise

    @staticmethod
    def endpoints(pmd):
        """(ours, the peer's); the peer listens."""
        return port(pmd, "v1", 2), port(pmd, "v0", 1)


class Taps(Namespaces):
    """Two taps in one namespace, joined by a bridge."""

    def __init__(self):
        super().__init__(1)
        name = self.names[0]
        try:
            ip("-n", name, "link", "add", "br0", "type", "bridge")
            ip("-n", name, "link", "set", "br0", "up")
            for tap in ("t0", "t1"):
                ip("-n", name, "tuntap", "add", "dev", tap, "mode", "tap",
                   "multi_queue")
                ip("-n", name, "link", "set", tap, "master", "br0")
                ip("-n", name, "link", "set", tap, "up")
        except NoNetwork:
            self.close()
            raise

    @staticmethod
    def endpoints():
        """(ours, the peer's); the peer listens."""
        return port("net_tap", "t1", 2), port("net_tap", "t0", 1)


class Apart(Namespaces):
    """One end in each of two namespaces, with addresses for the kernel."""

    SERVER, CLIENT = "10.79.0.1", "10.79.0.2"

    def __init__(self):
        super().__init__(2)
        here, there = self.names
        try:
            ip("-n", here, "link", "add", "v0", "type", "veth", "peer",
               "name", "v1", "netns", there)
            for name, end, address in ((here, "v0", self.SERVER),
                                       (there, "v1", self.CLIENT)):
                ip("-n", name, "address", "add", f"{address}/24", "dev", end)
                ip("-n", name, "link", "set", end, "up")
        except NoNetwork:
            self.close()
            raise
