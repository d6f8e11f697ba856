"""Network namespaces and cables between them, made by a test and gone with its process.

Needs root, iproute2, util-linux, ethtool, and a kernel with veth.
"""
import ctypes
import os
import shutil
import socket
import subprocess
import sys

CLONE_NEWNET, SKIPPED = 0x40000000, 77
LIBC = ctypes.CDLL(None, use_errno=True)


def must(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


def skip_if_not_here(*tools):
    if os.environ.get("TEST_WITH_DPDK") == "no":
        skip("the programs were built without DPDK")
    if os.geteuid() != 0:
        skip("needs root, for network namespaces and packet sockets")
    for tool in ("ip", "nsenter", "ethtool", *tools):
        if not shutil.which(tool):
            skip(f"{tool} is not installed")


class Space:
    """A namespace of this process; the first one made is the one that it stays in."""

    home = None

    def __init__(self):
        must(LIBC.unshare(CLONE_NEWNET))
        self.fd = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.fd}"]
        Space.home = Space.home or self
        must(LIBC.setns(Space.home.fd, CLONE_NEWNET))
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *args):
        run(*self.inside, *args)

    def socket(self, *args):
        must(LIBC.setns(self.fd, CLONE_NEWNET))
        try:
            return socket.socket(*args)
        finally:
            must(LIBC.setns(Space.home.fd, CLONE_NEWNET))


def cable(one, its_end, other, others_end):
    """A veth pair. Its ends have no addresses, and the kernel speaks over them only when told."""
    one.run("ip", "link", "add", its_end, "type", "veth", "peer", "name", others_end, "netns",
            f"/proc/{os.getpid()}/fd/{other.fd}")
    for space, end in ((one, its_end), (other, others_end)):
        # veth leaves checksums to nobody; on a wire they would be there.
        space.run("ethtool", "-K", end, "tx", "off")
        space.run("ip", "link", "set", end, "addrgenmode", "none")
        space.run("ip", "link", "set", end, "up")
