/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbered migrations: sql/NNNN_name.sql, each in a transaction, recorded in
 * twmesh.schema_migration with its checksum.
 */
#ifndef TWMESH_CONTROLLER_MIGRATE_H
#define TWMESH_CONTROLLER_MIGRATE_H

#include <stdbool.h>

/* Applies what is missing; prints one line per migration to stdout. False with
 * one clear line in err (size bytes): cannot connect, a file missing or
 * changed, a statement failed (file and line), the database is newer. */
bool migrate(const char *database, const char *sql_dir, char *err,
             unsigned size);
/* At the daemon's start: is the database at exactly our version? */
bool migrate_check(const char *database, const char *sql_dir, char *err,
                   unsigned size);

#endif
