/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/id.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UUID  "550e8400-e29b-41d4-a716-446655440000"
#define UPPER "550E8400-E29B-41D4-A716-446655440000"
#define NIL   "00000000-0000-0000-0000-000000000000"

struct sample {
	const char *text;
	int name;          /* id_from_name: a kind, or an error */
	int string;        /* id_from_string */
	const char *print; /* NULL: as the text */
};

static const struct sample samples[] = {
	{"0", ID_NUM, ID_NUM, NULL},
	{"1", ID_NUM, ID_NUM, NULL},
	{"42", ID_NUM, ID_NUM, NULL},
	{"9223372036854775808", ID_NUM, ID_NUM, NULL},
	{"18446744073709551615", ID_NUM, ID_NUM, NULL},
	{"18446744073709551616", ID_STR, ID_STR, NULL},
	{"99999999999999999999999999999999999999", ID_STR, ID_STR, NULL},
	{"007", -ERR_ID, -ERR_ID, NULL},
	{"00", -ERR_ID, -ERR_ID, NULL},
	{"-1", ID_STR, ID_STR, NULL},
	{"1.5", ID_STR, ID_STR, NULL},
	{"+1", ID_STR, ID_STR, NULL},
	{"1e3", ID_STR, ID_STR, NULL},
	{"0x1", ID_STR, ID_STR, NULL},
	{" 1", ID_STR, ID_STR, NULL},
	{UUID, ID_UUID, ID_UUID, NULL},
	{NIL, ID_UUID, ID_UUID, NULL},
	{UPPER, -ERR_ID, ID_UUID, UUID},
	{"{" UUID "}", -ERR_ID, ID_UUID, UUID},
	{"{" UPPER "}", -ERR_ID, ID_UUID, UUID},
	{"urn:uuid:" UUID, -ERR_ID, ID_UUID, UUID},
	{"URN:UUID:" UPPER, -ERR_ID, ID_UUID, UUID},
	{"550e8400e29b41d4a716446655440000", ID_STR, ID_STR, NULL},
	{"550e8400-e29b-41d4-a716-44665544000g", ID_STR, ID_STR, NULL},
	{"550e8400-e29b-41d4-a716-4466554400000", ID_STR, ID_STR, NULL},
	{"550e8400e-29b-41d4-a716-446655440000", ID_STR, ID_STR, NULL},
	{"", -ERR_ID, -ERR_ID, NULL},
	{".", -ERR_ID, -ERR_ID, NULL},
	{"..", -ERR_ID, -ERR_ID, NULL},
	{".hidden", -ERR_ID, -ERR_ID, NULL},
	{"a/b", -ERR_ID, -ERR_ID, NULL},
	{"a\nb", ID_STR, ID_STR, NULL},
	{"a\x7f", ID_STR, ID_STR, NULL},
	{"a\xc2\x85", ID_STR, ID_STR, NULL},
	{"\xff", -ERR_ID, -ERR_ID, NULL},
	{"\xc3", -ERR_ID, -ERR_ID, NULL},
	{"\xed\xa0\x80", -ERR_ID, -ERR_ID, NULL},
	{"..%2f", -ERR_ID, -ERR_ID, NULL},
	{"a..%2f", ID_STR, ID_STR, NULL},
	{"\xc3\xa9t\xc3\xa9", ID_STR, ID_STR, NULL},
	{"\xd9\xa1\xd9\xa2", ID_STR, ID_STR, NULL}, /* other digits */
	{"*", ID_STR, ID_STR, NULL},
	{"-rf", ID_STR, ID_STR, NULL},
	{"%s%n", ID_STR, ID_STR, NULL},
	{"'; drop table x; --", ID_STR, ID_STR, NULL},
	{"$(reboot)`x`", ID_STR, ID_STR, NULL},
	{"a.json", ID_STR, ID_STR, NULL},
};

static void
expect(const struct sample *s, int want, int rc, const struct id_key *k)
{
	const char *print = s->print != NULL ? s->print : s->text;
	char text[ID_TEXT_MAX + 1];
	struct id_key again;
	size_t n;

	if ((want < 0 && rc != want) || (want > 0 && rc != 0))
		fail_msg("'%s': %d", s->text, rc);
	if (want < 0)
		return;
	assert_int_equal(k->b[0], want);
	n = id_print(k->b, k->n, text);
	assert_int_equal(n, strlen(text));
	assert_string_equal(text, print);
	assert_int_equal(id_from_name(text, n, &again, NULL), 0);
	assert_int_equal(id_cmp(k->b, k->n, again.b, again.n), 0);
	assert_int_equal(id_from_bytes(k->b, k->n, &again, NULL), 0);
	assert_int_equal(id_cmp(k->b, k->n, again.b, again.n), 0);
}

