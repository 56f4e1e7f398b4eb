# SPDX-License-Identifier: BSD-2-Clause
"""The mesh knows whose clock is wrong, and whether both ends of a path see the
same: the audit of clocks and the two witnesses."""

import emulib
import meshlib
import pytest

NAMES = ("ams1", "fra1", "nyc1")
REFERENCE = 'reference_nodes = { "ams1" }\n'
RIGHT = {"TWMESH_TEST_CLOCK_ERROR": "0.002"}
FAST = """class "demo" {
    rate = 50
    interval = "2s"
    loss_timeout = "1s"
    ship_spread = "0s"
}
"""


def clocks(mesh):
    """{name: node} of the API, once every node was audited after now."""
    now = mesh.sql("SELECT clock_timestamp()")[0][0]
    meshlib.wait_until("an audit", lambda: mesh.sql(
        "SELECT min(clock_audited_at) > %s FROM twmesh.node_status", (now,))[0][0], 30)
    return {n["name"]: n for n in mesh.api("/api/v1/nodes")["nodes"]}


def trust(mesh):
    return {(s, d): t for s, d, t in mesh.sql(
        "SELECT src, dst, one_way_trusted FROM twmesh.path_matrix")}


# --- on loopback


@pytest.fixture(scope="module", name="mesh")
def audited_mesh():
    with meshlib.Mesh(trust="loopback", conf=REFERENCE) as m:
        for name in NAMES:
            m.add(name, env=dict(RIGHT, **({"TWMESH_TEST_CLOCK_OFFSET": "0.3"}
                                           if name == "nyc1" else {})))
        m.wait_full()
        yield m


def test_a_clock_300_ms_off_is_convicted_and_no_other(mesh):
    found = meshlib.wait_until("it is convicted", lambda: (
        lambda c: c if c["nyc1"]["clock_verdict"] == "untrusted" else None)(clocks(mesh)), 60)
    assert found["ams1"]["clock_verdict"] == "reference"
    assert found["fra1"]["clock_verdict"] == "trusted"
    # By proof, not by guess: the truth lies in the interval, and that is as
    # narrow as a round trip on loopback and the reference's own 2 ms.
    assert found["nyc1"]["clock_lo_ms"] <= 300 <= found["nyc1"]["clock_hi_ms"]
    assert found["nyc1"]["clock_hi_ms"] - found["nyc1"]["clock_lo_ms"] < 20
    assert abs(found["nyc1"]["clock_estimate_ms"] - 300) < 10
    assert found["fra1"]["clock_lo_ms"] <= 0 <= found["fra1"]["clock_hi_ms"]
    assert trust(mesh) == {(a, b): "nyc1" not in (a, b) for a in NAMES for b in NAMES if a != b}
    # Trust is a mark, not a state.
    assert all(c["state"] == "ok" for c in mesh.cells().values())


def test_the_command_says_so(mesh):
    done = mesh.twmesh("nodes")
    assert done.returncode == 0, done.stderr
    line = {ln.split()[0]: ln for ln in done.stdout.splitlines() if ln.strip()}
    assert "untrusted" in line["nyc1"] and " trusted" in line["fra1"]
    assert "reference" in line["ams1"]
    assert done.stdout.count("its clock is not what it claims") == 1


def test_both_witnesses_agree_where_nothing_is_lost(mesh):
    rows = meshlib.wait_until("two witnesses everywhere", lambda: (
        lambda r: r if all(w == 2 for w, _, _ in r) else None)(mesh.sql(
            "SELECT witnesses, witness_verdict, witness_gap FROM twmesh.path_matrix")), 30)
    assert {v for _, v, _ in rows} == {"network"}, rows
    assert all(g.startswith("loss +0.0 points, delay ") for _, _, g in rows), rows


def test_a_dead_meshds_row_shows_what_the_others_see(mesh):
    """Its reflector lives: its row is stale, with the second witness's
    numbers, marked."""
    mesh["fra1"].meshd.kill()
    try:
        meshlib.wait_until("its row is stale", lambda: all(
            c["state"] == "stale" for (s, _), c in mesh.cells().items() if s == "fra1"), 20)
        before = mesh.sql("SELECT clock_timestamp()")[0][0]
        sent, lost, mark, why = meshlib.wait_until("a newer interval", lambda: mesh.sql(
            "SELECT sent, lost, numbers_from, state_why FROM twmesh.path_matrix "
            "WHERE src = 'fra1' AND dst = 'ams1' AND measured_at > %s", (before,)), 20)[0]
        assert sent >= 80 and lost == 0 and mark == "destination"
        assert "no contact since" in why and "ams1's session" in why
        assert mesh.sql("SELECT state, numbers_from FROM twmesh.path_matrix "
                        "WHERE src = 'ams1' AND dst = 'fra1'") == [("ok", "source")]
    finally:
        mesh["fra1"].start()
    meshlib.wait_until("it reports again", lambda: mesh.sql(
        "SELECT count(*) FROM twmesh.path_matrix WHERE src = 'fra1' AND "
        "numbers_from = 'source' AND state = 'ok'")[0][0] == 2, 30)


