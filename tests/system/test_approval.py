# SPDX-License-Identifier: BSD-2-Clause
"""Who may join: approval without a restart, removal at once, names, keys."""

import os
import re
import shutil
import time

import meshlib
import pytest


@pytest.fixture(scope="module")
def mesh():
    with meshlib.Mesh((), trust="never") as m:
        yield m


def pending(mesh):
    return {p["fingerprint"]: p for p in mesh.api("/api/v1/nodes")["pending"]}


def approve(mesh, name, *more):
    fp = mesh[name].fingerprint()
    meshlib.wait_until(f"{name} is pending", lambda: fp in pending(mesh), 20)
    return fp, mesh.twmesh("node", "approve", fp, name, *more)


def test_a_new_controller_takes_orders_before_it_was_asked_anything(mesh):
    """Nobody has looked at the page yet: an order needs the writer only."""
    def refused():
        done = mesh.twmesh("node", "approve", "AAAA-AAAA-AAAA-AAAA", "ams1")
        assert done.returncode == 1
        return "asked to join" in done.stderr
    meshlib.wait_until("the order is judged, not sent away", refused, 10, 0.5)


def test_unknown_key_is_pending_and_sees_nothing(mesh):
    mesh.add("ams1")
    fp = mesh["ams1"].fingerprint()
    entry = meshlib.wait_until("it knocks", lambda: pending(mesh).get(fp), 20)
    assert entry["address"].startswith("127.") and entry["attempts"] >= 1
    done = mesh.twmesh("nodes")
    assert done.returncode == 0 and fp in done.stdout, done.stdout + done.stderr
    time.sleep(2)
    assert mesh.api("/api/v1/nodes")["nodes"] == [] and mesh.cells() == {}
    assert not os.path.exists(mesh["ams1"].path("roster.cache"))


def test_approval_admits_without_a_restart(mesh):
    mesh.add("fra1")
    for name in ("ams1", "fra1"):
        pid = mesh[name].meshd.pid
        fp, done = approve(mesh, name)
        assert done.returncode == 0, done.stderr
        meshlib.wait_until(f"{name} is in", lambda n=name: n in {
            x["name"]: x for x in mesh.api("/api/v1/nodes")["nodes"]}, 15)
        assert mesh[name].meshd.pid == pid and mesh[name].meshd.alive()
        meshlib.wait_until("no longer pending", lambda f=fp: f not in pending(mesh), 15)
    mesh.wait_full(30)


def test_wrong_approvals_are_refused_in_one_line(mesh):
    for args in (("AAAA-AAAA-AAAA-AAAA", "xyz1"), ("nonsense", "xyz1"),
                 (mesh["ams1"].fingerprint(), "Bad_Name"), ("AAAA-AAAA-AAAA-AAAA", "ams1")):
        done = mesh.twmesh("node", "approve", *args)
        assert done.returncode in (1, 2), args
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_second_node_of_a_name_is_refused_and_replace_takes_over(mesh):
    """A re-imaged node: new key, same name."""
    old = mesh["fra1"]
    old.stop()
    shutil.rmtree(old.dir)
    del mesh.nodes["fra1"]
    new = mesh.add("fra1", addr=old.addr)
    fp, done = approve(mesh, "fra1")
    assert done.returncode == 1 and "fra1" in done.stderr, done.stderr
    done = mesh.twmesh("node", "approve", fp, "fra1", "--replace")
    assert done.returncode == 0, done.stderr
    meshlib.wait_until("the newcomer's key is the node's", lambda: any(
        n["name"] == "fra1" and n["fingerprint"] == new.fingerprint()
        for n in mesh.api("/api/v1/nodes")["nodes"]), 15)
    mesh.wait_full(40)


def test_removed_node_is_silent_at_once(mesh):
    """Not by closing its connection, which libzmq cannot: by its key, for
    every message."""
    done = mesh.twmesh("node", "remove", "fra1")
    assert done.returncode == 0, done.stderr
    time.sleep(1)
    q = "SELECT count(*) FROM twmesh.path_result WHERE src = 'fra1'"
    before = mesh.sql(q)
    assert mesh.cells() == {}
    time.sleep(7)  # three intervals
    assert mesh.sql(q) == before
    assert [n["name"] for n in mesh.api("/api/v1/nodes")["nodes"]] == ["ams1"]
    done = mesh.twmesh("node", "remove", "fra1")
    assert done.returncode == 1 and "fra1" in done.stderr
    # and the others no longer probe it
    assert mesh["fra1"].meshd.alive()


def test_fingerprints_are_shown_alike_on_both_sides(mesh):
    m = re.search(r"([A-Z2-7]{4}-){3}[A-Z2-7]{4}", mesh["ams1"].meshd.text(all_runs=True))
    assert m and m.group(0) == mesh["ams1"].fingerprint()
