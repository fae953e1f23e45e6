/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - reading everything a data directory holds and saying what is wrong.
 *
 * The database is open (read-only will do).  report is called with one line for
 * each collection, and one for each thing that is damaged, naming the file.
 * Returns 0 when all is well, -ERR_DAMAGED when something is damaged, other
 * errors when it could not look.  deep also reads each file's SHA-256.
 */
#ifndef ENGINE_CHECK_H
#define ENGINE_CHECK_H

#include <stdbool.h>

struct db;
struct err;

int db_check(struct db *db, bool deep,
	     void (*report)(void *arg, const char *line), void *arg,
	     struct err *err);

#endif
