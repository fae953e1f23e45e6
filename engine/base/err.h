/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - what went wrong, told to the caller.
 *
 * A function that can fail returns 0 or minus a code of errcode.h, and takes
 * struct err * last; it is filled in on failure only and may be NULL.  No
 * layer both logs and returns.  threads: a struct err belongs to one thread.
 */
#ifndef ENGINE_BASE_ERR_H
#define ENGINE_BASE_ERR_H

#include "engine/base/errcode.h"

#include <stddef.h>

struct err {
	int code;       /* enum errcode, or 0 */
	char text[500]; /* one sentence, UTF-8, no newline, cut if longer */
};

/* Fills in *err (which may be NULL) and returns -code. */
int err_set(struct err *err, enum errcode code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a failed system call: picks the code from errnum (ENOSPC and
 * EDQUOT ERR_NO_SPACE, ENOMEM, EMFILE, EROFS, ENOENT, EEXIST, else ERR_IO) and
 * appends strerror. */
int err_sys(struct err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts a phrase in front of the text: "segment 7: ...".  Returns rc. */
int err_in(struct err *err, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

int err_errno(int rc);        /* -ERR_x to a positive errno; 0 for 0 */
const char *err_name(int rc); /* "ERR_DIM", for errors.jsonl and tests */
const char *err_text(const struct err *err); /* never NULL */

#endif
