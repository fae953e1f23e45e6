/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies out of writes, and who is asked for an answer.
 */
#include "fs/asked.h"
#include "fs/talk.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Feeds text in pieces of `step` bytes; the bodies, each with a '|' behind. */
static void
bodies(const char *text, size_t step, struct buf *ret)
{
	struct talk t = {0};
	size_t n = strlen(text), used;
	int rc;

	for (size_t at = 0; at < n; at += used) {
		rc = talk_feed(&t, text + at, MIN(step, n - at), &used, NULL);
		assert_true(rc >= 0);
		if (rc == 1) {
			buf_put(ret, t.body.p, t.body.n);
			buf_put_u8(ret, '|');
			talk_reset(&t);
		}
	}
	if (talk_end(&t, NULL) == 1)
		buf_put(ret, t.body.p, t.body.n);
	buf_put_u8(ret, 0);
	talk_done(&t);
}

static void
test_bodies_do_not_depend_on_how_they_are_written(void **state)
{
	static const char text[] = "{\"a\": 1}\n\n [1,\n2]  \n{\"b\":\n"
				   "\"x\\ny\"}\n{\"last\": true}";
	struct buf whole = {0}, part = {0};

	(void)state;
	bodies(text, sizeof text, &whole);
	assert_string_equal((char *)whole.p, "{\"a\": 1}|[1,\n2]|{\"b\":\n"
					     "\"x\\ny\"}|{\"last\": true}");
	for (size_t step = 1; step < sizeof text; step++) {
		buf_clear(&part);
		bodies(text, step, &part);
		assert_string_equal((char *)part.p, (char *)whole.p);
	}
	buf_done(&whole);
	buf_done(&part);
}

static void
test_a_newline_inside_the_value_ends_nothing(void **state)
{
	struct talk t = {0};
	size_t used;

	(void)state;
	assert_int_equal(talk_feed(&t, "{\n\n", 3, &used, NULL), 0);
	assert_int_equal(used, 3);
	assert_int_equal(talk_end(&t, NULL), -ERR_JSON);
	assert_int_equal(talk_feed(&t, "}", 1, &used, NULL), 0);
	assert_int_equal(talk_end(&t, NULL), 1);
	assert_int_equal(talk_feed(&t, "\n", 1, &used, NULL), 1);
	talk_done(&t);
}

static void
test_a_wrong_body_is_dropped_and_the_next_is_heard(void **state)
{
	struct talk t = {0};
	size_t used;

	(void)state;
	assert_int_equal(talk_feed(&t, "{]", 2, &used, NULL), -ERR_JSON);
	assert_int_equal(talk_end(&t, NULL), 0);
	assert_int_equal(talk_feed(&t, "{}x", 3, &used, NULL), -ERR_JSON);
	assert_int_equal(talk_feed(&t, "{}\n", 3, &used, NULL), 1);
	assert_int_equal(t.body.n, 2);
	talk_done(&t);
}

static void
test_blanks_alone_are_no_body(void **state)
{
	struct talk t = {0};
	size_t used;

	(void)state;
	assert_int_equal(talk_feed(&t, " \n\t\r\n", 5, &used, NULL), 0);
	assert_int_equal(used, 5);
	assert_int_equal(talk_end(&t, NULL), 0);
	talk_done(&t);
}

static void
test_a_body_has_a_limit(void **state)
{
	size_t n = 1u << 20, used;
	char *blanks = malloc(n);
	struct talk t = {0};
	int rc;

	(void)state;
	memset(blanks, ' ', n);
	assert_int_equal(talk_feed(&t, "[", 1, &used, NULL), 0);
	do
		rc = talk_feed(&t, blanks, n, &used, NULL);
	while (rc == 0 && t.body.n <= BODY_MAX);
	assert_int_equal(rc, -ERR_TOO_BIG);
	assert_int_equal(t.body.n, 0);
	free(blanks);
	talk_done(&t);
}

static void
test_the_session_is_behind_the_last_parenthesis(void **state)
{
	static const char plain[] = "17 (bash) S 1 17 16 34816 0";
	static const char odd[] = "17 (a) S 1 2 3 (x) R 5 6 99 1";

	(void)state;
	assert_int_equal(session_parse(plain, sizeof plain - 1), 16);
	assert_int_equal(session_parse(odd, sizeof odd - 1), 99);
	assert_int_equal(session_parse("17 (bash", 8), 0);
	assert_int_equal(session_parse("17 (bash) S", 11), 0);
	assert_int_equal(session_of(0), 0);
}

static int
answer_to(struct asked_table *t, uint32_t uid, pid_t session, char *ret)
{
	struct asked_key k = {7, uid, session};
	struct buf b = {0};
	bool wrong;
	int found = asked_get(t, &k, &wrong, &b);

	buf_put_u8(&b, 0);
	memcpy(ret, b.p, b.n);
	buf_done(&b);
	return found;
}

static void
ask(struct asked_table *t, uint32_t uid, pid_t session, const char *text)
{
	struct asked_key k = {7, uid, session};

	asked_put(t, &k, uid, false, text, strlen(text));
}

static void
test_only_the_same_user_and_session_is_answered(void **state)
{
	static struct asked_table t;
	char s[64];

	(void)state;
	asked_init(&t);
	ask(&t, 1, 10, "mine");
	ask(&t, 2, 10, "other user");
	ask(&t, 1, 11, "other session");
	assert_int_equal(answer_to(&t, 1, 10, s), 1);
	assert_string_equal(s, "mine");
	ask(&t, 1, 10, "newer");
	assert_int_equal(answer_to(&t, 1, 10, s), 1);
	assert_string_equal(s, "newer");
	assert_int_equal(answer_to(&t, 3, 10, s), 0);
	ask(&t, 4, 0, "no session");
	assert_int_equal(answer_to(&t, 4, 0, s), 0);
	asked_drop(&t, 2);
	assert_int_equal(answer_to(&t, 2, 10, s), 0);
	asked_done(&t);
}

static void
test_the_table_of_the_asked_is_bounded(void **state)
{
	static struct asked_table t;
	char s[64];

	(void)state;
	asked_init(&t);
	for (uint32_t i = 1; i <= ASKED_MAX + 1; i++)
		ask(&t, i, 10, "q");
	assert_int_equal(answer_to(&t, 1, 10, s), 0); /* the oldest went */
	assert_int_equal(answer_to(&t, 2, 10, s), 1);
	assert_int_equal(answer_to(&t, ASKED_MAX + 1, 10, s), 1);
	asked_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_bodies_do_not_depend_on_how_they_are_written),
		cmocka_unit_test(test_a_newline_inside_the_value_ends_nothing),
		cmocka_unit_test(
			test_a_wrong_body_is_dropped_and_the_next_is_heard),
		cmocka_unit_test(test_blanks_alone_are_no_body),
		cmocka_unit_test(test_a_body_has_a_limit),
		cmocka_unit_test(
			test_the_session_is_behind_the_last_parenthesis),
		cmocka_unit_test(
			test_only_the_same_user_and_session_is_answered),
		cmocka_unit_test(test_the_table_of_the_asked_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
