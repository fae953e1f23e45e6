/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/clock.h"
#include "engine/base/errcode.h"
#include "engine/base/lock.h"
#include "tests/unit/in_child.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* --- order ----------------------------------------------------------- */

struct pair {
	struct mutex a;
	struct mutex b;
};

static void
pair_init(struct pair *p, enum lock_rank a, enum lock_rank b)
{
	mutex_init(&p->a, a);
	mutex_init(&p->b, b);
}

static void
pair_done(struct pair *p)
{
	mutex_done(&p->a);
	mutex_done(&p->b);
}

static void
test_rising_ranks_and_addresses_are_fine(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, LOCK_STRIPE, LOCK_WAL);
	mutex_lock(&p.a);
	mutex_lock(&p.b);
	mutex_unlock(&p.a); /* given back in any order */
	mutex_unlock(&p.b);
	mutex_lock(&p.b);
	mutex_unlock(&p.b);
	mutex_lock(&p.a);
	mutex_unlock(&p.a);
	pair_done(&p);
	pair_init(&p, LOCK_STRIPE, LOCK_STRIPE);
	mutex_lock(&p.a);
	mutex_lock(&p.b);
	mutex_unlock(&p.b);
	mutex_unlock(&p.a);
	pair_done(&p);
}

#ifndef NDEBUG
static int
take_falling_ranks(void *arg)
{
	struct pair p;

	(void)arg;
	pair_init(&p, LOCK_WAL, LOCK_STRIPE);
	mutex_lock(&p.a);
	mutex_lock(&p.b);
	return 0;
}

static int
take_falling_addresses(void *arg)
{
	struct pair p;

	(void)arg;
	pair_init(&p, LOCK_STRIPE, LOCK_STRIPE);
	mutex_lock(&p.b);
	mutex_lock(&p.a);
	return 0;
}

static int
take_below_after_release(void *arg)
{
	struct mutex m[3];

	(void)arg;
	mutex_init(&m[0], LOCK_CATALOG);
	mutex_init(&m[1], LOCK_SHARD);
	mutex_init(&m[2], LOCK_STRIPE);
	mutex_lock(&m[0]);
	mutex_lock(&m[1]);
	mutex_unlock(&m[0]); /* the shard's is still held */
	mutex_lock(&m[2]);
	return 0;
}

static int
take_twice(void *arg)
{
	struct mutex m;

	(void)arg;
	mutex_init(&m, LOCK_LEAF);
	mutex_lock(&m);
	mutex_lock(&m);
	return 0;
}

static int
read_twice(void *arg)
{
	struct rwlock l;

	(void)arg;
	rwlock_init(&l, LOCK_SHARD);
	rwlock_read(&l);
	rwlock_read(&l);
	return 0;
}

static int
give_back_what_is_not_held(void *arg)
{
	struct mutex m;

	(void)arg;
	mutex_init(&m, LOCK_LEAF);
	mutex_unlock(&m);
	return 0;
}

static int
wait_below_another(void *arg)
{
	struct pair p;
	struct cond c;

	(void)arg;
	pair_init(&p, LOCK_STRIPE, LOCK_WAL);
	cond_init(&c);
	mutex_lock(&p.a);
	mutex_lock(&p.b);
	cond_wait_ms(&c, &p.a, 1);
	return 0;
}

static void
test_wrong_orders_abort(void **state)
{
	(void)state;
	assert_true(died_of(in_child(take_falling_ranks, NULL), SIGABRT));
	assert_true(died_of(in_child(take_falling_addresses, NULL), SIGABRT));
	assert_true(died_of(in_child(take_below_after_release, NULL), SIGABRT));
	assert_true(died_of(in_child(take_twice, NULL), SIGABRT));
	assert_true(died_of(in_child(read_twice, NULL), SIGABRT));
	assert_true(
		died_of(in_child(give_back_what_is_not_held, NULL), SIGABRT));
	assert_true(died_of(in_child(wait_below_another, NULL), SIGABRT));
}
#endif

/* --- exclusion and conditions ---------------------------------------- */

struct shared {
	struct mutex m;
	struct rwlock l;
	struct cond c;
	int n;
	atomic_bool written;
};

