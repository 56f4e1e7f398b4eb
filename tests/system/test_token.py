# SPDX-License-Identifier: BSD-2-Clause
"""Join tokens, end to end: a node lets itself in once, everything else is
refused with the reason on both sides, and a token can do nothing but that."""

import os
import re
import stat
import time

import meshlib
import pytest
from test_bad_bus import Client, base32_key, batch, envelope, field, node_secret, one_row, varint, zigzag


@pytest.fixture(scope="module")
def mesh():
    with meshlib.Mesh((), trust="never") as m:
        yield m


SECRET = re.compile(r"[A-Z2-7]{52}")


def create(mesh, path, *options):
    """A token in a file; its number."""
    done = mesh.twmesh("node", "token", "create", "--file", path, *options)
    assert done.returncode == 0 and done.stdout == "", done
    return int(re.match(r"join token (\d+): ", done.stderr).group(1))


def secret(path):
    with open(path, encoding="ascii") as f:
        return f.read().strip()


def tokens(mesh):
    done = mesh.twmesh("node", "token", "list", "--csv")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    keys = lines[0].split(",")
    return {int(r["token_id"]): r for r in (dict(zip(keys, ln.split(","))) for ln in lines[1:])}


def add(mesh, name, token_file, **kw):
    return mesh.add(name, meshd_conf=f'join_token_file = "{token_file}"\n', **kw)


def names(mesh):
    return {n["name"] for n in mesh.api("/api/v1/nodes")["nodes"]}


def pending(mesh):
    return {p["fingerprint"] for p in mesh.api("/api/v1/nodes")["pending"]}


def test_a_token_lets_in_as_many_nodes_as_it_may(mesh, tmp_path):
    path = tmp_path / "t"
    n = create(mesh, path, "--uses", "2", "--expires", "1h")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and SECRET.fullmatch(secret(path))
    for name in ("ams1", "fra1"):
        add(mesh, name, path)
    for name in ("ams1", "fra1"):
        mesh[name].meshd.wait_log(rf"joined with the token as '{name}'")
        mesh.controller.wait_log(rf"node '{name}' \({mesh[name].fingerprint()}, from 127\.[\d.]+\) "
                                 "joined with a token")
    mesh.wait_full(30)
    assert names(mesh) == {"ams1", "fra1"} and pending(mesh) == set()
    row = tokens(mesh)[n]
    assert (row["state"], row["uses"], row["uses_max"]) == ("used up", "2", "2"), row
    assert row["nodes"] == "ams1 fra1" and row["last_used_at"]
    done = mesh.twmesh("node", "token", "list")
    assert "used up" in done.stdout and "2 of 2" in done.stdout and "ams1 fra1" in done.stdout


def test_a_restart_needs_no_token_any_more(mesh):
    mesh["fra1"].meshd.stop()
    mesh["fra1"].meshd.start()
    mesh["fra1"].meshd.wait_log("hello sent -> welcomed")
    assert "token" not in mesh["fra1"].meshd.text()
    mesh["fra1"].meshd.stop()
    os.rename(mesh["fra1"].path("meshd.conf"), mesh["fra1"].path("old.conf"))
    with open(mesh["fra1"].path("old.conf"), encoding="ascii") as f:
        text = f.read()
    with open(mesh["fra1"].path("meshd.conf"), "w", encoding="ascii") as f:
        f.write(re.sub(r"join_token_file = .*", 'join_token_file = "/nonexistent/t"', text))
    mesh["fra1"].meshd.start()  # a file that was cleared away is no fault
    mesh["fra1"].meshd.wait_log("hello sent -> welcomed")
    mesh.wait_full(30)


@pytest.fixture
def refused(mesh, tmp_path):
    """A node with this token file is refused, for this reason, both sides."""
    made = []

    def check(name, token_file, reason, at_controller=True):
        node = add(mesh, name, token_file) if name not in mesh.nodes else mesh[name]
        made.append(name)
        node.meshd.wait_log("join token was refused: " + reason)
        if at_controller:
            mesh.controller.wait_log(rf"join of node '{name}' \({node.fingerprint()}, from "
                                     rf"127\.[\d.]+\) refused: {reason}")
        assert node.status()["controller.c1"].split(":")[0] in ("knocking", "connecting", "joining")
        assert name not in names(mesh) and node.meshd.alive()
        return node
    yield check
    for name in made:
        node = mesh.nodes.pop(name)
        node.stop()


def test_a_used_up_token_is_refused(mesh, tmp_path, refused):
    create(mesh, tmp_path / "t")
    add(mesh, "nyc1", tmp_path / "t")
    mesh["nyc1"].meshd.wait_log("joined with the token")
    node = refused("nyc2", tmp_path / "t", r"join token \d+ is used up: it let in 1 node, as it might")
    # it still can be approved, as any other
    fp = node.fingerprint()
    meshlib.wait_until("it waits", lambda: fp in pending(mesh), 20)


