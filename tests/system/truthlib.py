# SPDX-License-Identifier: BSD-2-Clause
"""What twmesh should have said: a mesh whose sites are in the emulated network,
and a plain model of every session made of the truth file.

    EmuMesh        PostgreSQL and controller on the host's loopback, each node
                   in a namespace of its own
    Session        what became of each packet of (src, dst), and of its replies
    Session.intervals()  {start ns: Expected}: the numbers of each interval
    Session.runs()       its loss runs

The model shares nothing with lib/stats but the definitions (docs/
MEASUREMENT.md): it sees all packets at once, where the engine sees replies.
Requests are told apart by (number, T1) in their first octets; a reply repeats
both. A packet belongs to the interval of its scheduled time: the schedule is
periodic, so a session's phase is the earliest that its T1 come after a slot.
"""

import bisect
import collections
import contextlib
import math
import os

import psycopg2
import psycopg2.extras

import emulib
import meshlib

S = 10**9
MS = 10**6
US = 10**3
NTP_UNIX_S = 2208988800
HUB_IN_SITE = "127.0.0.1:8620"
CROWD_NS = 200 * US  # a slot's packets leave within this, mostly
UNSURE_NS = 2 * MS


def ntp_ns(v):
    """A timestamp of 64 bits in ns since 1970."""
    return ((v >> 32) - NTP_UNIX_S) * S + ((v & 0xffffffff) * S + (1 << 31) >> 32)


# --- the mesh -----------------------------------------------------------------


class EmuNode(meshlib.Node):
    """A node whose two daemons run in the site of its name."""

    def __init__(self, mesh, name, n, **kw):
        super().__init__(mesh, name, n, addr=mesh.emu.v4[name], **kw)
        for d in (self.reflector, self.meshd):
            d.argv = mesh.emu.argv(name, *d.argv)


class EmuMesh(meshlib.Mesh):
    """A mesh over the network of `conf` (docs/EMULATOR.md), with a node in
    every site of it, or in those named by `nodes`. `env`: {site: variables}."""

    def __init__(self, conf, classes, nodes=None, env=None, meshd_conf="", reflector_conf="",
                 fifo=True):
        self.emu = None
        super().__init__((), "never", classes)
        try:
            self.emu = emulib.Emulator(conf, "--relay", "8620=" + self.hub, fifo=fifo).start()
            self.hub = HUB_IN_SITE
            for name in nodes or self.emu.v4:
                self.add_site(name, (env or {}).get(name), meshd_conf, reflector_conf)
            for name in self.nodes:
                self.admit(name)
        except BaseException:
            self.stop(check=False)
            raise

    def add_site(self, name, env, meshd_conf, reflector_conf):
        node = EmuNode(self, name, len(self.nodes) + 1, meshd_env=env, meshd_conf=meshd_conf)
        node.reflector.env = dict(env or {})
        with open(node.path("reflector.conf"), "a", encoding="ascii") as f:
            f.write(reflector_conf)
        self.nodes[name] = node
        return node.start()

    def admit(self, name):
        fp = self[name].fingerprint()
        meshlib.wait_until(f"{name} is pending", lambda: any(
            p["fingerprint"] == fp for p in self.api("/api/v1/nodes")["pending"]),
            20 * meshlib.SLOW)
        done = self.twmesh("node", "approve", "--address", self[name].addr, fp, name)
        assert done.returncode == 0, done.stderr

    def stop(self, check=True):
        try:
            super().stop(check)
        finally:
            if self.emu:
                self.emu.stop(check)

    # --- asking

    def rows(self, query, args=None):
        """Rows as dicts; bytea as bytes."""
        with contextlib.closing(psycopg2.connect(self.pg.dsn())) as c:
            with c.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cur:
                cur.execute(query, args)
                return [{k: bytes(v) if isinstance(v, memoryview) else v for k, v in r.items()}
                        for r in cur.fetchall()]

    def results(self, where="true", args=None):
        """Rows of path_result with `start`, ns, by (src, dst), in order."""
        out = collections.defaultdict(list)
        for r in self.rows("SELECT *, (extract(epoch FROM ts) * 1000000)::bigint * 1000 AS start, "
                           "twmesh.result_flags(flags) AS flag FROM twmesh.path_result "
                           f"WHERE {where} ORDER BY ts, span_ms", args):
            out[r["src"], r["dst"]].append(r)
        return dict(out)

    def runs(self, where="true", args=None):
        """Rows of loss_run by (src, dst), in order."""
        out = collections.defaultdict(list)
        for r in self.rows(f"SELECT * FROM twmesh.loss_run WHERE {where} ORDER BY first_at", args):
            out[r["src"], r["dst"]].append(r)
        return dict(out)


