/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .search, .scroll and .count: one open file is one conversation.
 *
 * A write only parses; the query runs in the first read behind it, because the
 * kernel lets one write at a time into an inode, and any number of reads.  The
 * answer begins at whatever offset that read has: shells share one offset
 * between what they write and what they read.
 */
#include "fs/node_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/collection.h"
#include "fs/talk.h"

#include <string.h>

enum query_state {
	QUERY_NOTHING,
	QUERY_READY,    /* a request is parsed, and was not run */
	QUERY_ANSWERED, /* answer is set: to the request, or an error */
};

union request {
	struct search_request search;
	struct scroll_request scroll;
	struct count_request count;
};

struct query_handle {
	struct handle h;
	enum control which;
	uint64_t serial;
	/* the handle's lock */
	struct talk talk;
	enum query_state state;
	struct buf body; /* of request, which may point into it */
	struct arena a;  /* of request */
	union request request;
	struct buf answer;
	bool wrong;   /* answer is an error about the request itself */
	bool started; /* something was written on this open file */
	bool fresh;   /* ... since the last read */
	bool kept;    /* is in the table of those closed unread */
	off_t base;   /* offset of the answer's first byte */
};

/* What can be told before the query runs: the length of its vectors. */
static int
search_fits(struct query_handle *q, struct err *err)
{
	const struct search_request *s = &q->request.search;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < s->n; i++) {
		struct point p = {.dim = s->q[i].dim, .vec = s->q[i].vec};

		if (s->q[i].kind == QUERY_VECTOR)
			rc = coll_fits(q->h.coll, &p, err);
	}
	return rc ? err_in(err, rc, "query") : 0;
}

static int
parse(struct query_handle *q, struct err *err)
{
	const void *p = q->body.p;
	size_t n = q->body.n;

	int rc;

	switch (q->which) {
	case CONTROL_SEARCH:
		rc = json_search_parse(p, n, &q->a, &q->request.search, err);
		return rc ? rc : search_fits(q, err);
	case CONTROL_SCROLL:
		return json_scroll_parse(p, n, &q->a, &q->request.scroll, err);
	default:
		return json_count_parse(p, n, &q->a, &q->request.count, err);
	}
}

static int
answer_error(struct req *r, struct query_handle *q, bool wrong)
{
	buf_clear(&q->answer);
	q->state = QUERY_ANSWERED;
	q->wrong = wrong;
	return json_error_print(&r->err, 0, &q->answer);
}

/* A body is complete. */
static int
request_take(struct req *r, struct query_handle *q, const void *p, size_t n)
{
	int rc;

	buf_clear(&q->body);
	arena_reset(&q->a);
	q->wrong = false;
	rc = buf_put(&q->body, p, n);
	if (rc)
		rc = fail(r, ERR_NO_MEMORY, "a request");
	else
		rc = parse(q, &r->err);
	if (rc)
		answer_error(r, q, true);
	else
		q->state = QUERY_READY;
	return rc;
}

static int
feed(struct req *r, struct query_handle *q, const uint8_t *p, size_t n)
{
	size_t used;
	int rc = 0;

	for (size_t at = 0; at < n && rc == 0; at += used) {
		rc = talk_feed(&q->talk, p + at, n - at, &used, &r->err);
		if (rc < 0) {
			answer_error(r, q, true);
		} else if (rc == 1) {
			rc = request_take(r, q, q->talk.body.p, q->talk.body.n);
			talk_reset(&q->talk);
		}
	}
	return rc;
}

static int
query_write(struct req *r, struct handle *h, const void *p, size_t n, off_t at)
{
	struct query_handle *q = (struct query_handle *)h;
	int rc;

	(void)at;
	mutex_lock(&h->lock);
	q->started = q->fresh = true;
	rc = feed(r, q, p, n);
	mutex_unlock(&h->lock);
	return rc;
}

/* What was gathered is all: at a read or a close. */
static int
finish(struct req *r, struct query_handle *q)
{
	int rc = talk_end(&q->talk, &r->err);

	if (rc == 1) {
		rc = request_take(r, q, q->talk.body.p, q->talk.body.n);
		talk_reset(&q->talk);
	}
	return rc;
}

/* --- running --------------------------------------------------------- */

static double
seconds_since(int64_t start_ns)
{
	return (double)(clock_mono_ns() - start_ns) / 1e9;
}

static int
run_search(struct req *r, struct query_handle *q, int64_t start)
{
	struct search_request *s = &q->request.search;
	struct hits *hits =
		arena_zalloc(r->a, (s->n ? s->n : 1) * sizeof(*hits));
	int rc = 0;

	if (hits == NULL)
		return fail(r, ERR_NO_MEMORY, "an answer");
	for (uint32_t i = 0; i < s->n && rc == 0; i++)
		rc = coll_search(q->h.coll, &s->q[i], r->a, &hits[i], &r->err);
	if (rc)
		return rc;
	return json_search_print(s, hits, seconds_since(start), &q->answer,
				 &r->err);
}

