# SPDX-License-Identifier: BSD-2-Clause
"""Two controllers side by side on one database. Nodes dial both; one is
killed, frozen, comes back: nothing is lost, nothing doubled, states stay
right whichever is asked. What one changes, the other's nodes learn."""

import signal
import threading
import time

import meshlib
import pytest

NODES = ("ams1", "fra1", "nyc1")
TWICE = """SELECT src_id, dst_id, class_id, ts, count(*) FROM twmesh.result
    GROUP BY 1, 2, 3, 4 HAVING count(*) > 1"""


@pytest.fixture(scope="module")
def mesh():
    with meshlib.Mesh() as m:
        m.second = meshlib.Controller(m, "c2", 253).start()
        for name in NODES:
            m.add(name, meshd_conf=m.second.section())
        m.wait_full()
        yield m


def aligned(mesh, offset_s=0):
    return mesh.sql("SELECT to_timestamp(ceil(extract(epoch FROM now()) / 2) * 2 + %s)", (offset_s,))[0][0]


def check_nothing_lost(mesh, since, timeout=30):
    """Every (src, dst, class, ts) from then to now is there, once."""
    until = aligned(mesh)
    pairs = len(NODES) * (len(NODES) - 1)
    meshlib.wait_until("the last interval is there", lambda: mesh.sql(
        "SELECT count(*) FROM twmesh.path_result WHERE ts = %s - interval '2 s'", (until,))[0][0]
        == pairs, timeout * meshlib.SLOW)
    time.sleep(2)  # what comes twice would come now
    holes = mesh.sql("""
        SELECT p.src, p.dst, g, count(r.ts) FROM twmesh.path_matrix p
        CROSS JOIN generate_series(%s::timestamptz, %s::timestamptz - interval '2 s', interval '2 s') g
        LEFT JOIN twmesh.path_result r ON r.src = p.src AND r.dst = p.dst AND r.class = p.class AND r.ts = g
        GROUP BY 1, 2, 3 HAVING count(r.ts) <> 1 ORDER BY 3, 1, 2""", (since, until))
    assert holes == []
    assert mesh.sql(TWICE) == []
    assert (until - since).total_seconds() >= 10


def states(doc):
    """{(src, dst): state} of a matrix document."""
    n = [x["name"] for x in doc["nodes"]]
    c = doc["cells"]
    return {(n[s], n[d]): st for s, d, st in zip(c["src"], c["dst"], c["state"])}


def all_ok(doc):
    got = states(doc)
    return len(got) == len(NODES) * (len(NODES) - 1) and set(got.values()) == {"ok"}


class Watch(threading.Thread):
    """Asks every source of truth for states the whole time."""

    def __init__(self, *sources):
        super().__init__()
        self.sources, self.bad, self.n, self.ended = sources, [], 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.25):
            for source in self.sources:
                got = source()
                self.n += 1
                if not got or set(got.values()) != {"ok"}:
                    self.bad.append((time.strftime("%H:%M:%S"), got))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


def by_sql(mesh):
    return lambda: {k: c["state"] for k, c in mesh.cells().items()}


def by_second(mesh):
    return lambda: states(mesh.second.api("/api/v1/matrix"))


def active(mesh, name):
    """Where the node's results go, by its log."""
    lines = [ln for ln in mesh[name].meshd.text().splitlines() if ": active: " in ln]
    return lines[-1].split("controller ")[1].split(":")[0] if lines else None


def test_both_show_the_same(mesh):
    for name in NODES:
        assert active(mesh, name) == "c1", "the first of the configuration"
    assert mesh.sql("SELECT count(*) FROM twmesh.controller_status WHERE alive") == [(2,)]
    for path in ("/api/v1/matrix", "/api/v1/nodes"):
        def same(path=path):
            a, b = mesh.api(path), mesh.second.api(path)
            if path.endswith("matrix"):
                return all_ok(a) and all_ok(b) and a["epoch"] == b["epoch"] and states(a) == states(b)
            return ([(n["name"], n["state"], n["fingerprint"]) for n in a["nodes"]]
                    == [(n["name"], n["state"], n["fingerprint"]) for n in b["nodes"]])
        meshlib.wait_until(f"{path} is the same at both", same, 10)


def test_one_is_killed_and_comes_back(mesh):
    since = aligned(mesh)
    with Watch(by_sql(mesh), by_second(mesh)) as w:
        time.sleep(3)
        mesh.controller.kill()
        for name in NODES:
            meshlib.wait_until(f"{name} goes to the second", lambda n=name: active(mesh, n) == "c2", 5)
        newest = mesh.sql("SELECT max(ts) FROM twmesh.result")[0][0]
        meshlib.wait_until("results go on", lambda: mesh.sql(
            "SELECT max(ts) >= %s + interval '4 s' FROM twmesh.result", (newest,))[0][0], 12)
        time.sleep(10)  # longer than any silence is borne
        mesh.start_controller()
        for name in NODES:
            meshlib.wait_until(f"{name} is back at the first", lambda n=name: active(mesh, n) == "c1", 10)
        time.sleep(5)
    assert w.bad == [] and w.n > 50, w.bad[:3]
    check_nothing_lost(mesh, since)


