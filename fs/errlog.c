/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/errlog.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/counters.h"
#include "engine/base/err.h"
#include "engine/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
errlog_init(struct errlog *l)
{
	memset(l, 0, sizeof *l);
	mutex_init(&l->lock, LOCK_LEAF);
}

void
errlog_done(struct errlog *l)
{
	for (size_t i = 0; i < ERRLOG_LINES; i++)
		free(l->lines[i].text);
	mutex_done(&l->lock);
}

/* Names in a path need not be UTF-8, JSON strings must be. */
static void
put_text(struct buf *b, const char *s)
{
	CLEAN(buf_done) struct buf clean = {0};
	size_t n = strlen(s), step;

	for (size_t i = 0; i < n; i += step) {
		step = utf8_char(s + i, n - i);
		if (step > 0) {
			buf_put(&clean, s + i, step);
		} else {
			buf_puts(&clean, "\xEF\xBF\xBD"); /* U+FFFD */
			step = 1;
		}
	}
	json_quote(clean.p ? clean.p : (const void *)"", clean.n, b);
}

static void
line_print(const struct refusal *r, struct buf *b)
{
	const char *eno = strerrorname_np(r->errnum);
	char time[40];

	clock_print(clock_wall_ns(), time);
	buf_printf(b, "{\"time\":\"%s\",\"op\":\"%s\",\"path\":", time, r->op);
	put_text(b, r->path);
	buf_printf(b,
		   ",\"uid\":%u,\"errno\":\"%s\",\"code\":\"%s\","
		   "\"message\":",
		   r->uid, eno ? eno : "EIO", err_name(-r->err->code));
	put_text(b, err_text(r->err));
	buf_puts(b, "}\n");
}

void
errlog_add(struct errlog *l, const struct refusal *r)
{
	struct buf b = {0};
	struct errline *line;

	count(COUNTER_refused, 1);
	line_print(r, &b);
	if (b.failed) {
		buf_done(&b);
		return;
	}
	mutex_lock(&l->lock);
	line = &l->lines[l->next++ % ERRLOG_LINES];
	free(line->text);
	line->text = (char *)b.p; /* the line owns the buffer's memory */
	line->n = (uint32_t)b.n;
	line->uid = r->uid;
	mutex_unlock(&l->lock);
}

int
errlog_print(struct errlog *l, uint32_t uid, struct buf *ret)
{
	uint64_t i;

	mutex_lock(&l->lock);
	i = l->next > ERRLOG_LINES ? l->next - ERRLOG_LINES : 0;
	for (; i < l->next; i++) {
		const struct errline *line = &l->lines[i % ERRLOG_LINES];

		if (uid == 0 || uid == line->uid)
			buf_put(ret, line->text, line->n);
	}
	mutex_unlock(&l->lock);
	return ret->failed ? -ERR_NO_MEMORY : 0;
}
