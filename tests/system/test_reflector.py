# SPDX-License-Identifier: BSD-2-Clause
"""twmesh-reflector as the network sees it: packets in, packets out."""

import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import struct
import tempfile
import time

import meshlib
import pytest

NTP_UNIX = 2208988800
VECTORS = json.load(open(os.path.join(meshlib.ROOT, "tests/vectors/vectors.json"), encoding="ascii"))
STAMP = VECTORS["stamp"]
TWAMP = VECTORS["twamp_test"]
FAMILY = {"4": (socket.AF_INET, "127.0.0.1"), "6": (socket.AF_INET6, "::1")}


def free_port():
    """A UDP port free on every local address, below those that the kernel hands
    out: a session of another file's mesh would take one of them meanwhile."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        first_ephemeral = int(f.read().split()[0])
    for _ in range(100):
        port = random.randrange(first_ephemeral - 8000, first_ephemeral)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            with contextlib.suppress(OSError):
                s.bind(("::", port))
                return port
    raise RuntimeError(f"no free UDP port below {first_ephemeral}")


@contextlib.contextmanager
def reflector(*args, addresses=("127.0.0.1", "::1"), conf=""):
    """A reflector; yields (port, daemon, local socket)."""
    d = tempfile.mkdtemp(prefix="twr", dir=meshlib.TMP)
    port = free_port()
    with open(d + "/r.conf", "w", encoding="ascii") as f:
        f.write("address = { " + ", ".join(f'"{a}"' for a in addresses) + " }\n"
                f'port = {port}\nsocket = "{d}/r.sock"\n' + conf)
    daemon = meshlib.Daemon("reflector", [meshlib.prog("twmesh-reflector"), "-c", d + "/r.conf", *args],
                            d + "/r.log").start()
    try:
        meshlib.wait_until("the reflector answers", lambda: ask(d + "/r.sock", "counters")
                           if daemon.alive() else pytest.fail(daemon.text()), 10 * meshlib.SLOW, 0.02)
        yield port, daemon, d + "/r.sock"
        assert daemon.alive(), daemon.text()
        assert daemon.stop() == 0, daemon.text()
        assert not meshlib.REPORT.search(daemon.text()), daemon.text()
    finally:
        daemon.kill()
        shutil.rmtree(d)


def ask(path, verb):
    """One request of the local socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(path)
        s.sendall((verb + "\n").encode())
        out = b""
        while True:
            part = s.recv(65536)
            if not part:
                return out.decode()
            out += part


def numbers(text):
    """The `name value` lines of a counters or drops answer."""
    return {k: int(v) for k, v in (line.split() for line in text.splitlines())}


class Sender:
    """A test socket towards one reflector."""

    def __init__(self, port, family="4", ttl=62, sport=0, host=None):
        self.family, default = FAMILY[family]
        self.to = (host or default, port)
        self.s = socket.socket(self.family, socket.SOCK_DGRAM)
        if family == "4":
            self.s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        else:
            self.s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        self.s.bind((default, sport))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def ask(self, payload, timeout=2.0 * meshlib.SLOW):
        """The reply, or None."""
        self.s.sendto(payload, self.to)
        return self.read(timeout)

    def read(self, timeout):
        if not select.select([self.s], [], [], timeout)[0]:
            return None
        data, self.replied_by = self.s.recvfrom(65536)
        return data


def ntp_now():
    return time.time() + NTP_UNIX


def ntp(data, at):
    s, f = struct.unpack_from("!II", data, at)
    return s + f / 2**32


def stamp(seq, size=44, ssid=0x1234):
    base = struct.pack("!IQHH", seq, int(ntp_now() * 2**32) & (2**64 - 1), 0x8D96, ssid)
    return base + bytes(size - len(base))


def check_against(vector_hex, reply, sent_at, got_at):
    """Equal to the vector in every octet but those that hold this moment: T3,
    the reflector's Error Estimate, T2."""
    want = bytes.fromhex(vector_hex)
    assert len(reply) == len(want)
    for a, b in ((0, 4), (14, 16), (24, len(want))):
        assert reply[a:b].hex() == want[a:b].hex(), f"octets {a}..{b - 1}"
    t3, t2 = ntp(reply, 4), ntp(reply, 16)
    assert sent_at - 0.001 <= t2 <= t3 <= got_at + 0.001
    assert reply[13] != 0, "an Error Estimate's multiplier is never 0"
    assert reply[12] & 0x40 == 0, "NTP format: Z is 0"


