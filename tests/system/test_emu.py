# SPDX-License-Identifier: BSD-2-Clause
"""The emulated network does exactly what its truth file says, and what its
file was told. A plain sender and a plain receiver are the witnesses."""

import collections
import contextlib
import os
import signal
import socket
import statistics
import struct
import subprocess
import threading
import time

import pytest

import emulib
import meshlib

SO_RCVBUFFORCE, SO_TIMESTAMPNS, IP_RECVTTL, IP_RECVTOS = 33, 35, 12, 13
IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_HOPLIMIT, IPV6_TCLASS = 51, 66, 52, 67
PORT = 9000

Got = collections.namedtuple("Got", "seq ns ttl tos")


@pytest.fixture(name="rights")
def _rights():
    emulib.need()


def receiver(emu, site, family=socket.AF_INET):
    """A bound socket that keeps everything until it is asked."""
    s = emu.socket(site, family)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if family == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        s.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
        s.bind((emu.v4[site], PORT))
    else:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
        s.bind((emu.v6[site], PORT))
    return s


def drain(s, quiet=0.3):
    """Everything that came, in the order of arrival, with the kernel's stamp."""
    out = []
    s.settimeout(quiet)
    with contextlib.suppress(socket.timeout):
        while True:
            data, control, _, _ = s.recvmsg(2048, 256)
            ns = ttl = tos = None
            for level, kind, value in control:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    sec, nsec = struct.unpack("qq", value[:16])
                    ns = sec * 10**9 + nsec
                elif kind in (socket.IP_TTL, IPV6_HOPLIMIT):
                    ttl = struct.unpack("i", value[:4])[0]
                elif kind in (socket.IP_TOS, IPV6_TCLASS):
                    tos = value[0]
            out.append(Got(int.from_bytes(data[:4], "big"), ns, ttl, tos))
    return out


def send(s, dst, count, pps=2000, octets=64, first=0):
    start = time.perf_counter()
    for i in range(count):
        s.sendto((first + i).to_bytes(4, "big") + bytes(octets - 4), dst)
        time.sleep(max(0, start + (i + 1) / pps - time.perf_counter()))


def seq(p):
    return int.from_bytes(p.payload[:4], "big")


def flow(conf, count, pps=2000, quiet=0.3, octets=64, options=()):
    """One flow a -> b through "link a b CONF": (what came, the truth)."""
    with emulib.Emulator(f"site a b\nlink a b {conf}\n", *options) as emu:
        with receiver(emu, "b") as rx, emu.socket("a") as tx:
            send(tx, (emu.v4["b"], PORT), count, pps, octets)
            got = drain(rx, quiet)
            truth = emu.truth("a", "b")
    assert sorted({seq(p) for p in truth}) == list(range(count))
    # what the truth says was sent is what came, in that order
    assert [g.seq for g in got] == [seq(p) for p in truth if not p.lost]
    for p in truth:
        assert p.index == seq(p) and p.dport == PORT and p.proto == 17 and p.octets == octets + 28
    return got, truth


def test_random_loss(rights):
    _, truth = flow("delay=1ms loss=5%", 2000)
    lost = [seq(p) for p in truth if p.lost]
    assert {p.fate for p in truth} == {"sent", "lost:random"}
    assert 50 < len(lost) < 150, len(lost)  # 100 +- 5 sigma
    # the seed decides, not the time
    _, again = flow("delay=1ms loss=5%", 2000)
    assert [seq(p) for p in again if p.lost] == lost
    _, other = flow("delay=1ms loss=5%", 2000, options=("--seed", "99"))
    assert [seq(p) for p in other if p.lost] != lost


def test_every_nth_is_lost(rights):
    got, truth = flow("delay=1ms loss=1/10", 1000)
    assert [seq(p) for p in truth if p.fate == "lost:nth"] == list(range(9, 1000, 10))
    assert len(got) == 900


def test_bursts(rights):
    _, truth = flow("gilbert=2%:25%", 4000, pps=8000)
    lost = sorted(seq(p) for p in truth if p.fate == "lost:burst")
    runs = sum(1 for s in lost if s - 1 not in set(lost))
    assert 0.03 < len(lost) / 4000 < 0.14, len(lost)
    assert 2.5 < len(lost) / runs < 6, (len(lost), runs)


def test_duplicates(rights):
    got, truth = flow("delay=1ms dup=1/5", 500)
    times = collections.Counter(g.seq for g in got)
    assert {s for s, n in times.items() if n == 2} == set(range(4, 500, 5))
    assert max(times.values()) == 2 and len(times) == 500
    assert sum(p.fate == "dup" for p in truth) == 100