static void
shared_init(struct shared *s)
{
	mutex_init(&s->m, LOCK_LEAF);
	rwlock_init(&s->l, LOCK_SHARD);
	cond_init(&s->c);
	s->n = 0;
	atomic_init(&s->written, false);
}

static void
shared_done(struct shared *s)
{
	cond_done(&s->c);
	rwlock_done(&s->l);
	mutex_done(&s->m);
}

static void *
add_often(void *arg)
{
	struct shared *s = arg;
	int i;

	for (i = 0; i < 10000; i++) {
		mutex_lock(&s->m);
		s->n++;
		mutex_unlock(&s->m);
	}
	return NULL;
}

static void
test_mutex_excludes(void **state)
{
	struct shared s;
	pthread_t t[3];
	int i;

	(void)state;
	shared_init(&s);
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, add_often, &s), 0);
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(s.n, 30000);
	shared_done(&s);
}

static void *
answer(void *arg)
{
	struct shared *s = arg;

	mutex_lock(&s->m);
	while (s->n != 1)
		cond_wait(&s->c, &s->m);
	s->n = 2;
	cond_broadcast(&s->c);
	mutex_unlock(&s->m);
	return NULL;
}

static void
test_condition_wakes_both_ways(void **state)
{
	struct shared s;
	pthread_t t;

	(void)state;
	shared_init(&s);
	assert_int_equal(pthread_create(&t, NULL, answer, &s), 0);
	mutex_lock(&s.m);
	s.n = 1;
	cond_signal(&s.c);
	while (s.n != 2)
		assert_int_equal(cond_wait_ms(&s.c, &s.m, 60000), 0);
	mutex_unlock(&s.m);
	pthread_join(t, NULL);
	shared_done(&s);
}

static void
test_wait_gives_up_after_its_time_and_not_before(void **state)
{
	struct shared s;
	int64_t from;

	(void)state;
	shared_init(&s);
	mutex_lock(&s.m);
	from = clock_mono_ns();
	while (cond_wait_ms(&s.c, &s.m, 20) == 0)
		from = clock_mono_ns(); /* woken for nothing, which may be */
	assert_true(clock_mono_ns() - from >= 20000000);
	assert_int_equal(cond_wait_ms(&s.c, &s.m, 0), -ERR_TIMEOUT);
	mutex_unlock(&s.m);
	shared_done(&s);
}

static void *
write_once(void *arg)
{
	struct shared *s = arg;

	rwlock_write(&s->l);
	atomic_store(&s->written, true);
	rwlock_unlock(&s->l);
	return NULL;
}

static void *
try_read(void *arg)
{
	struct shared *s = arg;
	int rc = pthread_rwlock_tryrdlock(&s->l.l);

	if (rc == 0)
		pthread_rwlock_unlock(&s->l.l);
	return rc == EBUSY ? arg : NULL;
}

static void
test_waiting_writer_goes_before_new_readers(void **state)
{
	struct shared s;
	pthread_t writer, reader;
	void *refused = NULL;
	int64_t end = clock_mono_ns() + 20000000000;

	(void)state;
	shared_init(&s);
	rwlock_read(&s.l);
	assert_int_equal(pthread_create(&writer, NULL, write_once, &s), 0);
	/* once the writer waits, a second reader is held back */
	while (!refused && clock_mono_ns() < end) {
		assert_int_equal(pthread_create(&reader, NULL, try_read, &s),
				 0);
		pthread_join(reader, &refused);
		sched_yield();
	}
	assert_non_null(refused);
	assert_false(atomic_load(&s.written));
	rwlock_unlock(&s.l);
	pthread_join(writer, NULL);
	assert_true(atomic_load(&s.written));
	shared_done(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rising_ranks_and_addresses_are_fine),
#ifndef NDEBUG
		cmocka_unit_test(test_wrong_orders_abort),
#endif
		cmocka_unit_test(test_mutex_excludes),
		cmocka_unit_test(test_condition_wakes_both_ways),
		cmocka_unit_test(
			test_wait_gives_up_after_its_time_and_not_before),
		cmocka_unit_test(test_waiting_writer_goes_before_new_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