@pytest.mark.parametrize("family", ["4", "6"])
def test_stateful_stamp_reply_equals_the_vector(family):
    with reflector() as (port, _, _), Sender(port, family) as s:
        for seq in range(4, 7):  # the vector is the session's fourth packet
            assert s.ask(stamp(seq))[:4] == struct.pack("!I", seq - 4)
        t = ntp_now()
        reply = s.ask(bytes.fromhex(STAMP["unauth_sender_hex"]))
        check_against(STAMP["unauth_reflector_stateful_hex"], reply, t, ntp_now())


@pytest.mark.parametrize("family", ["4", "6"])
def test_stateless_stamp_reply_equals_the_vector(family):
    with reflector("--stateless") as (port, _, _), Sender(port, family) as s:
        t = ntp_now()
        reply = s.ask(bytes.fromhex(STAMP["unauth_sender_hex"]))
        check_against(STAMP["unauth_reflector_stateless_hex"], reply, t, ntp_now())


@pytest.mark.parametrize("pad", [40])
def test_twamp_light_padding_moves_behind_the_reply(pad):
    with reflector() as (port, _, _), Sender(port) as s:
        for _ in range(3):
            s.ask(bytes.fromhex(TWAMP[f"unauth_sender_pad{pad}_hex"]))
        t = ntp_now()
        reply = s.ask(bytes.fromhex(TWAMP[f"unauth_sender_pad{pad}_hex"]))
        check_against(TWAMP[f"unauth_reflector_for_pad{pad}_hex"], reply, t, ntp_now())


def test_unknown_tlvs_come_back_with_u_and_their_octets():
    tlv = STAMP["tlv"]
    with reflector() as (port, _, _), Sender(port) as s:
        reply = s.ask(stamp(0) + bytes.fromhex(tlv["unknown_type_200_request"]))
        assert reply[44:].hex() == tlv["unknown_type_200_reply"]
        reply = s.ask(stamp(1) + bytes.fromhex("80c80010") + b"abcd")
        assert reply[44] & 0x40, "M on a TLV that runs past the packet"
        assert reply[45:] == bytes.fromhex("c80010") + b"abcd"


def bitmap_request(seq, ssid=7, size=128):
    tlv = struct.pack("!BBH4s32s", 0x80, 240, 36, b"twm1", b"")
    return (stamp(seq, 44, ssid) + tlv).ljust(size, b"\0")


def test_receive_bitmap_says_which_packets_arrived():
    with reflector() as (port, _, _), Sender(port) as s:
        for seq in (0, 1, 4, 4, 6):
            reply = s.ask(bitmap_request(seq))
        flags, kind, length, magic, instance, state, highest, bits, dups, received = \
            struct.unpack_from("!BBH4sQB3xIQII", reply, 44)
        assert (flags & 0xE0, kind, length, magic, state) == (0, 240, 36, b"twm1", 3)  # T2 is the kernel's
        assert instance != 0 and highest == 6
        assert bits == 0b1100101, bin(bits)  # bits 0, 2, 5, 6: packets 6, 4, 1, 0
        assert (dups, received) == (1, 5)


def test_reply_is_never_longer_than_the_request():
    """Every length, and garbage of every kind; at most one reply for each."""
    rng = random.Random(20261123)
    with reflector(conf="rate_limit_pps = 0\n") as (port, _, sock), Sender(port) as s:
        answered = 0
        for length in list(range(0, 200)) + [1000, 1472, 1473, 4000, 9000]:
            # Lengths rise, so that a reply that comes late is not too long.
            valid = stamp(1, max(length, 44))[:length]
            for payload in (rng.randbytes(length), b"\xff" * length, valid):
                sure = length >= 44 and payload is valid
                reply = s.ask(payload, (2 if sure else 0.005) * meshlib.SLOW)
                assert reply is not None or not sure, length
                if reply is not None:
                    answered += 1
                    assert 44 <= len(reply) <= length, f"{len(reply)} for {length}"
        # Garbage is answered unless it breaks a rule (Error Estimate, PTP).
        assert 161 + 50 <= answered <= 161 * 3, answered
        while s.read(0.1):
            pytest.fail("two replies for one request")
        drops = numbers(ask(sock, "drops"))
        assert sum(drops.values()) > 0, drops