def test_reordering_with_a_gap(rights):
    got, truth = flow("delay=2ms reorder=1/10:3", 500, quiet=1.5)
    late = set(range(9, 490, 10))
    where = {g.seq: i for i, g in enumerate(got)}
    for s in range(490):
        passed_by = sum(where[o] < where[s] for o in range(s + 1, min(s + 20, 500)))
        assert passed_by == (3 if s in late else 0), s
    for p in truth:
        if seq(p) in late:
            assert p.fate == "reordered" and p.overtaken == 3
    # nobody came to overtake the last one: it comes a second later, alone
    last = next(p for p in truth if seq(p) == 499)
    assert last.fate == "reordered" and last.overtaken == 0
    assert abs(last.release_ns - last.nominal_ns - 1e9) < 0.2e9


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_dscp_and_ttl(rights, family):
    with emulib.Emulator("site a b\nlink a b hops=5 dscp=46:10\n") as emu:
        dst = (emu.v4 if family == socket.AF_INET else emu.v6)["b"]
        with receiver(emu, "b", family) as rx, emu.socket("a", family) as tx:
            for n, dscp in enumerate((46, 0, 34)):
                if family == socket.AF_INET:
                    tx.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
                    tx.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 200)
                else:
                    tx.setsockopt(socket.IPPROTO_IPV6, IPV6_TCLASS, dscp << 2)
                    tx.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 200)
                send(tx, (dst, PORT), 1, first=n)
            if family == socket.AF_INET:
                tx.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 5)
            else:
                tx.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 5)
            send(tx, (dst, PORT), 1, first=3)  # does not make it
            got = drain(rx)
            truth = sorted(emu.truth("a", "b"), key=seq)
    assert [(g.seq, g.tos >> 2, g.ttl) for g in got] == [(0, 10, 195), (1, 0, 195), (2, 34, 195)]
    assert [(p.dscp_in, p.dscp_out, p.ttl_in, p.ttl_out) for p in truth[:3]] == [
        (46, 10, 200, 195), (0, 0, 200, 195), (34, 34, 200, 195)]
    assert truth[3].fate == "lost:ttl"


def test_delay_and_its_truth(rights):
    """Never early; the receiver's own kernel stamp lies within the send call
    that the truth file tells of."""
    got, truth = flow("delay=20ms", 3000, pps=1000)
    for g, p in zip(got, truth):
        assert abs(p.nominal_ns - p.in_ns - 20_000_000) <= 1
        # 1 us: a pair of clocks is read within two (clock_now)
        assert p.error_ns >= p.send_ns - 1000 and p.send_ns > 0
        assert p.release_ns - p.send_ns <= g.ns <= p.release_ns, (g, p)
    err = sorted(p.error_ns / 1000 for p in truth)
    bias = statistics.median(p.release_ns - g.ns for g, p in zip(got, truth)) / 1000
    print(f"error us: p50 {err[1500]:.1f} p99 {err[2970]:.1f} max {err[-1]:.1f}; "
          f"truth later than the receiver's stamp by {bias:.2f}")
    assert err[1500] < 500 * meshlib.SLOW


@pytest.mark.parametrize("kind, sigma", [("uniform", 3 / 3 ** 0.5), ("normal", 3)])
def test_jitter(rights, kind, sigma):
    _, truth = flow(f"delay=30ms jitter={kind}:3ms order=free", 4000, pps=4000)
    d = [(p.nominal_ns - p.in_ns) / 1e6 for p in truth]
    assert abs(statistics.fmean(d) - 30) < 5 * sigma / 4000 ** 0.5
    assert abs(statistics.pstdev(d) / sigma - 1) < 0.06
    if kind == "uniform":
        assert min(d) >= 27 and max(d) <= 33
    assert any(p.release_ns < q.release_ns and p.index > q.index
               for p, q in zip(truth, truth[1:]))  # it may reorder, and says so


def test_jitter_keeps_the_order(rights):
    got, _ = flow("delay=30ms jitter=uniform:10ms", 1000)
    assert [g.seq for g in got] == list(range(1000))


def test_blackout_windows(rights):
    with emulib.Emulator("site a b\nlink a b blackout=0.5s-0.8s,1s-1.1s/0.3s\n") as emu:
        with receiver(emu, "b") as rx, emu.socket("a") as tx:
            send(tx, (emu.v4["b"], PORT), 2000, 1000)
            got = {g.seq for g in drain(rx)}
            truth, start = emu.truth("a", "b"), emu.started_ns()
    seen = collections.Counter()
    for p in truth:
        t = (p.in_ns - start) / 1e9
        down = 0.5 <= t < 0.8 or (t >= 1 and (t - 1) % 0.3 < 0.1)
        edges = [0.5, 0.8] + [1 + k * 0.3 + e for k in range(10) for e in (0, 0.1)]
        if min(abs(t - e) for e in edges) < 1e-4:
            continue  # the start's stamp and a packet's come from two reads
        assert p.fate == ("lost:blackout" if down else "sent"), t
        assert (seq(p) in got) != down
        seen[down] += 1
    assert seen[True] > 400 and seen[False] > 800, seen


