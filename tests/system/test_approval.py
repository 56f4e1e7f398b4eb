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


def test_replace_silences_the_node_that_had_the_name(mesh):
    """The old one still runs: two hosts, one name."""
    old = mesh.nodes.pop("fra1")
    old.meshd.wait_log("hello sent -> welcomed")
    new = meshlib.Node(mesh, "fra2", 77, called="fra1")
    mesh.nodes["fra1"] = new.start()
    q = "SELECT encode(spool_id, 'hex') FROM twmesh_private.spool WHERE ended_at IS NULL AND node_id = " \
        "(SELECT node_id FROM twmesh.node WHERE name = 'fra1')"
    try:
        fp, done = approve(mesh, "fra1", "--replace")
        assert done.returncode == 0, done.stderr
        old.meshd.wait_log("refused by the controller: another key was approved for this node", 5)
        new.meshd.wait_log("hello sent -> welcomed")
        meshlib.wait_until("the old one no longer measures", lambda: old.status()["sessions"] == "0", 5)
        mesh.wait_full(40)
        assert len(mesh.sql(q)) == 1, "the newcomer's spool"
        ledger = "SELECT count(*) FROM twmesh_private.ledger WHERE encode(spool_id, 'hex') <> ALL (%s)"
        spools = [[r[0] for r in mesh.sql("SELECT encode(spool_id, 'hex') FROM twmesh_private.spool "
                                         "WHERE ended_at IS NULL")]]
        before = mesh.sql(ledger, spools)
        time.sleep(5)
        assert mesh.sql(ledger, spools) == before, "nothing of the old one is stored"
        assert {n["name"]: n["fingerprint"] for n in mesh.api("/api/v1/nodes")["nodes"]}["fra1"] == fp
    finally:
        old.stop()


def test_removed_node_is_silent_at_once(mesh):
    """Not by closing its connection, which libzmq cannot: by its key, for
    every message."""
    fra, ams = mesh["fra1"], mesh["ams1"]
    done = mesh.twmesh("node", "remove", "fra1")
    assert done.returncode == 0, done.stderr
    fra.meshd.wait_log("refused by the controller: removed by the operator", 3)
    mesh.controller.wait_log(r"roster epoch \d+: 1 nodes, 1 classes, 1 may connect", 3)
    time.sleep(1)
    q = "SELECT count(*) FROM twmesh.path_result WHERE src = 'fra1'"
    before = mesh.sql(q)
    assert mesh.cells() == {}
    time.sleep(7)  # three intervals
    assert mesh.sql(q) == before
    assert [n["name"] for n in mesh.api("/api/v1/nodes")["nodes"]] == ["ams1"]
    done = mesh.twmesh("node", "remove", "fra1")
    assert done.returncode == 1 and "fra1" in done.stderr
    # neither side probes the other any more
    assert fra.meshd.alive() and "removed by the operator" in fra.status()["controller.c1"]
    for node in (fra, ams):
        before = node.status()
        assert before["sessions"] == "0"
        time.sleep(1)
        assert node.status()["packets_sent"] == before["packets_sent"]
    # nor does it measure on from its cache after a restart
    fra.meshd.stop()
    fra.meshd.start()
    fra.meshd.wait_log("waiting for approval")
    time.sleep(1)
    assert fra.status()["sessions"] == fra.status()["packets_sent"] == "0"


def test_fingerprints_are_shown_alike_on_both_sides(mesh):
    m = re.search(r"([A-Z2-7]{4}-){3}[A-Z2-7]{4}", mesh["ams1"].meshd.text(all_runs=True))
    assert m and m.group(0) == mesh["ams1"].fingerprint()


@pytest.fixture(scope="module")
def trusting():
    """A controller that admits whoever comes from loopback: here the second
    of a name is refused by Hello, not by approval."""
    with meshlib.Mesh(("ams1",)) as m:
        m["ams1"].meshd.wait_log("hello sent -> welcomed")
        yield m


def test_of_two_nodes_with_one_name_the_second_is_refused_on_both_sides(trusting):
    m = trusting
    first = m["ams1"].fingerprint()
    second = m.add("ams2", called="ams1")
    reason = rf"the name 'ams1' belongs to another key \({first}\): choose another name, or 'twmesh node approve --replace'"
    second.meshd.wait_log("refused by the controller: " + reason)
    m.controller.wait_log("node 'ams1' refused: " + reason)
    assert re.match("refused: " + reason, second.status()["controller.c1"])
    assert {n["name"]: (n["state"], n["fingerprint"]) for n in m.api("/api/v1/nodes")["nodes"]} == {
        "ams1": ("ok", first)}
    time.sleep(3)
    assert second.meshd.alive() and second.status()["sessions"] == "0"
    assert m["ams1"].status()["controller.c1"] == "welcomed, active", "the first is not disturbed"


def test_a_node_that_calls_itself_otherwise_is_refused_on_both_sides(trusting):
    """Its configuration was changed: the key stays who it was."""
    m = trusting
    with open(m["ams1"].path("meshd.conf"), encoding="ascii") as f:
        text = f.read()
    m["ams1"].meshd.stop()
    try:
        with open(m["ams1"].path("meshd.conf"), "w", encoding="ascii") as f:
            f.write(text.replace('name = "ams1"', 'name = "lon1"'))
        m["ams1"].meshd.start()
        reason = "this key was approved as 'ams1', but the node calls itself 'lon1'"
        m["ams1"].meshd.wait_log("refused by the controller: " + reason)
        m.controller.wait_log("node 'lon1' refused: " + reason)
        m["ams1"].meshd.stop()
    finally:
        with open(m["ams1"].path("meshd.conf"), "w", encoding="ascii") as f:
            f.write(text)
    m["ams1"].meshd.start()
    m["ams1"].meshd.wait_log("hello sent -> welcomed")
