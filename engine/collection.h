/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collection.h - one named set of points, and the only door into it.
 *
 * A put is durable once the log holds it, visible once the memtable holds it,
 * and cheap to search once a job has sealed it.  The order is always log,
 * memtable, segment: nothing a reader can see is missing from the log.  Each
 * shard has memtables, segments and a list of both (its view); a reader takes
 * the view and can then be disturbed by nobody.
 *
 * shapes   A vector is `size` floats, fixed by the configuration or by the
 *          first point.  A point has a number (no) that it keeps over
 *          overwrites and renames: the inode.
 * errors   ERR_DIM, ERR_EXISTS, ERR_NOT_FOUND, ERR_NOT_YET change nothing;
 *          ERR_DAMAGED when stored bytes fail their check; after ERR_IO the
 *          database is read-only until it is reopened.
 * owners   Arguments are borrowed for the call.  What comes back lives in the
 *          arena that was passed.
 * threads  Any.
 * locks    README.md, "Lock order".
 */
#ifndef ENGINE_COLLECTION_H
#define ENGINE_COLLECTION_H

#include "engine/config.h"
#include "engine/json/json_query.h"
#include "engine/types.h"

struct arena;
struct coll;
struct err;

uint32_t coll_id(const struct coll *c);

/* --- writing --------------------------------------------------------- */

enum put_mode { PUT_UPSERT, PUT_INSERT /* ERR_EXISTS */, PUT_UPDATE };

/* A number for a file that may become a point: see put_opts.no. */
uint64_t coll_take_no(struct coll *c);

struct put_opts {
	enum put_mode mode;
	uint64_t no; /* 0: the existing point's, or a new one; else the point
		      * gets this number, whatever it replaces */
};

/* What a put would refuse because of the point itself: dimension, size.  For
 * early answers; a put checks again. */
int coll_fits(struct coll *c, const struct point *p, struct err *err);

/* Adds the point or replaces the one with its id.  p->no, lsn and time_us are
 * filled in.  p->mtime_ns and uid are stored as given. */
int coll_put(struct coll *c, struct point *p, const struct put_opts *o,
	     struct err *err);

/* Many at once, upserts: one record, one sync.  Each gets its own rc in rcs[];
 * the return is non-zero only when nothing was done at all.  Later points win
 * over earlier ones with the same id. */
int coll_put_many(struct coll *c, struct point *p, uint32_t n, int *rcs,
		  struct err *errs, struct err *err);

int coll_delete(struct coll *c, const struct id_key *id, struct err *err);

/* Renames within and across collections, in one record.  to_id may equal id
 * (moving).  An existing target is replaced (ERR_EXISTS with NOREPLACE). */
int coll_move(struct coll *from, const struct id_key *id, struct coll *to,
	      const struct id_key *to_id, bool no_replace, struct err *err);
int coll_exchange(struct coll *a, const struct id_key *ida, struct coll *b,
		  const struct id_key *idb, struct err *err);

/* Sets mtime and owner of an existing point (logged). */
int coll_set_times(struct coll *c, const struct id_key *id, int64_t mtime_ns,
		   struct err *err);
int coll_set_uid(struct coll *c, const struct id_key *id, uint32_t uid,
		 struct err *err);

/* --- reading one point ----------------------------------------------- */

int coll_stat(struct coll *c, const struct id_key *id, struct point_stat *ret,
	      struct err *err);
int coll_stat_no(struct coll *c, uint64_t no, struct id_key *ret_id,
		 struct point_stat *ret, struct err *err);
int coll_get(struct coll *c, const struct id_key *id, struct arena *a,
	     struct point *ret, struct err *err);

/* One version of one point, kept readable whatever happens to the point. */
struct point_pin;
int coll_pin(struct coll *c, const struct id_key *id, struct point_pin **ret,
	     struct err *err);
int coll_pin_no(struct coll *c, uint64_t no, struct id_key *ret_id,
		struct point_pin **ret, struct err *err);
int point_pin_read(struct point_pin *p, struct arena *a, struct point *ret,
		   struct err *err);
void point_pin_stat(const struct point_pin *p, struct point_stat *ret);
void point_pin_free(struct point_pin *p); /* NULL is fine */

/* --- reading many ---------------------------------------------------- */

/* The points of one moment, in no promised order.  Positions count from 0 and
 * stay valid as long as the list. */
struct coll_list;
int coll_list_open(struct coll *c, struct coll_list **ret, struct err *err);
void coll_list_close(struct coll_list *l);
/* 1: the first point at or after *pos, *pos is set behind it; 0: the end.
 * st may be NULL. */
int coll_list_next(struct coll_list *l, uint64_t *pos, struct id_key *ret_id,
		   uint64_t *ret_no, struct point_stat *st, struct err *err);

int coll_search(struct coll *c, const struct query *q, struct arena *a,
		struct hits *ret, struct err *err);
/* ret_next->n == 0: no more. */
int coll_scroll(struct coll *c, const struct scroll_request *r, struct arena *a,
		struct hits *ret, struct id_key *ret_next, struct err *err);
int coll_count(struct coll *c, const struct filter *f, uint64_t *ret,
	       struct err *err);

/* --- configuration and state ----------------------------------------- */

int coll_config(struct coll *c, struct arena *a, struct coll_config *ret,
		struct err *err);
/* Merges a body as PATCH does; logged.  ERR_CONFIG when it would change the
 * size while there are points. */
int coll_set_config(struct coll *c, const void *text, size_t n,
		    struct err *err);

struct coll_status {
	uint64_t points;
	uint64_t vectors;
	uint64_t indexed_vectors; /* under a graph */
	uint32_t segments;
	uint32_t shards;
	uint64_t deleted_rows;  /* not yet rewritten */
	uint64_t disk_bytes;    /* segment files */
	uint64_t memory_points; /* in memtables */
	lsn_t flushed;          /* everything up to here is in segments */
	bool busy;              /* flush, compaction or indexing is pending:
				 * Qdrant's yellow */
	char error[400];        /* "" or why something is refused: red */
};
void coll_status(struct coll *c, struct coll_status *ret);

/* Waits until nothing is pending: flushed, merged, indexed.  For tests, bench
 * and `import --wait`. */
int coll_settle(struct coll *c, struct err *err);

#endif
