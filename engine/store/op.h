/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.h - what a log record says: a list of changes that happen together.
 *
 * A record of kind WAL_KIND_OPS is a run of operations (op_format in
 * FORMAT.md), each complete in itself: a put carries the whole point, a delete
 * names the id, a catalog change carries the whole new entry.  Nothing in it
 * depends on what was there before, so that replaying is deterministic.
 *
 * owners   Decoded slices point into the record's body.
 * errors   op_next(): ERR_DAMAGED, with the offset in the body.
 */
#ifndef ENGINE_STORE_OP_H
#define ENGINE_STORE_OP_H

#include "engine/types.h"

struct err;

#define WAL_KIND_OPS    1
#define WAL_OPS_VERSION 1

enum op_kind { /* reach the disk; a value is never used twice */
	       OP_PUT = 1,
	       OP_DELETE = 2,
	       OP_COLL_CREATE =
		       3, /* number and configuration; name by ENTRY_SET */
	       OP_COLL_DROP = 4,
	       OP_COLL_CONFIG = 5,
	       OP_ENTRY_SET = 6,
	       OP_ENTRY_DROP = 7,
};

struct op_entry { /* one name in collections/ */
	struct slice name;
	struct slice target; /* alias; n == 0: a collection */
	uint32_t coll;
	uint32_t mode, uid, gid;
	int64_t mtime_us;
};

struct op {
	enum op_kind kind;
	uint32_t coll;
	struct point point;    /* PUT; lsn and time_us are the record's */
	struct id_key id;      /* DELETE */
	struct slice config;   /* COLL_CREATE, COLL_CONFIG: JSON text */
	bool implied;          /* the configuration comes from a point */
	struct op_entry entry; /* ENTRY_*; DROP: name only */
};

/* Appends everything but the text and the vector, which follow as they are:
 * a put is op_put_head(), then doc.text, then the vector. */
int op_put_head(struct buf *b, uint32_t coll, const struct point *p);
int op_encode_delete(struct buf *b, uint32_t coll, const struct id_key *id);
int op_encode_coll(struct buf *b, enum op_kind kind, uint32_t coll,
		   struct slice config, bool implied);
int op_encode_entry(struct buf *b, enum op_kind kind, const struct op_entry *e);

/* 1: *ret is the next operation; 0: the end. */
int op_next(struct reader *r, struct op *ret, struct err *err);

#endif
