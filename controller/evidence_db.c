/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/evidence_db.h"

#include <stdio.h>

#define KEY_COLS 4
#define EVIDENCE_COLS 11 /* arrays, after the key */

bool
evidence_db_attach(struct pgc *db, struct pgc_err *err)
{
	return pgc_prepare(
	    db, "runs_evidence",
	    "INSERT INTO twmesh_private.loss_run_evidence AS e "
	    "(src_id, dst_id, class_id, run_id, seq, reflector_seq, "
	    "t1_ns, t2_ns, t3_ns, t4_ns, flow, fate, sender_ttl, ttl, "
	    "tos) VALUES ($1::integer, $2::integer, $3::integer, "
	    "$4::bigint, $5::bigint[], $6::bigint[], $7::bigint[], "
	    "$8::bigint[], $9::bigint[], $10::bigint[], "
	    "$11::smallint[], $12::smallint[], $13::smallint[], "
	    "$14::smallint[], $15::smallint[]) ON CONFLICT DO NOTHING",
	    err);
}

static void
put_stamp(struct pgbuf *b, struct wall t)
{
	if (t.ns == NS_UNKNOWN)
		pgbuf_null(b);
	else
		pgbuf_i8(b, t.ns);
}

static void
put_octet(struct pgbuf *b, int16_t v)
{
	if (v < 0)
		pgbuf_null(b);
	else
		pgbuf_i2(b, v);
}

static void
put_packet(struct pgbuf *b, const struct loss_run_packet *p, int col)
{
	switch (col) {
	case 0:
		pgbuf_i8(b, p->seq);
		break;
	case 1:
		if (p->t2.ns == NS_UNKNOWN)
			pgbuf_null(b);
		else
			pgbuf_i8(b, p->reflector_seq);
		break;
	case 2:
		put_stamp(b, p->t1);
		break;
	case 3:
		put_stamp(b, p->t2);
		break;
	case 4:
		put_stamp(b, p->t3);
		break;
	case 5:
		put_stamp(b, p->t4);
		break;
	case 6:
		pgbuf_i2(b, (int16_t)p->flow);
		break;
	case 7:
		pgbuf_i2(b, (int16_t)p->fate);
		break;
	case 8:
		put_octet(b, p->sender_ttl);
		break;
	case 9:
		put_octet(b, p->ttl);
		break;
	default:
		put_octet(b, p->tos);
	}
}

bool
evidence_db_put(struct pgc *db, struct pgbuf *b, uint32_t src_id,
                const struct loss_run *run, struct pgc_err *err)
{
	struct pgc_param p[KEY_COLS + EVIDENCE_COLS];
	size_t at[EVIDENCE_COLS + 1];
	uint8_t key[3][4], id[8];

	pg_store32(key[0], src_id);
	pg_store32(key[1], run->dst_id);
	pg_store32(key[2], run->class_id);
	pg_store64(id, run->run_id);
	for (int i = 0; i < 3; i++)
		p[i] = (struct pgc_param){key[i], 4, 0, true};
	p[3] = (struct pgc_param){id, 8, 0, true};
	b->len = 0;
	for (int c = 0; c < EVIDENCE_COLS; c++) {
		at[c] = b->len;
		pgbuf_array(b, c < 6 ? PG_OID_INT8 : PG_OID_INT2,
		            run->packet_n);
		for (size_t i = 0; i < run->packet_n; i++)
			put_packet(b, &run->packet[i], c);
	}
	at[EVIDENCE_COLS] = b->len;
	if (b->failed) {
		pgbuf_clear(b);
		(void)snprintf(err->text, sizeof(err->text), "out of memory");
		return false;
	}
	for (int c = 0; c < EVIDENCE_COLS; c++)
		p[KEY_COLS + c] = (struct pgc_param){
		    b->p + at[c], at[c + 1] - at[c], 0, true};
	return pgc_pipe_run(db, "runs_evidence", KEY_COLS + EVIDENCE_COLS, p,
	                    err);
}
