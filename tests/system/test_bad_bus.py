# SPDX-License-Identifier: BSD-2-Clause
"""The controller's ZeroMQ port against strangers, and against a node that has
an approved key and lies: garbage, bombs, replays, other people's results."""

import base64
import hashlib
import os
import random
import time

import meshlib
import pytest
import zmq
import zmq.utils.monitor
import zmq.utils.z85


@pytest.fixture(scope="module")
def mesh():
    """Two approved nodes; nobody else is trusted, not even on loopback."""
    with meshlib.Mesh(trust="never") as m:
        for name in ("ams1", "fra1"):
            m.add(name)
            m.approve(name)
        m.wait_full()
        yield m


MESH_NODES = ("ams1", "fra1")


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    """A protobuf field: int as varint, bytes as length-delimited."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (2**64 - 1))
    return varint(number << 3 | 2) + varint(len(value)) + value


def zigzag(n):
    return (n << 1) ^ (n >> 63)


def envelope(body_field, body, version=1):
    return field(1, version) + field(body_field, body)


def batch(spool, seq, body, rows=0, digest=None):
    digest = hashlib.sha256(body).digest()[:16] if digest is None else digest
    return envelope(8, field(1, spool) + field(2, seq) + field(3, rows) + field(4, digest) + field(5, body))


def base32_key(text):
    return base64.b32decode(text.strip().replace("-", "").upper() + "====")


class Client:
    """A DEALER with a key: its own random one, or a node's."""

    def __init__(self, mesh, secret=None, routing_id=None):
        # the process's own context: term() would wait for the monitor's thread
        self.s = zmq.Context.instance().socket(zmq.DEALER)
        self.s.linger = 0
        self.s.sndhwm = 0
        self.s.setsockopt(zmq.MAXMSGSIZE, -1)
        if routing_id:
            self.s.setsockopt(zmq.ROUTING_ID, routing_id)
        if secret:
            public = zmq.curve_public(zmq.utils.z85.encode(secret))
            pair = (public, zmq.utils.z85.encode(secret))
        else:
            pair = zmq.curve_keypair()
        self.s.curve_publickey, self.s.curve_secretkey = pair
        self.s.curve_serverkey = zmq.utils.z85.encode(base32_key(mesh.key))
        self.events = self.s.get_monitor_socket()
        self.s.connect(f"tcp://{mesh.hub}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.disable_monitor()
        self.events.close(0)
        self.s.close(0)

    def handshaken(self, timeout_s):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self.events.poll(100):
                event = zmq.utils.monitor.recv_monitor_message(self.events)
                if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    return True
        return False

    def read(self, timeout_ms=500):
        return self.s.recv_multipart() if self.s.poll(timeout_ms) else None


def node_secret(mesh, name):
    with open(mesh[name].path("node.key"), "rb") as f:
        data = f.read()
    return data if len(data) == 32 else base32_key(data.decode().split()[-1])


def rss_mib(daemon):
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


@pytest.fixture(autouse=True)
def unharmed(mesh):
    """After every attack: same controller process, nodes ok, results flow."""
    pid = mesh.controller.pid
    yield
    assert mesh.controller.alive() and mesh.controller.pid == pid
    newest = mesh.sql("SELECT max(ts) FROM twmesh.path_result")[0][0]
    meshlib.wait_until("results still flow", lambda: mesh.sql(
        "SELECT max(ts) > %s FROM twmesh.path_result", (newest,))[0][0], 15)
    mesh.wait_full(15)


def test_a_random_key_does_not_pass(mesh):
    with Client(mesh) as c:
        for _ in range(100):
            try:
                c.s.send(os.urandom(100), zmq.DONTWAIT)
            except zmq.Again:
                break
        assert not c.handshaken(2)
        assert c.read(200) is None


def test_no_curve_at_all_does_not_pass(mesh):
    ctx = zmq.Context()
    s = ctx.socket(zmq.DEALER)
    s.linger = 0
    events = s.get_monitor_socket()
    s.connect(f"tcp://{mesh.hub}")
    s.send(b"hello")
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        if events.poll(100):
            assert zmq.utils.monitor.recv_monitor_message(events)["event"] != zmq.EVENT_HANDSHAKE_SUCCEEDED
    s.disable_monitor()
    ctx.destroy(linger=0)


def test_raw_garbage_on_the_tcp_port(mesh):
    import socket
    rng = random.Random(8620)
    host, port = mesh.hub.rsplit(":", 1)
    for n in (0, 1, 10, 64, 1000, 100000):
        with socket.create_connection((host, int(port)), timeout=5) as s:
            try:
                s.sendall(rng.randbytes(n))
            except OSError:
                pass


def test_pending_list_is_bounded(mesh):
    clients = [Client(mesh) for _ in range(60)]
    try:
        time.sleep(3)
        n = len(mesh.api("/api/v1/nodes")["pending"])
        assert 1 <= n <= 1024
    finally:
        for c in clients:
            c.__exit__()


def test_garbage_from_an_approved_key(mesh):
    rng = random.Random(1)
    with Client(mesh, node_secret(mesh, "ams1")) as c:
        assert c.handshaken(5)
        for i in range(300):
            c.s.send(rng.randbytes(rng.randint(0, 400)))
            c.s.send(envelope(i % 13, rng.randbytes(rng.randint(0, 60))))
        c.s.send(b"")
        c.s.send(envelope(8, b"", version=99))


def test_multipart_bomb_from_an_approved_key(mesh):
    before = rss_mib(mesh.controller)
    with Client(mesh, node_secret(mesh, "ams1")) as c:
        assert c.handshaken(5)
        for _ in range(3):
            c.s.send_multipart([b"x" * 100] * 10000)
        time.sleep(2)
    assert rss_mib(mesh.controller) < before + 100 * (4 if meshlib.SANITIZED else 1)


def test_submessage_bombs_from_an_approved_key(mesh):
    """A MiB of empty submessages unpacks to 159 MB without a budget."""
    before = rss_mib(mesh.controller)
    spool = os.urandom(16)
    with Client(mesh, node_secret(mesh, "ams1")) as c:
        assert c.handshaken(5)
        c.s.send(envelope(5, field(1, 1) + field(2, b"") * (1 << 19)))  # Roster of empty nodes
        c.s.send(envelope(2, field(1, b"ams1") + field(7, b"") * (1 << 19)))  # Hello of empty facts
        c.s.send(batch(spool, 1, field(1, b"") * (1 << 19)))  # slices
        c.s.send(batch(spool, 2, field(1, field(1, 1) + field(6, b"") * (1 << 18))))  # columns
        c.s.send(b"x" * (5 << 20))  # over the frame limit: the connection is cut
        time.sleep(3)
    assert rss_mib(mesh.controller) < before + 64 * (4 if meshlib.SANITIZED else 1)


def test_chosen_routing_ids_take_over_nobody(mesh):
    with Client(mesh, routing_id=b"\0fra1") as c:
        assert not c.handshaken(1)
    with Client(mesh, node_secret(mesh, "ams1"), routing_id=b"fra1") as c:
        assert c.handshaken(5)
        c.s.send(envelope(6, field(1, zigzag(time.time_ns()))))
        assert c.read(500) is None


def one_row(ts_ns, dst, class_id=1, sent=7):
    column = field(1, 2) + field(2, varint(zigzag(sent)))
    return field(1, field(1, class_id) + field(2, zigzag(ts_ns)) + field(3, 2000) + field(4, 1)
                 + field(5, varint(dst)) + field(6, column))


def test_a_replayed_batch_is_stored_once_and_a_forged_one_put_aside(mesh):
    """The same key with another digest: someone rebuilt a batch."""
    ids = dict(mesh.sql("SELECT name, node_id FROM twmesh.node"))
    ts = (time.time_ns() // 2_000_000_000 - 1) * 2_000_000_000
    spool = os.urandom(16)
    body = one_row(ts, ids["fra1"])
    q = "SELECT count(*) FROM twmesh_private.ledger WHERE spool_id = %s"
    aside = "SELECT count(*) FROM twmesh_private.put_aside"
    with Client(mesh, node_secret(mesh, "ams1")) as c:
        assert c.handshaken(5)
        before = mesh.sql(aside)[0][0]
        for _ in range(3):
            c.s.send(batch(spool, 1, body, rows=1))
        meshlib.wait_until("it is decided", lambda: mesh.sql(q, (spool,))[0][0]
                           + mesh.sql(aside)[0][0] - before >= 1, 10)
        time.sleep(1)
        assert mesh.sql(q, (spool,))[0][0] <= 1
        c.s.send(batch(spool, 1, one_row(ts, ids["fra1"], sent=9), rows=1))
        c.s.send(batch(spool, 2, body, rows=1, digest=b"\1" * 16))  # digest is not the body's
        time.sleep(1)
        assert mesh.sql(q, (spool,))[0][0] <= 1


def test_results_of_nobody_and_from_the_future_are_not_stored(mesh):
    ids = dict(mesh.sql("SELECT name, node_id FROM twmesh.node"))
    spool = os.urandom(16)
    now = time.time_ns() // 2_000_000_000 * 2_000_000_000
    with Client(mesh, node_secret(mesh, "ams1")) as c:
        assert c.handshaken(5)
        bodies = [one_row(now + 3600 * 10**9, ids["fra1"]), one_row(0, ids["fra1"]),
                  one_row(2**62, ids["fra1"]), one_row(now, 4_000_000_000),
                  one_row(now, ids["fra1"], class_id=4_000_000_000)]
        for seq, body in enumerate(bodies, 1):
            c.s.send(batch(spool, seq, body, rows=1))
        time.sleep(3)
    assert mesh.sql("SELECT count(*) FROM twmesh.path_result WHERE ts > now() + interval '10 minutes' "
                    "OR ts < now() - interval '1 day'")[0][0] == 0
