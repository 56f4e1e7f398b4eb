# SPDX-License-Identifier: BSD-2-Clause
"""Wrong clocks: put aside what cannot be dated, store the rest, and never let
a clock decide who looks alive."""

import time

import meshlib
import truthlib

MESH_NODES = ("ams1", "fra1", "nyc1")
# An interval is open for its 2 s, the loss timeout (1 s) and 0.5 s more: what a
# step meets open is dated by the clock after it. And some slack.
OPEN_S = 4


def test_node_at_1970_is_put_aside_and_others_are_stored(mesh):
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


class Turned:
    """A node whose clock can be set while it runs, with its results since."""

    def __init__(self, mesh, name, tmp_path):
        self.mesh, self.name, self.file = mesh, name, str(tmp_path / "offset")
        self.set(0)
        mesh.add(name, meshd_env={"TWMESH_TEST_CLOCK_FILE": self.file})

    def set(self, offset_s):
        """Within a second; returns when it has happened for sure."""
        truthlib.set_clock(self.file, offset_s)
        time.sleep(1.2)
        return time.time()

    def rows(self, since):
        """When its results began, as they say: those since then (seconds), and
        any that lie half an hour before."""
        return [r[0] for r in self.mesh.sql(
            "SELECT DISTINCT extract(epoch FROM ts)::float8 FROM twmesh.path_result WHERE src = %s "
            "AND (ts > to_timestamp(%s) OR ts < to_timestamp(%s)) ORDER BY 1",
            (self.name, since, since - 1800))]

    def aside(self):
        return [r[0] for r in self.mesh.sql(
            "SELECT reason FROM twmesh_private.put_aside JOIN twmesh.node USING (node_id) "
            "WHERE name = %s", (self.name,))]

    def shipped(self):
        return meshlib.wait_until("its spool is empty", lambda: int(
            self.mesh[self.name].status()["spool_batches"]) == 0, 40)

    def measures(self):
        now = time.time()
        meshlib.wait_until(self.name + " is measuring", lambda: any(
            ts > now for ts in self.rows(now - 60)), 40)

    def remove(self):
        self.mesh.twmesh("node", "remove", self.name)
        self.mesh[self.name].stop()
        del self.mesh.nodes[self.name]


def check_dates(rows, since):
    assert rows and all(since <= ts <= time.time() for ts in rows), (rows, since)


def test_results_of_a_wrong_clock_that_was_put_right_before_delivery(mesh, tmp_path):
    """Measured by a clock an hour ahead, sent by a right one: put aside. What
    was measured before and after is stored, rightly dated."""
    node = Turned(mesh, "osl1", tmp_path)
    try:
        node.measures()
        since = time.time()
        mesh.controller.kill()
        time.sleep(5)
        turned = time.time()
        wrong = node.set(3600)
        time.sleep(8)
        righted = time.time()
        right = node.set(0)
        time.sleep(5)
        mesh.start_controller()
        node.shipped()
        meshlib.wait_until("newer results come", lambda: any(
            ts > right + 6 for ts in node.rows(since)), 30)
        rows = node.rows(since)
        check_dates(rows, since)
        # of the time before, and of that after
        assert [ts for ts in rows if since <= ts < turned - 2], rows
        assert [ts for ts in rows if right < ts < right + 5], rows
        # nothing of the hour ahead, but what had not closed when it ended
        assert not [ts for ts in rows if wrong < ts < righted - OPEN_S], rows
        why = node.aside()
        assert why and all("was 3600.0 s off when this was measured (now " in w and
                           " s off, moved -3600.0 s since)" in w for w in why), why
    finally:
        node.remove()


def test_right_results_are_stored_although_the_clock_is_wrong_at_delivery(mesh, tmp_path):
    node = Turned(mesh, "osl2", tmp_path)
    try:
        node.measures()
        since = time.time()
        mesh.controller.kill()
        time.sleep(9)
        turned = time.time()
        node.set(-3600)
        time.sleep(4)
        mesh.start_controller()
        node.shipped()
        meshlib.wait_until("wrong ones are put aside", node.aside, 30)
        rows = node.rows(since)
        check_dates(rows, since)
        starts = [ts for ts in rows if since <= ts < turned - 2]
        assert starts and max(b - a for a, b in zip(starts, starts[1:])) == 2, rows
        assert starts[-1] > turned - OPEN_S - 2 and starts[0] < since + 3, rows
        assert all("s off" in w and "3600.0 s off" in w and "moved" not in w for w in node.aside())
        # Put right again it is trusted again at once.
        right = node.set(0)
        meshlib.wait_until("newer results come", lambda: any(
            ts > right for ts in node.rows(since)), 30)
        check_dates(node.rows(since), since)
    finally:
        node.remove()