static int
run_scroll(struct req *r, struct query_handle *q, int64_t start)
{
	struct scroll_request *s = &q->request.scroll;
	struct id_key next = {0};
	struct hits hits;
	int rc = coll_scroll(q->h.coll, s, r->a, &hits, &next, &r->err);

	if (rc)
		return rc;
	return json_scroll_print(s, &hits, &next, seconds_since(start),
				 &q->answer, &r->err);
}

static int
run_count(struct req *r, struct query_handle *q, int64_t start)
{
	uint64_t n;
	int rc = coll_count(q->h.coll, q->request.count.filter, &n, &r->err);

	if (rc)
		return rc;
	return json_count_print(n, seconds_since(start), &q->answer);
}

/* An error of the run is an answer, too. */
static void
run(struct req *r, struct query_handle *q)
{
	int64_t start = clock_mono_ns();
	struct node n;
	int rc;

	buf_clear(&q->answer);
	q->state = QUERY_ANSWERED;
	if (q->which == CONTROL_SEARCH)
		rc = run_search(r, q, start);
	else if (q->which == CONTROL_SCROLL)
		rc = run_scroll(r, q, start);
	else
		rc = run_count(r, q, start);
	if (rc == 0)
		return;
	answer_error(r, q, false);
	node_parse(q->h.ino, &n);
	req_refused(r, &n, NULL);
}

/* --- reading --------------------------------------------------------- */

static struct asked_key
asked_key(struct req *r, const struct query_handle *q)
{
	return (struct asked_key){q->h.ino, r->uid, session_of(r->pid)};
}

/* Nothing was asked here: what the same person asked last. */
static void
read_asked(struct req *r, struct query_handle *q)
{
	struct asked_key k = asked_key(r, q);
	CLEAN(buf_done) struct buf text = {0};
	bool wrong = false;

	q->started = true;
	if (asked_get(&r->fs->asked, &k, &wrong, &text) == 0)
		return;
	if (wrong) {
		q->state = QUERY_ANSWERED;
		buf_put(&q->answer, text.p, text.n);
	} else {
		request_take(r, q, text.p, text.n);
	}
}

static void
read_start(struct req *r, struct query_handle *q, off_t at)
{
	if (!q->started) {
		read_asked(r, q);
	} else if (finish(r, q) < 0 && q->talk.body.n > 0) {
		answer_error(r, q, true);
		talk_reset(&q->talk);
	}
	if (q->kept)
		asked_drop(&r->fs->asked, q->serial);
	q->kept = false;
	if (q->state == QUERY_READY)
		run(r, q);
	q->fresh = false;
	q->base = at;
}

static int
query_read(struct req *r, struct handle *h, size_t n, off_t at,
	   struct slice *ret)
{
	struct query_handle *q = (struct query_handle *)h;
	int rc;

	mutex_lock(&h->lock);
	if (q->fresh || !q->started)
		read_start(r, q, at);
	else if (at < q->base)
		q->base = at; /* sought back: from the start again */
	rc = text_slice(r, &q->answer, n, (uint64_t)(at - q->base), ret);
	mutex_unlock(&h->lock);
	return rc;
}

/* --- closing --------------------------------------------------------- */

/* Kept at flush, not at release, which may come after the next command. */
static void
keep_unread(struct req *r, struct query_handle *q)
{
	struct asked_key k;

	if (!q->fresh || q->state == QUERY_NOTHING ||
	    (q->state == QUERY_ANSWERED && !q->wrong))
		return;
	k = asked_key(r, q);
	if (q->state == QUERY_READY)
		asked_put(&r->fs->asked, &k, q->serial, false, q->body.p,
			  q->body.n);
	else
		asked_put(&r->fs->asked, &k, q->serial, true, q->answer.p,
			  q->answer.n);
	q->kept = true;
}

/* A shell closes a copy of the file behind each command, so a body that is not
 * whole is told and kept. */
static int
query_flush(struct req *r, struct handle *h)
{
	struct query_handle *q = (struct query_handle *)h;
	int rc;

	mutex_lock(&h->lock);
	rc = finish(r, q);
	keep_unread(r, q);
	mutex_unlock(&h->lock);
	return rc;
}

static void
query_release(struct req *r, struct handle *h)
{
	struct query_handle *q = (struct query_handle *)h;

	(void)r;
	talk_done(&q->talk);
	buf_done(&q->body);
	buf_done(&q->answer);
	arena_done(&q->a);
	handle_free(h);
}

static int
query_truncate(struct req *r, struct handle *h, uint64_t size)
{
	(void)r;
	(void)h;
	(void)size;
	return 0;
}

static const struct handle_ops query_ops = {
	.read = query_read,
	.write = query_write,
	.flush = query_flush,
	.truncate = query_truncate,
	.release = query_release,
};

int
query_open(struct req *r, const struct node *n, struct coll *coll_take,
	   struct handle **ret)
{
	struct query_handle *q = (struct query_handle *)handle_new(
		sizeof *q, &query_ops, node_ino(n->kind, n->coll, n->no),
		coll_take);

	if (q == NULL)
		return fail(r, ERR_NO_MEMORY, "an open file");
	q->which = (enum control)n->no;
	q->serial = ++r->fs->serial;
	q->h.direct_io = true;
	*ret = &q->h;
	return 0;
}
