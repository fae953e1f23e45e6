/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_query.h - request bodies of .search, .scroll and .count to structs, and
 * answers to text, in Qdrant's shapes (research/qdrant.md 2.4 and 2.5).
 *
 * errors   ERR_QUERY, ERR_JSON, ERR_TYPE, ERR_KEY, ERR_NUMBER, ERR_ID,
 *          ERR_NOT_YET for what Qdrant has and we do not have yet, by name
 *          ("prefetch is not supported yet"); each with the place:
 *          "filter.must[0].match: ...".
 */
#ifndef ENGINE_JSON_JSON_QUERY_H
#define ENGINE_JSON_JSON_QUERY_H

#include "engine/payload/filter.h"
#include "engine/types.h"

struct arena;

enum select_kind { SELECT_NONE, SELECT_ALL, SELECT_INCLUDE, SELECT_EXCLUDE };

struct select {
	enum select_kind kind;
	uint32_t n;
	struct path *keys;
};

enum query_kind {
	QUERY_LIST,   /* no query: points by rising id */
	QUERY_VECTOR, /* nearest to vec */
	QUERY_ID      /* nearest to the vector of id, without that point */
};

struct query {
	enum query_kind kind;
	const float *vec;
	uint32_t dim;
	struct id_key id;
	struct filter *filter; /* NULL: none */
	uint32_t limit;
	uint32_t offset;
	uint32_t ef; /* 0: default */
	bool exact;
	bool has_threshold;
	float threshold; /* as a score, in the metric's direction, strict */
	struct select payload;
	bool with_vector;
	bool bare_list; /* older bodies: result is the list itself */
};

/* .search: one body, or {"searches": [...]}. */
struct search_request {
	bool batch;
	uint32_t n;
	struct query *q;
};

struct scroll_request {
	struct filter *filter;
	struct id_key offset; /* n == 0: from the start */
	uint32_t limit;
	struct select payload;
	bool with_vector;
};

struct count_request {
	struct filter *filter;
};

int json_search_parse(const void *text, size_t n, struct arena *a,
		      struct search_request *ret, struct err *err);
int json_scroll_parse(const void *text, size_t n, struct arena *a,
		      struct scroll_request *ret, struct err *err);
int json_count_parse(const void *text, size_t n, struct arena *a,
		     struct count_request *ret, struct err *err);

/* One answer point; vec and payload as asked for. */
struct hit {
	struct point point;
	float score;
};

/* The answers.  Each ends with a newline and has the envelope
 * {"result": ..., "status": "ok", "time": seconds}. */
struct hits {
	struct hit *h;
	uint32_t n;
};
int json_search_print(const struct search_request *r, const struct hits *hits,
		      double seconds, struct buf *ret, struct err *err);
int json_scroll_print(const struct scroll_request *r, const struct hits *hits,
		      const struct id_key *next /* n == 0: null */,
		      double seconds, struct buf *ret, struct err *err);
int json_count_print(uint64_t count, double seconds, struct buf *ret);
int json_error_print(const struct err *err, double seconds, struct buf *ret);

#endif