# --- what became of the packets -------------------------------------------------


class Packet:
    """A line of the truth file, no more of it than is needed: there are
    hundreds of thousands. As long as it is lost, `arrival` is None; else its
    place among all of its session that came out of that direction."""

    __slots__ = ("in_ns", "hi", "lo", "lost", "key", "head", "t2", "dscp_in", "dscp_out", "ttl_out",
                 "arrival")

    def __init__(self, w):
        self.in_ns = int(w[0])
        self.lost = w[4].startswith("lost")
        # The receiver's kernel stamp lies within the send call, [lo, hi].
        self.hi = int(w[5])
        self.lo = self.hi - int(w[7])
        payload = w[18]
        self.head, self.t2, self.key = payload[:24], payload[32:48], payload[48:72]
        self.dscp_in, self.dscp_out, self.ttl_out = w[13], w[14], int(w[16])
        self.arrival = None

    @property
    def rseq(self):
        """Of a reply: the reflector's number."""
        return int(self.head[:8], 16)


def set_clock(path, offset_s):
    """Puts the clock off by so many seconds, of processes whose
    TWMESH_TEST_CLOCK_FILE is this: they look at it once a second."""
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(f"{offset_s}\n")
    os.replace(path + ".new", path)


def read(path, from_ns=0, port=8862):
    """{(src, dst, sport, dport): [Packet]}: the UDP packets to and from the
    port, in the order in which they were released, or lost."""
    out = collections.defaultdict(list)
    port = str(port)
    with open(path, encoding="ascii") as f:
        for line in f:
            w = line.split()
            if w[0] != "#" and w[9] == "17" and port in (w[10], w[11]) and int(w[0]) >= from_ns:
                out[w[1], w[2], int(w[10]), int(w[11])].append(Packet(w))
    return out


class Probe:
    """One test packet: its copies on the way there, all replies to it."""

    __slots__ = ("seq", "t1", "there", "back", "slot", "start", "ok", "way", "arrived", "answers", "copy",
                 "fwd", "bwd", "uncorrected")

    def __init__(self, head, in_ns):
        self.seq = int(head[:8], 16)
        self.t1 = in_ns  # by the right clock; the one in the packet may be off
        self.there, self.back = [], []
        self.slot = None  # its scheduled time, ns
        self.uncorrected = False

    def settle(self, timeout_ns):
        """What the engine has to find, and the bounds of the delays, ns."""
        self.arrived = [c for c in self.there if not c.lost]
        self.answers = [r for r in self.back if not r.lost]  # in order
        self.ok = bool(self.answers) and self.answers[0].lo - self.t1 <= timeout_ns
        self.way = None if self.ok else "bwd" if self.arrived else "fwd"
        if self.ok:
            r = self.answers[0]
            self.copy = self.arrived[0]
            if len(self.arrived) > 1:
                t2 = ntp_ns(int(r.t2, 16))
                self.copy = min(self.arrived, key=lambda c: abs(c.hi - t2))
            self.fwd = (self.copy.lo - self.copy.in_ns, self.copy.hi - self.copy.in_ns)
            self.bwd = (r.lo - r.in_ns, r.hi - r.in_ns)


Run = collections.namedtuple("Run", "first last lost fwd bwd before after")

def difference(a, b):
    """(lo, hi) of |a - b|, of both of which there are bounds."""
    lo, hi = a[0] - b[1], a[1] - b[0]
    return (max(lo, -hi, 0), max(hi, -lo))


class Expected:
    """The numbers of one interval."""

    def __init__(self):
        self.n = collections.Counter()
        self.probes = []  # received, in order of arrival
        self.ipdv = {"fwd": [], "bwd": []}  # (lo, hi) of |difference|, ns
        self.jitter = {}  # "fwd": (lo, hi) of RFC 3550's, after the last packet


