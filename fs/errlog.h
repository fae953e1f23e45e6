/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errlog.h - errors.jsonl: the last refused operations.
 *
 * owners   Lines are copied in and out.
 * threads  Any.
 */
#ifndef FS_ERRLOG_H
#define FS_ERRLOG_H

#include "engine/base/lock.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define ERRLOG_LINES 1000

struct errline {
	char *text; /* with its newline */
	uint32_t n;
	uint32_t uid;
};

struct errlog {
	struct mutex lock;
	struct errline lines[ERRLOG_LINES];
	uint64_t next; /* lines ever written */
};

struct refusal {
	const char *op, *path;
	uint32_t uid;
	int errnum;
	const struct err *err;
};

void errlog_init(struct errlog *l);
void errlog_done(struct errlog *l);
void errlog_add(struct errlog *l, const struct refusal *r);
/* What this user may see: his own lines; root all. */
int errlog_print(struct errlog *l, uint32_t uid, struct buf *ret);

#endif
