/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/index/build_impl.h"

#include "engine/index/index_impl.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/sched.h"

#include <stdlib.h>

#define HASH_CHUNK 1024 /* rows a thread takes at a time */

struct twin_job {
	const struct vectors *vs;
	uint32_t *hash; /* [n] */
};

/* A hash for finding candidates only; equality is then looked at. */
static uint32_t
row_hash(const float *v, uint32_t dim)
{
	uint64_t h = dim;

	for (uint32_t i = 0; i < dim; i++) {
		float x = v[i] + 0.0f; /* -0 equals +0 */
		uint32_t bits;

		memcpy(&bits, &x, sizeof bits);
		h = (h ^ bits) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return (uint32_t)(h >> 32);
}

static void
hash_chunk(void *arg, unsigned chunk)
{
	struct twin_job *job = arg;
	uint32_t from = chunk * HASH_CHUNK;
	uint32_t to = MIN(job->vs->n, from + HASH_CHUNK);

	for (uint32_t row = from; row < to; row++)
		job->hash[row] =
			row_hash(vectors_row(job->vs, row), job->vs->dim);
}

static bool
rows_equal(const struct vectors *vs, uint32_t a, uint32_t b)
{
	const float *va = vectors_row(vs, a), *vb = vectors_row(vs, b);

	for (uint32_t i = 0; i < vs->dim; i++)
		if (va[i] != vb[i])
			return false;
	return true;
}

/* From the last row to the first, so that each new head is the least row of
 * its chain and chains rise. */
static void
chain_equal(const struct twin_job *job, uint32_t *table, uint32_t mask,
	    uint32_t *next)
{
	const struct vectors *vs = job->vs;

	for (uint32_t row = vs->n; row-- > 0;) {
		uint32_t at = job->hash[row] & mask;

		while (table[at] != ROW_NONE &&
		       (job->hash[table[at]] != job->hash[row] ||
			!rows_equal(vs, table[at], row)))
			at = (at + 1) & mask;
		next[row] = table[at];
		table[at] = row;
	}
}

int
twin_find(const struct vectors *vs, unsigned n_threads, uint32_t *next,
	  struct err *err)
{
	struct twin_job job = {.vs = vs};
	size_t size = 16;
	uint32_t *table;
	int rc = 0;

	while (size < (size_t)vs->n * 2)
		size *= 2;
	job.hash = malloc(((size_t)vs->n + 1) * sizeof job.hash[0]);
	table = malloc(size * sizeof table[0]);
	if (job.hash == NULL || table == NULL) {
		rc = err_set(err, ERR_NO_MEMORY, "no memory to compare %u rows",
			     vs->n);
		goto out;
	}
	memset(table, 0xff, size * sizeof table[0]);
	parallel_for(n_threads, vs->n / HASH_CHUNK + 1, hash_chunk, &job);
	chain_equal(&job, table, (uint32_t)(size - 1), next);
out:
	free(job.hash);
	free(table);
	return rc;
}

void
twin_join(uint32_t *next, uint32_t head, uint32_t row)
{
	uint32_t tail = row;

	while (next[tail] != ROW_NONE)
		tail = next[tail];
	next[tail] = next[head];
	next[head] = row;
}

static int
row_compare(const void *pa, const void *pb)
{
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

	return a < b ? -1 : a > b;
}

int
twin_sort(uint32_t *next, uint32_t head, struct err *err)
{
	size_t n = 0, i = 0;
	bool rising = true;
	uint32_t *rows;

	for (uint32_t row = next[head]; row != ROW_NONE; row = next[row]) {
		rising = rising && row < next[row]; /* ROW_NONE is greatest */
		n++;
	}
	if (rising)
		return 0;
	rows = malloc(n * sizeof rows[0]);
	if (rows == NULL)
		return err_set(err, ERR_NO_MEMORY,
			       "no memory to order %zu equal rows", n);
	for (uint32_t row = next[head]; row != ROW_NONE; row = next[row])
		rows[i++] = row;
	qsort(rows, n, sizeof rows[0], row_compare);
	next[head] = rows[0];
	for (i = 0; i + 1 < n; i++)
		next[rows[i]] = rows[i + 1];
	next[rows[n - 1]] = ROW_NONE;
	free(rows);
	return 0;
}
