/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sched.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/lock.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define WORKERS_MAX 256
#define NICE_JOBS   10

struct job_list {
	struct job *first;
	struct job *last;
};

struct sched {
	struct mutex lock; /* LOCK_SCHED, for all but stopping */
	struct cond work;  /* a job came, or the end */
	struct cond idle;  /* nothing queued and nothing running */
	struct job_list queue[JOB_PRIO_NR];
	unsigned n_busy;
	bool ending;
	atomic_bool stopping; /* read without the lock: late is soon enough */
	unsigned n_threads;
	pthread_t threads[WORKERS_MAX + 1];
};

/* The program's signals are its main thread's. */
static int
thread_start(pthread_t *ret, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	check(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
	rc = pthread_create(ret, NULL, fn, arg);
	check(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	return rc;
}

/* The most urgent job of priority up to last, or NULL. */
static struct job *
queue_take(struct sched *s, enum job_prio last)
{
	struct job_list *l;
	struct job *j;
	unsigned p;

	for (p = 0; p <= last; p++) {
		l = &s->queue[p];
		j = l->first;
		if (!j)
			continue;
		l->first = j->next;
		if (!l->first)
			l->last = NULL;
		j->next = NULL;
		return j;
	}
	return NULL;
}

static bool
queue_is_empty(const struct sched *s)
{
	unsigned p;

	for (p = 0; p < JOB_PRIO_NR; p++)
		if (s->queue[p].first)
			return false;
	return true;
}

/* With the lock held, which it gives back meanwhile. */
static void
job_run(struct sched *s, struct job *j)
{
	s->n_busy++;
	mutex_unlock(&s->lock);
	if (!sched_stopping(s))
		j->run(j);
	j->done(j); /* the job may be gone after this */
	mutex_lock(&s->lock);
	s->n_busy--;
	if (s->n_busy == 0 && queue_is_empty(s))
		cond_broadcast(&s->idle);
}

static void
worker_loop(struct sched *s, enum job_prio last)
{
	struct job *j;

	mutex_lock(&s->lock);
	for (;;) {
		j = queue_take(s, last);
		if (j)
			job_run(s, j);
		else if (s->ending)
			break;
		else
			cond_wait(&s->work, &s->lock);
	}
	mutex_unlock(&s->lock);
}

static void *
flush_worker(void *arg)
{
	pthread_setname_np(pthread_self(), "pointfs-flush");
	worker_loop(arg, JOB_FLUSH);
	return NULL;
}

static void *
other_worker(void *arg)
{
	pthread_setname_np(pthread_self(), "pointfs-job");
	/* On Linux this is the thread's own; a refusal costs only manners. */
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_JOBS);
	worker_loop(arg, JOB_PRIO_NR - 1);
	return NULL;
}

int
sched_new(unsigned n_workers, struct sched **ret, struct err *err)
{
	struct sched *s;
	unsigned i, n = MIN(MAX(n_workers, 1u), (unsigned)WORKERS_MAX);
	int rc;

	s = calloc(1, sizeof *s);
	if (!s)
		return err_set(err, ERR_NO_MEMORY, "scheduler: out of memory");
	mutex_init(&s->lock, LOCK_SCHED);
	cond_init(&s->work);
	cond_init(&s->idle);
	for (i = 0; i < n + 1; i++) {
		rc = thread_start(&s->threads[i],
				  i == 0 ? flush_worker : other_worker, s);
		if (rc) {
			sched_free(s);
			return err_sys(err, rc, "cannot start a worker");
		}
		s->n_threads++;
	}
	*ret = s;
	return 0;
}

void
sched_submit(struct sched *s, struct job *j)
{
	struct job_list *l;

	check(j->prio < JOB_PRIO_NR);
	j->next = NULL;
	mutex_lock(&s->lock);
	l = &s->queue[j->prio];
	if (l->last)
		l->last->next = j;
	else
		l->first = j;
	l->last = j;
	cond_broadcast(&s->work); /* not every worker takes every job */
	mutex_unlock(&s->lock);
}

bool
sched_stopping(const struct sched *s)
{
	return atomic_load_explicit(&s->stopping, memory_order_relaxed);
}

/* The workers live on until sched_free(), so that a job submitted late is done
 * by one of them, too, and never by a thread that may hold locks. */
void
sched_stop(struct sched *s)
{
	atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
	mutex_lock(&s->lock);
	while (s->n_busy > 0 || !queue_is_empty(s))
		cond_wait(&s->idle, &s->lock);
	mutex_unlock(&s->lock);
}

void
sched_free(struct sched *s)
{
	unsigned i;

	if (!s)
		return;
	atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
	mutex_lock(&s->lock);
	s->ending = true;
	cond_broadcast(&s->work);
	mutex_unlock(&s->lock);
	for (i = 0; i < s->n_threads; i++)
		check(pthread_join(s->threads[i], NULL) == 0);
	cond_done(&s->idle);
	cond_done(&s->work);
	mutex_done(&s->lock);
	free(s);
}

struct share {
	void (*fn)(void *arg, unsigned i);
	void *arg;
	unsigned n;
	atomic_uint next;
};

static void *
share_run(void *p)
{
	struct share *s = p;
	unsigned i;

	while ((i = atomic_fetch_add(&s->next, 1)) < s->n)
		s->fn(s->arg, i);
	return NULL;
}

void
parallel_for(unsigned n_threads, unsigned n, void (*fn)(void *, unsigned),
	     void *arg)
{
	struct share s = {.fn = fn, .arg = arg, .n = n};
	pthread_t threads[WORKERS_MAX];
	unsigned want = MIN(MIN(n_threads, n), (unsigned)WORKERS_MAX);
	unsigned i, n_started = 0;

	check(n <= UINT_MAX - WORKERS_MAX - 1); /* next goes past n */
	/* Without a thread it takes longer; it is not an error. */
	while (n_started + 1 < want &&
	       thread_start(&threads[n_started], share_run, &s) == 0)
		n_started++;
	share_run(&s);
	for (i = 0; i < n_started; i++)
		check(pthread_join(threads[i], NULL) == 0);
}
