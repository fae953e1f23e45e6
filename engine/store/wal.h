/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal.h - the one log of a database: what is acknowledged is here.
 *
 * A record has a number, the log position (lsn): 1, 2, 3, ... without gaps.
 * Records stand in files named by the position of their first record,
 * pre-allocated and checksummed (wal_format.h).  Appending orders records;
 * committing makes them last.  Many committers share one fdatasync: the first
 * writes and syncs for all that have appended by then (group commit).
 *
 * policy   SYNC_CLOSE: wal_commit() returns after fdatasync.  SYNC_FSYNC: it
 *          returns after write(); wal_sync() syncs.  SYNC_INTERVAL: as FSYNC,
 *          and a thread syncs every interval_ms.  In all three a committed
 *          record survives kill -9 of the process.
 * damage   Each record tells the position up to which the log was known to be
 *          synced when it was written.  A hole in front of a record that says
 *          the hole was synced is damage; a hole without such a witness is the
 *          torn end of a crash and is cut off.
 * failure  After a failed write or fdatasync nothing is appended or committed
 *          any more: ERR_READ_ONLY until the log is opened again.
 *          ERR_NO_SPACE comes from wal_append() only, before a position is
 *          given, so that nothing is half done; one spare file is kept, which
 *          only WAL_RESERVE appends (deletes) may use when the disk is full.
 * threads  wal_append: the caller's order lock is held.  The rest: any.
 */
#ifndef ENGINE_STORE_WAL_H
#define ENGINE_STORE_WAL_H

#include "engine/base/buf.h"
#include "engine/types.h"

struct err;
struct wal;

enum sync_policy { SYNC_CLOSE, SYNC_FSYNC, SYNC_INTERVAL };

struct wal_opts {
	int dirfd; /* of the log's directory; kept by the caller until close */
	uint64_t file_bytes; /* pre-allocated size of a file; a larger record
			      * gets a file of its own size */
	unsigned ahead;      /* files prepared before they are needed */
	enum sync_policy policy;
	unsigned interval_ms;
};

#define WAL_RECORD_MAX (256u << 20)
#define WAL_RESERVE    1u /* flag of wal_append */

/* Opens for appending after `last`, the position where reading ended with
 * WAL_END_CLEAN or WAL_END_TORN (see wal_reader_end); cuts off a torn end. */
struct wal_end;
int wal_open(const struct wal_opts *o, const struct wal_end *end,
	     struct wal **ret, struct err *err);
void wal_close(struct wal *w); /* commits and syncs what was appended */

/* Gives the record its position.  Not yet durable.  kind and version are the
 * body's; n_parts slices are the body in order. */
int wal_append(struct wal *w, uint8_t kind, uint8_t version,
	       const struct slice *parts, unsigned n_parts, unsigned flags,
	       lsn_t *ret_lsn, int64_t *ret_time_us, struct err *err);

/* Waits until everything up to lsn is as durable as the policy says. */
int wal_commit(struct wal *w, lsn_t lsn, struct err *err);

/* Waits until everything up to lsn is on disk, whatever the policy. */
int wal_sync(struct wal *w, lsn_t lsn, struct err *err);

lsn_t wal_last(struct wal *w);     /* last position given */
lsn_t wal_durable(struct wal *w);  /* known to be on disk */
int wal_failed(struct wal *w);     /* 0, or the code that stopped it */
uint64_t wal_bytes(struct wal *w); /* on disk, all files */
void wal_set_policy(struct wal *w, enum sync_policy p, unsigned interval_ms);

/* Removes files whose every record is before keep. */
int wal_trim(struct wal *w, lsn_t keep, struct err *err);
/* First position still in the log's files. */
lsn_t wal_first(struct wal *w);

/* --- reading --------------------------------------------------------- */

struct wal_record {
	lsn_t lsn;
	int64_t time_us; /* wall clock; for history, never for order */
	uint8_t kind;
	uint8_t version;
	struct slice body; /* until the next call */
};

enum wal_end_kind {
	WAL_END_CLEAN,  /* zeros, or the end of the last file */
	WAL_END_TORN,   /* an unfinished write that nobody was promised */
	WAL_END_DAMAGED /* promised records are lost: lost_from..lost_to */
};

struct wal_end {
	enum wal_end_kind kind;
	lsn_t last;               /* last good record; 0: none */
	lsn_t lost_from, lost_to; /* DAMAGED */
	char file[32]; /* where the end was found; "" for an empty log */
	uint64_t offset;
};

struct wal_reader;

/* Reads from the first record at or after `from`.  A missing first file
 * (from is older than the log) is ERR_NOT_FOUND. */
int wal_reader_open(int dirfd, lsn_t from, struct wal_reader **ret,
		    struct err *err);
/* 1: a record; 0: the end, told by wal_reader_end; or -ERR_*. */
int wal_reader_next(struct wal_reader *r, struct wal_record *ret,
		    struct err *err);
void wal_reader_end(const struct wal_reader *r, struct wal_end *ret);
void wal_reader_close(struct wal_reader *r);

/* Names of log files sort by position: %016x.log */
bool wal_file_name(const char *name, lsn_t *ret_first);

#endif
