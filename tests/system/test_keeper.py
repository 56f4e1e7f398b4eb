# SPDX-License-Identifier: BSD-2-Clause
"""Two controllers, one keeps house. It is stopped while it does, the other
takes over, the first wakes up: nothing is done twice, and it says so."""

import signal

import meshlib

LEASE_S = 3
LEASE = f'lease_time = "{LEASE_S}s"\n'
KEEPS = r"keeper: this controller keeps house"
LOST = r"keeper: the lease is lost"
# 100 closed buckets of two paths, as a writer would have stored them.
STORED = """
    WITH r AS (
        INSERT INTO twmesh.result (ts, src_id, dst_id, class_id, epoch, interval_ms, scheduled, sent, send_failed,
               received, lost, lost_fwd, lost_bwd, lost_undet, late, duplicates, local_drops, span_ms, flags,
               rtt_mean_ms)
        SELECT date_trunc('hour', now()) - interval '10 hours' + i * interval '10 s', s, 3 - s, 1, 1, 10000, 100, 100,
               0, 100 - i %% 7, i %% 7, i %% 7, 0, 0, 0, 0, 0, 10000, 1 << (i %% 5), 10 + i %% 11
          FROM generate_series(0, 2999) i, generate_series(1, 2) s RETURNING ts, src_id)
    INSERT INTO twmesh_private.stored
    SELECT date_bin('5 minutes', ts, 'epoch'), src_id, count(*), 0 FROM r GROUP BY 1, 2"""
FRESH = """SELECT count(*) FROM twmesh_private.bucket
            WHERE step_s = 300 AND rows = rolled_rows AND ts < now() - interval '1 hour'"""
# Paths and times whose rollup is not what their raw rows give.
WRONG = """
    SELECT count(*) FROM (
        SELECT date_bin(%s, ts, 'epoch') AS ts, src_id, dst_id, class_id, count(*) AS intervals, sum(sent) AS sent,
               sum(lost) AS lost, bit_or(flags) AS flags,
               sum(rtt_mean_ms * received) / sum(received) AS rtt
          FROM twmesh.result WHERE ts < date_trunc('hour', now()) - interval '1 hour' GROUP BY 1, 2, 3, 4) r
      FULL JOIN (SELECT * FROM twmesh.{} WHERE ts < date_trunc('hour', now()) - interval '1 hour') m
           USING (ts, src_id, dst_id, class_id)
     WHERE (m.intervals, m.sent, m.lost, m.flags, abs(m.rtt_mean_ms - r.rtt) < 1e-4)
           IS DISTINCT FROM (r.intervals, r.sent, r.lost, r.flags, true)"""


def holder(mesh):
    return mesh.sql("SELECT c.pid, l.fence FROM twmesh_private.lease l JOIN twmesh_private.controller c "
                    "ON c.instance_id = l.holder WHERE l.expires_at > now()")


def test_a_keeper_that_sleeps_loses_the_lease():
    with meshlib.Mesh(("ams1", "fra1"), conf=LEASE) as mesh:
        second = meshlib.Controller(mesh, "c2", 253).start()
        mesh.controller.wait_log(KEEPS)
        mesh.wait_full()
        old = holder(mesh)[0]
        assert old[0] == mesh.controller.pid
        mesh.sql(STORED, ())
        meshlib.wait_until("it is at work", lambda: mesh.sql(FRESH)[0][0] > 0, 10, every=0.001)
        mesh.controller.send(signal.SIGSTOP)
        done = mesh.sql(FRESH)[0][0]
        try:
            second.daemon.wait_log(KEEPS, 2 * LEASE_S + 5)
            new = meshlib.wait_until("the other holds it", lambda: holder(mesh), 5)[0]
            assert new == (second.daemon.pid, old[1] + 1)
            meshlib.wait_until("the other has done the rest", lambda: mesh.sql(FRESH) == [(200,)], 20)
        finally:
            mesh.controller.send(signal.SIGCONT)
        mesh.controller.wait_log(LOST, 20)
        assert second.daemon.text().count("keeps house") == 1
        # It stops on purpose: the first need not wait.
        second.daemon.stop()
        meshlib.wait_until("the first has it again", lambda: holder(mesh) == [(mesh.controller.pid, old[1] + 2)],
                           LEASE_S + 5)
        assert done < 200, "stopped when there was nothing left to do: this shows nothing"
        meshlib.wait_until("hours are done", lambda: mesh.sql(
            "SELECT count(*) FROM twmesh_private.bucket WHERE step_s = 3600 AND rows <> rolled_rows "
            "AND ts < date_trunc('hour', now()) - interval '1 hour'") == [(0,)], 10)
        for step, table in (("5 minutes", "rollup_5min"), ("1 hour", "rollup_1h")):
            assert mesh.sql(WRONG.format(table), (step,)) == [(0,)]
            assert mesh.sql(f"SELECT count(*) > 15 FROM twmesh.{table}") == [(True,)]
