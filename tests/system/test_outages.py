# SPDX-License-Identifier: BSD-2-Clause
"""Loss runs from the packet to the API: open at once, crit after three
seconds, closed with their packets, and the cell's way back."""

import re
import time

import meshlib
import pytest

MESH_NODES = ("ams1", "fra1", "nyc1")


def outages(mesh, **args):
    query = "&".join(f"{k}={v}" for k, v in args.items())
    return mesh.api("/api/v1/outages" + ("?" + query if query else ""))["outages"]


def to_nyc(mesh):
    return [o for o in outages(mesh, dst="nyc1") if o["state"] in ("open", "confirmed")]


def test_an_outage_from_its_first_packet_to_its_end(mesh):
    mesh.wait_healthy()
    assert outages(mesh, dst="nyc1") == []
    mesh["nyc1"].reflector.kill()
    t0 = time.monotonic()
    # at a loss timeout of 1 s, 100 ms of gathering and 500 ms of caching
    runs = meshlib.wait_until("both sources tell of a run", lambda: (
        lambda r: r if {o["src"] for o in r} == {"ams1", "fra1"} else None)(to_nyc(mesh)), 8)
    seen_s = time.monotonic() - t0
    crit = meshlib.wait_until("no reply since", lambda: (
        lambda c: c if c["state"] == "crit" and "no reply since" in c["state_why"] else None)(
            mesh.cells()[("ams1", "nyc1")]), 8)
    crit_s = time.monotonic() - t0
    run = next(o for o in runs if o["src"] == "ams1")
    assert re.search(r"\(loss run " + run["run"] + r"\)", crit["state_why"])
    assert run["lost"] >= 3 and run["upper_ms"] is None and run["resolution_ms"] == 20
    assert mesh.api("/api/v1/evidence?run=" + run["run"])["packets"] == []
    time.sleep(1)
    mesh["nyc1"].reflector.start()
    meshlib.wait_until("both runs are closed", lambda: {
        o["state"] for o in outages(mesh, dst="nyc1")} == {"closed"}, 30)
    closed = next(o for o in outages(mesh, src="ams1", dst="nyc1") if o["run"] == run["run"])
    print(f"told after {seen_s:.1f} s, crit after {crit_s:.1f} s, lasted "
          f"{closed['lower_ms']:.0f} to {closed['upper_ms']:.0f} ms")
    assert 3000 < closed["lower_ms"] < closed["upper_ms"] < 40000
    assert closed["lost"] == closed["lost_fwd"] + closed["lost_bwd"] + closed["lost_undet"]
    # every packet between the two edges is lost: not one more or less
    packets = mesh.api("/api/v1/evidence?run=" + closed["run"])["packets"]
    assert 20 <= len(packets) <= 200 and closed["packets"] == len(packets)
    assert [p["position"] for p in packets] == list(range(1, len(packets) + 1))
    for p in (packets[0], packets[-1]):
        assert p["fate"] == "received" and p["t1"] < p["t2"] < p["t4"]
    lost = [p for p in packets if p["fate"] != "received"]
    assert lost[0]["seq"] == closed["first_seq"] and lost[-1]["seq"] == closed["last_seq"]
    assert lost[0]["t4"] is None and lost[-1]["t4"] is None
    # two good intervals later it is over
    meshlib.wait_until("the cells are ok", lambda: all(
        mesh.cells()[(s, "nyc1")]["state"] == "ok" for s in ("ams1", "fra1")), 20)
    assert mesh.sql("SELECT count(*) FROM twmesh_private.loss_run_open")[0][0] == 0
    # the loss of each interval is what the run says: all of it is accounted for
    assert mesh.sql("SELECT sum(lost) FROM twmesh.path_result WHERE src = 'ams1' AND dst = 'nyc1' "
                    "AND ts > now() - interval '2 min'")[0][0] >= closed["lost"]


def test_filters(mesh):
    assert {o["src"] for o in outages(mesh)} == {"ams1", "fra1"}
    assert {o["src"] for o in outages(mesh, src="fra1")} == {"fra1"}
    assert outages(mesh, src="nyc1") == []
    assert outages(mesh, longer_than_ms=3600000) == []
    assert len(outages(mesh, longer_than_ms=2000, since=3600)) >= 2
    assert outages(mesh, since="2100-01-01T00:00:00Z") == []
    assert len(outages(mesh, since="2020-01-01T00:00:00Z")) >= 2
    one = mesh.api("/api/v1/outages?limit=1")
    assert len(one["outages"]) == 1 and one["more"] is True and one["limit"] == 1


@pytest.mark.parametrize("path,status,words", [
    ("outages?since=yesterday", 400, "since: expected whole seconds"),
    ("outages?since=2026-13-40T00:00:00Z", 400, "since: expected whole seconds"),
    ("outages?since=2026-02-30T00:00:00Z", 400, "since: expected whole seconds"),
    ("outages?since=0000-01-01T00:00:00Z", 400, "since: expected whole seconds"),
    ("outages?since=2026-11-27T10:02:60Z", 400, "since: expected whole seconds"),
    ("outages?longer_than_ms=-1", 400, "longer_than_ms: expected a whole number"),
    ("outages?limit=1001", 400, "limit: expected a whole number, 1 to 1000, found '1001'"),
    ("outages?src=no%20name", 400, "src: expected"),
    ("outages?what=1", 400, "unknown parameter 'what'"),
    ("outages?src=nobody", 404, "no such node or class"),
    ("outages?class=nothing", 404, "no such node or class"),
    ("evidence", 400, "run: expected 16 hexadecimal digits"),
    ("evidence?run=123", 400, "run: expected 16 hexadecimal digits, found '123'"),
    ("evidence?run=012345678901234g", 400, "run: expected 16 hexadecimal digits"),
    ("evidence?run=0000000000000000", 404, "no such loss run"),
])
def test_bad_questions_get_a_clear_answer(mesh, path, status, words):
    assert words in mesh.api("/api/v1/" + path, status)["error"]["message"]
    assert mesh.api("/healthz")["database"]  # a question does no harm to others


def test_the_path_has_the_new_metrics(mesh):
    last = mesh.api("/api/v1/path?src=ams1&dst=fra1&since_s=60")["results"][-1]
    assert last["reordered"] == 0 and last["loss_runs_long"] == 0
    assert last["fwd_p50"] is not None and last["stamps"] > 0


pytestmark = pytest.mark.usefixtures("mesh")
