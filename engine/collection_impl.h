/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collection_impl.h - what is behind the door of a collection; included inside
 * engine/ only.  README.md explains the rules that the comments cite.
 */
#ifndef ENGINE_COLLECTION_IMPL_H
#define ENGINE_COLLECTION_IMPL_H

#include "engine/base/arena.h"
#include "engine/base/lock.h"
#include "engine/base/sched.h"
#include "engine/collection.h"
#include "engine/database.h"
#include "engine/store/manifest.h"
#include "engine/store/memtable.h"
#include "engine/store/seg.h"

#define STRIPES_NR 256u

/* What a reader sees of a shard; never changed, only replaced (rule 4). */
struct view {
	_Atomic int refs;
	uint32_t n_mems; /* newest first; mems[0] takes the writes */
	uint32_t n_segs; /* newest first */
	struct mem **mems;
	struct seg **segs;
};

/* A segment with what the manifest says of it; under coll->manifest. */
struct seg_state {
	struct seg *seg;      /* NULL: it could not be opened (lost) */
	struct seg_desc desc; /* as in the manifest */
	uint64_t *saved;      /* rows deleted as of the manifest; NULL: none */
};

struct shard {
	struct coll *coll;
	uint32_t nr;

	/* ---- coll->manifest ---- */
	uint64_t next_seg;
	uint32_t n_segs; /* oldest first */
	struct seg_state *segs;
	bool lost; /* a segment could not be opened: no writes */

	/* ---- lock ---- */
	struct rwlock lock;
	struct view *view;
	uint64_t seq; /* clock of what is visible (memtable.h) */
	_Atomic uint64_t live;
};

/* Memtables of all shards that are sealed together (rule 5). */
struct gen {
	struct gen *next;         /* frozen ones, oldest first */
	lsn_t first;              /* of the first change in it; 0: none yet */
	lsn_t upto;               /* frozen: no change after this is in it */
	_Atomic uint32_t writers; /* between their log record and memory */
	struct mem *mems[];       /* one a shard */
};

struct coll {
	struct db *db;
	uint32_t id;
	_Atomic int refs;
	_Atomic bool
		dropped; /* removed: its directory goes with the last ref */
	bool unreadable; /* its manifest is damaged: nothing of it is served */
	_Atomic bool remade; /* another struct bears the number now */
	int dirfd;
	uint32_t n_shards;
	struct shard *shards;
	_Atomic uint64_t next_no;

	/* ---- config ---- */
	struct mutex config_lock;  /* one change at a time */
	struct rwlock config_read; /* the struct below */
	struct coll_config config;
	struct arena config_arena;
	char *config_text;         /* as logged */
	_Atomic uint32_t size;     /* of config, read without the lock: it is */
	_Atomic uint32_t distance; /* fixed while there are points */
	_Atomic bool implied;
	_Atomic uint32_t backlog; /* how often the largest memtable is full */

	struct mutex stripes[STRIPES_NR];

	/* ---- db->order ---- */
	_Atomic(struct gen *) gen; /* takes the writes */
	struct gen *frozen;        /* oldest first */
	_Atomic uint32_t n_frozen;
	struct mutex frozen_lock; /* writers wait until the backlog falls */
	struct cond frozen_fell;

	/* ---- manifest ---- */
	struct mutex sealing; /* before manifest: who freezes and seals */
	struct mutex manifest;
	lsn_t flushed;
	_Atomic lsn_t saved; /* of a manifest that is on disk; 0: none */

	/* ---- jobs ---- */
	struct mutex job_lock; /* LEAF */
	struct cond job_idle;
	struct job flush_job;
	struct job tend_job;
	bool flush_queued;
	bool tend_queued;
	_Atomic bool tend_failed; /* not tried again before the next flush */
	char error[400];
};

/* --- shard.c --------------------------------------------------------- */

struct place {                   /* where the live version of a point is */
	struct mem_entry *entry; /* in a memtable, or */
	struct seg *seg;         /* in a segment; both NULL: nowhere */
	uint32_t row;
};

int shard_init(struct shard *s, struct coll *c, uint32_t nr, struct mem *mem,
	       struct err *err);
void shard_done(struct shard *s);

struct view *view_get(struct shard *s); /* a reference of the current one */
void view_put(struct view *v);          /* NULL is fine */

/* The live version in this view.  ERR_NOT_FOUND; ERR_DAMAGED. */
int view_find_id(struct view *v, const struct id_key *id, struct place *ret,
		 struct err *err);
int view_find_no(struct view *v, uint64_t no, struct place *ret,
		 struct err *err);
int place_stat(const struct place *p, struct point_stat *ret, struct err *err);
/* The whole point; everything copied into the arena. */
int place_read(const struct place *p, bool want_doc, bool want_vec,
	       struct arena *a, struct point *ret, struct err *err);
int place_id(const struct place *p, struct id_key *ret, struct err *err);

/* As view_find_id in the current view, telling a lost segment from absence. */
int shard_find(struct shard *s, const struct id_key *id, struct place *ret,
	       struct view **ret_view, struct err *err);

/* The lock is held for writing: e becomes visible, what it replaces is hidden.
 */
void shard_apply(struct shard *s, struct mem *m, struct mem_entry *e_take);

