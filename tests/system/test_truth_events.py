# SPDX-License-Identifier: BSD-2-Clause
"""What happens to measuring when something happens to a host: daemons killed
and stopped, clocks stepped, a firewall, a long blackout. Each event has a site
of its own, all measured by and measuring `mon`; they run side by side, once,
and then each test asks the database about its own and compares with the
truth file.
"""

import contextlib
import json
import signal
import subprocess
import threading
import time

import pytest

import emulib
import meshlib
import truthlib
from truthlib import MS, S, US

PORT = 18620
GAP_NS = 20 * MS
CLASS = """class "truth" {
    rate = 50
    schedule = "periodic"
    interval = "2s"
    loss_timeout = "1s"
    ship_spread = "0s"
}
"""
# A star: other pairs have no link, so that they send one packet a second.
NET = """site mon kil pau rst stp dwn nft ear far png
star mon
seed 5
default delay=5ms
both mon ear delay=150ms
both far png delay=13ms link=on
"""
NODES = ("mon", "kil", "pau", "rst", "stp", "dwn", "nft", "ear")
END_S = 38
# What happens when, seconds from the first interval looked at.
KILLED, RESTARTED = 4, 5.3
STOPPED, RESUMED = 3.1, 8.1
BLACK, BRIGHT = 2.5, 32.5
REFUSED, ACCEPTED = 4.2, 6.2
REJOINED = 10.3
STEPS = ((3, 1), (8, 0), (13, -1), (18, 0), (22, 3600), (27, 0), (31, -3600), (35, 0))
PINGS = ((11, 1000),)


class Ping:
    """twmesh ping png -> far, to its end, in a thread of its own."""

    def __init__(self, emu, pps, seconds=10):
        argv = emu.argv("png", meshlib.prog("twmesh"), "ping", "--json", "-q", "-i", f"{1000 // pps}ms",
                        "-c", pps * seconds, f"{emu.v4['far']}:8862")
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)

    def result(self):
        out, err = self.proc.communicate(timeout=60 * meshlib.SLOW)
        assert self.proc.returncode == 0, err
        return json.loads(out)


