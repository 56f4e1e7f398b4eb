# SPDX-License-Identifier: BSD-2-Clause
"""Controller or database away: nothing lost, nothing doubled."""

import os
import time

import meshlib
import pytest

MESH_NODES = ("ams1", "fra1", "nyc1")
AWAY_S = 20


def holes(mesh, since, until):
    """Per pair: intervals missing or doubled between the two instants, and
    intervals in which half of the class's 100 packets were not sent (a busy
    machine skips slots, but never for a second)."""
    rows = mesh.sql("""
        WITH want AS (
          SELECT s.src, s.dst, g AS ts
          FROM (SELECT DISTINCT src, dst FROM twmesh.path_matrix) s,
               generate_series(%s::timestamptz, %s::timestamptz - interval '2 s', interval '2 s') g)
        SELECT want.src, want.dst, want.ts, count(r.ts), coalesce(sum(r.sent), 0)
        FROM want LEFT JOIN twmesh.path_result r USING (src, dst, ts)
        GROUP BY 1, 2, 3 HAVING count(r.ts) <> 1 OR coalesce(sum(r.sent), 0) < 50
        ORDER BY 3, 1, 2""", (since, until))
    return rows


def aligned_now(mesh, offset_s=0):
    return mesh.sql("SELECT to_timestamp(ceil(extract(epoch FROM now()) / 2) * 2 + %s)", (offset_s,))[0][0]


def check_nothing_lost(mesh, since):
    until = aligned_now(mesh)
    n = len(MESH_NODES)
    meshlib.wait_until("every interval until now is there", lambda: mesh.sql(
        "SELECT count(*) FROM twmesh.path_result WHERE ts = %s - interval '2 s'", (until,))[0][0]
        == n * (n - 1), 40)
    # One late look: what comes twice would come now.
    time.sleep(2)
    assert holes(mesh, since, until) == []
    assert mesh.sql("SELECT count(*) FROM (SELECT src, dst, class, ts FROM twmesh.path_result "
                    "GROUP BY 1, 2, 3, 4 HAVING count(*) > 1) d")[0][0] == 0


def test_controller_killed_for_20_s(mesh):
    since = aligned_now(mesh)
    mesh.controller.kill()
    time.sleep(AWAY_S)
    mesh.start_controller()
    check_nothing_lost(mesh, since)
    mesh.wait_full(20)


def test_restart_of_the_controller_paints_nobody_stale(mesh):
    mesh.controller.stop()
    time.sleep(1)
    mesh.start_controller()
    end = time.monotonic() + 8
    while time.monotonic() < end:
        assert {c["state"] for c in mesh.cells().values()} == {"ok"}
        time.sleep(0.3)


def test_database_stopped_for_20_s(mesh):
    since = aligned_now(mesh)
    path = "/api/v1/path?src=ams1&dst=fra1"
    assert "database" not in mesh.api("/api/v1/nodes") and mesh.api(path)["results"]
    mesh.pg.stop()
    time.sleep(AWAY_S / 2)
    assert mesh.api("/healthz", 503)["database"] is False
    old = mesh.api("/api/v1/nodes")
    assert old["database"]["ok"] is False and len(old["nodes"]) == len(mesh.nodes)
    assert mesh.twmesh("nodes").stdout.startswith("the database is away since ")
    assert "the database is away" in mesh.api(path, 503)["error"]["message"], "no old answer as a new one"
    assert mesh.controller.alive() and all(n.meshd.alive() for n in mesh.nodes.values())
    time.sleep(AWAY_S / 2)
    mesh.pg.start()
    meshlib.wait_until("the writer is back", lambda: mesh.controller.text().count("database: there") >= 2, 20)
    meshlib.wait_until("it is there again for all", lambda: mesh.api("/api/v1/matrix")["database"]["ok"], 3)
    assert "database" not in mesh.api("/api/v1/nodes") and mesh.api(path)["results"]
    check_nothing_lost(mesh, since)
    mesh.wait_full(20)
    mesh.wait_healthy()


def test_meshd_killed_and_back_resends_what_was_not_acknowledged(mesh):
    """Batches sealed before the kill survive it: with the controller away,
    kill -9 a node, start both again: its results from before are there."""
    node = mesh["fra1"]
    mesh.controller.kill()
    since = aligned_now(mesh)
    time.sleep(10)
    node.meshd.kill()
    closed = aligned_now(mesh, -8)  # intervals closed and sealed by then
    node.meshd.start()
    mesh.start_controller()
    meshlib.wait_until("the killed node's intervals are there", lambda: mesh.sql(
        "SELECT count(*) FROM twmesh.path_result WHERE src = 'fra1' AND ts >= %s AND ts < %s",
        (since, closed))[0][0] == 2 * round((closed - since).total_seconds() / 2), 40)
    assert (closed - since).total_seconds() >= 2
    mesh.wait_full(30)


def test_deleted_spool_is_a_new_spool_and_the_gap_is_recorded(mesh):
    node = mesh["nyc1"]
    mesh.wait_full(20)
    before = {r[0] for r in mesh.sql(SPOOLS, ("nyc1",))}
    assert len(before) == 1
    mesh.controller.kill()
    time.sleep(6)  # results pile up in the spool
    node.meshd.kill()
    for name in os.listdir(node.dir):
        if name.startswith("spool.db"):
            os.unlink(node.path(name))
    node.meshd.start()
    mesh.start_controller()
    after = meshlib.wait_until("a second spool id", lambda: (
        lambda ids: ids if len(ids) == 2 else None)({r[0] for r in mesh.sql(SPOOLS, ("nyc1",))}), 30)
    assert before < after
    gap = meshlib.wait_until("the gap is recorded", lambda: mesh.sql(GAPS, ("nyc1",)), 30)
    t_from, t_to, reason = gap[0]
    assert t_from < t_to and reason
    mesh.wait_full(30)
    # exactly once still holds
    assert mesh.sql("SELECT count(*) FROM (SELECT src, dst, class, ts FROM twmesh.path_result "
                    "GROUP BY 1, 2, 3, 4 HAVING count(*) > 1) d")[0][0] == 0


SPOOLS = """SELECT DISTINCT encode(spool_id, 'hex') FROM twmesh_private.spool JOIN twmesh.node USING (node_id)
    WHERE name = %s"""
GAPS = """SELECT t_from, t_to, reason FROM twmesh.gap JOIN twmesh.node ON node_id = src_id WHERE name = %s"""

pytestmark = pytest.mark.usefixtures("mesh")
