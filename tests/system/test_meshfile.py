# SPDX-License-Identifier: BSD-2-Clause
"""The mesh file: planned, applied, followed by the nodes; targets; maintenance."""

import json
import os
import re
import socket
import contextlib
import time

import meshlib
import pytest
from pagelib import Page
from selenium.webdriver.common.by import By

JOINED = ("ams1", "ams2", "fra1", "lon1")

CLASS_DEMO = """class demo {
    rate = 50
    interval = 2s
    loss_timeout = 1s
    ship_spread = 0s
}
"""
SLOW = "class slow { rate = %s interval = 2s loss_timeout = 1s ship_spread = 0s crit_rtt = floor + 30ms }\n"
FIRST = """site ams { latitude = 52.37 longitude = 4.9 group = west }
node ams1 { site = ams }
node ams2 { site = ams }
node nyc9 { group = west }
node fra1 {}
target rtr1 { address = %s port = 8862 site = ams }
""" + CLASS_DEMO + SLOW % 5 + """mesh west { members = {group:west} classes = {demo} }
mesh spokes { type = hub members = {fra1, ams1, ams2} hubs = {ams1} classes = {slow} }
"""


class World(meshlib.Mesh):
    """A mesh with a reflector of somebody else's."""

    def __init__(self):
        super().__init__()
        self.rtr = self.block.addr(200)
        self.file = os.path.join(self.dir, "mesh.conf")
        d = meshlib.Daemon("rtr1", [meshlib.prog("twmesh-reflector"), "--address", self.rtr, "--port", "8862",
                                    "--stateless", "--socket", ""], os.path.join(self.dir, "rtr1.log"))
        self.daemons.append(d.start())
        for name in JOINED:
            self.add(name)

    def write(self, text):
        with open(self.file, "w", encoding="ascii") as f:
            f.write(text)
        return self.file

    def plan(self, text, *args):
        return self.twmesh("plan", *args, self.write(text))

    def apply(self, text, *args):
        return self.twmesh("apply", *args, self.write(text))

    def pairs(self, cls):
        return set(self.cells(f"class = '{cls}'"))


@pytest.fixture(scope="module")
def mesh():
    with World() as m:
        meshlib.wait_until("all are in and measured", lambda: len([
            c for c in m.cells().values() if c["state"] == "ok"]) == 12, 30 * meshlib.SLOW)
        yield m


@pytest.fixture
def planned(mesh):
    """FIRST, or what became of it, is in force (also when a test is run once more, alone)."""
    if mesh.api("/api/v1/plan")["base"] == 0:
        assert mesh.apply(FIRST % mesh.rtr).returncode == 0
    return mesh


