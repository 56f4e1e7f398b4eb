# SPDX-License-Identifier: BSD-2-Clause
"""The emulated network for tests: starts twmesh-emu, opens sockets in its
sites, changes links while it runs, and reads the truth file.

    with emulib.Emulator("site ams sin\\nboth ams sin delay=20ms loss=1/10") as emu:
        s = emu.socket("ams")                 # a UDP socket in that namespace
        s.sendto(b"x", (emu.v4["sin"], 9))
        emu.tell("set ams sin loss=0")
        emu.run("sin", "ip", "addr")          # a program in that namespace
        packets = emu.truth("ams", "sin")     # what became of each

See docs/EMULATOR.md for the file format and the columns.
"""

import collections
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

import meshlib

SKIP = "skipped: needs CAP_NET_ADMIN"
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def allowed():
    """May this process make network namespaces?"""
    done = subprocess.run(["unshare", "--net", "ip", "link", "set", "lo", "up"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def need():
    """Skips the calling test (or fixture) without the rights."""
    if not allowed():
        pytest.skip(SKIP)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Inside:
    """This thread is in a network namespace, within a with statement."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        fd = os.open(self.path, os.O_RDONLY)
        try:
            _setns(fd)
        finally:
            os.close(fd)

    def __exit__(self, *exc):
        _setns(self.home)
        os.close(self.home)


COLUMNS = ("in_ns src dst index fate release_ns nominal_ns send_ns ip proto sport dport "
           "octets dscp_in dscp_out ttl_in ttl_out overtaken payload")


class Packet(collections.namedtuple("Packet", COLUMNS)):
    """A line of the truth file; payload is bytes."""

    __slots__ = ()

    @classmethod
    def parse(cls, line):
        w = line.split()
        for i in (0, 3, *range(5, 18)):
            w[i] = int(w[i])
        w[18] = b"" if w[18] == "-" else bytes.fromhex(w[18])
        return cls(*w)

    @property
    def lost(self):
        return self.fate.startswith("lost:")

    @property
    def delay_ns(self):
        """From the kernel's receive stamp to the end of the send call."""
        return self.release_ns - self.in_ns

    @property
    def error_ns(self):
        """How late it was really released (send call's end)."""
        return self.release_ns - self.nominal_ns


class Emulator:
    """A running twmesh-emu. Use as a context manager."""

    def __init__(self, conf, *options, fifo=True):
        self.dir = tempfile.mkdtemp(prefix="twe", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.conf = os.path.join(self.dir, "net.conf")
        self.truth_path = os.path.join(self.dir, "truth")
        self.control = os.path.join(self.dir, "ctl")
        self.notes_n = 0
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(conf + "\n")
        self.daemon = meshlib.Daemon(
            "emu", [meshlib.prog("twmesh-emu"), "--truth", self.truth_path,
                    "--control", self.control, *(["--fifo"] if fifo else []), *options, self.conf],
            os.path.join(self.dir, "emu.log"))
        self.ns, self.v4, self.v6 = {}, {}, {}
        self.start_ns = None

    def start(self):
        try:
            self.daemon.start()
            self.daemon.wait_log(r"^ready$")
        except BaseException:
            self.stop(check=False)
            raise
        for name, v4, v6, ns in re.findall(r"^site (\S+) v4=(\S+) v6=(\S+) ns=(\S+)$",
                                           self.daemon.text(), re.M):
            self.v4[name], self.v6[name], self.ns[name] = v4, v6, ns
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, tb):
        self.stop(check=kind is None)

    def stop(self, check=True, keep=False):
        """Ends it; a failure of its own (frames it never saw, truth that is
        not whole) fails the test."""
        rc = self.daemon.stop(signal.SIGTERM)
        text = self.daemon.text()
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        if check:
            assert rc == 0 and not meshlib.REPORT.search(text), f"twmesh-emu: {rc}\n{text}"

    # --- in the sites

    def inside(self, site):
        return Inside(self.ns[site])

    def socket(self, site, family=socket.AF_INET, kind=socket.SOCK_DGRAM):
        with self.inside(site):
            return socket.socket(family, kind)

    def argv(self, site, *argv):
        """The command that runs argv in a site."""
        return ["nsenter", f"--net={self.ns[site]}", "--", *map(str, argv)]

    def run(self, site, *argv, **kw):
        return meshlib.run(*self.argv(site, *argv), **kw)

    # --- changes and truth

    def tell(self, line):
        """One line to the control socket; its answer without "ok"."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.control)
            s.sendall(line.encode() + b"\n")
            answer = s.makefile().readline().strip()
        assert answer.startswith("ok"), f"{line}: {answer}"
        return answer[2:].strip()

    def text(self):
        with open(self.truth_path, encoding="ascii") as f:
            return f.read()

    def sync(self):
        """Waits until all that happened so far is in the truth file."""
        self.notes_n += 1
        mark = f"note sync {self.notes_n}"
        at = os.path.getsize(self.truth_path)  # it may be long: only what follows is read
        self.tell(mark)

        def written():
            with open(self.truth_path, encoding="ascii") as f:
                f.seek(at)
                return f" {mark}\n" in f.read()
        meshlib.wait_until("the truth file is written", written, 10, 0.01)

    def notes(self):
        """[(wall ns, text)] of what is no packet: start, changes, notes."""
        return [(int(t), what) for t, what in
                re.findall(r"^# (\d+) (.*)$", self.text(), re.M)]

    def started_ns(self):
        return next(t for t, what in self.notes() if what.startswith("start"))

    def truth(self, src=None, dst=None, sync=True):
        """Packets of a direction (or all), in the order of the file: the
        order of their release or loss."""
        if sync:
            self.sync()
        out = []
        for line in self.text().splitlines():
            if line.startswith("#"):
                continue
            w = line.split(None, 3)
            if (src is None or w[1] == src) and (dst is None or w[2] == dst):
                out.append(Packet.parse(line))
        return out