def test_rate_and_queue(rights):
    """100 octets of IP at 80 kbit/s take 10 ms each (so that a busy machine,
    too, sends faster); a burst meets a queue of 2,000 octets. A model of such
    a line says what must become of each."""
    with emulib.Emulator("site a b\nlink a b rate=80kbit queue=2kb delay=5ms\n") as emu:
        with receiver(emu, "b") as rx, emu.socket("a") as tx:
            send(tx, (emu.v4["b"], PORT), 60, 1e6, octets=72)
            got = drain(rx)
            truth = emu.truth("a", "b")
    sent = [p for p in truth if p.fate == "sent"]
    full = [p for p in truth if p.fate == "lost:queue-full"]
    assert len(sent) + len(full) == 60 and [g.seq for g in got] == [seq(p) for p in sent]
    assert len(sent) >= 20 and full
    busy = 0
    for p in sorted(truth, key=seq):
        wait = max(0, busy - p.in_ns)
        waiting = wait / 100_000 + 100  # octets, this packet's included
        if abs(waiting - 2000) > 0.1:  # 10 us: the clocks' own noise
            assert (p.fate == "sent") == (waiting <= 2000), (p, waiting)
        if p.fate == "sent":
            busy = p.in_ns + wait + 10_000_000
            assert abs(p.nominal_ns - busy - 5_000_000) < 1000, p


def test_changes_while_running(rights):
    with emulib.Emulator("site a b\ndefault delay=1ms\n") as emu:
        with receiver(emu, "b") as rx, emu.socket("a") as tx:
            dst = (emu.v4["b"], PORT)
            send(tx, dst, 100)
            emu.tell("set a b loss=100%")
            send(tx, dst, 100, first=100)
            emu.tell("both a b loss=0 delay=3ms")
            send(tx, dst, 100, first=200)
            got = drain(rx)
            truth = emu.truth("a", "b")
            notes = {what: t for t, what in emu.notes()}
        for bad in ("set a c loss=1%", "set a b loss=2", "jump", "site c"):
            with pytest.raises(AssertionError, match="error: "):
                emu.tell(bad)
        stats = dict(w.split("=") for w in emu.tell("stats").split())
    assert [g.seq for g in got] == [*range(100), *range(200, 300)]
    assert stats["missed"] == "0" and int(stats["lost"]) == 100
    on, off = notes["set a b loss=100%"], notes["both a b loss=0 delay=3ms"]
    for p in truth:
        assert p.lost == (on < p.in_ns < off)
        if p.in_ns > off:
            assert p.nominal_ns - p.in_ns == 3_000_000


def test_a_star_and_only_one_port(rights):
    conf = "site hub a b\nstar hub\nlink hub a loss=100% dport=9001\n"
    with emulib.Emulator(conf) as emu:
        with receiver(emu, "a") as rx, emu.socket("b") as leaf, emu.socket("hub") as hub:
            send(leaf, (emu.v4["a"], PORT), 10)
            send(hub, (emu.v4["a"], PORT), 10)
            send(hub, (emu.v4["a"], 9001), 10)
            assert len(drain(rx)) == 10
        assert {p.fate for p in emu.truth("b", "a")} == {"lost:no-link"}
        for p in emu.truth("hub", "a"):
            assert p.fate == ("sent" if p.dport == PORT else "lost:random")


def test_twenty_sites(rights):
    names = [f"s{i}" for i in range(20)]
    with emulib.Emulator("site " + " ".join(names) + "\ndefault delay=5ms\n") as emu:
        rx = {n: receiver(emu, n) for n in names}
        for i, n in enumerate(names):
            with emu.socket(n) as tx:
                for m in names:
                    if m != n:
                        tx.sendto(i.to_bytes(4, "big"), (emu.v4[m], PORT))
        for i, n in enumerate(names):
            with rx[n]:
                assert sorted(g.seq for g in drain(rx[n], 0.1)) == [k for k in range(20) if k != i]
        assert len(emu.truth()) == 380


def echo_server(listener):
    """Sends back what comes, until the other side ends."""
    conn, _ = listener.accept()
    with conn:
        while data := conn.recv(65536):
            conn.sendall(data)
        conn.shutdown(socket.SHUT_WR)


def echo(client, octets):
    """Sends octets and expects them back."""
    data = os.urandom(octets)
    out = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
    out.start()
    back = b""
    while chunk := client.recv(65536):
        back += chunk
    out.join()
    assert back == data


