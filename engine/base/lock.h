/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.h - mutexes and read-write locks with a rank.
 *
 * A thread takes locks in rising rank only; debug builds (without NDEBUG)
 * abort on a wrong order.  Locks of one rank may be held together only when
 * they are taken in rising address order (the stripes of a collection).
 */
#ifndef ENGINE_BASE_LOCK_H
#define ENGINE_BASE_LOCK_H

#include <pthread.h>

enum lock_rank { /* the lock order of the whole program, first taken first */
		 LOCK_FS_TREE = 10,   /* fs: scratch files and drafts */
		 LOCK_FS_HANDLE = 15, /* fs: one open file */
		 LOCK_CATALOG =
			 20, /* database: one change of names at a time */
		 LOCK_CONFIG =
			 25, /* collection: one change of its configuration */
		 LOCK_SEALING = 28, /* collection: one flush at a time */
		 LOCK_MANIFEST =
			 30, /* collection: one change of its manifest */
		 LOCK_STRIPE =
			 40, /* collection: ids with one hash, while written */
		 LOCK_ORDER =
			 50, /* database: one log position after the other */
		 LOCK_SHARD = 60, /* shard: view, memtable contents */
		 LOCK_WAL = 70,   /* log: buffers and files */
		 LOCK_SEG = 80,   /* segment: caches, verified pages */
		 LOCK_SCHED = 90, /* scheduler queue */
		 LOCK_NAMES = 95, /* database: the table of names */
		 LOCK_LEAF = 100, /* takes nothing else */
};

struct mutex {
	pthread_mutex_t m;
	enum lock_rank rank;
};

struct rwlock {
	pthread_rwlock_t l;
	enum lock_rank rank;
};

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);

void rwlock_init(struct rwlock *l, enum lock_rank rank); /* prefers writers */
void rwlock_done(struct rwlock *l);
void rwlock_read(struct rwlock *l);
void rwlock_write(struct rwlock *l);
void rwlock_unlock(struct rwlock *l);

struct cond {
	pthread_cond_t c; /* CLOCK_MONOTONIC */
};

void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m);
int cond_wait_ms(struct cond *c, struct mutex *m, unsigned ms); /* 0, or
							   -ERR_TIMEOUT */
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

#endif
