# SPDX-License-Identifier: BSD-2-Clause
"""`twmesh ping` against a live reflector: lines, summary, JSON, status."""

import json
import os
import re
import signal
import subprocess

import meshlib
import pytest
from test_reflector import free_port, reflector


def ping(*args, **kw):
    return meshlib.run(meshlib.prog("twmesh"), "ping", *args, **kw)


@pytest.fixture(scope="module")
def port():
    with reflector(conf="rate_limit_pps = 0\n") as (p, _, _):
        yield p


@pytest.mark.parametrize("target", ["127.0.0.1:{}", "[::1]:{}", "localhost:{}"])
def test_prints_a_line_per_packet_and_a_summary(port, target):
    done = ping("-c", "5", "-i", "0.02", target.format(port))
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"(?m)^.*seq=?\s*\d+.*$", done.stdout)) == 5, done.stdout
    assert re.search(r"5 .*sent", done.stdout) or re.search(r"sent\D*5", done.stdout), done.stdout
    assert "p99" in done.stdout or "p50" in done.stdout


def test_quiet_prints_only_the_summary(port):
    done = ping("-c", "3", "-i", "0.02", "--quiet", f"127.0.0.1:{port}")
    assert done.returncode == 0
    assert not re.search(r"(?m)^.*seq=?\s*\d+.*ms$", done.stdout), done.stdout


def test_json_is_one_document_with_every_number(port):
    done = ping("-c", "20", "-i", "0.01", "--json", f"127.0.0.1:{port}")
    assert done.returncode == 0, done.stderr
    doc = json.loads(done.stdout)
    text = json.dumps(doc)
    assert doc["sent"] == 20 and doc["received"] == 20 and doc["lost"] == 0, doc
    for word in ("rtt", "jitter", "lost_fwd", "lost_bwd", "hops"):
        assert word in text, f"{word} in {text}"


