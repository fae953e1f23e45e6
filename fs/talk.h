/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk.h - request bodies out of a stream of writes.
 *
 * A body is one JSON value.  It is complete at a newline behind the value, or
 * when somebody says that no more comes (first read, close).  Where writes
 * begin and end means nothing.
 *
 * threads  One talk, one thread at a time.
 */
#ifndef FS_TALK_H
#define FS_TALK_H

#include "engine/base/text.h"

struct err;

struct talk {            /* all zero is empty */
	struct buf body; /* from the first byte that is no blank */
	struct json_feed feed;
	bool whole; /* the value is complete, its newline not yet seen */
};

/* Takes bytes up to the end of one body.  1: the body is complete, *ret_used
 * bytes were taken, call talk_reset() when done with it; 0: all taken, more
 * is needed; -ERR_JSON, -ERR_TOO_BIG: the body is wrong and was dropped. */
int talk_feed(struct talk *t, const void *p, size_t n, size_t *ret_used,
	      struct err *err);

/* No more comes.  1: the body is complete; 0: there is none; -ERR_JSON: it is
 * not whole, and is kept. */
int talk_end(struct talk *t, struct err *err);

void talk_reset(struct talk *t); /* for the next body; memory kept */
void talk_done(struct talk *t);

#endif
