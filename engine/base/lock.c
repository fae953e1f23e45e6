/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/lock.h"

#include "engine/base/check.h"
#include "engine/base/errcode.h"

#include <errno.h>
#include <stdint.h>
#include <time.h>

#ifndef NDEBUG
/* What this thread holds.  Locks are taken in rising order only, so the list
 * is sorted and its last entry is the one to compare with, also after one in
 * the middle was given back. */
#define HELD_MAX 512

static _Thread_local struct held {
	const void *lock;
	enum lock_rank rank;
} held[HELD_MAX];
static _Thread_local unsigned n_held;

/* Before waiting, so that a wrong order aborts instead of hanging. */
static void
held_check(const void *lock, enum lock_rank rank)
{
	const struct held *top = n_held ? &held[n_held - 1] : NULL;

	check(n_held < HELD_MAX);
	check(!top || rank >= top->rank);
	check(!top || rank > top->rank ||
	      (uintptr_t)lock > (uintptr_t)top->lock);
}

static void
held_push(const void *lock, enum lock_rank rank)
{
	held[n_held++] = (struct held){lock, rank};
}

static void
held_pop(const void *lock)
{
	unsigned i = n_held;

	while (i > 0 && held[i - 1].lock != lock)
		i--;
	check(i > 0); /* given back by a thread that does not hold it */
	for (; i < n_held; i++)
		held[i - 1] = held[i];
	n_held--;
}

/* A condition takes its mutex anew, which must be in order, too. */
static void
held_check_top(const void *lock)
{
	check(n_held > 0 && held[n_held - 1].lock == lock);
}
#else
#define held_check(lock, rank) ((void)(rank))
#define held_push(lock, rank)  ((void)(rank))
#define held_pop(lock)         ((void)(lock))
#define held_check_top(lock)   ((void)(lock))
#endif

void
mutex_init(struct mutex *m, enum lock_rank rank)
{
	check(pthread_mutex_init(&m->m, NULL) == 0);
	m->rank = rank;
}

void
mutex_done(struct mutex *m)
{
	check(pthread_mutex_destroy(&m->m) == 0);
}

void
mutex_lock(struct mutex *m)
{
	held_check(m, m->rank);
	check(pthread_mutex_lock(&m->m) == 0);
	held_push(m, m->rank);
}

void
mutex_unlock(struct mutex *m)
{
	held_pop(m);
	check(pthread_mutex_unlock(&m->m) == 0);
}

void
rwlock_init(struct rwlock *l, enum lock_rank rank)
{
	pthread_rwlockattr_t attr;

	check(pthread_rwlockattr_init(&attr) == 0);
	check(pthread_rwlockattr_setkind_np(
		      &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) ==
	      0);
	check(pthread_rwlock_init(&l->l, &attr) == 0);
	pthread_rwlockattr_destroy(&attr);
	l->rank = rank;
}

void
rwlock_done(struct rwlock *l)
{
	check(pthread_rwlock_destroy(&l->l) == 0);
}

void
rwlock_read(struct rwlock *l)
{
	held_check(l, l->rank);
	check(pthread_rwlock_rdlock(&l->l) == 0);
	held_push(l, l->rank);
}

void
rwlock_write(struct rwlock *l)
{
	held_check(l, l->rank);
	check(pthread_rwlock_wrlock(&l->l) == 0);
	held_push(l, l->rank);
}

void
rwlock_unlock(struct rwlock *l)
{
	held_pop(l);
	check(pthread_rwlock_unlock(&l->l) == 0);
}

void
cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	check(pthread_condattr_init(&attr) == 0);
	check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	check(pthread_cond_init(&c->c, &attr) == 0);
	pthread_condattr_destroy(&attr);
}

void
cond_done(struct cond *c)
{
	check(pthread_cond_destroy(&c->c) == 0);
}

void
cond_wait(struct cond *c, struct mutex *m)
{
	held_check_top(m);
	check(pthread_cond_wait(&c->c, &m->m) == 0);
}

int
cond_wait_ms(struct cond *c, struct mutex *m, unsigned ms)
{
	struct timespec t;
	int rc;

	held_check_top(m);
	check(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	rc = pthread_cond_timedwait(&c->c, &m->m, &t);
	check(rc == 0 || rc == ETIMEDOUT);
	return rc ? -ERR_TIMEOUT : 0;
}

void
cond_signal(struct cond *c)
{
	check(pthread_cond_signal(&c->c) == 0);
}

void
cond_broadcast(struct cond *c)
{
	check(pthread_cond_broadcast(&c->c) == 0);
}