def sessions(node, source):
    """{ssid: packets} of a source at a node's reflector."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        s.settimeout(10)
        s.connect(node.reflector_sock)
        s.sendall(b"sessions\n")
        s.shutdown(socket.SHUT_WR)
        lines = s.makefile().read().splitlines()
    rows = [ln.split() for ln in lines if ln.startswith(source + ":")]
    return {r[2]: int(r[3]) for r in rows}


def test_every_error_is_told_and_nothing_changed(mesh):
    bad = FIRST % "192.0.2.300" + "mesh x { members = {ams1, ams9} classes = {no} }\nnode ams1 {}\n"
    epoch = mesh.sql("SELECT max(epoch) FROM twmesh.epoch")
    for cmd in ("plan", "apply"):
        done = mesh.twmesh(cmd, mesh.write(bad))
        assert done.returncode == 2 and done.stdout == "", done
        lines = done.stderr.splitlines()
        assert len(lines) == 2 and all(ln.startswith(mesh.file + ":") for ln in lines), lines
        assert "found '192.0.2.300'" in lines[0] and "'ams1' a second time" in lines[1]
    for args in (("plan",), ("plan", "/nonexistent"), ("apply", mesh.dir), ("apply", "--base", "x", mesh.file),
                 ("plan", mesh.file, mesh.file)):
        done = mesh.twmesh(*args)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done
    assert mesh.sql("SELECT max(epoch) FROM twmesh.epoch") == epoch


def test_the_api_takes_no_bad_plan(mesh):
    """What the command would never send."""
    import http.client

    class Unix(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(mesh.socket)
    for body in ({}, {"base": 0, "content": "x"}, {"base": -1, "content": FIRST % mesh.rtr}, {"base": 0, "content": 1},
                 {"base": 0, "content": FIRST % mesh.rtr, "by": "a\nb"}, {"base": 0, "x": 1}):
        c = Unix("localhost")
        c.request("POST", "/api/v1/plan/apply", json.dumps(body))
        r = c.getresponse()
        assert r.status == 400 and json.loads(r.read())["error"]["message"], body
        c.close()
    assert mesh.sql("SELECT count(*) FROM twmesh.mesh_file") == [(0,)]


def test_plan_tells_the_difference_and_the_cost(mesh):
    done = mesh.plan(FIRST % mesh.rtr)
    assert done.returncode == 1 and done.stderr == "", done
    for line in ("+ site ams", "+ node nyc9: has not joined yet", "- node lon1: stays, in no mesh", "+ target rtr1",
                 "+ class slow: version 1", "+ mesh west: full, 4 members", "- mesh everyone"):
        assert line in done.stdout, (line, done.stdout)
    assert "class demo" not in done.stdout, "the same packets and reports"
    doc = json.loads(mesh.plan(FIRST % mesh.rtr, "--json").stdout)
    then = doc["cost"]["then"]["total"]
    # demo: 3 nodes to each other and to the target, at 1 packet/s there; slow: 2 spokes, both ways
    assert doc["base"] == 0 and then["sessions"] == 6 + 3 + 4
    assert then["packets_s"] == pytest.approx(6 * 50 + 3 + 4 * 5)
    assert then["bits_s"] == pytest.approx(then["packets_s"] * (128 + 66) * 8 * 2)
    assert then["rows_day"] == pytest.approx(13 * 43200)
    assert doc["cost"]["then"]["busiest"]["node"] == "ams1"
    assert doc["cost"]["now"]["total"]["sessions"] == 12
    assert mesh.sql("SELECT count(*) FROM twmesh.mesh_file") == [(0,)]


def test_nodes_follow_and_unchanged_sessions_go_on(mesh):
    before = sessions(mesh["ams2"], mesh["ams1"].addr)
    assert len(before) == 1
    t0 = time.monotonic()
    done = mesh.apply(FIRST % mesh.rtr)
    assert done.returncode == 0 and "applied: epoch" in done.stdout, done.stdout + done.stderr
    assert mesh.pairs("demo") == {("ams1", "ams2"), ("ams2", "ams1"), ("ams1", "nyc9"), ("ams2", "nyc9"),
                                  ("nyc9", "ams1"), ("nyc9", "ams2"), ("ams1", "rtr1"), ("ams2", "rtr1"), ("nyc9", "rtr1")}
    assert mesh.pairs("slow") == {("ams1", "fra1"), ("fra1", "ams1"), ("ams1", "ams2"), ("ams2", "ams1")}
    # ams1: demo to ams2 and rtr1, slow to ams2 and fra1; lon1: nobody
    want = {"ams1": "4", "ams2": "3", "fra1": "1", "lon1": "0"}
    meshlib.wait_until("the nodes follow", lambda: {
        n: mesh[n].status()["sessions"] for n in JOINED} == want, 15)
    assert time.monotonic() - t0 < 15
    meshlib.wait_until("what is new is measured", lambda: all(
        c["state"] == "ok" for p, c in mesh.cells("class = 'slow' OR dst = 'rtr1'").items() if "nyc9" not in p), 20)
    after = sessions(mesh["ams2"], mesh["ams1"].addr)
    (ssid, packets), = before.items()
    assert after[ssid] > packets, "the same session, counting on"
    flags = mesh.sql("SELECT ts, flags & 1, sent FROM twmesh.path_result WHERE src = 'ams1' AND dst = 'ams2' "
                     "AND class = 'demo' ORDER BY ts")
    assert not any(f for _, f, _ in flags[1:]), flags
    steps = {(b[0] - a[0]).total_seconds() for a, b in zip(flags, flags[1:])}
    assert steps == {2.0}, "an interval for an interval"


def test_names_and_targets_are_shown(planned):
    mesh = planned
    cells = mesh.cells("class = 'demo'")
    assert cells["nyc9", "ams1"]["state"] == "never" and "has not joined" in cells["nyc9", "ams1"]["state_why"]
    assert cells["ams1", "nyc9"]["state"] == "never"
    c = cells["ams1", "rtr1"]
    assert c["state"] == "ok" and 1 <= c["sent"] <= 3 and c["lost"] == 0 and c["rtt_ms"] < 100, c
    assert c["one_way_trusted"] is False
    nodes = {n["name"]: n for n in mesh.api("/api/v1/nodes")["nodes"]}
    assert nodes["rtr1"]["state"] == "target" and nodes["rtr1"]["kind"] == "target"
    assert nodes["nyc9"]["state"] == "never" and nodes["nyc9"]["meshes"] == ["west"]
    assert nodes["lon1"]["state"] == "ok" and nodes["lon1"]["state_why"] == "in no mesh"
    assert nodes["ams1"]["meshes"] == ["spokes", "west"] and nodes["nyc9"]["group"] == "west"
    assert mesh.sql("SELECT state FROM twmesh.path_matrix WHERE src = 'rtr1'") == []
    assert mesh.sql("SELECT level, metric, over, value FROM twmesh.class_threshold") == [
        ("crit", "rtt_ms", "floor plus", 30.0)]
    done = mesh.twmesh("nodes")
    assert done.returncode == 0 and "measured, does not measure" in done.stdout
    for args in (("matrix",), ("matrix", "--csv"), ("path", "ams1", "rtr1")):
        done = mesh.twmesh(*args)
        assert done.returncode == 0, done.stderr
    for name in ("rtr1", "nyc9"):
        done = mesh.twmesh("node", "remove", name)
        assert done.returncode == 1 and "mesh file" in done.stderr


def test_a_file_that_changes_nothing_makes_no_epoch(planned):
    mesh = planned
    epoch = mesh.sql("SELECT max(epoch) FROM twmesh.epoch")
    text = "# the same\n" + (FIRST % mesh.rtr).replace("group:west", "ams1, site:ams, nyc9")
    done = mesh.plan(text)
    assert done.returncode == 0 and "no change" in done.stdout, done.stdout
    done = mesh.apply(text)
    assert done.returncode == 0 and "nothing to do" in done.stdout
    # nor does one that the controller has to refuse: lon1 is a node
    done = mesh.apply((FIRST % mesh.rtr).replace("target rtr1", "target lon1").replace("group:west", "ams1, ams2, nyc9, lon1"))
    assert done.returncode == 1 and "found lon1: remove those nodes first" in done.stderr, done
    assert len(done.stderr.splitlines()) == 1
    assert mesh.sql("SELECT max(epoch) FROM twmesh.epoch") == epoch


def test_the_second_of_two_operators_is_refused(planned):
    mesh = planned
    base = json.loads(mesh.plan(FIRST % mesh.rtr, "--json").stdout)["base"]
    text = (FIRST % mesh.rtr).replace(SLOW % 5, SLOW % 4).replace("node fra1 {}", "node fra1 {}\nnode lon1 { group = west }")
    done = mesh.plan(text)
    assert done.returncode == 1
    assert "~ class slow: rate 5 -> 4; other packets: version 2" in done.stdout, done.stdout
    assert "+ node lon1" in done.stdout and "~ mesh west: with lon1" in done.stdout
    assert mesh.apply(text, "--base", str(base)).returncode == 0
    done = mesh.apply(FIRST % mesh.rtr, "--base", str(base))
    assert done.returncode == 1 and "run twmesh plan again" in done.stderr, done
    assert mesh.sql("SELECT version FROM twmesh.class WHERE name = 'slow' AND retired_at IS NULL") == [(2,)]
    # back again: the version that sent these packets is not the newest any more
    done = mesh.plan(FIRST % mesh.rtr)
    assert "other packets: version 3" in done.stdout, done.stdout
    meshlib.wait_until("lon1 measures", lambda: mesh.cells("src = 'lon1'")["lon1", "ams1"]["state"] == "ok", 15)


def test_a_node_takes_the_place_that_the_file_keeps(planned):
    mesh = planned
    node_id = mesh.sql("SELECT node_id FROM twmesh.node WHERE name = 'nyc9' AND removed_at IS NULL")
    mesh.add("nyc9")
    meshlib.wait_until("nyc9 is measured", lambda: all(
        mesh.cells("class = 'demo'")[p]["state"] == "ok" for p in (("nyc9", "ams1"), ("ams1", "nyc9"))), 20)
    assert mesh.sql("SELECT node_id FROM twmesh.node WHERE name = 'nyc9' AND removed_at IS NULL") == node_id
    # the name of a target is nobody's
    mesh["fra1"].stop()
    other = meshlib.Node(mesh, "rtr9", 99, called="rtr1")
    other.start()
    try:
        other.meshd.wait_log("the name 'rtr1' belongs to a target of the mesh file")
    finally:
        other.stop()
    mesh["fra1"].start()


def test_the_plan_outlives_controllers_and_two_agree(planned):
    mesh = planned
    plan = mesh.api("/api/v1/plan")
    classes = mesh.sql("SELECT class_id, interval_ms FROM twmesh.class WHERE retired_at IS NULL ORDER BY 1")
    second = meshlib.Controller(mesh, "c2", 253, extra='class "mine" { rate = 1 }\n')
    second.start()
    mesh.controller.stop()
    mesh.start_controller()
    for d in (mesh.controller, second.daemon):
        d.wait_log(r"the mesh file of epoch \d+ is in force: the classes of the configuration are ignored")
    mesh.wait_healthy()
    for doc in (mesh.api("/api/v1/plan"), second.api("/api/v1/plan")):
        assert doc["base"] == plan["base"] and doc["content"] == plan["content"]
        assert doc["classes"] == plan["classes"]
    assert mesh.sql("SELECT class_id, interval_ms FROM twmesh.class WHERE retired_at IS NULL ORDER BY 1") == classes
    done = second.twmesh("plan", mesh.file)
    assert done.returncode == 1 and "version 3" in done.stdout, done.stdout + done.stderr
    second.daemon.stop()


def test_maintenance_comes_first_and_ends_by_itself(planned):
    mesh = planned
    if "nyc9" not in mesh.nodes:
        mesh.add("nyc9")
    meshlib.wait_until("all is well", lambda: all(
        c["state"] == "ok" for p, c in mesh.cells("class = 'demo'").items() if p != ("nyc9", "rtr1")), 20)
    done = mesh.twmesh("node", "maintenance", "on", "rtr1", "--reason", "new 'cards'; DROP", "--until", "1h")
    assert done.returncode == 0 and "until" in done.stdout, done
    done = mesh.twmesh("node", "maintenance", "on", "ams2", "--until", "4s")
    assert done.returncode == 0
    cells = mesh.cells("class = 'demo'")
    for pair, c in cells.items():
        want = "maintenance" if {"rtr1", "ams2"} & set(pair) else "ok"
        assert c["state"] == want, (pair, c)
    assert "rtr1: maintenance until " in cells["ams1", "rtr1"]["state_why"]
    assert "new 'cards'; DROP" in cells["ams1", "rtr1"]["state_why"] and cells["ams1", "rtr1"]["state_since"]
    sentence = mesh.sql("SELECT twmesh.mesh_sentence('demo')")[0][0]
    assert "ams2 and rtr1 are in maintenance, " in sentence, sentence
    out = mesh.twmesh("nodes").stdout
    csv = mesh.twmesh("nodes", "--csv").stdout.splitlines()
    assert csv[0].endswith(",kind,maintenance,maintenance_until,maintenance_reason")
    assert any(ln.startswith("rtr1,") and ",target,on,2" in ln for ln in csv), csv
    assert "in maintenance until " in out and "new 'cards'; DROP" in out
    done = mesh.twmesh("node", "maintenance", "on", "rtr1")
    assert done.returncode == 0 and "until" not in done.stdout, "replaced"
    meshlib.wait_until("it ended", lambda: mesh.cells("class = 'demo'")["ams1", "ams2"]["state"] == "ok", 8)
    assert mesh.twmesh("node", "maintenance", "off", "rtr1").returncode == 0
    assert mesh.cells("class = 'demo'")["ams1", "rtr1"]["state"] == "ok"
    for args, rc in ((("off", "rtr1"), 1), (("on", "nowhere"), 1), (("on", "Bad"), 2), (("on",), 2), (("maybe", "rtr1"), 2),
                     (("on", "rtr1", "--until", "soon"), 2), (("on", "rtr1", "--until", "2020-01-01T00:00Z"), 1),
                     (("on", "rtr1", "--reason", "a\x1bb"), 2)):
        done = mesh.twmesh("node", "maintenance", *args)
        assert done.returncode == rc and len(done.stderr.splitlines()) == 1, (args, done)
    assert mesh.sql("SELECT count(*) FROM twmesh.maintenance") == [(3,)]


def test_a_target_that_goes_takes_its_cells_along(planned):
    mesh = planned
    text = FIRST.split("target")[0] + CLASS_DEMO + "mesh west { members = {group:west} classes = {demo} }\n"
    done = mesh.apply(text)
    assert done.returncode == 0, done.stderr
    assert "- target rtr1" in done.stdout and "- class slow" in done.stdout and "- mesh spokes" in done.stdout
    assert mesh.pairs("demo") == {(a, b) for a in ("ams1", "ams2", "nyc9") for b in ("ams1", "ams2", "nyc9") if a != b}
    meshlib.wait_until("the nodes follow", lambda: [mesh[n].status()["sessions"] for n in ("ams1", "fra1", "lon1")] ==
                       ["2", "0", "0"], 15)
    assert mesh.sql("SELECT count(*) FROM twmesh.node WHERE name = 'rtr1' AND removed_at IS NULL") == [(0,)]


LIMITS = """node ams1 {}
node ams2 {}
node fra1 {}
node lim1 {}
target rtr1 { address = %s port = 8862 }
class tight { rate = 50 interval = 2s loss_timeout = 1s ship_spread = 0s warn_rtt = 0.001ms }
class lossy { rate = 50 interval = 2s loss_timeout = 1s ship_spread = 0s
    warn_loss = 5%%
    crit_loss = 60%% }