# --- over a network that is known


class Sites(meshlib.Mesh):
    """A node in each site of an emulated network, controller on the host."""

    def __init__(self, conf):
        super().__init__(trust="never", classes=FAST, conf=REFERENCE)
        self.emu = emulib.Emulator(conf, "--relay", f"8620={self.hub}")
        try:
            self.emu.start()
            self.hub = "127.0.0.1:8620"
            for name in self.emu.v4:
                self.nodes[name] = self.site(name).start()
                self.admit(name)
            self.wait_full(60)
        except BaseException:
            self.stop(check=False)
            raise

    def site(self, name):
        node = meshlib.Node(self, name, len(self.nodes) + 1, addr=self.emu.v4[name], env=RIGHT)
        for d in (node.reflector, node.meshd):
            d.argv = self.emu.argv(name, *d.argv)
        return node

    def admit(self, name):
        fp = self[name].fingerprint()
        meshlib.wait_until("it knocks", lambda: any(
            p["fingerprint"] == fp for p in self.api("/api/v1/nodes")["pending"]), 30)
        done = self.twmesh("node", "approve", "--address", self[name].addr, fp, name)
        assert done.returncode == 0, done.stderr

    def stop(self, check=True):
        try:
            super().stop(check)
        finally:
            self.emu.stop(check)


@pytest.fixture(scope="module", name="sites")
def sites_mesh():
    emulib.need()
    # nyc1's access: 10 ms more towards it than from it
    with Sites("site ams1 fra1 nyc1\ndefault delay=5ms\n"
               "link ams1 nyc1 delay=15ms\nlink fra1 nyc1 delay=15ms") as m:
        yield m


def test_one_sided_access_delay_convicts_nobody(sites):
    assert 15 <= sites.sql("SELECT avg(delay_ms) FROM twmesh.path_matrix "
                           "WHERE dst = 'nyc1'")[0][0] < 20
    found = meshlib.wait_until("all are judged", lambda: (
        lambda c: c if "unknown" not in {n["clock_verdict"] for n in c.values()} else None)(
            clocks(sites)), 60)
    verdicts = {name: n["clock_verdict"] for name, n in found.items()}
    assert verdicts == {"ams1": "reference", "fra1": "trusted", "nyc1": "suspect"}, verdicts
    # It looks exactly like 5 ms of clock offset, which is why.
    assert 3 < found["nyc1"]["clock_estimate_ms"] < 7
    assert set(trust(sites).values()) == {True}


def test_loss_in_the_network_is_seen_by_both_witnesses(sites):
    sites.emu.tell("set fra1 nyc1 loss=30%")
    try:
        query = ("SELECT witnesses, witness_verdict, loss_pct, witness_gap, "
                 "split_part(witness_gap, ' ', 2)::float8 FROM twmesh.path_matrix "
                 "WHERE src = 'fra1' AND dst = 'nyc1' AND state = 'crit'")
        row = meshlib.wait_until("both saw some", lambda: (
            lambda r: r if r and r[0][0] == 2 and r[0][1] else None)(sites.sql(query)), 40)[0]
        assert row[1] == "network" and 10 <= row[2] <= 50, row
        assert abs(row[4]) < 25, row
        # The other direction is clean, by both.
        assert sites.sql("SELECT witness_verdict, loss_pct FROM twmesh.path_matrix "
                         "WHERE src = 'nyc1' AND dst = 'fra1'")[0] == ("network", 0)
    finally:
        sites.emu.tell("set fra1 nyc1 loss=0")


def test_loss_for_one_witness_alone_is_an_instrument(sites):
    """fra1's requests to nyc1 are lost, as by nyc1's own firewall, and fra1's
    answers to nyc1's requests, on the same way, are not."""
    sites.emu.tell(f"set fra1 nyc1 dport={meshlib.REFLECTOR_PORT} loss=30%")
    try:
        verdict = meshlib.wait_until("they differ", lambda: [
            v for (v,) in sites.sql("SELECT witness_verdict FROM twmesh.path_matrix WHERE "
                                    "src = 'fra1' AND dst = 'nyc1'") if v and v != "network"], 40)[0]
        assert verdict == "instrument at fra1 or nyc1"
    finally:
        sites.emu.tell("set fra1 nyc1 dport=0 loss=0")