@pytest.mark.parametrize("size", [44, 128, 1472])
@pytest.mark.parametrize("dscp", [0, 46])
def test_sizes_and_dscp(port, size, dscp):
    done = ping("-c", "2", "-i", "0.01", "-s", size, "--dscp", dscp, f"127.0.0.1:{port}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_family_can_be_forced(port):
    assert ping("-4", "-c", "1", f"localhost:{port}").returncode == 0
    assert ping("-6", "-c", "1", f"[::1]:{port}").returncode == 0


def test_nobody_there_is_status_1_with_full_loss():
    done = ping("-c", "2", "-i", "0.05", f"127.0.0.1:{free_port()}", timeout=20)
    assert done.returncode == 1
    assert "100" in done.stdout, done.stdout
    done = ping("-c", "2", "-i", "0.05", "--json", f"127.0.0.1:{free_port()}", timeout=20)
    doc = json.loads(done.stdout)
    assert done.returncode == 1 and doc["received"] == 0 and doc["lost"] == 2


def test_ctrl_c_still_prints_the_summary(port):
    p = subprocess.Popen([meshlib.prog("twmesh"), "ping", "-i", "0.05", f"127.0.0.1:{port}"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        seen = [p.stdout.readline() for _ in range(4)]  # at work: the head, and three replies
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=10 * meshlib.SLOW)
    finally:
        p.kill()
    assert p.returncode == 0, err
    assert "seq" in seen[-1] and re.search(r"sent", out) and "p50" in out, (seen, out)


def test_direction_of_loss_is_a_fact():
    """nftables drops every tenth request on its way: all loss is forward."""
    if os.geteuid() != 0:
        pytest.skip("needs root: nftables in a network namespace")
    with Namespaces() as ns, ns.reflector():
        # A busy machine skips slots, so the filter says how many it dropped.
        ns.drop("udp dport 8862 numgen inc mod 10 5 counter drop", hook="input")
        doc = json.loads(ns.ping("-c", "100", "-i", "0.01", "--json", "10.9.8.2:8862").stdout)
        n = ns.dropped()
        assert n == doc["sent"] // 10 >= 5, (n, doc)
        assert (doc["lost"], doc["lost_fwd"], doc["lost_bwd"]) == (n, n, 0), (n, doc)
        ns.drop("udp sport 8862 numgen inc mod 10 5 counter drop", hook="output")
        doc = json.loads(ns.ping("-c", "100", "-i", "0.01", "--json", "10.9.8.2:8862").stdout)
        n = ns.dropped()
        assert n >= 5 and (doc["lost"], doc["lost_fwd"], doc["lost_bwd"]) == (n, 0, n), (n, doc)


def test_samples_survive_the_death_of_the_far_end():
    """The reflector is killed on the way: what was measured until then is shown, and what came after is lost."""
    with reflector(conf="rate_limit_pps = 0\n") as (p, r, _):
        argv = [meshlib.prog("twmesh"), "ping", "-c", "60", "-i", "0.02", "--loss-timeout", "0.5", f"127.0.0.1:{p}"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping_:
            for line in ping_.stdout:
                if re.match(r"seq 19 ", line):
                    break
            r.kill()
            out = ping_.stdout.read()
        r.start()
        meshlib.wait_until("it answers", lambda: ping("-c", "1", f"127.0.0.1:{p}").returncode == 0, 10)
    got = re.search(r"60 sent, (\d+) received, (\d+) lost", out)
    assert got, out
    received, lost = map(int, got.groups())
    assert 20 <= received < 60 and received + lost == 60, out
    assert re.search(r"(?m)^RTT +min \d", out) and re.search(r"(?m)^forward +min .*p50 -?\d", out), out
    run = re.search(r"(?m)^loss run  (\d+) packets from .* ms and longer ", out)
    assert run and int(run.group(1)) == lost, out
    assert ping_.returncode == 0


def test_says_where_its_stamps_came_from(port):
    doc = json.loads(ping("-c", "60", "-i", "0.01", "--dscp", "34", "--json", f"127.0.0.1:{port}").stdout)
    assert doc["stamp_sources"] == {"t1": "kernel", "t2": "mixed", "t3": "mixed", "t4": "kernel"}, doc
    assert doc["tx_stamps_missing"] == 0 and doc["t3_uncorrected"] < 10, doc
    assert (doc["fwd_dscp"], doc["bwd_dscp"], doc["fwd_remarked"], doc["bwd_remarked"]) == (34, 34, 0, 0), doc


class Namespaces:
    """Two network namespaces and a veth between them: A 10.9.8.1, B .2."""

    def __init__(self):
        self.a, self.b = f"twa{os.getpid()}", f"twb{os.getpid()}"

    def sh(self, *argv):
        done = meshlib.run(*argv)
        assert done.returncode == 0, (argv, done.stderr)

    def __enter__(self):
        for ns in (self.a, self.b):
            self.sh("ip", "netns", "add", ns)
            self.sh("ip", "-n", ns, "link", "set", "lo", "up")
        self.sh("ip", "-n", self.a, "link", "add", "v", "type", "veth", "peer", "name", "v", "netns", self.b)
        for ns, addr in ((self.a, "10.9.8.1/24"), (self.b, "10.9.8.2/24")):
            self.sh("ip", "-n", ns, "addr", "add", addr, "dev", "v")
            self.sh("ip", "-n", ns, "link", "set", "v", "up")
        return self

    def __exit__(self, *_):
        for ns in (self.a, self.b):
            meshlib.run("ip", "netns", "del", ns)

    def drop(self, rule, hook):
        """The only rule in B."""
        meshlib.run("ip", "netns", "exec", self.b, "nft", "flush", "ruleset")
        done = meshlib.run("ip", "netns", "exec", self.b, "nft", "-f", "-", stdin=(
            f"table inet t {{ chain c {{ type filter hook {hook} priority 0;\n{rule}\n}}\n}}\n"))
        assert done.returncode == 0, done.stderr

    def dropped(self):
        """Packets that the rule has dropped."""
        done = meshlib.run("ip", "netns", "exec", self.b, "nft", "list", "ruleset")
        return int(re.search(r"counter packets (\d+)", done.stdout).group(1))

    def reflector(self):
        import contextlib
        import shutil
        import tempfile
        @contextlib.contextmanager
        def live():
            d = tempfile.mkdtemp(prefix="twn", dir=meshlib.TMP)
            r = meshlib.Daemon("reflector", [
                "ip", "netns", "exec", self.b, meshlib.prog("twmesh-reflector"), "--address", "10.9.8.2",
                "--port", "8862", "--socket", d + "/r.sock"], d + "/r.log").start()
            try:
                meshlib.wait_until("it answers", lambda: self.ping(
                    "-c", "1", "10.9.8.2:8862").returncode == 0, 10)
                yield r
            finally:
                r.stop()
                shutil.rmtree(d)
        return live()

    def ping(self, *args):
        return meshlib.run("ip", "netns", "exec", self.a, meshlib.prog("twmesh"), "ping", *args)
