/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memtable.h - the points of one shard that no segment holds yet.
 *
 * Entries are only ever added: an overwrite or a delete adds one and notes in
 * the older one when it died.  So a reader that remembers how far the shard's
 * clock (seq) was sees one moment, without a lock, whatever is written
 * meanwhile; and sealing the table is walking it once.
 *
 * A row of an older segment that a change hides is listed in kills: the
 * segment's saved deletions follow when this table is sealed, not before, so
 * that what is on disk is always one position of the log.
 *
 * shapes   Entry i is mem_entry(m, i), 0 <= i < mem_count(m).
 * owners   The table owns its entries and their points.
 * threads  Adding and finding: under the shard's lock (write, read).  Walking
 *          entries: any thread, any time; died is read atomically.
 */
#ifndef ENGINE_STORE_MEMTABLE_H
#define ENGINE_STORE_MEMTABLE_H

#include "engine/types.h"

struct err;
struct mem;

struct mem_entry {
	struct point point;    /* its slices follow the struct in memory */
	float norm;            /* length of the vector, for cosine */
	bool deleted;          /* a tombstone: only point.id counts */
	uint64_t born;         /* shard's clock when it became visible */
	_Atomic uint64_t died; /* ... when it was hidden; 0: it is alive */
	struct mem *killer;    /* the table whose entry hid it */
};

struct mem_kill { /* a segment's row hidden by an entry of this table */
	uint64_t seg;
	uint32_t row;
};

/* Copies the point; with deleted only the id.  To be added by mem_add, or freed
 * by mem_entry_free if the log refused it. */
int mem_entry_new(const struct point *p, bool deleted, struct mem_entry **ret,
		  struct err *err);
void mem_entry_free(struct mem_entry *e);

int mem_new(struct mem **ret, struct err *err);
struct mem *mem_ref(struct mem *m);
void mem_unref(struct mem *m); /* NULL is fine */

/* Makes room for n more entries and kills, so that mem_add and mem_kill_row
 * cannot fail.  Under the write lock, as those. */
int mem_reserve(struct mem *m, uint32_t n, struct err *err);
void mem_release(struct mem *m, uint32_t n); /* the log refused them */
void mem_add(struct mem *m, struct mem_entry *e_take);
void mem_kill_row(struct mem *m, uint64_t seg, uint32_t row);

uint32_t mem_count(const struct mem *m);
struct mem_entry *mem_entry(const struct mem *m, uint32_t i);
uint64_t mem_bytes(const struct mem *m);

/* The newest entry with this id, dead or alive, tombstones too; NULL: none. */
struct mem_entry *mem_find_id(const struct mem *m, const void *key, size_t n);
/* The newest entry with a point of this number; NULL: none. */
struct mem_entry *mem_find_no(const struct mem *m, uint64_t no);

struct mem_kill *mem_kills(struct mem *m, uint32_t *ret_n);
/* As mem_kill_row, but allocates: for a sealing that moves rows. */
int mem_kill_late(struct mem *m, uint64_t seg, uint32_t row, struct err *err);

static inline bool
mem_entry_alive(const struct mem_entry *e)
{
	return !e->deleted && __atomic_load_n((const uint64_t *)&e->died,
					      __ATOMIC_ACQUIRE) == 0;
}

static inline bool
mem_entry_alive_at(const struct mem_entry *e, uint64_t seq)
{
	uint64_t died =
		__atomic_load_n((const uint64_t *)&e->died, __ATOMIC_ACQUIRE);

	return !e->deleted && e->born <= seq && (died == 0 || died > seq);
}

#endif