class strict { rate = 50 interval = 2s loss_timeout = 1s ship_spread = 0s crit_loss = 20%% }
mesh spokes { type = hub members = {ams1, ams2, fra1, rtr1} hubs = {ams1} classes = {tight} }
mesh one { members = {ams1, lim1} classes = {lossy} }
mesh two { members = {ams2, lim1} classes = {strict} }
"""
SHOWN = {("ams1", "ams2"): "warn", ("ams2", "ams1"): "warn", ("ams1", "rtr1"): "warn",
         ("ams1", "fra1"): "maintenance", ("fra1", "ams1"): "maintenance"}


@pytest.fixture(scope="module")
def limited(mesh):
    """LIMITS is in force, lim1 answers 35 of 50 packets/s, fra1 is in maintenance."""
    node = meshlib.Node(mesh, "lim1", 77)
    with open(node.path("reflector.conf"), "a", encoding="ascii") as f:
        f.write("rate_limit_pps = 35\n")
    mesh.nodes["lim1"] = node.start()
    assert mesh.apply(LIMITS % mesh.rtr).returncode == 0
    mesh["fra1"].start()
    done = mesh.twmesh("node", "maintenance", "on", "fra1", "--until", "1h", "--reason", "new cards")
    assert done.returncode == 0, done.stderr
    meshlib.wait_until("two intervals", lambda: {
        p: c["state"] for p, c in mesh.cells("class = 'tight'").items()} == SHOWN, 20 * meshlib.SLOW)
    return mesh


def test_limits_of_a_file_make_warnings_and_criticals(limited):
    mesh = limited
    # 30 % of the packets to lim1 are lost: without limits of their own both were crit
    meshlib.wait_until("loss is judged", lambda: [mesh.cells("dst = 'lim1'")[s, "lim1"]["state"]
                                                  for s in ("ams1", "ams2")] == ["warn", "crit"], 15 * meshlib.SLOW)
    changes = {(s, d, c): (a, b, why) for s, d, c, a, b, why in mesh.sql(
        "SELECT src, dst, class, from_state, to_state, why FROM twmesh.state_change "
        "WHERE class IN ('tight', 'lossy', 'strict') ORDER BY at")}
    for pair in SHOWN:
        was, now, why = changes[(*pair, "tight")]
        assert (was, now) == ("never", "warn") and re.match(r"RTT \d+\.\d+ ms, limit 0\.001 ms$", why), (pair, why)
    assert changes["ams1", "lim1", "lossy"][1] == "warn" and "packets lost in" in changes["ams1", "lim1", "lossy"][2]
    assert changes["ams2", "lim1", "strict"][1] == "crit" and "packets lost in" in changes["ams2", "lim1", "strict"][2]
    # the second interval decides, and the state began with the first
    assert mesh.sql("SELECT count(*) FROM twmesh.state_change c WHERE class = 'tight' AND at > (SELECT min(ts) FROM "
                    "twmesh.path_result r WHERE r.src = c.src AND r.dst = c.dst AND r.class = 'tight' AND sent > 1)") == [(0,)]


def test_the_command_shows_warn_maintenance_and_what_is_not_planned(limited):
    mesh = limited
    doc = mesh.api("/api/v1/matrix?class=tight")
    names = [n["name"] for n in doc["nodes"]]
    assert [names[i] for i in doc["rows"]] == ["ams1", "ams2", "fra1"]
    assert [names[i] for i in doc["columns"]] == ["ams1", "ams2", "fra1", "rtr1"]
    assert doc["summary"]["sentence"].startswith("0 of 3 directions healthy; worst: ")
    for part in (", RTT 0.0", "; 3 directions over a warning limit; fra1 is in maintenance until ", ", 2 directions"):
        assert part in doc["summary"]["sentence"], doc["summary"]
    done = mesh.twmesh("matrix", "--class", "tight")
    assert done.returncode == 0, done.stderr
    head, ams1, ams2, fra1, _, legend = done.stdout.splitlines()[3:9]
    assert head.split() == ["ams1", "ams2", "fra1", "rtr1"]
    assert re.match(r"ams1 +· +[\d.]+\+ +[\d.]*m +[\d.]+\+$", ams1), done.stdout
    assert re.match(r"ams2 +[\d.]+\+ +· +$", ams2), done.stdout
    assert re.match(r"fra1 +[\d.]*m +· +$", fra1), done.stdout
    assert len({len(row) for row in (head, ams1, ams2, fra1)}) == 1, "aligned"
    assert legend.split("  ") == ["RTT, ms; rows send, columns reflect", "+ warn", "m maintenance", "blank: not planned"]
    done = mesh.twmesh("path", "ams1", "rtr1", "--class", "tight")
    assert "\nams1 -> rtr1: warn since " in done.stdout and "\nrtr1 -> ams1: not planned\n" in done.stdout, done.stdout
    done = mesh.twmesh("path", "ams1", "fra1", "--class", "tight")
    assert re.search(r"maintenance since \S+ \(fra1: maintenance until \S+ UTC: new cards\)", done.stdout), done.stdout
    assert mesh.twmesh("path", "ams2", "fra1", "--class", "tight").returncode == 1


def test_the_page_shows_warn_maintenance_and_what_is_not_planned(limited, browser):
    page = Page(browser).open(limited.url + "/#class=tight")
    assert page.sides() == (["ams1", "ams2", "fra1"], ["ams1", "ams2", "fra1", "rtr1"])
    page.driver.execute_script("document.documentElement.dataset.theme = 'light'")
    for pair, state in SHOWN.items():
        page.hover(*pair).perform()
        page.wait(f"{pair} is {state}", lambda p=pair, s=state: page.text("tip").startswith(f"{p[0]} → {p[1]}\n{s} since "))
    assert page.text("tip").splitlines()[1].endswith("UTC: new cards"), page.text("tip")
    page.hover("ams2", "rtr1").perform()
    page.wait("words for a gap", lambda: page.text("tip") == "ams2 → rtr1\nnot planned: no mesh has this direction")
    page.hover("ams1", "ams1").perform()
    page.wait("warn has its ground", lambda: page.colour("ams1", "ams2") == (0xf6, 0xe3, 0xa9))
    assert page.pixel("ams2", "rtr1")[3] == 0, "blank"
    assert page.pixel("ams2", "fra1")[3] == 0 and page.pixel("ams1", "fra1")[3] == 255
    legend = page.text("legend")
    assert "3 warn" in legend and "2 maintenance" in legend and "0 never" in legend, legend
    assert "Blank: not planned." in page.text("scale")
    page.click("#as-table")
    rows = page.wait("the table", lambda: [[c.text for c in r.find_elements(By.CSS_SELECTOR, "th, td")] for r in
                     page.driver.find_elements(By.CSS_SELECTOR, "#table tbody tr")])
    assert [r[:1] + [c.replace("not planned", "-") for c in r[1:]] for r in rows] == [
        ["ams1", "", "warn", "maintenance", "warn"], ["ams2", "warn", "", "-", "-"], ["fra1", "maintenance", "-", "", "-"]]
    assert page.console() == []
