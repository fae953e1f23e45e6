/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/index/hnsw.h"
#include "engine/index/hnsw_format.h"
#include "engine/index/walk.h"

#include "engine/base/bytes.h"
#include "engine/base/err.h"

#include <stdlib.h>

/* --- opening --------------------------------------------------------- */

static int
head_check(const struct hnsw_head_disk *head, struct err *err)
{
	static const uint8_t zero[sizeof head->reserved];

	if (memcmp(head->magic, HNSW_MAGIC, sizeof head->magic) != 0)
		return err_set(err, ERR_DAMAGED, "not a graph");
	if (get_u32(head->version) != HNSW_VERSION ||
	    (get_u32(head->flags) & ~HNSW_FLAG_TWINS) != 0 ||
	    memcmp(head->reserved, zero, sizeof zero) != 0)
		return err_set(err, ERR_VERSION,
			       "graph of version %u, flags %u is not known",
			       get_u32(head->version), get_u32(head->flags));
	return 0;
}

static int
entry_check(const struct hnsw *h, struct err *err)
{
	uint32_t cap;

	if (h->n == 0)
		return 0;
	if (h->entry >= h->n || h->max_level > HNSW_LEVEL_MAX ||
	    hnsw_list(h, h->entry, h->max_level, &cap) == NULL)
		return err_set(err, ERR_DAMAGED,
			       "graph has no entry %u at level %u", h->entry,
			       h->max_level);
	return 0;
}

/* Where the arrays are; false if the bytes are not as many as they need. */
static bool
arrays_place(struct hnsw *h, uint32_t flags)
{
	const uint32_t *at = (const uint32_t *)(const void *)(h->bytes + 64);
	uint64_t have = (h->len - sizeof(struct hnsw_head_disk)) / 4;
	uint64_t need = (uint64_t)h->n * h->cap0 + h->n;

	if (flags & HNSW_FLAG_TWINS)
		need += h->n;
	if (h->len % 4 != 0 || need > have || h->upper_len != have - need)
		return false;
	h->links0 = at;
	at += (size_t)h->n * h->cap0;
	h->upper_at = at;
	at += h->n;
	if (flags & HNSW_FLAG_TWINS) {
		h->twins = at;
		at += h->n;
	}
	h->upper = at;
	return true;
}

int
hnsw_open(const void *bytes, size_t len, uint32_t n_rows, struct hnsw *ret,
	  struct err *err)
{
	struct hnsw h = {.bytes = bytes, .len = len};
	struct hnsw_head_disk head;
	int rc;

	if (len < sizeof head || (uintptr_t)bytes % sizeof(uint32_t) != 0)
		return err_set(err, ERR_DAMAGED, "graph is cut short");
	memcpy(&head, bytes, sizeof head);
	rc = head_check(&head, err);
	if (rc != 0)
		return rc;
	h.n = get_u32(head.n);
	h.m = get_u32(head.m);
	h.entry = get_u32(head.entry);
	h.max_level = get_u32(head.max_level);
	h.upper_len = get_u64(head.upper_len);
	if (h.n != n_rows || h.n >= INDEX_ROWS_MAX || h.m < HNSW_M_MIN ||
	    h.m > HNSW_M_MAX)
		return err_set(err, ERR_DAMAGED,
			       "graph of %u rows, m %u, for %u rows", h.n, h.m,
			       n_rows);
	h.cap0 = 2 * h.m;
	h.cap1 = h.m;
	if (!arrays_place(&h, get_u32(head.flags)))
		return err_set(err, ERR_DAMAGED,
			       "graph of %u rows has %zu bytes", h.n, len);
	rc = entry_check(&h, err);
	if (rc == 0)
		*ret = h;
	return rc;
}

/* --- checking all ---------------------------------------------------- */

struct audit {
	const struct hnsw *h;
	uint8_t *reached; /* per row */
	uint32_t *queue;
	uint32_t n_queue;
};