def test_an_expired_token_is_refused(mesh, tmp_path, refused):
    n = create(mesh, tmp_path / "t", "--expires", "1s")
    meshlib.wait_until("it expires", lambda: tokens(mesh)[n]["state"] == "expired", 5)
    refused("par1", tmp_path / "t", r"join token \d+ expired at \d\d:\d\d:\d\d UTC")


def test_a_revoked_token_is_refused_and_its_nodes_stay(mesh, tmp_path, refused):
    n = create(mesh, tmp_path / "t", "--uses", "5")
    add(mesh, "lon1", tmp_path / "t")
    mesh["lon1"].meshd.wait_log("joined with the token")
    done = mesh.twmesh("node", "token", "revoke", n)
    assert done.returncode == 0 and done.stdout == f"revoked join token {n}\n", done
    assert tokens(mesh)[n]["state"] == "revoked", "shown at once"
    refused("lon2", tmp_path / "t", rf"join token {n} was revoked")
    assert "lon1" in names(mesh)
    for again, why in ((n, f"join token {n} is revoked already"), (9999, "there is no join token 9999")):
        done = mesh.twmesh("node", "token", "revoke", again)
        assert done.returncode == 1 and why in done.stderr, done


def test_a_wrong_token_is_refused(mesh, tmp_path, refused):
    path = tmp_path / "t"
    path.write_text("A" * 51 + "Q\n", encoding="ascii")
    path.chmod(0o600)
    refused("osl1", path, "it is none of this controller's", at_controller=False)


def test_a_taken_name_is_refused(mesh, tmp_path, refused):
    """And costs no use."""
    n = create(mesh, tmp_path / "t")
    node = meshlib.Node(mesh, "sto1", 99, called="ams1", meshd_conf=f'join_token_file = "{tmp_path}/t"\n')
    node.start()
    try:
        reason = (rf"the name 'ams1' belongs to another key \({mesh['ams1'].fingerprint()}\): choose "
                  rf"another name, or have the operator run 'twmesh node approve {node.fingerprint()} "
                  "ams1 --replace'")
        node.meshd.wait_log("join token was refused: " + reason)
        mesh.controller.wait_log(r"join of node 'ams1' .* refused: " + reason)
        assert tokens(mesh)[n]["uses"] == "0"
    finally:
        node.stop()
    assert meshlib.wait_until("the first keeps the name", lambda: mesh.cells("src = 'ams1'"), 5)


def test_a_removed_node_does_not_let_itself_in_again(mesh, tmp_path):
    create(mesh, tmp_path / "t", "--uses", "9")
    node = add(mesh, "mad1", tmp_path / "t")
    node.meshd.wait_log("hello sent -> welcomed")
    meshlib.wait_until("it has a roster", lambda: os.path.exists(node.path("roster.cache")), 10)
    assert mesh.twmesh("node", "remove", "mad1").returncode == 0
    node.meshd.wait_log("removed by the operator")
    node.meshd.stop()
    node.meshd.start()
    node.meshd.wait_log("waiting for approval")
    time.sleep(3)
    assert "mad1" not in names(mesh) and "joining" not in node.meshd.text()
    mesh.nodes.pop("mad1").stop()


def test_a_token_may_send_join_and_nothing_else(mesh, tmp_path):
    create(mesh, tmp_path / "t", "--uses", "9")
    ids = dict(mesh.sql("SELECT name, node_id FROM twmesh.node WHERE removed_at IS NULL"))
    rows = "SELECT count(*) FROM twmesh_private.ledger"
    spool = os.urandom(16)
    now = time.time_ns() // 2_000_000_000 * 2_000_000_000
    me = os.urandom(32)
    with Client(mesh, base32_key(secret(tmp_path / "t"))) as c:
        assert c.handshaken(5)
        c.s.send(envelope(2, field(1, b"ams1") + field(4, 862) + field(8, spool)))  # Hello
        c.s.send(envelope(7, field(1, zigzag(now))))  # Heartbeat
        c.s.send(batch(spool, 1, one_row(now, ids["fra1"]), rows=1))
        c.s.send(envelope(10, field(1, b"bye")))
        c.s.send(os.urandom(64))
        assert c.read(1500) is None, "not even an answer"
        assert mesh.sql("SELECT count(*) FROM twmesh_private.spool WHERE spool_id = %s", (spool,)) == [(0,)]
        assert mesh.sql(rows + " WHERE spool_id = %s", (spool,)) == [(0,)]
        mesh.controller.wait_log(r"join token (\w{4}-){3}\w{4} at 127\.[\d.]+ sent a bad message: what a "
                                 "join token may not send in hello")
        # the same, twice: the same answer, one use
        for _ in range(2):
            c.s.send(envelope(16, field(1, b"rom1") + field(2, me)))
            got = c.read(3000)
            assert got and got[0][:2] == b"\x08\x01" and got[0][2:4] == varint(17 << 3 | 2), got
        c.s.send(envelope(16, field(1, b"rom2") + field(2, me)))
        assert b"was approved as 'rom1'" in c.read(3000)[0]
    with Client(mesh, node_secret(mesh, "ams1")) as c:  # and a node cannot join anybody
        assert c.handshaken(5)
        c.s.send(envelope(16, field(1, b"rom3") + field(2, os.urandom(32))))
        time.sleep(1)
    assert {"rom1"} == names(mesh) & {"rom1", "rom2", "rom3"}
    assert mesh.twmesh("node", "remove", "rom1").returncode == 0