static void
test_names_and_strings_become_keys_and_back(void **state)
{
	struct id_key k;
	struct err err;
	size_t i;
	int rc;

	(void)state;
	for (i = 0; i < ARRAY_LEN(samples); i++) {
		const char *s = samples[i].text;

		rc = id_from_name(s, strlen(s), &k, &err);
		expect(&samples[i], samples[i].name, rc, &k);
		rc = id_from_string(s, strlen(s), &k, &err);
		expect(&samples[i], samples[i].string, rc, &k);
	}
	assert_int_equal(id_from_name("a\0b", 3, &k, NULL), -ERR_ID);
}

static void
test_names_have_a_longest(void **state)
{
	char s[300];
	struct id_key k;

	(void)state;
	memset(s, 'a', sizeof s);
	assert_int_equal(id_from_name(s, 250, &k, NULL), 0);
	assert_int_equal(k.n, ID_KEY_MAX);
	assert_int_equal(id_from_name(s, 251, &k, NULL), -ERR_NAME_LONG);
	assert_int_equal(id_from_string(s, 300, &k, NULL), -ERR_NAME_LONG);
	memset(s, '7', sizeof s);
	assert_int_equal(id_from_name(s, 250, &k, NULL), 0);
	assert_int_equal(k.b[0], ID_STR);
}

static void
test_right_spelling_is_in_the_message(void **state)
{
	struct id_key k;
	struct err err;

	(void)state;
	id_from_name(UPPER, strlen(UPPER), &k, &err);
	assert_non_null(strstr(err.text, UUID));
}

static void
test_order_is_numbers_then_uuids_then_strings(void **state)
{
	static const char *const rising[] = {
		"0",
		"1",
		"2",
		"10",
		"255",
		"256",
		"65536",
		"4294967296",
		"18446744073709551615",
		NIL,
		UUID,
		"ffffffff-ffff-ffff-ffff-ffffffffffff",
		"18446744073709551616",
		"a",
		"aa",
		"ab",
		"b",
	};
	struct id_key a, b;
	size_t i, j;
	int d;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rising); i++) {
		for (j = 0; j < ARRAY_LEN(rising); j++) {
			id_from_name(rising[i], strlen(rising[i]), &a, NULL);
			id_from_name(rising[j], strlen(rising[j]), &b, NULL);
			d = id_cmp(a.b, a.n, b.b, b.n);
			assert_int_equal((d > 0) - (d < 0), (i > j) - (i < j));
		}
	}
}

static void
test_keys_from_disk_are_checked(void **state)
{
	static const uint8_t bad[][20] = {
		{0},
		{ID_NUM, 1, 2, 3},
		{9, 'a'},
		{ID_STR, '4', '2'}, /* is a number's */
		{ID_STR, '0', '7'},
		{ID_STR, '/'},
		{ID_STR, 0xff},
	};
	static const size_t len[] = {1, 4, 2, 3, 3, 2, 2};
	struct id_key k;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(id_from_bytes(bad[i], len[i], &k, NULL),
				 -ERR_DAMAGED);
	assert_int_equal(id_from_bytes(bad[0], 0, &k, NULL), -ERR_DAMAGED);
	assert_int_equal(id_from_bytes(bad[0], 300, &k, NULL), -ERR_DAMAGED);
}

static void
test_json_spelling_quotes_all_but_numbers(void **state)
{
	static const char *const text[] = {"42", UUID, "a\"b\\", "007x"};
	static const char *const want[] = {"42", "\"" UUID "\"",
					   "\"a\\\"b\\\\\"", "\"007x\""};
	struct buf b = {0};
	struct id_key k;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(text); i++) {
		id_from_name(text[i], strlen(text[i]), &k, NULL);
		buf_clear(&b);
		assert_int_equal(id_print_json(k.b, k.n, &b), 0);
		buf_put_u8(&b, 0);
		assert_string_equal(b.p, want[i]);
	}
	buf_done(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_strings_become_keys_and_back),
		cmocka_unit_test(test_names_have_a_longest),
		cmocka_unit_test(test_right_spelling_is_in_the_message),
		cmocka_unit_test(test_order_is_numbers_then_uuids_then_strings),
		cmocka_unit_test(test_keys_from_disk_are_checked),
		cmocka_unit_test(test_json_spelling_quotes_all_but_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
