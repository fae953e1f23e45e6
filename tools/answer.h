/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - single members of the JSON that a mount answers with.
 */
#ifndef TOOLS_ANSWER_H
#define TOOLS_ANSWER_H

#include "engine/base/text.h"

/* The value at a path of member names ("result.status"), as a token and, for
 * containers, its bytes.  False: not there, or not JSON. */
bool answer_find(struct slice text, const char *path, struct json_tok *ret,
		 struct slice *ret_raw);

/* The same for strings (decoded, terminated) and whole numbers. */
bool answer_string(struct slice text, const char *path, struct buf *ret);
bool answer_number(struct slice text, const char *path, uint64_t *ret);

/* Calls fn for each element of the array at path until it returns false. */
void answer_each(struct slice text, const char *path,
		 bool (*fn)(void *arg, struct slice element), void *arg);

/* The sentence of an error answer, terminated; false: it is none. */
bool answer_error(struct slice text, struct buf *ret);

#endif
