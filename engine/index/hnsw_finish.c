/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hnsw_finish.c - from the lists with slack to the graph's bytes.
 */
#include "engine/index/build_impl.h"
#include "engine/index/hnsw_format.h"

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/sched.h"

#include <stdatomic.h>
#include <stdlib.h>

#define FINISH_CHUNK 1024 /* lists a thread takes at a time */

static void
finish_list(struct build *b, struct worker *w, struct lists *l, uint64_t i)
{
	uint32_t n = lists_get(l, i, NULL, w->cand);

	if (n > l->keep) {
		n = link_choose(b, w->cand, n, l->keep, w->kept);
		lists_put(l, i, w->kept, n);
	} else {
		lists_put(l, i, w->cand, n);
	}
}

static void
finish_worker(void *arg, unsigned which)
{
	struct build *b = arg;
	uint64_t from, n = b->base.n + b->upper.n;

	while ((from = (uint64_t)atomic_fetch_add(&b->taken, 1) *
		       FINISH_CHUNK) < n) {
		uint64_t to = MIN(n, from + FINISH_CHUNK);

		for (uint64_t i = from; i < to; i++) {
			if (i < b->base.n)
				finish_list(b, &b->workers[which], &b->base, i);
			else
				finish_list(b, &b->workers[which], &b->upper,
					    i - b->base.n);
		}
	}
}

static uint32_t *
put_lists(uint32_t *out, const struct lists *l)
{
	for (uint64_t i = 0; i < l->n; i++) {
		memcpy(out, l->row + i * l->cap, l->keep * sizeof out[0]);
		out += l->keep;
	}
	return out;
}

static bool
any_twins(const struct build *b)
{
	for (uint32_t row = 0; row < b->vs->n; row++)
		if (b->twins[row] != ROW_NONE)
			return true;
	return false;
}

static bool
has_links(void *arg, uint32_t row)
{
	const struct build *b = arg;

	return b->level[row] != LEVEL_TWIN;
}

static void
put_head(const struct build *b, uint32_t flags, uint8_t *p)
{
	struct hnsw_head_disk head = {.magic = HNSW_MAGIC};

	set_u32(head.version, HNSW_VERSION);
	set_u32(head.flags, flags);
	set_u32(head.n, b->vs->n);
	set_u32(head.m, b->params->m);
	set_u32(head.entry, b->graph.entry);
	set_u32(head.max_level, b->graph.max_level);
	set_u64(head.upper_len, b->upper.n * b->upper.keep);
	memcpy(p, &head, sizeof head);
}

/* Twins have lost their place in the upper lists; those stay, empty. */
static uint32_t *
put_upper_at(const struct build *b, uint32_t *out)
{
	for (uint32_t row = 0; row < b->vs->n; row++) {
		uint32_t at = b->upper_at[row];

		if (at != ROW_NONE)
			at = at / b->upper.cap * b->upper.keep;
		*out++ = at;
	}
	return out;
}

static int
write_graph(struct build *b, struct buf *ret, struct err *err)
{
	uint64_t n = b->vs->n, upper = b->upper.n * b->upper.keep;
	uint32_t flags = any_twins(b) ? HNSW_FLAG_TWINS : 0;
	uint64_t words = n * b->base.keep + n + (flags ? n : 0) + upper;
	size_t len = sizeof(struct hnsw_head_disk) + words * sizeof(uint32_t);
	uint32_t *body, *links;
	int rc;

	/* The body is built apart: ret may end at any byte. */
	body = links = malloc(words * sizeof(uint32_t));
	if (body == NULL || buf_reserve(ret, len) != 0) {
		free(body);
		return err_set(err, ERR_NO_MEMORY, "no memory for a graph");
	}
	body = put_lists(body, &b->base);
	rc = hnsw_repair(links, b->vs->n, b->base.keep, b->graph.entry,
			 has_links, b, err);
	body = put_upper_at(b, body);
	if (flags) {
		memcpy(body, b->twins, n * sizeof body[0]);
		body += n;
	}
	put_lists(body, &b->upper);
	if (rc == 0) {
		put_head(b, flags, ret->p + ret->n);
		memcpy(ret->p + ret->n + sizeof(struct hnsw_head_disk), links,
		       words * sizeof(uint32_t));
		ret->n += len;
	}
	free(links);
	return rc;
}

static int
sort_twins(struct build *b, struct err *err)
{
	for (uint32_t i = 0; i < b->n_order; i++) {
		uint32_t row = b->order[i];
		int rc = 0;

		if (b->level[row] != LEVEL_TWIN && b->twins[row] != ROW_NONE)
			rc = twin_sort(b->twins, row, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int
build_finish(struct build *b, struct buf *ret, struct err *err)
{
	int rc = sort_twins(b, err);

	if (rc != 0)
		return rc;
	atomic_store(&b->taken, 0);
	parallel_for(b->n_threads, b->n_threads, finish_worker, b);
	return write_graph(b, ret, err);
}

int
build_put_empty(const struct build *b, struct buf *ret, struct err *err)
{
	uint8_t head[sizeof(struct hnsw_head_disk)];

	put_head(b, 0, head);
	if (buf_put(ret, head, sizeof head) != 0)
		return err_set(err, ERR_NO_MEMORY, "no memory for a graph");
	return 0;
}
