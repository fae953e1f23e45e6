/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_db.h - the text of an import into a DATA that nobody serves, in
 * process; what .import is in a mount.
 */
#ifndef TOOLS_IMPORT_DB_H
#define TOOLS_IMPORT_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct import_db;

/* What is told of a refused point: its line in the file and why. */
typedef void import_refused(void *arg, uint64_t line, const char *why);

int import_db_open(const char *data, const char *name, struct import_db **ret,
		   struct err *err);
/* A new file: lines count from 1 again. */
void import_db_file(struct import_db *im, import_refused *refused, void *arg);
int import_db_write(struct import_db *im, const void *p, size_t n,
		    struct err *err);
/* The end of the file: what was accepted and refused in it. */
int import_db_end(struct import_db *im, uint64_t *ret_accepted,
		  uint64_t *ret_refused, struct err *err);
void import_db_close(struct import_db *im);

#endif