def test_short_requests_are_answered_only_when_switched_on():
    with reflector(conf="answer_short = true\n") as (port, _, _), Sender(port) as s:
        for length in (41, 42, 43):
            assert len(s.ask(stamp(length)[:length])) == length
        assert s.ask(stamp(1)[:40], 0.2) is None
        assert s.ask(stamp(1)[:14], 0.2) is None


def test_replies_carry_the_dscp_of_the_request():
    with reflector() as (port, _, _), Sender(port) as s:
        s.s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        for dscp in (0, 46, 8):
            s.s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
            s.s.sendto(stamp(1), s.to)
            assert select.select([s.s], [], [], 2)[0]
            _, control, _, _ = s.s.recvmsg(2048, 256)
            tos = [d[0] for lvl, kind, d in control if (lvl, kind) == (socket.IPPROTO_IP, socket.IP_TOS)]
            assert tos == [dscp << 2]


def read_with_tos(s):
    """The next reply and its traffic class."""
    assert select.select([s.s], [], [], 2 * meshlib.SLOW)[0]
    data, control, _, _ = s.s.recvmsg(2048, 256)
    return data, [d[0] for lvl, kind, d in control if (lvl, kind) == (socket.IPPROTO_IP, socket.IP_TOS)]


@pytest.mark.parametrize("honour", [True, False])
def test_class_of_service_is_told_and_honoured_or_refused(honour):
    """RFC 8972 4.4: DSCP and ECN as received; the reply's DSCP as asked for."""
    tlv = STAMP["tlv"]
    with reflector(conf="" if honour else "honour_dscp = false\n") as (port, _, _), Sender(port) as s:
        s.s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        for tos, want in ((2, "cos_reply_ef_rx_be_ect0" if honour else None), (10 << 2 | 1, None if honour else
                                                                              "cos_reply_denied")):
            s.s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
            s.s.sendto(stamp(1) + bytes.fromhex(tlv["cos_request_ef"]), s.to)
            reply, replied = read_with_tos(s)
            assert replied == [46 << 2 if honour else tos & 0xFC]
            if want:
                assert reply[44:].hex() == tlv[want]


def follow_up_request(seq, ssid=7):
    """Bitmap, Class of Service, Follow-Up Telemetry, padding: 128 octets."""
    return (bitmap_request(seq, ssid, 84) + bytes.fromhex(STAMP["tlv"]["cos_request_ef"])
            + bytes.fromhex(STAMP["tlv"]["follow_up_request"]) + bytes.fromhex("8001000c")).ljust(128, b"\0")


@pytest.mark.parametrize("family", ["4", "6"])
def test_each_reply_tells_when_the_one_before_it_left(family):
    """RFC 8972 4.7, by the kernel's transmit stamp."""
    with reflector(conf="rate_limit_pps = 0\n") as (port, _, sock), Sender(port, family) as s:
        last_t3 = got_at = None
        for seq in range(50):
            reply = s.ask(follow_up_request(seq))
            flags, kind, length, number, mode = struct.unpack_from("!BBHI8xB3x", reply, 92)
            assert (flags, kind, length) == (0, 7, 16)
            if seq == 0:
                assert reply[96:112] == bytes(16)
            else:
                assert (number, mode) == (seq - 1, 2)
                assert last_t3 - 1e-6 <= ntp(reply, 100) <= got_at + 1e-4
            last_t3, got_at = ntp(reply, 4), ntp_now()
        c = numbers(ask(sock, "counters"))
        assert (c["follow_ups"], c["tx_stamps_asked"], c["tx_stamps"]) == (49, 50, 50)
        for seq in range(20):  # nobody asks: no stamps
            s.ask(bitmap_request(seq, ssid=8))
        assert numbers(ask(sock, "counters"))["tx_stamps_asked"] == 50


def test_a_stateless_reflector_follows_nothing_up():
    with reflector("--stateless") as (port, _, sock), Sender(port) as s:
        for seq in range(3):
            assert s.ask(follow_up_request(seq))[92:112] == bytes.fromhex("00070010") + bytes(16)
        assert numbers(ask(sock, "counters"))["tx_stamps_asked"] == 0