def test_one_freezes_and_thaws(mesh):
    """No connection breaks: nodes leave it for its silence. Thawed, it has a
    heap of old batches in its hands; each is stored once all the same."""
    since = aligned(mesh)
    with Watch(by_sql(mesh), by_second(mesh)) as w:
        mesh.controller.send(signal.SIGSTOP)
        try:
            for name in NODES:
                meshlib.wait_until(f"{name} goes to the second", lambda n=name: active(mesh, n) == "c2", 12)
            time.sleep(8)
        finally:
            mesh.controller.send(signal.SIGCONT)
        time.sleep(8)
    assert w.bad == [] and w.n > 50, w.bad[:3]
    check_nothing_lost(mesh, since)
    mesh.wait_full(20)


def test_killed_over_and_over_each_in_turn(mesh):
    """Just after results came, when acks are under way."""
    since = aligned(mesh)
    for i in range(3):
        for daemon, start in ((mesh.controller, mesh.start_controller), (mesh.second.daemon, mesh.second.start)):
            newest = mesh.sql("SELECT max(ts) FROM twmesh.result")[0][0]
            meshlib.wait_until("new results", lambda t=newest: mesh.sql(
                "SELECT max(ts) > %s FROM twmesh.result", (t,))[0][0], 30, every=0.01)
            time.sleep(i * 0.07)
            daemon.kill()
            time.sleep(1)
            start()
    check_nothing_lost(mesh, since, 40)
    mesh.wait_full(20)
    assert mesh.sql("SELECT count(*) FROM twmesh.gap") == [(0,)]


@pytest.fixture(scope="module")
def apart():
    """west dials the first controller only, east the second only."""
    with meshlib.Mesh(trust="never") as m:
        m.second = meshlib.Controller(m, "c2", 253).start()
        m.add("west1")
        m.add("east1", controllers=m.second.section())
        for name in ("west1", "east1"):  # one by each
            approve(m, m if name == "east1" else m.second, name)
        m.wait_full()
        yield m


def approve(mesh, controller, name):
    """Where it did not knock: pending keys are shared."""
    fp = mesh[name].fingerprint()
    meshlib.wait_until(f"{name} is pending", lambda: any(
        p["fingerprint"] == fp for p in controller.api("/api/v1/nodes")["pending"]), 20)
    done = controller.twmesh("node", "approve", fp, name)
    assert done.returncode == 0, done.stderr


def test_what_one_changes_the_other_s_nodes_learn(apart):
    mesh = apart
    mesh.add("west2")
    approve(mesh, mesh.second, "west2")
    meshlib.wait_until("east1, at the second, knows west2", lambda: mesh["east1"].status()["nodes"] == "3", 6)
    mesh.wait_full(30)
    t0 = time.monotonic()
    assert mesh.second.twmesh("node", "remove", "west2").returncode == 0
    meshlib.wait_until("west1, at the first, forgets it", lambda: mesh["west1"].status()["nodes"] == "2", 6)
    mesh["west2"].meshd.wait_log("removed by the operator", 6)
    assert time.monotonic() - t0 < 6 * meshlib.SLOW
    mesh.nodes.pop("west2").stop()
    mesh.wait_full(10)


def test_without_a_notification_within_the_poll(apart):
    """NOTIFY is a hint: a lost one costs 5 s, no more."""
    mesh = apart
    epoch = mesh.sql("INSERT INTO twmesh.epoch (epoch, reason) SELECT max(epoch) + 1, 'nobody is told' "
                     "FROM twmesh.epoch RETURNING epoch")[0][0]
    for name in ("west1", "east1"):
        meshlib.wait_until(f"{name} has epoch {epoch}", lambda n=name: mesh[n].status()["epoch"] == str(epoch),
                           7 * meshlib.SLOW)


def test_a_token_s_last_use_is_spent_once(apart, tmp_path):
    """Made at the first, tried at both at the same moment."""
    mesh = apart
    token = tmp_path / "t"
    done = mesh.twmesh("node", "token", "create", "--file", token)
    assert done.returncode == 0, done.stderr
    conf = f'join_token_file = "{token}"\n'
    mesh.add("west3", meshd_conf=conf)
    mesh.add("east3", meshd_conf=conf, controllers=mesh.second.section())
    both = ("west3", "east3")

    def decided():
        text = {n: mesh[n].meshd.text() for n in both}
        won = [n for n in both if "joined with the token" in text[n]]
        lost = [n for n in both if "is used up" in text[n]]
        return len(won) == len(lost) == 1 and won
    winner = meshlib.wait_until("one is in, one is refused", decided, 20)[0]
    names = {n["name"] for n in mesh.api("/api/v1/nodes")["nodes"]}
    assert names & set(both) == {winner}
    assert mesh.second.api("/api/v1/nodes")["nodes"] != []
    mesh.nodes.pop((set(both) - {winner}).pop()).stop()
    mesh.wait_full(40)
    assert mesh.sql(TWICE) == []
