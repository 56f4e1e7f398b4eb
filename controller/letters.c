/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/letters.h"

#include <stdlib.h>

void
ask_free(struct ask *a)
{
	if (!a)
		return;
	switch (a->kind) {
	case ASK_HELLO:
		free(a->u.hello.hello.fact);
		break;
	case ASK_BATCH:
		free(a->u.batch.batch.body);
		break;
	case ASK_HEARTBEAT:
	case ASK_BYE:
	case ASK_PENDING:
	case ASK_APPROVE:
	case ASK_REMOVE:
	case ASK_STOP:
		break;
	}
	free(a);
}

void
tell_free(struct tell *t)
{
	if (!t)
		return;
	if (t->kind == TELL_ROSTER) {
		roster_clear(&t->u.roster.roster);
		free(t->u.roster.member);
	}
	free(t);
}