def test_sighup_changes_nothing_and_says_so():
    """systemctl reload sends it; unhandled it would end the reflector for good."""
    with reflector() as (_, daemon, sock):
        daemon.send(signal.SIGHUP)
        daemon.wait_log("nothing can be reloaded")
        assert numbers(ask(sock, "counters"))["packets_received"] == 0


def stalls(sock):
    """host_limited: (from, to, drops, held), seconds since 1970, newest first."""
    out = []
    for line in ask(sock, "host_limited").splitlines():
        begin, end, drops, held = (int(w) for w in line.split())
        out.append((begin / 1e9, end / 1e9, drops, held))
    return out


def test_a_reflector_stopped_for_five_seconds_says_so():
    """measurement.md rule 10: late replies are no fact about the network. They
    are answered all the same, and their T2 is when they arrived."""
    with reflector(conf="rate_limit_pps = 0\n") as (port, daemon, sock), Sender(port) as s:
        for seq in range(10):
            assert s.ask(follow_up_request(seq))
        assert stalls(sock) == []
        daemon.send(signal.SIGSTOP)
        sent = []
        try:
            end = time.time() + 5
            while time.time() < end:
                sent.append(time.time())
                s.s.sendto(follow_up_request(10 + len(sent)), s.to)
                time.sleep(0.05)
        finally:
            daemon.send(signal.SIGCONT)
        resumed = time.time()
        for at in sent:
            reply = s.read(2 * meshlib.SLOW)
            t2, t3 = ntp(reply, 16) - NTP_UNIX, ntp(reply, 4) - NTP_UNIX
            assert abs(t2 - at) < 0.1 * meshlib.SLOW
            assert t3 >= resumed - 0.001
        (begin, end, drops, held), = stalls(sock)
        assert abs(begin - sent[0]) < 0.1 * meshlib.SLOW
        assert resumed - 0.001 <= end <= time.time()
        assert drops == 0
        # but for those that had waited less than 100 ms, and scheduling
        assert len(sent) - 4 <= held <= len(sent)
        assert numbers(ask(sock, "counters"))["held"] == held
        # and none of what follows
        for seq in range(10):
            s.ask(follow_up_request(1000 + seq))
        assert len(stalls(sock)) == 1


def test_what_the_reflector_has_no_room_for_is_told():
    """A socket buffer that overflows while the process is stopped."""
    with reflector(conf="rate_limit_pps = 0\n") as (port, daemon, sock), Sender(port) as s:
        assert s.ask(stamp(0))
        daemon.send(signal.SIGSTOP)
        begun = time.time()
        try:
            for seq in range(30000):  # 4 MB hold some 5,000 of them
                s.s.sendto(stamp(seq), s.to)
        finally:
            daemon.send(signal.SIGCONT)
        while s.read(0.5):
            pass
        assert s.ask(stamp(30001))  # the drops are seen with the next packet
        c = numbers(ask(sock, "counters"))
        assert c["kernel_drops"] > 0
        assert c["packets_received"] + c["kernel_drops"] == 30002
        told = stalls(sock)
        assert sum(e[2] for e in told) == c["kernel_drops"]
        assert min(e[0] for e in told) >= begun - 2 * meshlib.SLOW
        assert max(e[1] for e in told) <= time.time()


def test_wildcard_reflector_answers_from_the_address_that_was_asked():
    with reflector(addresses=("0.0.0.0",)) as (port, _, _):
        for host in ("127.0.0.1", "127.9.8.7"):
            with Sender(port, host=host) as s:
                assert s.ask(stamp(0)) is not None
                assert s.replied_by[0] == host


def test_never_answers_port_862_or_a_reflector(monkeypatch):
    """measurement.md rule 25: or two reflectors and one spoofed packet would
    talk for ever."""
    with reflector(addresses=("127.0.0.1", "127.0.0.2")) as (port, _, sock):
        before = numbers(ask(sock, "counters"))
        # A packet "from" the reflector's other address, same port: needs that
        # port, so a second reflector's place is taken by a plain socket.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.3", port))
            s.sendto(stamp(0), ("127.0.0.1", port))
            s.settimeout(0.5)
            with pytest.raises(TimeoutError):
                s.recv(2048)
            if os.geteuid() == 0:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as t:
                    t.bind(("127.0.0.4", 862))
                    t.sendto(stamp(0), ("127.0.0.1", port))
                    t.settimeout(0.5)
                    with pytest.raises(TimeoutError):
                        t.recv(2048)
        assert sum(numbers(ask(sock, "drops")).values()) >= 1
        assert before is not None


