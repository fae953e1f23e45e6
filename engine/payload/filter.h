/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - conditions on a point, as plain data, and their evaluation over
 * the payload's text in place.
 *
 * The semantics are Qdrant's (research/qdrant.md 2.4): match value is exact,
 * floats never match, any element of an array matches; range takes numbers;
 * must, should, must_not and min_should of one filter are ANDed; an empty list
 * is as absent.
 * owners   A filter lives in the arena it was parsed into.
 * threads  Any number evaluate one filter.
 */
#ifndef ENGINE_PAYLOAD_FILTER_H
#define ENGINE_PAYLOAD_FILTER_H

#include "engine/base/buf.h"
#include "engine/id.h"

#include <stdbool.h>

struct arena;
struct err;

enum cond_kind { COND_MATCH, COND_RANGE, COND_HAS_ID, COND_FILTER };

/* A key path: dots, [n], [] for all elements, "quoted" names. */
struct path_step {
	struct slice name; /* member name; empty with index >= -1 */
	int64_t index;     /* PATH_MEMBER, PATH_ALL, or an element's number */
};
#define PATH_MEMBER (-2)
#define PATH_ALL    (-1)

#define PATH_STEPS_MAX 64

struct path {
	struct slice text;
	uint32_t n;
	struct path_step *steps;
};

enum value_kind { VALUE_STRING, VALUE_INT, VALUE_BOOL };

struct value {
	enum value_kind kind;
	struct slice s;
	int64_t i; /* also the bool */
};

enum match_kind { MATCH_VALUE, MATCH_ANY, MATCH_EXCEPT };

struct condition {
	enum cond_kind kind;
	struct path key;
	enum match_kind match;
	uint32_t n_values;
	struct value *values; /* sorted by value_cmp */
	bool has_gt, has_gte, has_lt, has_lte;
	double gt, gte, lt, lte;
	uint32_t n_ids;
	struct id_key *ids; /* sorted by id_cmp */
	struct filter *filter;
};

struct cond_list {
	uint32_t n;
	struct condition *c;
};

struct filter {
	struct cond_list must, should, must_not, min_should;
	uint32_t min_count;
};

/* Whether the point with this id and payload text (may be empty: no payload)
 * passes.  The text was validated when it was stored. */
bool filter_pass(const struct filter *f, const void *id, size_t id_n,
		 struct slice payload);

/* Whether evaluation needs the payload at all (has_id does not). */
bool filter_needs_payload(const struct filter *f);

/* The ids that alone can pass, if the filter says so by has_id in must; NULL
 * otherwise. */
const struct condition *filter_ids(const struct filter *f);

int value_cmp(const struct value *a, const struct value *b);

/* At most PATH_STEPS_MAX steps.  A quoted name has no escapes; an empty path,
 * name or step is ERR_QUERY. */
int path_parse(const char *s, size_t n, struct arena *a, struct path *ret,
	       struct err *err);

#endif
