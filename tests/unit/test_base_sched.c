/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/check.h"
#include "engine/base/lock.h"
#include "engine/base/sched.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What the jobs of one test share: a gate they wait at and a list of what ran,
 * in order. */
struct stage {
	struct mutex lock;
	struct cond moved;
	bool open;
	unsigned n_waiting;
	char ran[64];
	unsigned n_done;
};

struct stage_job {
	struct job job; /* first: a job is its stage_job */
	struct stage *stage;
	char name;
	int nice;
	bool signals_blocked;
};

static void
stage_init(struct stage *g)
{
	memset(g, 0, sizeof *g);
	mutex_init(&g->lock, LOCK_LEAF);
	cond_init(&g->moved);
}

static void
stage_done(struct stage *g)
{
	cond_done(&g->moved);
	mutex_done(&g->lock);
}

static void
stage_note(struct stage_job *s)
{
	size_t n = strlen(s->stage->ran);

	check(n + 1 < sizeof s->stage->ran);
	s->stage->ran[n] = s->name;
}

static void
run_note(struct job *j)
{
	struct stage_job *s = (struct stage_job *)j;
	sigset_t now;

	errno = 0;
	s->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	s->signals_blocked = sigismember(&now, SIGTERM) == 1;
	mutex_lock(&s->stage->lock);
	stage_note(s);
	mutex_unlock(&s->stage->lock);
}

static void
run_wait(struct job *j)
{
	struct stage_job *s = (struct stage_job *)j;
	struct stage *g = s->stage;

	mutex_lock(&g->lock);
	stage_note(s);
	g->n_waiting++;
	cond_broadcast(&g->moved);
	while (!g->open)
		cond_wait(&g->moved, &g->lock);
	g->n_waiting--;
	mutex_unlock(&g->lock);
}

static void
done_count(struct job *j)
{
	struct stage *g = ((struct stage_job *)j)->stage;

	mutex_lock(&g->lock);
	g->n_done++;
	cond_broadcast(&g->moved);
	mutex_unlock(&g->lock);
}

static struct stage_job
stage_job(struct stage *g, char name, enum job_prio prio,
	  void (*run)(struct job *))
{
	return (struct stage_job){
		.job = {.prio = prio, .run = run, .done = done_count},
		.stage = g,
		.name = name,
	};
}

static void
stage_await(struct stage *g, const unsigned *what, unsigned n)
{
	mutex_lock(&g->lock);
	while (*what < n)
		assert_int_equal(cond_wait_ms(&g->moved, &g->lock, 60000), 0);
	mutex_unlock(&g->lock);
}

static void
stage_open(struct stage *g)
{
	mutex_lock(&g->lock);
	g->open = true;
	cond_broadcast(&g->moved);
	mutex_unlock(&g->lock);
}

/* --- jobs ------------------------------------------------------------ */

static void
test_urgent_jobs_go_first_and_equals_in_turn(void **state)
{
	struct stage_job block, j[6];
	struct sched *s;
	struct stage g;
	int i;

	(void)state;
	stage_init(&g);
	assert_int_equal(sched_new(1, &s, NULL), 0);
	block = stage_job(&g, '.', JOB_COMPACT, run_wait);
	sched_submit(s, &block.job);
	stage_await(&g, &g.n_waiting, 1);
	j[0] = stage_job(&g, 's', JOB_SCRUB, run_note);
	j[1] = stage_job(&g, 'i', JOB_INDEX, run_note);
	j[2] = stage_job(&g, 'j', JOB_INDEX, run_note);
	j[3] = stage_job(&g, 'c', JOB_COMPACT, run_note);
	j[4] = stage_job(&g, 'k', JOB_INDEX, run_note);
	j[5] = stage_job(&g, 'd', JOB_COMPACT, run_note);
	for (i = 0; i < 6; i++)
		sched_submit(s, &j[i].job);
	stage_open(&g);
	stage_await(&g, &g.n_done, 7);
	assert_string_equal(g.ran, ".cdijks");
	sched_free(s);
	stage_done(&g);
}

static void
test_flush_does_not_wait_for_long_jobs(void **state)
{
	struct stage_job block[2], flush;
	struct sched *s;
	struct stage g;
	int i;

	(void)state;
	stage_init(&g);
	assert_int_equal(sched_new(2, &s, NULL), 0);
	for (i = 0; i < 2; i++) {
		block[i] = stage_job(&g, '.', JOB_INDEX, run_wait);
		sched_submit(s, &block[i].job);
	}
	stage_await(&g, &g.n_waiting, 2);
	flush = stage_job(&g, 'f', JOB_FLUSH, run_note);
	sched_submit(s, &flush.job);
	stage_await(&g, &g.n_done, 1);
	assert_string_equal(g.ran, "..f");
	assert_int_equal(flush.nice, getpriority(PRIO_PROCESS, 0));
	stage_open(&g);
	sched_free(s);
	assert_int_equal(g.n_done, 3);
	stage_done(&g);
}

