/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/hash.h"
#include "engine/base/hash_impl.h"
#include "engine/base/zip.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint64_t
rand_next(uint64_t *seed)
{
	*seed += 0x9e3779b97f4a7c15; /* splitmix64 */
	uint64_t z = *seed;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint8_t *
rand_bytes(size_t n, uint64_t seed)
{
	uint8_t *p = malloc(n);
	size_t i;

	assert_non_null(p);
	for (i = 0; i < n; i++)
		p[i] = (uint8_t)rand_next(&seed);
	return p;
}

/* --- crc32c ---------------------------------------------------------- */

/* The definition, a bit at a time. */
static uint32_t
crc_by_bits(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;
	unsigned k;

	while (n--) {
		crc ^= *p++;
		for (k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void
check_crc(const void *p, size_t n, uint32_t want)
{
	assert_int_equal(crc32c(0, p, n), want);
	assert_int_equal(crc32c_soft(0, p, n), want);
	assert_int_equal(crc32c_hard(0, p, n), want);
}

static void
test_crc_gives_the_values_of_rfc_3720(void **state)
{
	uint8_t b[32];
	uint8_t i;

	(void)state;
	check_crc("123456789", 9, 0xe3069283);
	check_crc("", 0, 0);
	memset(b, 0, sizeof b);
	check_crc(b, sizeof b, 0x8a9136aa);
	memset(b, 0xff, sizeof b);
	check_crc(b, sizeof b, 0x62a8ab43);
	for (i = 0; i < 32; i++)
		b[i] = i;
	check_crc(b, sizeof b, 0x46dd794e);
	for (i = 0; i < 32; i++)
		b[i] = 31 - i;
	check_crc(b, sizeof b, 0x113fdb5c);
}

static void
test_all_crcs_agree_at_any_length_and_alignment(void **state)
{
	/* around where the ways change: words, short lanes, long lanes */
	static const size_t lens[] = {767,   768,   769,   775,   1536,
				      2304,  12287, 12288, 12289, 13055,
				      13056, 24576, 37000};
	uint8_t *p = rand_bytes(40000, 1);
	size_t i, n;

	(void)state;
	for (n = 0; n < 70; n++)
		for (i = 0; i < 9; i++)
			check_crc(p + i, n, crc_by_bits(p + i, n));
	for (n = 0; n < ARRAY_LEN(lens); n++)
		for (i = 0; i < 9; i += 4)
			check_crc(p + i, lens[n], crc_by_bits(p + i, lens[n]));
	free(p);
}

static void
test_crc_of_parts_is_crc_of_the_whole(void **state)
{
	uint8_t *p = rand_bytes(20000, 2);
	uint32_t whole = crc32c(0, p, 20000);
	uint64_t seed = 3;
	size_t at;
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		at = rand_next(&seed) % 20001;
		assert_int_equal(crc32c(crc32c(0, p, at), p + at, 20000 - at),
				 whole);
		assert_int_equal(
			crc32c_soft(crc32c(0, p, at), p + at, 20000 - at),
			whole);
	}
	free(p);
}

/* --- hash64 ---------------------------------------------------------- */

static void
test_hash64_never_changes(void **state)
{
	(void)state;
	assert_true(hash64("", 0) == 0xefd01f60ba992926);
	assert_true(hash64("a", 1) == 0x82a2a958a9bece5b);
	assert_true(hash64("foobar", 6) == 0x2c22194922d1672b);
	assert_true(hash64("\1\0\0\0\0\0\0\0*", 9) == 0x33168a0aec46f7b8);
}

static void
test_hash64_spreads_numbers_over_shards(void **state)
{
	unsigned hits[16] = {0}, i;
	uint8_t key[9] = {1};

	(void)state;
	for (i = 0; i < 16000; i++) {
		key[7] = (uint8_t)(i >> 8);
		key[8] = (uint8_t)i;
		hits[hash64(key, sizeof key) % 16]++;
	}
	for (i = 0; i < 16; i++) /* 1000 expected, deviation about 31 */
		assert_in_range(hits[i], 850, 1150);
}

/* --- sha256 ---------------------------------------------------------- */

static void
check_sha(const void *p, size_t n, const char *want)
{
	uint8_t sum[SHA256_LEN];
	char hex[SHA256_HEX + 1];

	sha256(p, n, sum);
	sha256_hex(sum, hex);
	assert_string_equal(hex, want);
}

static void
test_sha_gives_the_values_of_fips_180(void **state)
{
	(void)state;
	check_sha("abc", 3,
		  "ba7816bf8f01cfea414140de5dae2223"
		  "b00361a396177a9cb410ff61f20015ad");
	check_sha(NULL, 0,
		  "e3b0c44298fc1c149afbf4c8996fb924"
		  "27ae41e4649b934ca495991b7852b855");
	check_sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  56,
		  "248d6a61d20638b8e5c026930c3e6039"
		  "a33ce45964ff2167f6ecedd419db06c1");
}

static void
test_sha_of_a_stream_and_again(void **state)
{
	struct sha256_state *s = sha256_new();
	uint8_t sum[SHA256_LEN], want[SHA256_LEN];
	char a[1000];
	int i;

	(void)state;
	assert_non_null(s);
	memset(a, 'a', sizeof a);
	for (i = 0; i < 1000; i++)
		sha256_add(s, a, sizeof a);
	sha256_end(s, sum);
	assert_int_equal(sha256_unhex("cdc76e5c9914fb9281a1c7e284d73e67"
				      "f1809a48a497200e046d39ccc7112cd0",
				      want),
			 0);
	assert_memory_equal(sum, want, SHA256_LEN);
	sha256_add(s, "ab", 2);
	sha256_add(s, "c", 1);
	sha256_end(s, sum);
	sha256("abc", 3, want);
	assert_memory_equal(sum, want, SHA256_LEN);
	sha256_free(s);
	sha256_free(NULL);
}

static void
test_unhex_takes_one_spelling_only(void **state)
{
	static const char good[] = "00112233445566778899aabbccddeeff"
				   "00112233445566778899aabbccddeeff";
	uint8_t sum[SHA256_LEN], kept[SHA256_LEN];
	char hex[SHA256_HEX + 2], back[SHA256_HEX + 1];

	(void)state;
	assert_int_equal(sha256_unhex(good, sum), 0);
	sha256_hex(sum, back);
	assert_string_equal(back, good);
	memcpy(kept, sum, sizeof kept);
	memcpy(hex, good, sizeof good);
	hex[10] = 'A';
	assert_int_equal(sha256_unhex(hex, sum), -ERR_TYPE);
	hex[10] = 'g';
	assert_int_equal(sha256_unhex(hex, sum), -ERR_TYPE);
	hex[10] = '\0';
	assert_int_equal(sha256_unhex(hex, sum), -ERR_TYPE);
	memcpy(hex, good, sizeof good);
	memcpy(hex + SHA256_HEX, "0", 2);
	assert_int_equal(sha256_unhex(hex, sum), -ERR_TYPE);
	assert_memory_equal(sum, kept, sizeof kept);
}

static void *
sha_often(void *arg)
{
	uint8_t sum[SHA256_LEN];
	int i;

	for (i = 0; i < 200; i++) {
		sha256("abc", 3, sum);
		if (memcmp(sum, arg, sizeof sum) != 0)
			return arg;
	}
	return NULL;
}

static void
test_sha_in_many_threads(void **state)
{
	uint8_t want[SHA256_LEN];
	pthread_t t[4];
	void *bad;
	int i;

	(void)state;
	sha256("abc", 3, want);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, sha_often, want),
				 0);
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
}

