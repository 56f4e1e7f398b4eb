# SPDX-License-Identifier: BSD-2-Clause
"""The main job on a healthy mesh: join, measure, store, show."""

import json
import os
import re
import stat

import meshlib

MESH_NODES = ("ams1", "fra1", "nyc1")


def test_every_planned_pair_has_a_row_and_is_ok(mesh):
    # the first interval is cut short by the start: wait for whole ones
    meshlib.wait_until("whole intervals", lambda: all(
        (c["sent"] or 0) >= 50 for c in mesh.cells().values()), 15)
    cells = mesh.cells()
    assert set(cells) == {(a, b) for a in MESH_NODES for b in MESH_NODES if a != b}
    for pair, c in cells.items():
        assert c["state"] == "ok", (pair, c)
        assert c["sent"] >= 50 and c["lost"] == 0, (pair, c)
        assert 0 < c["rtt_ms"] < 100 and c["rtt_p99_ms"] >= c["rtt_ms"] * 0.5, (pair, c)
        assert c["age_s"] < 15


def test_results_are_aligned_whole_and_once(mesh):
    meshlib.wait_until("three whole intervals of every pair", lambda: mesh.sql(
        "SELECT min(n) FROM (SELECT count(*) n FROM twmesh.path_result GROUP BY src, dst) x")[0][0] >= 4, 30)
    rows = mesh.sql("SELECT src, dst, extract(epoch FROM ts)::float8, scheduled, sent, received, "
                    "lost, lost_fwd, lost_bwd, lost_undet, late, duplicates FROM twmesh.path_result")
    seen = set()
    for src, dst, ts, scheduled, sent, received, lost, fwd, bwd, undet, late, dup in rows:
        assert (src, dst, ts) not in seen
        seen.add((src, dst, ts))
        assert abs(ts / 2 - round(ts / 2)) < 1e-3, "aligned to 2 s"
        assert scheduled <= 101 and sent <= scheduled
        assert received + lost == sent
        assert lost == fwd + bwd + undet and min(fwd, bwd, undet) >= 0
        assert (late, dup) == (0, 0) or lost or dup == 0


def test_json_api_tells_the_same(mesh):
    m = mesh.api("/api/v1/matrix")
    assert [n["name"] for n in m["nodes"]] == sorted(MESH_NODES)
    assert m["class"] == "demo" and m["interval_s"] == 2
    cells = m["cells"]
    assert cells["n"] == 6 and all(len(v) == 6 for k, v in cells.items() if k != "n")
    assert set(cells["state"]) == {"ok"}
    assert m["summary"]["directions"] == m["summary"]["healthy"] == 6
    assert "6 of 6 directions healthy" in m["summary"]["sentence"]
    nodes = mesh.api("/api/v1/nodes")
    assert {n["name"]: n["state"] for n in nodes["nodes"]} == {n: "ok" for n in MESH_NODES}
    assert [n["addresses"] for n in nodes["nodes"]] == [[mesh[n["name"]].addr] for n in nodes["nodes"]]
    p = mesh.api("/api/v1/path?src=ams1&dst=fra1&class=demo")
    assert p["forward"]["state"] == "ok" and len(p["results"]) >= 1
    assert mesh.api("/healthz")["ok"] is True


def test_unknown_things_are_refused_in_json(mesh):
    for path, status in (("/api/v1/path?src=ams1&dst=nowhere", 404), ("/api/v1/nothing", 404),
                         ("/api/v1/matrix?class=nothing", 404), ("/api/v1/path?src=ams1", 400),
                         ("/api/v1/matrix?class=%00%ff", 400)):
        error = mesh.api(path, status)["error"]
        assert error["status"] == status and error["message"]


def test_http_listener_is_read_only(mesh):
    """Administration goes by the admin socket only."""
    import urllib.error
    import urllib.request
    for path in ("/api/v1/nodes/remove", "/api/v1/nodes/approve"):
        req = urllib.request.Request(mesh.url + path, data=b'{"name":"ams1"}', method="POST")
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(req, timeout=10)
            raise AssertionError("was obeyed")
        except urllib.error.HTTPError as e:
            assert e.code in (403, 404, 405)
    assert len(mesh.api("/api/v1/nodes")["nodes"]) == 3