static void
test_a_second_flush_goes_to_the_others(void **state)
{
	struct stage_job j[2];
	struct sched *s;
	struct stage g;
	int i;

	(void)state;
	stage_init(&g);
	assert_int_equal(sched_new(1, &s, NULL), 0);
	for (i = 0; i < 2; i++) {
		j[i] = stage_job(&g, 'f', JOB_FLUSH, run_wait);
		sched_submit(s, &j[i].job);
	}
	stage_await(&g, &g.n_waiting, 2);
	stage_open(&g);
	sched_free(s);
	assert_int_equal(g.n_done, 2);
	stage_done(&g);
}

static void
test_jobs_are_nice_and_get_no_signals(void **state)
{
	struct sched *s;
	struct stage_job j;
	struct stage g;

	(void)state;
	stage_init(&g);
	assert_int_equal(sched_new(0, &s, NULL), 0);
	j = stage_job(&g, 'c', JOB_COMPACT, run_note);
	sched_submit(s, &j.job);
	stage_await(&g, &g.n_done, 1);
	assert_int_equal(j.nice, MAX(10, getpriority(PRIO_PROCESS, 0)));
	assert_true(j.signals_blocked);
	sched_free(s);
	stage_done(&g);
}

static struct sched *watched;

static void
run_until_watched_stops(struct job *j)
{
	struct stage_job *s = (struct stage_job *)j;

	mutex_lock(&s->stage->lock);
	stage_note(s);
	s->stage->n_waiting++;
	cond_broadcast(&s->stage->moved);
	mutex_unlock(&s->stage->lock);
	while (!sched_stopping(watched))
		sched_yield();
}

static void
test_stop_waits_for_the_running_and_drops_the_rest(void **state)
{
	struct stage_job running, waiting[3], late;
	struct sched *s;
	struct stage g;
	int i;

	(void)state;
	stage_init(&g);
	assert_int_equal(sched_new(1, &s, NULL), 0);
	watched = s;
	running = stage_job(&g, 'r', JOB_COMPACT, run_until_watched_stops);
	sched_submit(s, &running.job);
	stage_await(&g, &g.n_waiting, 1);
	for (i = 0; i < 3; i++) {
		waiting[i] = stage_job(&g, 'w', JOB_INDEX, run_note);
		sched_submit(s, &waiting[i].job);
	}
	assert_false(sched_stopping(s));
	sched_stop(s);
	assert_true(sched_stopping(s));
	assert_int_equal(g.n_done, 4);
	assert_string_equal(g.ran, "r");
	late = stage_job(&g, 'l', JOB_FLUSH, run_note);
	sched_submit(s, &late.job);
	stage_await(&g, &g.n_done, 5);
	assert_string_equal(g.ran, "r");
	sched_free(s);
	sched_free(NULL);
	stage_done(&g);
}

/* --- parallel_for ---------------------------------------------------- */

struct tally {
	atomic_uint hits[1000];
	atomic_uint n;
};

static void
hit(void *arg, unsigned i)
{
	struct tally *t = arg;

	atomic_fetch_add(&t->hits[i], 1);
	atomic_fetch_add(&t->n, 1);
}

static void
test_parallel_for_does_each_once(void **state)
{
	static const unsigned threads[] = {0, 1, 2, 7, 2000};
	static struct tally t;
	unsigned i, k;

	(void)state;
	for (k = 0; k < ARRAY_LEN(threads); k++) {
		memset(&t, 0, sizeof t);
		parallel_for(threads[k], 1000, hit, &t);
		assert_int_equal(t.n, 1000);
		for (i = 0; i < 1000; i++)
			assert_int_equal(t.hits[i], 1);
	}
	parallel_for(4, 0, hit, &t);
	assert_int_equal(t.n, 1000);
}

static void
meet(void *arg, unsigned i)
{
	pthread_barrier_wait(arg);
	(void)i;
}

static void
test_parallel_for_is_parallel(void **state)
{
	pthread_barrier_t b;

	(void)state;
	pthread_barrier_init(&b, NULL, 4); /* hangs if it were not */
	parallel_for(4, 4, meet, &b);
	pthread_barrier_destroy(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urgent_jobs_go_first_and_equals_in_turn),
		cmocka_unit_test(test_flush_does_not_wait_for_long_jobs),
		cmocka_unit_test(test_a_second_flush_goes_to_the_others),
		cmocka_unit_test(test_jobs_are_nice_and_get_no_signals),
		cmocka_unit_test(
			test_stop_waits_for_the_running_and_drops_the_rest),
		cmocka_unit_test(test_parallel_for_does_each_once),
		cmocka_unit_test(test_parallel_for_is_parallel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