class Events:
    """The run; afterwards rows and truth."""

    def __init__(self, mesh, clock_file):
        self.mesh, self.emu, self.clock_file = mesh, mesh.emu, clock_file
        self.seen = {}  # what had to be looked at while it happened
        self.pings = []
        pairs = [("mon", n) for n in NODES[1:]] + [(n, "mon") for n in NODES[1:]]
        meshlib.wait_until("all of mon's pairs are ok", lambda: all(
            mesh.cells().get(p, {}).get("state") == "ok" for p in pairs), 30 * meshlib.SLOW)
        self.first = -(-(time.time_ns() + S // 2) // (2 * S)) * 2 * S
        self.last = self.first + END_S * S
        self.happen()
        meshlib.wait_until("the last interval is in the database", lambda: mesh.sql(
            "SELECT count(*) FROM twmesh.path_result WHERE ts = to_timestamp(%s) "
            "AND 'mon' IN (src, dst)", (self.last / S,))[0][0] == len(pairs), 20 * meshlib.SLOW)
        self.rows = mesh.results("ts >= to_timestamp(%s) AND ts < to_timestamp(%s)",
                                 (self.first / S, self.last / S))
        self.runs = mesh.runs("first_at >= to_timestamp(%s) AND first_at < to_timestamp(%s)",
                              (self.first / S, self.last / S))
        self.emu.sync()
        self.packets = truthlib.read(self.emu.truth_path, self.first - S)

    def happen(self):
        """Everything in its order."""
        mesh, emu = self.mesh, self.emu
        todo = [(KILLED, mesh["kil"].reflector.kill), (RESTARTED, mesh["kil"].reflector.start),
                (STOPPED, lambda: mesh["pau"].meshd.send(signal.SIGSTOP)),
                (RESUMED, lambda: mesh["pau"].meshd.send(signal.SIGCONT)),
                (STOPPED, lambda: mesh["rst"].reflector.send(signal.SIGSTOP)),
                (RESUMED, lambda: mesh["rst"].reflector.send(signal.SIGCONT)),
                (BLACK, lambda: emu.tell("both mon dwn link=off")),
                (BRIGHT, lambda: emu.tell("both mon dwn link=on")),
                (REFUSED, lambda: self.nft("add rule inet t out udp dport 8862 drop")),
                (ACCEPTED, lambda: self.nft("flush chain inet t out")),
                (REJOINED, self.rejoin),
                (BLACK + 1, self.watch)]
        todo += [(at, lambda s=s: truthlib.set_clock(self.clock_file, s)) for at, s in STEPS]
        todo += [(at, lambda pps=pps: self.pings.append(Ping(emu, pps))) for at, pps in PINGS]
        self.nft("add table inet t; add chain inet t out { type filter hook output priority 0; }")
        self.at = {}
        threads = []
        for at, what in sorted(todo, key=lambda x: x[0]):
            time.sleep(max(0, (self.first - time.time_ns()) / S + at))
            if what == self.watch:
                threads.append(threading.Thread(target=what))
                threads[-1].start()
            else:
                what()
            self.at.setdefault(at, time.time_ns())
        self.pings = [p.result() for p in self.pings]
        time.sleep(max(0, (self.last - time.time_ns()) / S + 0.2))
        for t in threads:
            t.join()

    def nft(self, command):
        done = self.emu.run("nft", "nft", command)
        assert done.returncode == 0, done.stderr

    def rejoin(self):
        """A power cut of meshd, and at once the next: answers to the old one's
        packets are still on their way."""
        self.mesh["ear"].meshd.kill()
        self.seen["ear"] = time.time_ns()
        self.mesh["ear"].meshd.start()

    def watch(self):
        """The blackout as an operator sees it while it lasts."""
        end = time.monotonic() + 15
        while time.monotonic() < end and not {"run", "crit"} <= self.seen.keys():
            if "run" not in self.seen:
                runs = self.mesh.runs("src = 'mon' AND dst = 'dwn' AND state IN ('open', 'confirmed')")
                if runs:
                    self.seen["run"] = (time.time_ns(), runs["mon", "dwn"][0])
            cell = self.mesh.cells("src = 'mon' AND dst = 'dwn'")["mon", "dwn"]
            if cell["state"] == "crit" and "crit" not in self.seen:
                self.seen["crit"] = (time.time_ns(), cell)
            time.sleep(0.1)

    # --- what the tests ask

    def session(self, src, dst):
        return truthlib.Session(self.packets, src, dst, PORT, GAP_NS)

    def between(self, pair, from_s=0, to_s=END_S):
        """Rows of the pair's intervals that begin within."""
        return [r for r in self.rows[pair]
                if from_s * S <= r["start"] - self.first < to_s * S]

    def probes(self, session, from_s=0, to_s=END_S):
        """Probes by their slots, as results count them."""
        return [p for p in session.probes
                if self.first + from_s * S <= p.start < self.first + to_s * S]

    def flags(self, pair, **kw):
        return set().union(*(r["flag"] for r in self.between(pair, **kw)))


def total(rows, name):
    return sum(r[name] or 0 for r in rows)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    emulib.need()
    clock_file = str(tmp_path_factory.mktemp("clock") / "offset")
    truthlib.set_clock(clock_file, 0)
    with truthlib.EmuMesh(NET, CLASS, NODES, env={"stp": {"TWMESH_TEST_CLOCK_FILE": clock_file}},
                          meshd_conf="fifo = true\n") as mesh:
        far = meshlib.Daemon("far", mesh.emu.argv(
            "far", meshlib.prog("twmesh-reflector"), "--address", mesh.emu.v4["far"], "--port", 8862,
            "--socket", "", "-c", no_limit(mesh)), mesh.dir + "/far.log").start()
        try:
            yield Events(mesh, clock_file)
        finally:
            far.stop()
        assert not mesh.reports()


def no_limit(mesh):
    path = mesh.dir + "/far.conf"
    with open(path, "w", encoding="ascii") as f:
        f.write("rate_limit_pps = 0\n")
    return path


def check_undisturbed(events, pair, names=("sent", "received", "lost", "duplicates", "late")):
    """Nothing happened to the pair: every interval whole and exact."""
    session = events.session(*pair)
    rows = events.between(pair)
    expected = session.fit(rows)
    assert len(rows) == END_S // 2
    for r in rows:
        for name in names:
            assert (r[name] or 0) == expected[r["start"]].n[name], (pair, name, r)
    return session, rows, expected


# --- high rates -------------------------------------------------------------------


@pytest.mark.parametrize("n", range(len(PINGS)), ids=[f"{pps}-per-second" for _, pps in PINGS])
def test_no_false_loss_at_high_rates(events, n):
    """13 ms each way, nothing lost (the truth file has every packet)."""
    out = events.pings[n]
    sent = out["sent"]
    assert sent > PINGS[n][1] * 10 * 0.9, out
    assert out["received"] == sent and out["lost"] == out["lost_fwd"] == out["lost_bwd"] == 0, out


def test_the_path_of_the_high_rates_was_lossless(events):
    there = [p for k, v in events.packets.items() if k[:2] == ("png", "far") for p in v]
    assert len(there) >= 0.9 * sum(pps * 10 for _, pps in PINGS)
    assert not any(p.lost for p in there)


# --- reflectors -------------------------------------------------------------------


def test_reflector_killed_and_restarted(events):
    """What was not answered is lost, exactly; which way, nobody can tell; what
    came before and after is as ever."""
    pair = ("mon", "kil")
    session = events.session(*pair)
    rows = events.between(pair)
    expected = session.fit(rows)
    for r in rows:
        e = expected[r["start"]]
        assert (r["sent"], r["received"], r["lost"]) == (e.n["sent"], e.n["received"], e.n["lost"]), r
        assert r["lost"] == r["lost_fwd"] + r["lost_bwd"] + r["lost_undet"]
        assert r["duplicates"] == r["late"] == 0
        if not 2 <= (r["start"] - events.first) / S < 8:
            assert r["lost"] == 0 and not set(r["flag"]) & {"reflector_restart", "stateless"}, r
    lost = total(rows, "lost")
    assert 0.8 * 50 * (RESTARTED - KILLED) < lost < 50 * (RESTARTED - KILLED + 1)
    assert total(rows, "lost_undet") > 0 and total(rows, "lost_fwd") == 0
    assert "reflector_restart" in events.flags(pair)
    runs = events.runs[pair]
    assert len(runs) == 1 and runs[0]["reflector_restart"] and runs[0]["lost"] == lost
    assert runs[0]["state"] == "closed"


def test_reflector_stopped_for_5_s(events):
    """Its host's fault, and told as such: the answers come late, and nothing
    of it is the network's."""
    pair = ("mon", "rst")
    session = events.session(*pair)
    rows = events.between(pair)
    expected = session.fit(rows)
    late = [p for p in session.probes if not p.ok and p.answers]
    assert len(late) > 150
    for r in rows:
        e = expected[r["start"]]
        assert (r["sent"], r["received"], r["lost"]) == (e.n["sent"], e.n["received"], e.n["lost"]), r
        assert r["lost_fwd"] == 0, r
        assert r["duplicates"] == 0
    assert total(rows, "lost") == total(rows, "late") == total(rows, "late_dst_host") == len(late)
    assert "dst_host_limited" in events.flags(pair)
    assert "host_limited" not in events.flags(pair)
    stalls = events.mesh.rows("SELECT h.*, extract(epoch FROM t_to - t_from) AS s FROM "
                              "twmesh.node_host_limited h JOIN twmesh.node n USING (node_id) "
                              "WHERE n.name = 'rst'")
    assert stalls and max(float(x["s"]) for x in stalls) == pytest.approx(RESUMED - STOPPED, abs=0.5)
    assert sum(x["held"] for x in stalls) >= len(late)
    hit = [r for r in rows if r["lost"]]
    assert hit and all(r["dst_host_limited"] for r in hit)
    assert all(x["dst_host_limited"] for x in events.runs.get(pair, []))
    # the way back is measured by rst's own meshd, which ran
    check_undisturbed(events, ("rst", "mon"))


# --- the mesh daemon ----------------------------------------------------------------


def test_meshd_stopped_for_5_s(events):
    """No false loss, no burst of what was missed."""
    pair = ("pau", "mon")
    session = events.session(*pair)
    rows = events.between(pair)
    expected = session.fit(rows)
    assert total(rows, "lost") == total(rows, "late") == total(rows, "duplicates") == 0
    for r in rows:
        n = expected[r["start"]].n["sent"] if r["start"] in expected else 0
        assert (r["sent"], r["received"]) == (n, n), r
    missing = total(rows, "scheduled") - total(rows, "sent")
    assert missing == pytest.approx(50 * (RESUMED - STOPPED), abs=50)
    t1 = [p.t1 for p in session.probes]
    gaps = sorted((b - a for a, b in zip(t1, t1[1:])), reverse=True)
    assert gaps[0] > 4.5 * S
    at = max(range(len(t1) - 1), key=lambda i: t1[i + 1] - t1[i]) + 1
    assert sum(t < t1[at] + 200 * MS for t in t1[at:]) <= 12, "a burst"
    assert not events.runs.get(pair)
    check_undisturbed(events, ("mon", "pau"))


def test_answers_to_a_former_meshd_are_nobodys(events):
    """150 ms each way: 15 packets of the killed daemon are on their way when the
    next one sends from the same port."""
    pair = ("ear", "mon")
    rows = events.between(pair)
    killed = events.seen["ear"]
    packets = events.packets
    old = [p for p in packets["mon", "ear", 8862, PORT]
           if not p.lost and p.in_ns < killed + 150 * MS < p.hi]
    assert len(old) > 5
    after = [r for r in rows if r["start"] > killed]
    assert after and rows[0]["start"] < killed
    session = events.session(*pair)
    for r in rows:
        assert r["duplicates"] == r["altered"] == 0, r
    # on a host so busy that answers take a second, some are lost in truth
    assert total(rows, "lost") <= sum(not p.ok for p in session.probes)
    starts = [p for p in session.probes if p.seq == 0]
    assert len(starts) == 1, "the new session counts from 0"
    # the first three are sent, and not counted
    counted = [p for p in session.probes if p.t1 >= starts[0].t1]
    whole = [r for r in after if "partial" not in r["flag"]]
    assert whole and all(r["sent"] == 100 for r in whole)
    assert total(after, "sent") < len(counted)
    # mon's own session to it goes on: its reflector lives
    check_undisturbed(events, ("mon", "ear"))


# --- clocks -------------------------------------------------------------------------


def test_clock_stepped_by_a_second(events):
    """Counts and round trips are right throughout; the cut interval is
    flagged."""
    pair = ("stp", "mon")
    session = events.session(*pair)
    upto = 20  # back on the right time by then, for an interval and more
    rows = events.between(pair, 0, upto)
    session.assign()
    probes = events.probes(session, 0, upto)
    assert total(rows, "sent") == total(rows, "received") == len(probes)
    assert total(rows, "lost") == total(rows, "late") == total(rows, "duplicates") == 0
    assert sum(r["span_ms"] for r in rows) == pytest.approx(upto * 1000, abs=50)
    stepped = [r for r in rows if "clock_step" in r["flag"]]
    assert 4 <= len(stepped) <= 8, [(r["start"], r["flag"]) for r in rows]
    assert all(r["span_ms"] < 2000 for r in stepped)
    assert not any("clock_step" in r["flag"] for r in events.rows["mon", "kil"])
    for r in rows:
        assert 9.9 < r["rtt_min_ms"] <= r["rtt_p50_ms"] < 10.5, r
        assert r["rtt_unknown"] == 0
    # one way the offset shows, as it must
    assert min(r["fwd_min_ms"] for r in rows) == pytest.approx(5 - 1000, abs=1)
    assert max(r["fwd_min_ms"] for r in rows) == pytest.approx(5 + 1000, abs=1)
    check_undisturbed(events, ("mon", "stp"))


def test_round_trips_to_a_stepping_reflector(events):
    for r in events.between(("mon", "stp")):
        assert 9.9 < r["rtt_min_ms"] <= r["rtt_p50_ms"] < 10.5, r
        assert r["rtt_unknown"] <= 2


def test_clock_stepped_by_an_hour(events):
    """Results of a clock over 60 s off are put aside; afterwards all is
    well."""
    aside = events.mesh.sql("SELECT count(*) FROM twmesh_private.put_aside a JOIN twmesh.node n "
                            "USING (node_id) WHERE n.name = 'stp'")[0][0]
    assert aside > 0
    others = events.mesh.sql("SELECT count(*) FROM twmesh_private.put_aside a JOIN twmesh.node n "
                             "USING (node_id) WHERE n.name <> 'stp'")[0][0]
    assert others == 0, events.mesh.sql("SELECT n.name, a.reason, a.received_at FROM twmesh_private.put_aside a JOIN twmesh.node n USING (node_id)")
    # A batch says which clock dated it: no result gets through with a wrong
    # date, whatever the controller knows of the step by then.
    wrong = events.mesh.rows(
        "SELECT DISTINCT floor(extract(epoch FROM ts) / 2) * 2 - %s AS off FROM twmesh.path_result "
        "WHERE src = 'stp' AND abs(extract(epoch FROM ts) - %s) > 600", (events.first // S,) * 2)
    assert not wrong, wrong
    rows = events.between(("stp", "mon"))
    assert total(rows, "lost") == total(rows, "late") == 0
    assert max(r["start"] for r in rows) >= events.last - 2 * S


# --- the network --------------------------------------------------------------------


def test_everything_lost_for_30_s(events):
    """One run, seen within 4 s, and closed with exact bounds."""
    pair = ("mon", "dwn")
    session = events.session(*pair)
    want = session.runs()
    assert len(want) == 1
    want = want[0]
    runs = events.runs[pair]
    assert len(runs) == 1
    run = runs[0]
    seen_ns, while_open = events.seen["run"]
    assert seen_ns - want.first.t1 < 4 * S and while_open["run"] == run["run"]
    assert while_open["lost"] >= 3 and while_open["upper_ms"] is None
    crit_ns, cell = events.seen["crit"]
    assert crit_ns - want.first.t1 < 6 * S, (crit_ns - want.first.t1) / S
    assert cell["state_why"]
    assert run["state"] == "closed"
    assert (run["first_seq"], run["last_seq"]) == (want.first.seq, want.last.seq)
    assert (run["lost"], run["lost_fwd"], run["lost_bwd"], run["lost_undet"]) == (
        want.lost, want.fwd, want.bwd, 0)
    assert run["lower_ms"] == pytest.approx((want.last.t1 - want.first.t1) / 1e6, abs=1)
    assert run["upper_ms"] == pytest.approx((want.after.t1 - want.before.t1) / 1e6, abs=1)
    rows = events.between(pair)
    assert total(rows, "lost") == want.lost
    for r in events.between(pair, 4, 30):
        # by the revisions that followed: when it was shipped, nobody could tell
        assert (r["lost_fwd"], r["lost_undet"], r["loss_fwd_pct"]) == (r["sent"], 0, 100), r
        assert r["sent"] and r["revised_at"], r
    assert total(rows, "duplicates") == total(rows, "late") == 0
    check_evidence(events, run, session)


def check_evidence(events, run, session):
    packets = events.mesh.rows("SELECT * FROM twmesh.loss_run_packet WHERE run_id = %s "
                               "ORDER BY position", (run["run_id"],))
    assert 150 <= len(packets) <= 200 and len(packets) == run["packets"]
    by_seq = {p.seq: p for p in session.probes}
    for p in packets:
        probe = by_seq[p["seq"]]
        assert p["fate"] == (probe.way or "received"), p
        assert 0 <= probe.t1 - p["t1_ns"] + US < 5 * MS
        if probe.ok:
            assert p["reflector_seq"] == probe.answers[0].rseq
            assert p["t2_ns"] is not None and p["t4_ns"] > p["t1_ns"]
        else:
            assert p["t4_ns"] is None
    assert {run["first_seq"], run["last_seq"]} <= {p["seq"] for p in packets}


def test_firewall_at_output(events):
    """Sends that fail are told as such, are no loss, and do not shift the
    transmit stamps of those after them."""
    pair = ("nft", "mon")
    session = events.session(*pair)
    rows = events.between(pair)
    expected = session.fit(rows)
    for r in rows:
        n = expected[r["start"]].n["sent"] if r["start"] in expected else 0
        assert (r["sent"], r["received"], r["lost"]) == (n, n, 0), r
    # every slot of the gap on the wire was tried, but for what a busy host missed
    t1 = [p.t1 for p in session.probes]
    slots = round(max(b - a for a, b in zip(t1, t1[1:])) / GAP_NS) - 1
    assert slots >= 50 * (ACCEPTED - REFUSED) - 2
    assert 0.8 * slots <= total(rows, "send_failed") <= slots
    assert total(rows, "scheduled") >= total(rows, "sent") + total(rows, "send_failed")
    assert not events.runs.get(pair)
    after = events.between(pair, ACCEPTED + 2)
    assert total(after, "tx_stamps_missing") == 0
    for r in after:
        e = expected[r["start"]]
        lo = sum(p.fwd[0] for p in e.probes) / len(e.probes)
        hi = sum(p.fwd[1] for p in e.probes) / len(e.probes)
        assert lo - 20 * US < r["fwd_mean_ms"] * 1e6 < hi + 20 * US, r