def test_page_is_served(mesh):
    import urllib.request
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(mesh.url + "/", timeout=10) as r:
        assert r.headers["Content-Type"].startswith("text/html")
        text = r.read().decode()
    assert "<canvas" in text or "<script" in text
    assert not re.search(r"""(src|href)=["']https?://""", text), "works offline"


def test_commands_show_the_matrix(mesh):
    done = mesh.twmesh("matrix")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name in MESH_NODES:
        assert any(line.strip().startswith(name) for line in lines), done.stdout
    for metric in ("rtt_ms", "loss_pct", "delay_ms", "jitter_ms", "state"):
        done = mesh.twmesh("matrix", "--metric", metric)
        assert done.returncode == 0, done.stderr
    assert "\033" not in done.stdout
    done = mesh.twmesh("matrix", "--json")
    assert json.loads(done.stdout)["cells"]["n"] == 6
    done = mesh.twmesh("matrix", "--metric", "nonsense")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "nonsense" in done.stderr


def test_commands_show_nodes_and_a_path(mesh):
    done = mesh.twmesh("nodes")
    assert done.returncode == 0 and all(n in done.stdout for n in MESH_NODES), done.stdout + done.stderr
    done = mesh.twmesh("path", "ams1", "fra1")
    assert done.returncode == 0 and "ams1" in done.stdout, done.stdout + done.stderr
    done = mesh.twmesh("path", "ams1", "nowhere")
    assert done.returncode in (1, 2) and "nowhere" in done.stderr
    done = meshlib.run(meshlib.prog("twmesh"), "--controller", mesh.url, "matrix")
    assert done.returncode == 0, done.stderr


def test_the_size_of_the_database_is_told(mesh):
    doc = json.loads(mesh.twmesh("db", "size", "--json").stdout)
    levels = {x["level"]: x for x in doc["levels"]}
    assert list(levels) == ["result", "result_detail", "rollup_5min", "rollup_1h"]
    n = len(mesh.nodes)
    # the demo class has a result every 2 s
    assert levels["result"]["planned_rows_per_day"] == n * (n - 1) * 43200
    assert levels["result"]["keep_days"] == 7 and levels["result"]["heap_bytes"] > 0
    assert doc["projected_bytes"] == sum(x["projected_bytes"] for x in levels.values())
    done = mesh.twmesh("db", "size", "--keep-raw", "14")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[-3] == "14"
    assert "found '0'" in mesh.api("/api/v1/db/size?keep_1h=0", 400)["error"]["message"]


def test_keys_and_sockets_have_the_right_modes(mesh):
    def mode(path):
        return stat.S_IMODE(os.stat(path).st_mode)
    assert mode(os.path.join(mesh.dir, "controller", "controller.key")) == 0o600
    for name in MESH_NODES:
        assert mode(mesh[name].path("node.key")) == 0o600
    assert mode(mesh.socket) == 0o660


def test_a_newcomer_joins_without_a_restart(mesh):
    mesh.add("sin1")
    try:
        mesh.wait_full(30)
        assert len(mesh.cells()) == 12
    finally:
        done = mesh.twmesh("node", "remove", "sin1")
        assert done.returncode == 0, done.stderr
        mesh["sin1"].stop()
        del mesh.nodes["sin1"]
    meshlib.wait_until("its rows are gone", lambda: len(mesh.cells()) == 6, 15)


def test_reflectors_know_their_members(mesh):
    """meshd tells its reflector who may claim reserved session slots."""
    import test_reflector
    text = meshlib.wait_until(
        "sessions of both peers", lambda: (
            lambda t: t if len(t.splitlines()) >= 2 else None)(
                test_reflector.ask(mesh["ams1"].reflector_sock, "sessions")), 10)
    assert text
