/* SPDX-License-Identifier: Apache-2.0 */
/*
 * database.h - a data directory: the collections, their names, and the one log
 * they share.
 *
 * A change goes to the log first, then to memory, later to segments.  Opening
 * reads the catalog and the manifests, then replays the log behind them.  A log
 * damaged in the middle opens read-only up to the damage (db_status says what
 * is lost); a damaged collection is refused by name and the rest is served.
 *
 * shapes   Names: a collection is 1..200 bytes of UTF-8 (INTERFACE section 1);
 *          an alias is a bare name with such a target.
 * errors   ERR_LOCKED when another process serves the directory; ERR_VERSION;
 *          ERR_NAME, ERR_NAME_LONG, ERR_EXISTS, ERR_NOT_FOUND, ERR_NOT_EMPTY;
 *          ERR_READ_ONLY after damage or a failed fsync; ERR_NO_SPACE.
 * threads  Any, except db_close(), which must be last.
 * Every change returns when it is as durable as the sync policy promises.
 */
#ifndef ENGINE_DATABASE_H
#define ENGINE_DATABASE_H

#include "engine/config.h"
#include "engine/store/wal.h"

struct arena;
struct coll;
struct db;
struct err;

#define COLL_NAME_MAX 200

struct db_settings { /* from config.json, options and the environment */
	enum sync_policy sync;
	unsigned sync_interval_ms;
	uint64_t wal_file_bytes;
	unsigned wal_ahead;
	uint64_t memtable_bytes; /* of one shard, then it is flushed */
	unsigned workers;        /* background threads; 0: one per core */
	const char *wal_path;    /* NULL: DATA/log */
	const char *temp_path;   /* NULL: DATA/tmp */
};
void db_settings_defaults(struct db_settings *ret);

#define DB_CREATE    1u /* make the directory when it is not there */
#define DB_READ_ONLY 2u /* nothing is written: check, dump, search offline */

int db_open(const char *path, const struct db_settings *s, unsigned flags,
	    struct db **ret, struct err *err);
/* Flushes nothing: the log has it all.  Stops the jobs, syncs the log. */
void db_close(struct db *db);
/* Writes every memtable as segments and trims the log (clean unmount). */
int db_flush(struct db *db, struct err *err);
int db_sync(struct db *db, struct err *err); /* the log, to the disk */
void db_set_sync(struct db *db, enum sync_policy p, unsigned interval_ms);
int db_tmp_fd(struct db *db); /* directory for scratch files, borrowed */

struct db_status {
	lsn_t last; /* log position */
	lsn_t durable;
	lsn_t first; /* oldest in the log files */
	uint64_t wal_bytes;
	uint32_t n_collections;
	bool read_only;
	char warning[400];        /* "" or why it is read-only, what is lost */
	lsn_t lost_from, lost_to; /* damaged log; 0: none */
};
void db_status(struct db *db, struct db_status *ret);

/* --- the catalog ----------------------------------------------------- */

struct catalog_entry {
	const char *name;
	const char *target; /* alias: what it names; else NULL */
	uint32_t id;        /* collection; 0 for aliases */
	uint32_t mode;      /* permission bits */
	uint32_t uid, gid;
	int64_t mtime_us; /* of the last change of the entry */
};

int coll_name_check(const char *name, size_t n, struct err *err);

int db_coll_create(struct db *db, const char *name, uint32_t mode, uint32_t uid,
		   uint32_t gid, struct err *err);
int db_coll_remove(struct db *db, const char *name, struct err *err);
/* ERR_NOT_EMPTY while it has points */
int db_alias_create(struct db *db, const char *name, const char *target,
		    uint32_t uid, uint32_t gid, struct err *err);
int db_alias_remove(struct db *db, const char *name, struct err *err);

/* As rename(2) in collections/: a collection onto an empty collection replaces
 * it, an alias onto an alias too; a directory onto a link is ERR_NOT_DIR, a
 * link onto a directory ERR_IS_DIR. */
#define RENAME_FLAG_NOREPLACE 1u
#define RENAME_FLAG_EXCHANGE  2u
int db_rename(struct db *db, const char *from, const char *to, unsigned flags,
	      struct err *err);

/* In the arena, sorted by name. */
int db_catalog_list(struct db *db, struct arena *a, struct catalog_entry **ret,
		    uint32_t *ret_n, struct err *err);
int db_catalog_find(struct db *db, const char *name, struct arena *a,
		    struct catalog_entry *ret, struct err *err);
int db_catalog_find_id(struct db *db, uint32_t id, struct arena *a,
		       struct catalog_entry *ret, struct err *err);
int db_coll_set_owner(struct db *db, uint32_t id, uint32_t mode, uint32_t uid,
		      uint32_t gid, struct err *err);
int db_coll_set_mtime(struct db *db, uint32_t id, int64_t mtime_us,
		      struct err *err);

/* The collection, kept open until coll_close().  By name (aliases are followed
 * once) or number. */
int db_coll_open(struct db *db, const char *name, struct coll **ret,
		 struct err *err);
int db_coll_open_id(struct db *db, uint32_t id, struct coll **ret,
		    struct err *err);
void coll_close(struct coll *c); /* NULL is fine */

#endif