def test_two_reflectors_and_a_spoofed_packet_fall_silent():
    """A packet that claims to come from one reflector's port is put into the
    other: nobody answers, so no loop starts."""
    if os.geteuid() != 0:
        pytest.skip("needs root: raw sockets")
    with reflector(addresses=("127.0.0.1",)) as (port, _, a):
        d = tempfile.mkdtemp(prefix="twr", dir=meshlib.TMP)
        other = meshlib.Daemon("reflector2", [
            meshlib.prog("twmesh-reflector"), "--address", "127.0.0.2", "--port", port,
            "--socket", d + "/b.sock"], d + "/b.log").start()
        try:
            meshlib.wait_until("the second answers", lambda: ask(d + "/b.sock", "counters"),
                               10 * meshlib.SLOW)
            payload = stamp(0)
            udp = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
                raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
                ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
                                 socket.inet_aton("127.0.0.2"), socket.inet_aton("127.0.0.1"))
                raw.sendto(ip + udp, ("127.0.0.1", 0))
            meshlib.wait_until("the first counts a drop",
                               lambda: sum(numbers(ask(a, "drops")).values()) >= 1, 3)
            time.sleep(0.3)
            assert sum(numbers(ask(a, "drops")).values()) == 1
            assert sum(numbers(ask(d + "/b.sock", "drops")).values()) == 0
            assert other.stop() == 0
        finally:
            other.kill()
            shutil.rmtree(d)


def test_rate_limit_is_per_source():
    with reflector(conf="rate_limit_pps = 50\n") as (port, _, _):
        with Sender(port) as greedy, Sender(port, host="127.0.0.1") as _:
            for i in range(400):
                greedy.s.sendto(stamp(i), greedy.to)
            got = 0
            while greedy.read(0.3):
                got += 1
            assert 1 <= got <= 120, got
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as modest:
            modest.bind(("127.0.0.77", 0))
            modest.settimeout(2)
            modest.sendto(stamp(0), ("127.0.0.1", port))
            assert len(modest.recv(2048)) == 44


def test_allow_list_refuses_the_rest_silently():
    with reflector(conf='allow = { "127.0.0.0/24" }\n') as (port, _, sock):
        with Sender(port) as s:
            assert s.ask(stamp(0)) is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.1.0.1", 0))
            s.settimeout(0.3)
            s.sendto(stamp(0), ("127.0.0.1", port))
            with pytest.raises(TimeoutError):
                s.recv(2048)
        assert sum(numbers(ask(sock, "drops")).values()) == 1


def test_local_socket_tells_and_refuses():
    with reflector() as (port, _, sock), Sender(port) as s:
        s.ask(stamp(0))
        assert len(ask(sock, "sessions").splitlines()) == 1
        assert ask(sock, "members 127.0.0.9 ::1").strip() == "ok 2"
        assert ask(sock, "members 127.0.0.9 nonsense").startswith("error")
        assert ask(sock, "nonsense").startswith("error")
        assert ask(sock, "instance").strip()
        with socket.socket(socket.AF_UNIX) as quiet:  # one who never asks
            quiet.connect(sock)
            assert numbers(ask(sock, "counters"))
        assert s.ask(stamp(1)) is not None


def test_a_flood_of_garbage_neither_stops_nor_kills_it():
    rng = random.Random(862)
    with reflector(conf="rate_limit_pps = 0\nsession_max = 1000\n") as (port, daemon, sock):
        with Sender(port) as s:
            for _ in range(20000):
                s.s.sendto(rng.randbytes(rng.randint(0, 300)), s.to)
        with Sender(port) as s:
            assert meshlib.wait_until("it answers after the flood", lambda: s.ask(stamp(0)), 5)
        assert daemon.alive()
        assert len(ask(sock, "sessions").splitlines()) <= 1000
