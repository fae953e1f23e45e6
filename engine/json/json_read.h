/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_read.h - reading a JSON text into structs, with the place of a mistake.
 * Private to engine/json.
 *
 * A struct rd is a walk, the arena for what is read, and the path of the value
 * being read, so that every message says "filter.must[0].range.gte: byte 57:
 * ...".  Each read function is given the token that has just been read and
 * leaves the walk behind its value.
 */
#ifndef ENGINE_JSON_JSON_READ_H
#define ENGINE_JSON_JSON_READ_H

#include "engine/base/err.h"
#include "engine/base/text.h"
#include "engine/id.h"

struct arena;
struct path;

#define RD_PATH_MAX 160 /* longer ones are cut */

struct rd {
	struct json_walk w;
	struct arena *a;
	struct err *err;
	size_t path_n;
	char path[RD_PATH_MAX];
};

typedef int (*rd_fn)(struct rd *r, const struct json_tok *t, void *arg);

/* Flags of a member. */
#define RD_NULL  1u /* null is as absent */
#define RD_ALIAS 2u /* another name of the member in front of it */

struct rd_member {
	const char *name;
	rd_fn read;
	unsigned flags;
};

/* Starts at the text's one value; *t is its token. */
int rd_start(struct rd *r, const void *text, size_t n, struct arena *a,
	     struct json_tok *t, struct err *err);
int rd_end(struct rd *r); /* only blanks may be left */

/* "PATH: byte N: text", and -code. */
int rd_fail(struct rd *r, enum errcode code, size_t at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int rd_no_memory(struct rd *r);
int rd_want(struct rd *r, const struct json_tok *t, enum json_type type);

/* An object with these members (64 at most) and no others, each once.  The
 * bits of *ret_seen (may be NULL) are places in the table, aliases under the
 * name they stand for. */
int rd_members(struct rd *r, const struct json_tok *t,
	       const struct rd_member *m, size_t n, void *arg,
	       uint64_t *ret_seen);
/* fn for each element. */
int rd_each(struct rd *r, const struct json_tok *t, rd_fn fn, void *arg);

int rd_string(struct rd *r, const struct json_tok *t, struct slice *ret);
int rd_bool(struct rd *r, const struct json_tok *t, bool *ret);
int rd_u64(struct rd *r, const struct json_tok *t, uint64_t min, uint64_t max,
	   uint64_t *ret);
int rd_f64(struct rd *r, const struct json_tok *t, double *ret);
int rd_id(struct rd *r, const struct json_tok *t, struct id_key *ret);
int rd_key_path(struct rd *r, const struct json_tok *t, struct path *ret);

/* An array of numbers; text offsets of the first and behind the last. */
struct rd_vector {
	float *v;
	uint32_t dim;
	size_t at, end;
};
int rd_vector(struct rd *r, const struct json_tok *t, struct rd_vector *ret);

/* Any value; no object in it has a member twice, no number is beyond a double.
 * O(n log n). */
int rd_unique(struct rd *r, const struct json_tok *t);

/* Members that are read and not used, by type; and those not there yet. */
int rd_ignore(struct rd *r, const struct json_tok *t, void *arg);
int rd_ignore_bool(struct rd *r, const struct json_tok *t, void *arg);
int rd_ignore_u64(struct rd *r, const struct json_tok *t, void *arg);
int rd_ignore_ordering(struct rd *r, const struct json_tok *t, void *arg);
int rd_ignore_object(struct rd *r, const struct json_tok *t, void *arg);
int rd_not_yet(struct rd *r, const struct json_tok *t, void *arg);

/* An array that grows in the arena. */
struct rd_list {
	void *p;
	uint32_t n, cap;
};
void *rd_list_add(struct rd *r, struct rd_list *l, size_t size); /* zeroed */

#endif