/* One list: in range, not to itself, nothing behind its end. */
static int
list_check(const struct hnsw *h, uint32_t row, uint32_t level, struct err *err)
{
	uint32_t cap, n = 0;
	const uint32_t *list = hnsw_list(h, row, level, &cap);

	if (list == NULL)
		return err_set(err, ERR_DAMAGED,
			       "graph: row %u has no list at level %u", row,
			       level);
	while (n < cap && list[n] != ROW_NONE) {
		if (list[n] >= h->n || list[n] == row)
			return err_set(err, ERR_DAMAGED,
				       "graph: row %u, level %u: link to %u",
				       row, level, list[n]);
		n++;
	}
	for (; n < cap; n++)
		if (list[n] != ROW_NONE)
			return err_set(err, ERR_DAMAGED,
				       "graph: row %u, level %u: link behind "
				       "the end of the list",
				       row, level);
	return 0;
}

static void
audit_reach(struct audit *a, uint32_t row)
{
	if (a->reached[row])
		return;
	a->reached[row] = 1;
	a->queue[a->n_queue++] = row;
}

/* The chain behind a row that has links; those rows have none. */
static int
chain_check(struct audit *a, uint32_t head, struct err *err)
{
	const struct hnsw *h = a->h;
	uint32_t cap, row = h->twins == NULL ? ROW_NONE : h->twins[head];

	while (row != ROW_NONE) {
		if (row >= h->n || a->reached[row] ||
		    hnsw_list(h, row, 0, &cap)[0] != ROW_NONE)
			return err_set(err, ERR_DAMAGED,
				       "graph: row %u cannot equal row %u", row,
				       head);
		a->reached[row] = 1;
		row = h->twins[row];
	}
	return 0;
}

static int
audit_reached(struct audit *a, struct err *err)
{
	const struct hnsw *h = a->h;
	int rc = 0;

	audit_reach(a, h->entry);
	for (uint32_t i = 0; i < a->n_queue; i++) {
		uint32_t cap;
		const uint32_t *list = hnsw_list(h, a->queue[i], 0, &cap);

		for (uint32_t j = 0; j < cap && list[j] != ROW_NONE; j++)
			audit_reach(a, list[j]);
	}
	for (uint32_t i = a->n_queue; i-- > 0 && rc == 0;)
		rc = chain_check(a, a->queue[i], err);
	for (uint32_t row = 0; row < h->n && rc == 0; row++)
		if (!a->reached[row])
			rc = err_set(err, ERR_DAMAGED,
				     "graph: no way leads to row %u", row);
	return rc;
}

static uint32_t
level_of(const struct hnsw *h, uint32_t row, const uint32_t *next_at)
{
	uint64_t end = *next_at == ROW_NONE ? h->upper_len : *next_at;

	if (h->upper_at[row] == ROW_NONE || end < h->upper_at[row])
		return 0;
	return (uint32_t)((end - h->upper_at[row]) / h->cap1);
}

/* Rows have their upper lists in order of their numbers, so from the last row
 * on, each row's lists end where those of the row before begin. */
static int
audit_lists(const struct hnsw *h, struct err *err)
{
	uint32_t next_at = ROW_NONE;
	int rc = 0;

	for (uint32_t row = h->n; row-- > 0 && rc == 0;) {
		uint32_t levels = level_of(h, row, &next_at);

		if (h->upper_at[row] != ROW_NONE &&
		    (levels == 0 || levels > HNSW_LEVEL_MAX))
			return err_set(err, ERR_DAMAGED,
				       "graph: row %u has %u levels", row,
				       levels);
		for (uint32_t l = 0; l <= levels && rc == 0; l++)
			rc = list_check(h, row, l, err);
		if (h->upper_at[row] != ROW_NONE)
			next_at = h->upper_at[row];
	}
	return rc;
}

int
hnsw_check(const struct hnsw *h, struct err *err)
{
	struct audit a = {.h = h};
	int rc;

	if (h->n == 0)
		return 0;
	rc = audit_lists(h, err);
	if (rc != 0)
		return rc;
	a.reached = calloc(h->n, sizeof a.reached[0]);
	a.queue = malloc((size_t)h->n * sizeof a.queue[0]);
	if (a.reached == NULL || a.queue == NULL)
		rc = err_set(err, ERR_NO_MEMORY, "no memory to check a graph");
	else
		rc = audit_reached(&a, err);
	free(a.reached);
	free(a.queue);
	return rc;
}
