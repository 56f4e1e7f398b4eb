/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The documents of loss runs, read as doc.h reads the others: checked, and
 * text borrowed from the JSON document. docs/API.md says what the fields mean.
 */
#ifndef TWMESH_TOOLS_DOC_RUNS_H
#define TWMESH_TOOLS_DOC_RUNS_H

#include "tools/doc.h"

#define RUN_ID_CHARS 16

struct doc_run {
	const char *run, *src, *dst, *class_, *state;
	const char *first_at, *last_at; /* "" when not known */
	const char *src_address, *dst_address;
	/* NAN: not known */
	double lower_ms, upper_ms, resolution_ms;
	double lost, lost_fwd, lost_bwd, lost_undet;
	double first_seq, last_seq, src_port, dst_port, packets;
	bool reflector_restart, host_limited, dst_host_limited;
};

struct doc_outages {
	const char *since;
	bool more;           /* the limit cut the list */
	struct doc_run *run; /* owned */
	size_t run_n;
};
/* False with the reason in err (DOC_ERR_MAX); then nothing is owned. */
bool doc_outages_read(json_t *root, struct doc_outages *out, char *err);
void doc_outages_clear(struct doc_outages *d);

struct doc_packet {
	const char *fate, *t1, *t2, *t3, *t4; /* "" when not known */
	double seq, flow, reflector_seq, sender_ttl, ttl, tos; /* NAN */
};

struct doc_evidence {
	struct doc_run run;
	struct doc_packet *packet; /* owned */
	size_t packet_n;
};
bool doc_evidence_read(json_t *root, struct doc_evidence *out, char *err);
void doc_evidence_clear(struct doc_evidence *d);

/* 16 lower-case hexadecimal digits. */
bool run_id_is_valid(const char *s);

#endif