/* --- zip ------------------------------------------------------------- */

static void
test_zip_gives_back_what_it_packed(void **state)
{
	static const size_t lens[] = {0, 1, 100, 70000};
	uint8_t *p = rand_bytes(70000, 4), *back = malloc(70000);
	CLEAN(buf_done) struct buf b = {0};
	size_t i;

	(void)state;
	assert_non_null(back);
	memset(p, 'x', 30000);
	for (i = 0; i < ARRAY_LEN(lens); i++) {
		buf_clear(&b);
		buf_puts(&b, "head");
		assert_int_equal(zip_pack(p, lens[i], 3, &b, NULL), 0);
		assert_memory_equal(b.p, "head", 4);
		memset(back, 0, 70000);
		assert_int_equal(
			zip_unpack(b.p + 4, b.n - 4, back, lens[i], NULL), 0);
		assert_memory_equal(back, p, lens[i]);
	}
	assert_true(b.n < 45000);
	free(p);
	free(back);
}

static void
test_unzip_to_another_length_is_damage(void **state)
{
	CLEAN(buf_done) struct buf b = {0};
	uint8_t back[1001];
	struct err err = {0};

	(void)state;
	memset(back, 'y', sizeof back);
	assert_int_equal(zip_pack(back, 1000, 1, &b, &err), 0);
	assert_int_equal(zip_unpack(b.p, b.n, back, 999, &err), -ERR_DAMAGED);
	assert_int_equal(zip_unpack(b.p, b.n, back, 1001, &err), -ERR_DAMAGED);
	assert_int_equal(err.code, ERR_DAMAGED);
	assert_int_equal(zip_unpack(b.p, b.n - 1, back, 1000, &err),
			 -ERR_DAMAGED);
	assert_int_equal(zip_unpack("garbage", 7, back, 1000, &err),
			 -ERR_DAMAGED);
	assert_int_equal(zip_unpack(b.p, 0, back, 1000, &err), -ERR_DAMAGED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc_gives_the_values_of_rfc_3720),
		cmocka_unit_test(
			test_all_crcs_agree_at_any_length_and_alignment),
		cmocka_unit_test(test_crc_of_parts_is_crc_of_the_whole),
		cmocka_unit_test(test_hash64_never_changes),
		cmocka_unit_test(test_hash64_spreads_numbers_over_shards),
		cmocka_unit_test(test_sha_gives_the_values_of_fips_180),
		cmocka_unit_test(test_sha_of_a_stream_and_again),
		cmocka_unit_test(test_unhex_takes_one_spelling_only),
		cmocka_unit_test(test_sha_in_many_threads),
		cmocka_unit_test(test_zip_gives_back_what_it_packed),
		cmocka_unit_test(test_unzip_to_another_length_is_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
