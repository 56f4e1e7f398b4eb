/* SPDX-License-Identifier: BSD-2-Clause */
#include "meshd/status.h"

#include "meshd/node.h"

#include <inttypes.h>
#include <string.h>

static void
print_number(FILE *out, const char *name, uint64_t v)
{
	(void)fprintf(out, "%s %" PRIu64 "\n", name, v);
}

static void
print_identity(const struct node *n, FILE *out)
{
	(void)fprintf(out, "name %s\nfingerprint %s\n", n->config->name,
	              n->fingerprint);
	print_number(out, "node_id", n->self_id);
	print_number(out, "epoch", n->roster.epoch);
	(void)fprintf(out, "roster %s\n",
	              n->roster.epoch == 0 ? "none"
	              : n->cached          ? "cached"
	                                   : "current");
	print_number(out, "nodes", n->roster.node_n);
	print_number(out, "classes", n->roster.class_n);
	(void)fprintf(out, "reflector %s\n",
	              n->reflector.path[0] == '\0' ? "not configured"
	              : n->reflector.alive         ? "answers"
	                                           : "silent");
	print_number(out, "reflector_rx_drops", n->reflector.rx_drops);
	print_number(out, "reflector_host_limited",
	             n->reflector.host_limited_n);
}

static void
print_controllers(const struct node *n, FILE *out)
{
	for (size_t i = 0; i < n->config->controller_n; i++) {
		const struct link *l = n->link[i];

		(void)fprintf(out, "controller.%s %s%s%s%s\n", link_title(l),
		              link_state_str(link_state_of(l)),
		              l == n->active ? ", active" : "",
		              link_refusal(l)[0] ? ": " : "", link_refusal(l));
	}
}

/* "-" before the first send. */
static void
print_late(FILE *out, const char *name, const uint64_t *late, double pct)
{
	const int64_t ns = lateness_percentile(late, pct);

	if (ns < 0)
		(void)fprintf(out, "%s -\n", name);
	else
		(void)fprintf(out, "%s %.1f\n", name, (double)ns / 1e3);
}

static void
print_prober(const struct node *n, FILE *out)
{
	const struct prober_stats *p = prober_stats(n->prober);
	uint64_t late[LATENESS_BUCKETS];

	lateness_read(&p->lateness, late);
	print_number(out, "sessions", p->sessions);
	print_number(out, "packets_sent", p->sent);
	print_number(out, "packets_send_failed", p->send_failed);
	print_number(out, "packets_received", p->received);
	print_number(out, "packets_late", p->late);
	print_number(out, "packets_unknown", p->unknown);
	print_number(out, "packets_altered", p->altered);
	print_number(out, "local_drops", p->local_drops);
	print_number(out, "tx_stamps", p->tx_stamps);
	print_late(out, "send_late_p50_us", late, 50);
	print_late(out, "send_late_p99_us", late, 99);
	print_number(out, "clock_synchronised", p->clock_synchronised);
}

static void
print_shipping(const struct node *n, FILE *out)
{
	const struct shipper_stats *s = shipper_stats(n->shipper);
	const struct spool_counts *c = spool_counts(n->spool);

	print_number(out, "results", s->results);
	print_number(out, "results_waiting", s->waiting);
	print_number(out, "results_lost", s->lost_rows + c->given_up_rows);
	print_number(out, "loss_runs", s->runs);
	print_number(out, "revisions", s->revisions);
	print_number(out, "loss_runs_lost", s->lost_news);
	print_number(out, "batches_sealed", s->sealed);
	print_number(out, "batches_sent", s->sent);
	print_number(out, "batches_resent", s->resent);
	print_number(out, "batches_stored", s->acked);
	print_number(out, "batches_duplicate", s->duplicates);
	print_number(out, "batches_put_aside", s->put_aside);
	print_number(out, "batches_in_flight", s->in_flight);
	print_number(out, "spool_next_seq", spool_next_seq(n->spool));
	print_number(out, "spool_batches", c->batches);
	print_number(out, "spool_bytes", c->bytes);
	print_number(out, "spool_kept_batches", c->kept_batches);
	print_number(out, "spool_kept_bytes", c->kept_bytes);
}

void
status_answer(void *node, int argc, char **argv, uid_t uid, gid_t gid,
              FILE *out)
{
	const struct node *n = node;

	(void)uid;
	(void)gid; /* who may ask is the socket file's mode */
	if (argc != 1 || strcmp(argv[0], "status") != 0) {
		(void)fputs("error expected: status\n", out);
		return;
	}
	print_identity(n, out);
	print_controllers(n, out);
	print_prober(n, out);
	print_shipping(n, out);
}