def test_tcp_through_a_link(rights):
    """Whole frames with right checksums, whatever a card would have done."""
    with emulib.Emulator("site a b\ndefault delay=2ms hops=1\nlink a b loss=1/100\n") as emu:
        with emu.socket("b", kind=socket.SOCK_STREAM) as listener, \
                emu.socket("a", kind=socket.SOCK_STREAM) as client:
            listener.bind((emu.v4["b"], PORT))
            listener.listen()
            server = threading.Thread(target=echo_server, args=(listener,))
            server.start()
            client.settimeout(60)
            client.connect(listener.getsockname())
            echo(client, 1_000_000)
            server.join()
        truth = emu.truth("a", "b")
    assert max(p.octets for p in truth) == 1500
    assert sum(p.fate == "lost:nth" for p in truth) == len(truth) // 100


def test_relay_to_the_host(rights):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        relay = f"8620=127.0.0.1:{listener.getsockname()[1]}"
        with emulib.Emulator("site a b\n", "--relay", relay) as emu:
            for site in ("a", "b"):
                server = threading.Thread(target=echo_server, args=(listener,))
                server.start()
                with emu.socket(site, kind=socket.SOCK_STREAM) as client:
                    client.settimeout(30)
                    client.connect(("127.0.0.1", 8620))
                    echo(client, 3_000_000)
                server.join()
            listener.close()  # nobody there any more: an end, not a hang
            with emu.socket("a", kind=socket.SOCK_STREAM) as client:
                client.settimeout(10)
                client.connect(("127.0.0.1", 8620))
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
            assert emu.truth() == []  # none of it went over the links


def test_a_command_and_its_status(rights, tmp_path):
    conf = tmp_path / "net.conf"
    conf.write_text("site a-1 b\n")
    script = 'nsenter --net="$EMU_NS_a_1" ip -o -4 addr show dev wan | grep -q "$EMU_V4_a_1/24"'
    emu = meshlib.prog("twmesh-emu")
    assert meshlib.run(emu, conf, "--", "sh", "-c", script + " && exit 7").returncode == 7
    assert meshlib.run(emu, conf, "--", "sh", "-c", "kill -9 $$").returncode == 137
    # SIGTERM ends the command, whose end is ours
    proc = subprocess.Popen([emu, conf, "--", "sleep", "60"], stdout=subprocess.PIPE, text=True)
    meshlib.wait_until("ready", lambda: proc.stdout.readline() == "ready\n", 10)
    proc.terminate()
    assert proc.wait(10) == 128 + signal.SIGTERM
    proc.stdout.close()


def host_links():
    return sorted(os.listdir("/sys/class/net"))


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left(rights, sig):
    """Namespaces have no names and the host gets no link; a process that
    lives on in a site loses its link."""
    before = host_links()
    emu = emulib.Emulator("site a b\n").start()
    try:
        assert host_links() == before
        left = subprocess.Popen(emu.argv("a", "sleep", "60"))
        wan = ["nsenter", f"--net=/proc/{left.pid}/ns/net", "ip", "link", "show", "wan"]
        meshlib.wait_until("sleep is in the site", lambda: meshlib.run(*wan).returncode == 0, 5)
        emu.daemon.stop(sig)
        meshlib.wait_until("the link is gone", lambda: meshlib.run(*wan).returncode != 0, 5)
        assert host_links() == before
        if sig != signal.SIGKILL:
            assert not os.path.exists(emu.control)
    finally:
        left.kill()
        left.wait()
        emu.stop(check=False)


def test_mistakes(tmp_path):
    """Needs no rights: the file is checked first."""
    conf = tmp_path / "net.conf"
    emu = meshlib.prog("twmesh-emu")
    conf.write_text("site a b\n\nlink a b delay=fast\n")
    done = meshlib.run(emu, "-n", conf)
    assert done.returncode == 2
    assert f"{conf}:3: delay: expected a duration up to 60s (80ms), found 'fast'" in done.stderr
    conf.write_text("site a b\n")
    done = meshlib.run(emu, "--print", conf)
    assert done.stdout == "site a v4=10.77.0.1 v6=fd77::1\nsite b v4=10.77.0.2 v6=fd77::2\n"
    for wrong in (["--relay", "x=1", conf], ["--spin", "-1", conf], ["--nope", conf], []):
        assert meshlib.run(emu, *wrong).returncode == 2


def test_without_rights(tmp_path):
    """Says which right is missing, and nothing else happens."""
    conf = tmp_path / "net.conf"
    conf.write_text("site a b\n")
    argv = [meshlib.prog("twmesh-emu"), conf]
    if os.geteuid() == 0:
        # without the capabilities, also for what it executes
        argv = ["setpriv", "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-all", *argv]
    elif emulib.allowed():
        pytest.skip("this user has the rights")
    done = meshlib.run(*argv)
    assert done.returncode == 77
    assert done.stderr == "twmesh-emu: needs CAP_NET_ADMIN\n"
