# SPDX-License-Identifier: BSD-2-Clause
"""Wrong clocks: put aside what cannot be dated, store the rest, and never let
a clock decide who looks alive."""

import meshlib

MESH_NODES = ("ams1", "fra1", "nyc1")


def test_node_at_1970_is_put_aside_and_others_are_stored(mesh):
    import time
    old = -int(time.time()) + 3600  # 1970-01-01 01:00
    mesh.add("sin1", meshd_env={"TWMESH_TEST_CLOCK_OFFSET": str(old)})
    try:
        meshlib.wait_until("its batches are put aside", lambda: mesh.sql(
            "SELECT count(*) FROM twmesh_private.put_aside")[0][0] > 0, 40)
        # The others measure it, and each other, as ever.
        meshlib.wait_until("all others are ok", lambda: all(
            c["state"] == "ok" for (s, _), c in mesh.cells().items() if s != "sin1"), 30)
        assert mesh.sql("SELECT count(*) FROM twmesh.path_result WHERE src = 'sin1'")[0][0] == 0
        assert mesh.sql("SELECT count(*) FROM twmesh.path_result WHERE ts < '2001-01-01'")[0][0] == 0
        offset = meshlib.wait_until("its offset is known", lambda: [
            n["clock_offset_ms"] for n in mesh.api("/api/v1/nodes")["nodes"]
            if n["name"] == "sin1" and n["clock_offset_ms"] is not None], 15)[0]
        assert abs(offset - old * 1000) < 5000
    finally:
        mesh.twmesh("node", "remove", "sin1")
        mesh["sin1"].stop()
        del mesh.nodes["sin1"]


def test_node_an_hour_ahead_does_not_stay_green(mesh):
    """Staleness goes by the controller's receive time."""
    mesh.add("tok1", meshd_env={"TWMESH_TEST_CLOCK_OFFSET": "3600"})
    try:
        meshlib.wait_until("it is in touch", lambda: any(
            n["name"] == "tok1" and n["state"] == "ok" for n in mesh.api("/api/v1/nodes")["nodes"]), 20)
        mesh["tok1"].meshd.kill()
        meshlib.wait_until("it is stale", lambda: any(
            n["name"] == "tok1" and n["state"] == "stale" for n in mesh.api("/api/v1/nodes")["nodes"]), 10)
    finally:
        mesh.twmesh("node", "remove", "tok1")
        mesh["tok1"].stop()
        del mesh.nodes["tok1"]


def test_small_offset_is_stored_with_round_trips_right(mesh):
    """5 s off: one-way delays hold the offset, round trips do not."""
    mesh.add("syd1", meshd_env={"TWMESH_TEST_CLOCK_OFFSET": "5"})
    try:
        cell = meshlib.wait_until("a measured cell", lambda: [
            c for (s, d), c in mesh.cells().items() if s == "syd1" and c["measured_at"]
            and c["state"] == "ok"], 40)[0]
        assert 0 < cell["rtt_ms"] < 100
        assert cell["delay_ms"] < -4000, "T2 by the peer's clock less T1 by ours"
    finally:
        mesh.twmesh("node", "remove", "syd1")
        mesh["syd1"].stop()
        del mesh.nodes["syd1"]
