# SPDX-License-Identifier: BSD-2-Clause
"""How the controller starts and ends: with a database that is away, with one
that turns out to be another's, and on SIGTERM."""

import signal
import time

import meshlib
import pytest

MESH_NODES = ("ams1", "fra1")


@pytest.fixture
def away(mesh):
    """The mesh with controller and PostgreSQL down; both up again after."""
    assert mesh.controller.stop() == 0
    mesh.pg.stop()
    yield mesh
    if not mesh.pg.daemon.alive():
        mesh.pg.start()
    if not mesh.controller.alive():
        mesh.start_controller()
    mesh.wait_full(40)


def test_a_start_without_database_serves_the_page_and_waits(away):
    away.controller.start()
    away.url = away.controller.wait_log(r"ready: .*?(http://127\.0\.0\.1:\d+)").group(1)
    away.controller.wait_log("the database is away")
    assert away.api("/healthz", expect=503)["database"] is False
    m = away.api("/api/v1/matrix")
    assert m["database"]["ok"] is False and m["database"]["since"].endswith("Z") and m["cells"]["n"] == 0
    assert [x["name"] for x in m["metrics"]][0] == "state"
    assert "the database is away" in away.api("/api/v1/nodes", expect=503)["error"]["message"]
    done = away.twmesh("node", "remove", "ams1")
    assert done.returncode == 2 and "the database is away" in done.stderr, done
    time.sleep(7)
    assert away.controller.text().count("the database is away:") <= 2, "once a minute, not each time"
    away.pg.start()
    away.wait_full(40)
    away.wait_healthy()
    assert away.api("/healthz")["nodes"] == 2


def test_a_database_that_comes_up_and_is_another_s_ends_the_start(away):
    started = away.controller
    dsn = away.pg.dsn("other")
    other = meshlib.Daemon("other", [*started.argv, "--database", dsn], away.dir + "/other.log")
    other.start()
    other.wait_log("ready:")
    away.pg.start()
    status = meshlib.wait_until("it ends", lambda: other.proc.poll(), 15 * meshlib.SLOW)
    assert status == 2, other.text()
    assert '"other" does not exist' in other.text()


def test_sigterm_ends_within_two_seconds_and_loses_nothing(mesh):
    before = mesh.sql("SELECT count(*) FROM twmesh.result")[0][0]
    t0 = time.monotonic()
    assert mesh.controller.stop(signal.SIGTERM) == 0
    assert time.monotonic() - t0 < 2 * meshlib.SLOW
    assert mesh.controller.text().rstrip().splitlines()[-1].find("stopping") > 0
    time.sleep(5)
    mesh.start_controller()
    meshlib.wait_until("what was measured meanwhile", lambda: mesh.sql(
        "SELECT count(*) FROM twmesh.result")[0][0] >= before + 4, 20)
    twice = mesh.sql("SELECT src_id, dst_id, class_id, ts FROM twmesh.result "
                     "GROUP BY 1, 2, 3, 4 HAVING count(*) > 1")
    assert twice == []
    # no interval of the time without a controller is missing
    # (the nodes of a pair catch up side by side)
    holes = ("SELECT src_id, dst_id, ts FROM (SELECT src_id, dst_id, ts, lead(ts) OVER "
             "(PARTITION BY src_id, dst_id ORDER BY ts) AS next FROM twmesh.result) x "
             "WHERE next > ts + interval '2 seconds'")
    meshlib.wait_until("no holes", lambda: mesh.sql(holes) == [], 20)


def test_documents_are_kept_for_the_time_without_a_database(mesh):
    """Each its own place: asking for one must not push out another."""
    paths = ("/api/v1/matrix", "/api/v1/nodes", "/api/v1/path?src=ams1&dst=fra1",
             "/api/v1/path?src=fra1&dst=ams1", "/api/v1/matrix?class=demo")
    mesh.wait_full(40)
    before = {p: mesh.api(p) for p in paths}
    mesh.pg.stop()
    try:
        meshlib.wait_until("it is noticed", lambda: mesh.api("/api/v1/matrix")["database"]["ok"] is False, 10)
        for p in paths:
            now = mesh.api(p)
            for key in ("nodes", "cells", "results"):
                if key in before[p]:
                    assert len(now[key]) == len(before[p][key]), (p, key)
    finally:
        mesh.pg.start()
    meshlib.wait_until("it is back", lambda: mesh.api("/api/v1/matrix")["database"]["ok"] is True, 30)
    mesh.wait_full(40)


def test_browsers_share_one_query(mesh):
    """A document is asked of PostgreSQL at most twice a second."""
    def calls():
        return mesh.sql("SELECT calls FROM pg_stat_user_functions WHERE funcname = 'api_matrix'")
    mesh.sql("ALTER SYSTEM SET track_functions = 'all'")
    mesh.sql("SELECT pg_reload_conf()")
    time.sleep(1.5)
    mesh.api("/api/v1/matrix")
    start = meshlib.wait_until("counted", calls, 20)[0][0]
    t0 = time.monotonic()
    asked = 0
    took = 0
    while took < 3 or asked <= 2 * took + 4:  # clearly more often than that
        mesh.api("/api/v1/matrix")
        mesh.api("/api/v1/nodes")
        asked += 1
        took = time.monotonic() - t0
        assert took < 60, asked
    time.sleep(12)  # PostgreSQL reports an idle backend's counters after 10 s
    mesh.api("/api/v1/matrix")
    time.sleep(1.5)
    made = calls()[0][0] - start
    assert made <= 2 * took + 4, (asked, made, took)


def test_sighup_says_that_nothing_is_reloaded(mesh):
    mesh.controller.send(signal.SIGHUP)
    mesh.controller.wait_log("nothing can be reloaded")
    assert mesh.controller.alive()


def test_a_second_controller_on_the_same_ports_is_refused(mesh):
    done = meshlib.run(*mesh.controller.argv, timeout=20)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1 and "in use" in done.stderr, done.stderr
    assert mesh.twmesh("nodes").returncode == 0, "the first one's socket is still there"
