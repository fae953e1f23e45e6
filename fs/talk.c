/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/talk.h"

#include "engine/base/err.h"
#include "engine/types.h"

#include <string.h>

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the value: up to and with the newline. */
static int
talk_tail(struct talk *t, const uint8_t *p, size_t n, size_t *ret_used,
	  struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n') {
			*ret_used = i + 1;
			return 1;
		}
		if (!is_blank(p[i])) {
			talk_reset(t);
			return err_set(err, ERR_JSON,
				       "more text behind the request; requests "
				       "are separated by a newline");
		}
	}
	*ret_used = n;
	return 0;
}

static int
talk_value(struct talk *t, const uint8_t *p, size_t n, size_t *ret_used,
	   struct err *err)
{
	int rc;

	if (n > BODY_MAX - t->body.n) {
		talk_reset(t);
		return err_set(err, ERR_TOO_BIG,
			       "a request has at most %u bytes", BODY_MAX);
	}
	rc = json_feed(&t->feed, p, n, JSON_DEPTH_MAX, ret_used, err);
	if (rc < 0) {
		talk_reset(t);
		return rc;
	}
	if (buf_put(&t->body, p, *ret_used)) {
		talk_reset(t);
		return err_set(err, ERR_NO_MEMORY, "a request of %zu bytes", n);
	}
	t->whole = rc == JSON_WHOLE;
	return 0;
}

int
talk_feed(struct talk *t, const void *bytes, size_t n, size_t *ret_used,
	  struct err *err)
{
	const uint8_t *p = bytes;
	size_t at = 0, used;
	int rc;

	if (t->body.n == 0)
		while (at < n && is_blank(p[at]))
			at++;
	if (!t->whole && at < n) {
		rc = talk_value(t, p + at, n - at, &used, err);
		if (rc < 0)
			return rc;
		at += used;
		/* A bare number ends at the blank behind it, which may have
		 * been the newline itself. */
		if (t->whole && used > 0 && p[at - 1] == '\n') {
			*ret_used = at;
			return 1;
		}
	}
	*ret_used = at;
	if (!t->whole)
		return 0;
	rc = talk_tail(t, p + at, n - at, &used, err);
	if (rc >= 0)
		*ret_used = at + used;
	return rc;
}

int
talk_end(struct talk *t, struct err *err)
{
	struct json_feed probe = t->feed;

	if (t->body.n == 0)
		return 0;
	if (t->whole)
		return 1;
	/* A bare number needs something behind it. */
	if (json_feed(&probe, "\n", 1, JSON_DEPTH_MAX, NULL, NULL) ==
	    JSON_WHOLE)
		return 1;
	return err_set(err, ERR_JSON, "byte %zu: the request ends too early",
		       t->body.n);
}

void
talk_reset(struct talk *t)
{
	buf_clear(&t->body);
	memset(&t->feed, 0, sizeof t->feed);
	t->whole = false;
}

void
talk_done(struct talk *t)
{
	buf_done(&t->body);
}
