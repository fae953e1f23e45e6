/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_impl.h - inside the log: wal.c, wal_files.c, wal_reader.c.
 *
 * roles    One thread at a time writes (writing), one syncs (syncing), one
 *          prepares files (making), one trims (trimming).  A role is taken
 *          and given back under the lock and worked in without it, so that
 *          appending goes on meanwhile.
 * groups   Who must wait for a sync waits for the round in flight, if that
 *          one covers its position, or else for the next.  Two conditions
 *          used in turn wake nobody too early; one waiter of the next round
 *          is woken to lead it.
 * files    tail is where the next record will go, cur is where the last one
 *          was written; they differ while the pending bytes cross a file's
 *          end.  A spare is allocated, synced and nameless (spare.N) until the
 *          writer enters it.
 */
#ifndef ENGINE_STORE_WAL_IMPL_H
#define ENGINE_STORE_WAL_IMPL_H

#include "engine/base/err.h"
#include "engine/base/lock.h"
#include "engine/store/wal.h"
#include "engine/store/wal_format.h"

#define WAL_NAME_ROOM 32
#define WAL_PENDING   (64u << 20) /* bytes that may wait for the writer */
#define WAL_PIECES    16u         /* files the pending bytes may touch */
#define WAL_AHEAD_MAX 64u
#define WAL_FILE_MIN  (2 * WAL_FILE_START)
#define WAL_FILE_MAX  (1ull << 40)

/* --- files ----------------------------------------------------------- */

struct wal_head { /* a file header, checked */
	lsn_t first;
	uint64_t epoch;
	uint64_t size;
};

struct wal_file {
	struct wal_file *next;
	lsn_t first;
	uint64_t epoch;
	uint64_t size;     /* allocated */
	uint64_t at;       /* tail: where the next record goes */
	int fd;            /* -1: left behind */
	unsigned refs;     /* users of fd */
	unsigned spare_no; /* its name until it is entered */
	bool entered;      /* set by the writer, under the lock */
	bool trimmed;      /* no longer listed: who closes fd frees it */
};

/* --- the log --------------------------------------------------------- */

struct wal_piece { /* bytes of a batch that stand together in a file */
	struct wal_file *file;
	uint64_t at;
	size_t from, n;
};

struct wal_batch {
	struct buf bytes;
	struct wal_piece pieces[WAL_PIECES];
	unsigned n_pieces;
};

struct wal {
	int dirfd;
	uint64_t file_bytes;
	unsigned ahead;
	pthread_t helper;

	struct mutex lock; /* of all below */
	enum sync_policy policy;
	unsigned interval_ms;
	struct wal_batch batches[2];
	struct wal_batch *pend; /* where records are appended */
	lsn_t last, written, durable;
	struct err failure; /* code 0: none */

	bool writing, syncing, making, trimming;
	struct cond changed; /* writing, making or trimming ended */

	unsigned round; /* number of the sync in flight, or the last */
	lsn_t target;   /* what it covers */
	struct cond rounds[2];

	struct wal_file *files; /* oldest first; the last is tail */
	struct wal_file *tail;
	struct wal_file *cur;
	struct wal_file *spares;
	unsigned n_spares;
	unsigned spare_no; /* next free */

	bool stop, kicked, starved;
	struct cond work; /* for the helper */
};

/* --- wal_files.c ----------------------------------------------------- */

static inline bool
wal_is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

void wal_name_print(lsn_t first, char ret[WAL_NAME_ROOM]);
/* First positions of all log files, rising, as lsn_t in ret. */
int wal_list(int dirfd, struct buf *ret, struct err *err);

enum wal_state {
	WAL_FILE_NONE,  /* no such file */
	WAL_FILE_GOOD,  /* header checked */
	WAL_FILE_EMPTY, /* bad header, but never held a record */
	WAL_FILE_BROKEN /* bad header, records may be lost */
};
/* enum wal_state or -ERR_*.  *ret_fd is open when GOOD or BROKEN. */
int wal_probe(int dirfd, lsn_t first, int flags, int *ret_fd,
	      struct wal_head *ret, struct err *err);

void wal_file_free(struct wal_file *f); /* closes; NULL is fine */
void wal_file_unref(struct wal_file *f);

/* Prepares one more spare.  Lock held, released meanwhile.  If somebody else
 * is making one, waits for that instead. */
int wal_spare_add(struct wal *w, struct err *err);
/* Makes the first spare at least size bytes large; the same locking. */
int wal_spare_grow(struct wal *w, uint64_t size, struct err *err);
/* Takes over what an earlier run left; before there are threads. */
int wal_spares_adopt(struct wal *w, struct err *err);

/* The first spare becomes the tail.  Lock held. */
void wal_tail_move(struct wal *w);
/* The writer moves from cur to f: syncs one, names the other. */
int wal_enter(struct wal *w, struct wal_file *f, struct err *err);

#endif
