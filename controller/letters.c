/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/letters.h"

#include "lib/svc/meshfile.h"

#include <stdlib.h>
#include <string.h>

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
	case ASK_APPLY:
		meshfile_free(a->u.apply.file);
		break;
	case ASK_HEARTBEAT:
	case ASK_BYE:
	case ASK_PENDING:
	case ASK_JOIN:
	case ASK_TOKEN_CREATE:
	case ASK_TOKEN_REVOKE:
	case ASK_APPROVE:
	case ASK_REMOVE:
	case ASK_MAINTENANCE:
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
		free(t->u.roster.token);
	}
	if (t->kind == TELL_ADMIN)
		explicit_bzero(t->u.admin.secret, sizeof(t->u.admin.secret));
	free(t);
}
