# SPDX-License-Identifier: BSD-2-Clause
"""What breaks, and what the matrix then says (design section "What happens
when"). Each test leaves the mesh full again."""

import time

import meshlib
import pytest

MESH_NODES = ("ams1", "fra1", "nyc1", "tok1")
# measurement: crit needs two intervals in a row; an interval closes at its
# end + loss timeout + 0.5 s.
CRIT_WITHIN_S = 2 * 2 + 6
STALE_WITHIN_S = 10


def row(mesh, name):
    return {d: c for (s, d), c in mesh.cells().items() if s == name}


def column(mesh, name):
    return {s: c for (s, d), c in mesh.cells().items() if d == name}


def incidents(mesh, name):
    found = mesh.api("/api/v1/incidents?since=600&class=demo")["incidents"]
    return [i for i in found if i["name"] == name]


def states(cells):
    return {c["state"] for c in cells.values()}


@pytest.fixture(autouse=True)
def whole(mesh):
    """Every test starts from and ends in a full matrix."""
    mesh.wait_full(40)
    yield
    for n in mesh.nodes.values():
        n.start()
    mesh.wait_full(60)


def test_dead_host_row_is_stale_column_is_crit(mesh):
    victim = mesh["nyc1"]
    t0 = time.monotonic()
    victim.kill_host()
    meshlib.wait_until("its row is stale", lambda: states(row(mesh, "nyc1")) == {"stale"}, STALE_WITHIN_S)
    meshlib.wait_until("its column is crit", lambda: states(column(mesh, "nyc1")) == {"crit"},
                       CRIT_WITHIN_S - (time.monotonic() - t0) + 0.5)
    others = {p: c["state"] for p, c in mesh.cells().items() if "nyc1" not in p}
    assert set(others.values()) == {"ok"}, others
    # Once intervals lie wholly behind its death, all of it is lost; it stays
    # crit although rule 24 slows the probing down.
    meshlib.wait_until("loss of 100 %", lambda: all(
        c["loss_max_pct"] == 100 for c in column(mesh, "nyc1").values()), 15)
    time.sleep(6)
    assert states(column(mesh, "nyc1")) == {"crit"}
    assert states(row(mesh, "nyc1")) == {"stale"}
    m = mesh.api("/api/v1/matrix")
    assert m["summary"]["healthy"] == 6 and m["summary"]["states"] == {"ok": 6, "crit": 3, "stale": 3}
    assert [n["state"] for n in m["nodes"] if n["name"] == "nyc1"] == ["stale"]
    # What explains it, in words. (That it ends: at the end of the next test.)
    meshlib.wait_until("an incident names it", lambda: [
        (i["kind"], i["cells"], i["of_cells"]) for i in incidents(mesh, "nyc1") if not i["ended_at"]] ==
        [("silent", 3, 3)], 10)
    told = mesh.twmesh("incidents", "--since", "1h", "--class", "demo").stdout
    assert told.startswith("3 critical directions: 3 explained by nyc1, which is silent, since "), told


def test_dead_instrument_row_is_stale_column_is_ok(mesh):
    mesh["fra1"].meshd.kill()
    meshlib.wait_until("its row is stale", lambda: states(row(mesh, "fra1")) == {"stale"}, STALE_WITHIN_S)
    end = time.monotonic() + CRIT_WITHIN_S
    while time.monotonic() < end:
        assert states(column(mesh, "fra1")) == {"ok"}
        time.sleep(0.5)
    # no incident; and that of the test before ended 15 s after its cause
    meshlib.wait_until("no incident lasts", lambda: all(
        i["ended_at"] for i in mesh.api("/api/v1/incidents")["incidents"]), 10)
    assert incidents(mesh, "fra1") == []
    assert mesh.api("/api/v1/incidents")["classes"] == [{"class": "demo", "sentence": "no critical directions"}]


def test_planned_stop_says_so_and_peers_pause(mesh):
    assert mesh["tok1"].meshd.stop() == 0
    def stopped():
        cells = {**row(mesh, "tok1"), **{"x" + k: v for k, v in column(mesh, "tok1").items()}}
        return states(cells) == {"stale"} and \
            {c["state_why"] for c in cells.values()} == {"stopped on purpose"}
    meshlib.wait_until("row and column are stale, stopped on purpose", stopped, STALE_WITHIN_S)
    assert [n["state"] for n in mesh.api("/api/v1/nodes")["nodes"] if n["name"] == "tok1"] == ["stopped"]
    # peers pause their sessions to it: no new results after the pause
    time.sleep(6)
    q = "SELECT coalesce(sum(sent), 0) FROM twmesh.path_result WHERE dst = 'tok1'"
    before = mesh.sql(q)
    time.sleep(5)
    assert mesh.sql(q) == before


def test_restarted_reflector_is_not_loss_without_end(mesh):
    mesh["ams1"].reflector.kill()
    mesh["ams1"].reflector.start()
    time.sleep(4)
    mesh.wait_full(20)


def test_frozen_node_is_no_loss_of_others(mesh):
    """A stopped process must not produce loss (measurement rule 2): its own
    interval may be short, but what it did send came back in time."""
    import signal
    mesh["ams1"].meshd.send(signal.SIGSTOP)
    t0 = mesh.sql("SELECT now()")[0][0]
    time.sleep(3)
    mesh["ams1"].meshd.send(signal.SIGCONT)
    time.sleep(8)
    rows = mesh.sql("SELECT sum(lost), sum(sent) FROM twmesh.path_result WHERE src = 'ams1' AND ts > %s "
                    "- interval '4 s' AND ts < %s + interval '6 s'", (t0, t0))
    assert rows[0][1] > 0 and rows[0][0] == 0, rows
