/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched.h - background work: a few threads, a queue by priority.
 *
 * It runs jobs without knowing what they do; a job lives beside its subject.
 * owners   The job's memory is the submitter's until done() has returned.
 * threads  Any thread submits.  run() and done() are called on a worker.
 */
#ifndef ENGINE_BASE_SCHED_H
#define ENGINE_BASE_SCHED_H

#include <stdbool.h>

struct err;
struct sched;

enum job_prio { JOB_FLUSH, JOB_COMPACT, JOB_INDEX, JOB_SCRUB, JOB_PRIO_NR };

struct job {
	enum job_prio prio;
	void (*run)(
		struct job *j); /* looks at sched_stopping() in long loops */
	void (*done)(struct job *j); /* always called once, run or not */
	struct job *next;            /* the scheduler's */
};

/* One worker is kept for JOB_FLUSH alone, so that no long job delays it; the
 * others take what is most urgent, and run at nice 10. */
int sched_new(unsigned n_workers, struct sched **ret, struct err *err);
void sched_submit(struct sched *s, struct job *j);
bool sched_stopping(const struct sched *s);
void sched_stop(struct sched *s); /* waits for running jobs, drops the rest */
void sched_free(struct sched *s);

/* Runs fn(arg, i) for i in 0..n-1 on up to n_threads threads, the caller's
 * among them; returns when all are done. */
void parallel_for(unsigned n_threads, unsigned n, void (*fn)(void *, unsigned),
		  void *arg);

#endif