def test_a_flood_of_joins_harms_nobody(mesh, tmp_path):
    create(mesh, tmp_path / "t", "--uses", "2")
    with Client(mesh, base32_key(secret(tmp_path / "t"))) as c:
        assert c.handshaken(5)
        for i in range(5000):
            c.s.send(envelope(16, field(1, b"flood%d" % i) + field(2, os.urandom(32))))
        meshlib.wait_until("some are answered", lambda: c.read(100), 20)
        newest = mesh.sql("SELECT max(ts) FROM twmesh.result")[0][0]
        meshlib.wait_until("results still flow", lambda: mesh.sql(
            "SELECT max(ts) > %s FROM twmesh.result", (newest,))[0][0], 15)
    mesh_names = {n for n in names(mesh) if n.startswith("flood")}
    assert len(mesh_names) == 2, "as many as the token may"
    assert mesh.controller.text().count("refused: join token") < 100
    for n in mesh_names:
        assert mesh.twmesh("node", "remove", n).returncode == 0


def test_the_secret_is_nowhere_but_with_its_holder(mesh, tmp_path):
    done = mesh.twmesh("node", "token", "create")
    text = done.stdout.strip()
    assert SECRET.fullmatch(text), "standard output holds the token alone"
    assert text not in done.stderr
    raw = base32_key(text)
    for name in os.listdir(mesh.dir):
        if name.endswith(".log"):
            with open(os.path.join(mesh.dir, name), encoding="utf-8", errors="replace") as f:
                assert text not in f.read()
    columns = mesh.sql("SELECT table_schema, table_name, column_name FROM information_schema.columns "
                       "WHERE table_schema LIKE 'twmesh%%' AND data_type IN ('bytea', 'text')")
    assert len(columns) > 20
    for schema, table, column in columns:
        n = mesh.sql(f'SELECT count(*) FROM {schema}."{table}" WHERE "{column}"::text IN (%s, %s)',
                     (text, "\\x" + raw.hex()))
        assert n == [(0,)], (schema, table, column)
    listed = mesh.twmesh("node", "token", "list", "--json").stdout
    assert text not in listed and not SECRET.search(listed)


def test_mistakes_are_told_in_one_line(mesh, tmp_path):
    path = tmp_path / "t"
    path.write_text("x\n", encoding="ascii")
    for args, status, why in (
            (("create", "--uses", "0"), 2, "--uses: expected an integer from 1 to 100000, found '0'"),
            (("create", "--expires", "2y"), 2, "--expires: expected 1s to 366d, as 24h, found '2y'"),
            (("create", "--file", path), 2, "expected to make a new file: File exists"),
            (("create", "x"), 2, "expected no arguments, found also 'x'"),
            (("revoke",), 2, "expected ID, found nothing"),
            (("revoke", "ABCD"), 2, "expected the number of a join token")):
        done = mesh.twmesh("node", "token", *args)
        assert done.returncode == status and why in done.stderr, done
        assert len(done.stderr.splitlines()) == 1
    assert path.read_text(encoding="ascii") == "x\n"
    # nothing of this goes by the TCP listener
    assert mesh.api("/api/v1/tokens", expect=403)["error"]["status"] == 403


@pytest.mark.parametrize("text, mode, why", (
    ("A" * 52, 0o644, "expected mode 0600"), ("short", 0o600, "expected a secret key")))
def test_a_bad_token_file_is_the_operators_mistake(mesh, tmp_path, text, mode, why):
    path = tmp_path / "t"
    path.write_text(text + "\n", encoding="ascii")
    path.chmod(mode)
    node = meshlib.Node(mesh, f"bad{mode}", 98, meshd_conf=f'join_token_file = "{path}"\n')
    node.meshd.start()
    assert node.meshd.proc.wait(10 * meshlib.SLOW) == 2
    assert "join_token_file " in node.meshd.text() and why in node.meshd.text()
    assert text not in node.meshd.text().replace("short", "")
