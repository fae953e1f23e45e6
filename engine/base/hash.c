/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/hash.h"

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/errcode.h"
#include "engine/base/hash_impl.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#define CRC_POLY 0x82f63b78u /* Castagnoli, lowest bit first */

/* Slicing: crc_slice[k][v] is what byte v does to the sum k bytes later. */
static uint32_t crc_slice[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
#define CRC_HARD   1
#define CRC_TARGET __attribute__((target("sse4.2")))
#include <nmmintrin.h>
static inline CRC_TARGET uint32_t
crc_step8(uint32_t crc, const uint8_t *p)
{
	return (uint32_t)_mm_crc32_u64(crc, get_u64(p));
}
static inline CRC_TARGET uint32_t
crc_step1(uint32_t crc, const uint8_t *p)
{
	return _mm_crc32_u8(crc, *p);
}
bool
crc32c_has_hard(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#elif defined(__ARM_FEATURE_CRC32)
#define CRC_HARD 1
#define CRC_TARGET
#include <arm_acle.h>
static inline uint32_t
crc_step8(uint32_t crc, const uint8_t *p)
{
	return __crc32cd(crc, get_u64(p));
}
static inline uint32_t
crc_step1(uint32_t crc, const uint8_t *p)
{
	return __crc32cb(crc, *p);
}
bool
crc32c_has_hard(void)
{
	return true;
}
#else
bool
crc32c_has_hard(void)
{
	return false;
}
#endif

static void
crc_make_slices(void)
{
	uint32_t crc;
	unsigned v, k;

	for (v = 0; v < 256; v++) {
		crc = v;
		for (k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? CRC_POLY : 0);
		crc_slice[0][v] = crc;
	}
	for (v = 0; v < 256; v++) {
		crc = crc_slice[0][v];
		for (k = 1; k < 8; k++) {
			crc = crc >> 8 ^ crc_slice[0][crc & 0xff];
			crc_slice[k][v] = crc;
		}
	}
}

static uint32_t
crc_soft(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t w;
	unsigned k;

	for (; n >= 8; p += 8, n -= 8) {
		w = get_u64(p) ^ crc;
		crc = 0;
		for (k = 0; k < 8; k++)
			crc ^= crc_slice[7 - k][w >> 8 * k & 0xff];
	}
	for (; n; p++, n--)
		crc = crc >> 8 ^ crc_slice[0][(crc ^ *p) & 0xff];
	return crc;
}

#ifdef CRC_HARD
/*
 * The instruction takes three cycles and can start every cycle, so three lanes
 * of one buffer are summed side by side.  To join them, a lane's sum is moved
 * on by the length of the next: as if that many zero bytes followed.  That is
 * linear in the sum's bits, and so four tables of 256 do it.
 */
#define LANE_LONG  4096
#define LANE_SHORT 256

static uint32_t crc_move_long[4][256];
static uint32_t crc_move_short[4][256];

static void
crc_make_moves(uint32_t moves[4][256], size_t lane)
{
	static const uint8_t zeros[LANE_SHORT];
	uint32_t bit[32];
	unsigned b, k, v;
	size_t at;

	for (b = 0; b < 32; b++) {
		bit[b] = 1u << b;
		for (at = 0; at < lane; at += sizeof zeros)
			bit[b] = crc_soft(bit[b], zeros, sizeof zeros);
	}
	for (k = 0; k < 4; k++)
		for (v = 0; v < 256; v++)
			for (b = 0; b < 8; b++)
				if (v >> b & 1)
					moves[k][v] ^= bit[8 * k + b];
}

static inline uint32_t
crc_move(uint32_t moves[4][256], uint32_t crc)
{
	return moves[0][crc & 0xff] ^ moves[1][crc >> 8 & 0xff] ^
	       moves[2][crc >> 16 & 0xff] ^ moves[3][crc >> 24];
}

CRC_TARGET static uint32_t
crc_lanes(uint32_t crc, const uint8_t *p, size_t lane, uint32_t moves[4][256])
{
	uint32_t a = crc, b = 0, c = 0;
	size_t i;

	for (i = 0; i < lane; i += 8) {
		a = crc_step8(a, p + i);
		b = crc_step8(b, p + lane + i);
		c = crc_step8(c, p + 2 * lane + i);
	}
	return crc_move(moves, crc_move(moves, a) ^ b) ^ c;
}

CRC_TARGET static uint32_t
crc_hard(uint32_t crc, const uint8_t *p, size_t n)
{
	for (; n >= 3 * LANE_LONG; p += 3 * LANE_LONG, n -= 3 * LANE_LONG)
		crc = crc_lanes(crc, p, LANE_LONG, crc_move_long);
	for (; n >= 3 * LANE_SHORT; p += 3 * LANE_SHORT, n -= 3 * LANE_SHORT)
		crc = crc_lanes(crc, p, LANE_SHORT, crc_move_short);
	for (; n >= 8; p += 8, n -= 8)
		crc = crc_step8(crc, p);
	for (; n; p++, n--)
		crc = crc_step1(crc, p);
	return crc;
}
#endif

static void
crc_make_tables(void)
{
	crc_make_slices();
#ifdef CRC_HARD
	crc_make_moves(crc_move_long, LANE_LONG);
	crc_make_moves(crc_move_short, LANE_SHORT);
#endif
}

uint32_t
crc32c_soft(uint32_t crc, const void *p, size_t n)
{
	pthread_once(&crc_once, crc_make_tables);
	return ~crc_soft(~crc, p, n);
}

uint32_t
crc32c_hard(uint32_t crc, const void *p, size_t n)
{
#ifdef CRC_HARD
	if (crc32c_has_hard()) {
		pthread_once(&crc_once, crc_make_tables);
		return ~crc_hard(~crc, p, n);
	}
#endif
	return crc32c_soft(crc, p, n);
}

uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
	return crc32c_hard(crc, p, n);
}

uint64_t
hash64(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t h = 0xcbf29ce484222325u; /* FNV's offset basis and prime */
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdu; /* MurmurHash3's fmix64 */
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
	return h ^ h >> 33;
}

/* The algorithm is looked up once and each thread keeps one context: the sum
 * of a point is taken at every write, and both cost more than the sum. */
static pthread_once_t sha_once = PTHREAD_ONCE_INIT;
static pthread_key_t sha_key;
static EVP_MD *sha_md;

static void
sha_ctx_free(void *p)
{
	EVP_MD_CTX_free(p);
}

static void
sha_setup(void)
{
	sha_md = EVP_MD_fetch(NULL, "SHA256", NULL);
	check(sha_md);
	check(pthread_key_create(&sha_key, sha_ctx_free) == 0);
}

static EVP_MD_CTX *
sha_ctx(void)
{
	EVP_MD_CTX *ctx;

	pthread_once(&sha_once, sha_setup);
	ctx = pthread_getspecific(sha_key);
	if (!ctx) {
		ctx = EVP_MD_CTX_new();
		check(ctx && pthread_setspecific(sha_key, ctx) == 0);
	}
	return ctx;
}

void
sha256(const void *p, size_t n, uint8_t ret[SHA256_LEN])
{
	EVP_MD_CTX *ctx = sha_ctx();

	check(EVP_DigestInit_ex2(ctx, sha_md, NULL) == 1);
	check(EVP_DigestUpdate(ctx, p, n) == 1);
	check(EVP_DigestFinal_ex(ctx, ret, NULL) == 1);
}

void
sha256_hex(const uint8_t sum[SHA256_LEN], char ret[SHA256_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < SHA256_LEN; i++) {
		ret[2 * i] = digits[sum[i] >> 4];
		ret[2 * i + 1] = digits[sum[i] & 15];
	}
	ret[SHA256_HEX] = '\0';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* The whole string, and in the one spelling that sha256_hex() writes: names by
 * content are compared as text, too. */
int
sha256_unhex(const char *hex, uint8_t ret[SHA256_LEN])
{
	uint8_t sum[SHA256_LEN] = {0};
	size_t i;
	int d;

	for (i = 0; i < SHA256_HEX; i++) {
		d = hex_digit(hex[i]);
		if (d < 0)
			return -ERR_TYPE;
		sum[i / 2] = (uint8_t)(sum[i / 2] << 4 | d);
	}
	if (hex[SHA256_HEX])
		return -ERR_TYPE;
	memcpy(ret, sum, sizeof sum);
	return 0;
}

struct sha256_state {
	EVP_MD_CTX *ctx;
};

struct sha256_state *
sha256_new(void)
{
	struct sha256_state *s = malloc(sizeof *s);

	pthread_once(&sha_once, sha_setup);
	if (!s)
		return NULL;
	s->ctx = EVP_MD_CTX_new();
	if (!s->ctx || EVP_DigestInit_ex2(s->ctx, sha_md, NULL) != 1) {
		sha256_free(s);
		return NULL;
	}
	return s;
}

void
sha256_add(struct sha256_state *s, const void *p, size_t n)
{
	check(EVP_DigestUpdate(s->ctx, p, n) == 1);
}

void
sha256_end(struct sha256_state *s, uint8_t ret[SHA256_LEN])
{
	check(EVP_DigestFinal_ex(s->ctx, ret, NULL) == 1);
	check(EVP_DigestInit_ex2(s->ctx, sha_md, NULL) == 1);
}

void
sha256_free(struct sha256_state *s)
{
	if (!s)
		return;
	EVP_MD_CTX_free(s->ctx);
	free(s);
}