/* Replaces the view's memtables and segments; coll->manifest is held when segs
 * change.  fresh (may be NULL) is put in front of the memtables, gone (may be
 * NULL) is left out. */
int view_make(struct shard *s, struct mem *fresh, const struct mem *gone,
	      struct view **ret, struct err *err);
void shard_swap(struct shard *s, struct view *v_take); /* lock held: write */

/* --- collection.c ---------------------------------------------------- */

int coll_new(struct db *db, uint32_t id, const char *config_text, bool implied,
	     lsn_t created, struct coll **ret, struct err *err);
/* Opens what the manifest names; a lost segment is noted, not an error. */
int coll_load(struct coll *c, struct err *err);
struct coll *coll_ref(struct coll *c);
struct shard *coll_shard(struct coll *c, const struct id_key *id);
int coll_config_apply(struct coll *c, const char *text, size_t n, bool implied,
		      struct err *err);
void coll_note_error(struct coll *c, const char *text);
int coll_readable(struct coll *c, struct err *err); /* its manifest was */
uint64_t coll_live(struct coll *c);
void coll_see_no(struct coll *c, uint64_t no); /* next_no stays above it */
int coll_config_imply(struct coll *c, uint32_t size, struct err *err);
/* config_lock held: the first point fixes the size */
void coll_lock_all(struct coll *c); /* every stripe: no put is under way */
void coll_unlock_all(struct coll *c);
int gen_new(struct coll *c, struct gen **ret, struct err *err);
void gen_free(struct coll *c, struct gen *g); /* NULL is fine */

/* --- read.c: the points of one moment -------------------------------- */

/* A memtable up to where it was, or a segment with the deletions of then. */
struct source {
	struct mem *mem;
	uint32_t n;
	uint64_t seq;
	struct seg *seg;
	uint64_t *dead;
};

struct coll_list {
	uint32_t n_views;
	struct view **views;
	uint32_t n_sources;
	struct source *sources;
};

/* The first row or entry from i on that was there; so->n: none. */
uint32_t source_next(const struct source *so, uint32_t i);

/* --- flush.c, compact.c ---------------------------------------------- */

/* Freezes the memtables at the log's present position. */
int coll_freeze(struct coll *c, struct err *err);
/* Freezes and seals, now, on this thread. */
int coll_flush_now(struct coll *c, struct err *err);
void coll_flush_queue(struct coll *c);
void coll_flush_run(struct job *j);
void coll_tend_run(struct job *j); /* one step of merging or indexing */
void coll_job_done(struct job *j);
void coll_tend(struct coll *c); /* queue a step if one is due */
bool coll_tend_due(struct coll *c);
int coll_manifest_write(struct coll *c, lsn_t lsn, struct err *err);
/* manifest lock held; writes the shards' seg_states */
void seg_state_done(struct seg_state *st);
/* Removes the files that no seg_state names; manifest lock held. */
void coll_list_unlink(struct coll *c, const struct pages_list *l);

/* --- database_impl --------------------------------------------------- */

struct name_entry {
	char *name;
	char *target; /* NULL: a collection */
	uint32_t coll;
	uint32_t mode, uid, gid;
	int64_t mtime_us;
};

struct db {
	char *path;
	struct db_settings set;
	int dirfd, colls_fd, log_fd, tmp_fd, lock_fd;
	bool read_only; /* opened so, or the log is damaged */
	char warning[400];
	struct wal_end end;
	struct wal *wal; /* NULL when read_only */
	struct sched *sched;
	struct mutex order; /* LOCK_ORDER: positions are given one by one */

	struct mutex ddl; /* LOCK_CATALOG: one change of names at a time */
	/* ---- names ---- */
	struct rwlock names;
	struct name_entry *entries; /* sorted by name */
	uint32_t n_entries;
	struct coll **colls; /* by number; NULL: dropped */
	uint32_t n_colls;    /* length of colls */
	uint32_t next_coll;
	lsn_t catalog_lsn; /* last change of names; under ddl */
	lsn_t checkpoint;  /* in the catalog on disk; under ddl */

	_Atomic uint64_t tended_bytes; /* of the log, when db_tend last ran */
	struct job tend_job;
	_Atomic bool tend_queued;
};

int db_writable(struct db *db, struct err *err);
/* One record: gives it a position, waits until it lasts. */
int db_log(struct db *db, const struct slice *parts, unsigned n, lsn_t *ret_lsn,
	   int64_t *ret_time_us, struct err *err);
/* Saves the catalog and trims the log behind what every collection flushed. */
int db_checkpoint(struct db *db, struct err *err);
void db_tend(struct db *db); /* after appends: flush collections that lag */

/* The same change of names, from the log or from a call: names is held for
 * writing. */
int names_set(struct db *db, const struct op_entry *e, struct err *err);
void names_drop(struct db *db, struct slice name);
struct name_entry *names_find(struct db *db, const char *name, size_t n);
int names_add_coll(struct db *db, struct coll *c_take, struct err *err);

/* c's number gets a new, empty struct coll made from c's configuration. */
int db_coll_remake(struct db *db, struct coll *c, struct err *err);

/* recover.c */
int db_recover(struct db *db, struct err *err);

#endif
