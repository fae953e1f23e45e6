/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/memtable.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/hash.h"

#include <stdlib.h>
#include <string.h>

/* Entries stand in chunks that never move, so that walkers need no lock. */
#define CHUNK     1024u
#define CHUNKS_NR 65536u

struct mem {
	_Atomic int refs;
	_Atomic uint32_t n;
	uint32_t reserved; /* entries there is room for */
	uint32_t promised; /* entries reserved and not yet added */
	struct mem_entry **chunks[CHUNKS_NR];
	_Atomic uint64_t bytes;
	/* open addressing, entry number + 1, 0: free; a power of two long,
	 * at most half full */
	uint32_t *by_id;
	uint32_t *by_no;
	uint32_t table_len;
	struct mem_kill *kills;
	uint32_t n_kills;
	uint32_t kills_cap;
};

int
mem_entry_new(const struct point *p, bool deleted, struct mem_entry **ret,
	      struct err *err)
{
	size_t vec_len = deleted ? 0 : (size_t)p->dim * sizeof(float);
	size_t text_len = deleted ? 0 : p->doc.text.n;
	struct mem_entry *e = malloc(sizeof *e + vec_len + text_len);
	uint8_t *at;

	if (e == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a point");
	memset(e, 0, sizeof *e);
	e->deleted = deleted;
	if (deleted) {
		e->point.id = p->id;
		*ret = e;
		return 0;
	}
	e->point = *p;
	at = (uint8_t *)(e + 1);
	if (vec_len != 0) {
		memcpy(at, p->vec, vec_len);
		e->point.vec = (const float *)(const void *)at;
		e->norm = (float)vec_norm(e->point.vec, p->dim);
	}
	if (text_len != 0)
		memcpy(at + vec_len, p->doc.text.p, text_len);
	e->point.doc.text = (struct slice){at + vec_len, text_len};
	*ret = e;
	return 0;
}

void
mem_entry_free(struct mem_entry *e)
{
	free(e);
}

int
mem_new(struct mem **ret, struct err *err)
{
	struct mem *m = calloc(1, sizeof *m);

	if (m == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a memtable");
	m->refs = 1;
	*ret = m;
	return 0;
}

struct mem *
mem_ref(struct mem *m)
{
	m->refs++;
	return m;
}

void
mem_unref(struct mem *m)
{
	if (m == NULL || --m->refs > 0)
		return;
	for (uint32_t i = 0; i < m->n; i++)
		mem_entry_free(mem_entry(m, i));
	for (uint32_t c = 0; c < CHUNKS_NR && m->chunks[c] != NULL; c++)
		free(m->chunks[c]);
	free(m->by_id);
	free(m->by_no);
	free(m->kills);
	free(m);
}

static uint64_t
no_hash(uint64_t no)
{
	return (no * 0x9e3779b97f4a7c15ull) >> 17;
}

static void
table_put_id(uint32_t *t, uint32_t len, const struct mem *m,
	     const struct mem_entry *e, uint32_t i)
{
	const struct id_key *id = &e->point.id;
	uint64_t h = hash64(id->b, id->n);

	for (;; h++) {
		uint32_t *slot = &t[h & (len - 1)];
		const struct id_key *old;

		if (*slot == 0) {
			*slot = i + 1;
			return;
		}
		old = &mem_entry(m, *slot - 1)->point.id;
		if (old->n == id->n && memcmp(old->b, id->b, id->n) == 0) {
			*slot = i + 1;
			return;
		}
	}
}

static void
table_put_no(uint32_t *t, uint32_t len, const struct mem *m,
	     const struct mem_entry *e, uint32_t i)
{
	uint64_t h = no_hash(e->point.no);

	if (e->deleted)
		return;
	for (;; h++) {
		uint32_t *slot = &t[h & (len - 1)];

		if (*slot == 0 ||
		    mem_entry(m, *slot - 1)->point.no == e->point.no) {
			*slot = i + 1;
			return;
		}
	}
}

static int
tables_grow(struct mem *m, uint32_t need, struct err *err)
{
	uint32_t len = m->table_len == 0 ? 256 : m->table_len;
	uint32_t *by_id, *by_no;

	while (len < need * 2)
		len *= 2;
	if (len == m->table_len)
		return 0;
	by_id = calloc(len, sizeof *by_id);
	by_no = calloc(len, sizeof *by_no);
	if (by_id == NULL || by_no == NULL) {
		free(by_id);
		free(by_no);
		return err_set(err, ERR_NO_MEMORY, "no memory for a memtable");
	}
	for (uint32_t i = 0; i < m->n; i++) {
		table_put_id(by_id, len, m, mem_entry(m, i), i);
		table_put_no(by_no, len, m, mem_entry(m, i), i);
	}
	free(m->by_id);
	free(m->by_no);
	m->by_id = by_id;
	m->by_no = by_no;
	m->table_len = len;
	return 0;
}

static int
kills_grow(struct mem *m, uint32_t n, struct err *err)
{
	uint32_t cap = MAX(m->kills_cap * 2, m->n_kills + n);
	struct mem_kill *k;

	if (m->n_kills + n <= m->kills_cap)
		return 0;
	k = realloc(m->kills, cap * sizeof *k);
	if (k == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory for a memtable");
	m->kills = k;
	m->kills_cap = cap;
	return 0;
}

int
mem_reserve(struct mem *m, uint32_t n, struct err *err)
{
	uint32_t need = m->n + m->promised + n;
	int rc;

	if (need > CHUNK * CHUNKS_NR)
		return err_set(err, ERR_AGAIN, "memtable is full");
	while (m->reserved < need) {
		struct mem_entry **c = calloc(CHUNK, sizeof *c);

		if (c == NULL)
			return err_set(err, ERR_NO_MEMORY,
				       "no memory for a memtable");
		m->chunks[m->reserved / CHUNK] = c;
		m->reserved += CHUNK;
	}
	rc = kills_grow(m, m->promised + n, err);
	if (rc == 0)
		rc = tables_grow(m, need, err);
	if (rc == 0)
		m->promised += n;
	return rc;
}

void
mem_release(struct mem *m, uint32_t n)
{
	check(n <= m->promised);
	m->promised -= n;
}

void
mem_add(struct mem *m, struct mem_entry *e_take)
{
	uint32_t i = m->n;

	check(m->promised > 0 && i < m->reserved);
	m->promised--;
	m->chunks[i / CHUNK][i % CHUNK] = e_take;
	m->bytes += sizeof *e_take + e_take->point.doc.text.n +
		    (size_t)e_take->point.dim * sizeof(float);
	table_put_id(m->by_id, m->table_len, m, e_take, i);
	table_put_no(m->by_no, m->table_len, m, e_take, i);
	__atomic_store_n((uint32_t *)&m->n, i + 1, __ATOMIC_RELEASE);
}

void
mem_kill_row(struct mem *m, uint64_t seg, uint32_t row)
{
	check(m->n_kills < m->kills_cap);
	m->kills[m->n_kills++] = (struct mem_kill){seg, row};
}

int
mem_kill_late(struct mem *m, uint64_t seg, uint32_t row, struct err *err)
{
	int rc = kills_grow(m, m->promised + 1, err);

	if (rc == 0)
		mem_kill_row(m, seg, row);
	return rc;
}

uint32_t
mem_count(const struct mem *m)
{
	return __atomic_load_n((const uint32_t *)&m->n, __ATOMIC_ACQUIRE);
}

struct mem_entry *
mem_entry(const struct mem *m, uint32_t i)
{
	return m->chunks[i / CHUNK][i % CHUNK];
}

uint64_t
mem_bytes(const struct mem *m)
{
	return m->bytes;
}

struct mem_entry *
mem_find_id(const struct mem *m, const void *key, size_t n)
{
	uint64_t h = hash64(key, n);

	if (m->table_len == 0)
		return NULL;
	for (;; h++) {
		uint32_t slot = m->by_id[h & (m->table_len - 1)];
		struct mem_entry *e;

		if (slot == 0)
			return NULL;
		e = mem_entry(m, slot - 1);
		if (e->point.id.n == n && memcmp(e->point.id.b, key, n) == 0)
			return e;
	}
}

struct mem_entry *
mem_find_no(const struct mem *m, uint64_t no)
{
	uint64_t h = no_hash(no);

	if (m->table_len == 0)
		return NULL;
	for (;; h++) {
		uint32_t slot = m->by_no[h & (m->table_len - 1)];
		struct mem_entry *e;

		if (slot == 0)
			return NULL;
		e = mem_entry(m, slot - 1);
		if (e->point.no == no)
			return e;
	}
}

struct mem_kill *
mem_kills(struct mem *m, uint32_t *ret_n)
{
	*ret_n = m->n_kills;
	return m->kills;
}