class Session:
    """(src, dst) of one class with one flow. `packets`: of read()."""

    def __init__(self, packets, src, dst, sport, gap_ns, interval_ns=2 * S, dport=8862,
                 timeout_ns=S):
        self.src, self.dst, self.gap, self.interval = src, dst, gap_ns, interval_ns
        probes = {}
        self.strange = 0  # replies to nothing that was sent (or not read)
        for n, p in enumerate(packets.get((src, dst, sport, dport), ())):
            if p.head not in probes:
                probes[p.head] = Probe(p.head, p.in_ns)
            probes[p.head].there.append(p)
            p.arrival = n
        for n, p in enumerate(packets.get((dst, src, dport, sport), ())):
            p.arrival = n
            if p.key in probes:
                probes[p.key].back.append(p)
            else:
                self.strange += 1
        self.probes = sorted(probes.values(), key=lambda p: p.t1)
        for p in self.probes:
            p.settle(timeout_ns)
        self.by_answer = sorted((p for p in self.probes if p.ok),
                                key=lambda p: p.answers[0].arrival)
        self.replies = sorted(((r, p) for p in self.probes for r in p.answers),
                              key=lambda x: x[0].arrival)
        self._uncorrect()
        self.place()

    def _uncorrect(self):
        """The reply after a reply tells when that one really left. Where it
        was lost, T3 is the one in the reply itself, read in user space before
        the send call."""
        came = {r.rseq for r, _ in self.replies}
        for p in self.by_answer:
            r = p.answers[0]
            if r.rseq + 1 not in came:
                p.uncorrected = True
                p.bwd = (p.bwd[0], r.hi - ntp_ns(int(r.head[8:], 16)))

    def place(self):
        """Finds the phase of the schedule, and gives each probe its slot. The
        wall clock drifts a few us per second against the monotonic one, by
        which the schedule goes: so the phase is taken of windows."""
        for i in range(0, len(self.probes), 500):
            part = self.probes[i:i + 500]
            base = part[0].t1
            ring = sorted((p.t1 - base) % self.gap for p in part)
            # Most leave right after their slot: where they crowd, it is.
            ahead = ring + [t + self.gap for t in ring]
            phase = max(ring, key=lambda t: bisect.bisect_left(ahead, t + CROWD_NS) -
                        bisect.bisect_left(ahead, t))
            for p in part:
                p.slot = p.t1 - (p.t1 - base - phase) % self.gap

    # --- the model

    @staticmethod
    def _extent(e, name, seen, n):
        """RFC 4737 4.2.1: n arrives after `seen`."""
        first = next(i for i, q in enumerate(seen) if q > n)
        e.n[name + "reordered"] += 1
        e.n[name + "reorder_extent"] = max(e.n[name + "reorder_extent"], len(seen) - first)

    def _order(self, at):
        """RFC 4737 3.3 of the three streams, first copies only."""
        high, seen = -1, []
        for p in sorted((p for p in self.probes if p.arrived), key=lambda p: p.arrived[0].arrival):
            if p.seq < high and p.ok:
                self._extent(at(p), "fwd_", seen, p.seq)
            high = max(high, p.seq)
            seen.append(p.seq)
        high, seen = -1, []
        for p in self.by_answer:
            if p.seq < high:
                self._extent(at(p), "", seen, p.seq)
            high = max(high, p.seq)
            seen.append(p.seq)
        # On the way back an answer to a copy is a packet of its own, but only
        # the first answer of each probe is counted.
        high, seen = -1, []
        for r, p in self.replies:
            if r.rseq in seen[-1000:]:
                continue
            if r.rseq < high and r is p.answers[0] and p.ok:
                self._extent(at(p), "bwd_", seen, r.rseq)
            high = max(high, r.rseq)
            seen.append(r.rseq)

    def _copies(self, at):
        """Copies back are replies seen again. Copies there are told by the
        reflector's count, in the first reply that knows of them."""
        # Every packet that arrives is answered; of a probe's answers, those
        # after the first are to copies.
        copies = sorted({r.rseq for p in self.probes for r in p.back} -
                        {min(r.rseq for r in p.back) for p in self.probes if p.back})
        known = 0
        for r, p in self.replies:
            if r is not p.answers[0]:
                at(p).n["duplicates"] += 1
                if any(q.rseq == r.rseq for q in p.answers if q.arrival < r.arrival):
                    at(p).n["bwd_duplicates"] += 1
            more = bisect.bisect_right(copies, r.rseq) - known
            if more > 0:
                at(p).n["fwd_duplicates"] += more
                known += more

    def _losses(self, at):
        run = 0
        for p in self.probes:
            if not p.ok:
                run += 1
                if run == 3:
                    at(p).n["loss_runs_long"] += 1
                continue
            if run in (1, 2):
                at(p).n[f"loss_runs_{run}"] += 1
            run = 0

    def _variation(self, at):
        for way in ("fwd", "bwd"):
            for p, before in zip(self.probes[1:], self.probes):
                if p.ok and before.ok and p.seq == before.seq + 1:
                    at(p).ipdv[way].append(difference(getattr(p, way), getattr(before, way)))
            j, last = (0, 0), None
            for p in self.by_answer:
                if last is not None:
                    d = difference(getattr(p, way), getattr(last, way))
                    j = tuple(a + (b - a) / 16 for a, b in zip(j, d))
                    at(p).jitter[way] = j
                last = p

    # --- which interval a packet belongs to

    def assign(self, shift=0):
        for p in self.probes:
            p.start = p.slot + shift - (p.slot + shift) % self.interval

    def _unsure(self, p, edge):
        """May the packet belong to either side of the edge? Its slot is as
        good as at it, or it left so late that it may be the next one's."""
        late = p.t1 - p.slot
        return (abs(p.slot - edge) < UNSURE_NS or
                (abs(p.slot - edge) < self.gap + UNSURE_NS and
                 (late < UNSURE_NS or late > self.gap - UNSURE_NS)))

    def fit(self, rows):
        """Gives each probe its interval. Those that are as good as at an edge
        (its clock readings decide, which nobody else has seen) go to the side
        that `sent` says; all others to that of their slot."""
        def matches(e):
            return sum((e[r["start"]].n["sent"], e[r["start"]].n["received"]) ==
                       (r["sent"], r["received"]) for r in rows if r["start"] in e)

        best = None
        for shift in (0, UNSURE_NS, -UNSURE_NS):
            for first in (0, 1, -1):
                self.assign(shift)
                if self._chain(rows, first):
                    e = self.intervals()
                    if best is None or matches(e) > best[0]:
                        best = (matches(e), e)
                    if best[0] == len(rows):
                        return e
        return best[1]

    def _chain(self, rows, first):
        if first and not self._move(rows[0]["start"], first):
            return False
        for r in rows:
            n = sum(p.start == r["start"] for p in self.near(r["start"]))
            self._move(r["start"] + self.interval, n - r["sent"])
        return True

    def near(self, start):
        """The probes of the interval, and some on both sides."""
        if not hasattr(self, "t1s"):
            self.t1s = [p.t1 for p in self.probes]
        return self.probes[bisect.bisect_left(self.t1s, start - 3 * self.gap):
                           bisect.bisect_left(self.t1s, start + self.interval + 3 * self.gap)]

    def _move(self, edge, n):
        """Moves n packets from before the edge to after it (n < 0: back), as
        far as that is unsure. All of them?"""
        around = [p for p in self.near(edge) if p.t1 < edge + 3 * self.gap]
        side = ([p for p in around if p.start < edge][::-1] if n > 0 else
                [p for p in around if p.start >= edge])[:abs(n)]
        for p in side:
            if not self._unsure(p, edge):
                return False
            p.start = edge if n > 0 else edge - self.interval
        return len(side) == abs(n)

    def intervals(self):
        """{start ns: Expected}."""
        out = collections.defaultdict(Expected)

        def at(p):
            return out[p.start]

        for p in self.probes:
            e = at(p)
            e.n["sent"] += 1
            e.n["received" if p.ok else "lost"] += 1
            if not p.ok:
                e.n["lost_" + p.way] += 1
        for p in self.by_answer:
            e, r = at(p), p.answers[0]
            e.probes.append(p)
            e.n["fwd_remarked"] += p.copy.dscp_in != p.copy.dscp_out
            e.n["bwd_remarked"] += r.dscp_in != r.dscp_out
        self._order(at)
        self._copies(at)
        self._losses(at)
        self._variation(at)
        return dict(out)

    def runs(self, least=3):
        """Loss runs of at least so many packets, in order."""
        out, run, before = [], [], None
        for p in self.probes + [None]:
            if p is not None and not p.ok:
                run.append(p)
                continue
            if len(run) >= least:
                out.append(Run(run[0], run[-1], len(run), sum(q.way == "fwd" for q in run),
                               sum(q.way == "bwd" for q in run), before, p))
            run, before = [], p
        return out


# --- numbers ----------------------------------------------------------------------


def nearest_rank(values, percent):
    """RFC 2330 11.3; values sorted."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)]


def decode_hist(octets):
    """lib/stats/hist.h, version 1: (base ns, [(low, width, count)])."""
    at = 1
    assert octets[0] == 1

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            b = octets[at]
            at += 1
            v |= (b & 127) << shift
            shift += 7
            if b < 128:
                return v

    z = varint()
    base = (z >> 1) ^ -(z & 1)
    bucket, out = -1, []
    while at < len(octets):
        bucket += varint() + 1
        octave, sub = bucket >> 5, bucket & 31
        low, width = (bucket, 1) if octave < 2 else ((32 + sub) << (octave - 1), 1 << (octave - 1))
        out.append((low, width, varint()))
    return base, out


def hist_percentile(octets, percent):
    """(lowest, highest) ns that the histogram allows."""
    base, buckets = decode_hist(octets)
    rank = max(1, math.ceil(sum(c for _, _, c in buckets) * percent / 100))
    for low, width, count in buckets:
        rank -= count
        if rank <= 0:
            return base + low, base + low + width - 1
    raise AssertionError("an empty histogram")
