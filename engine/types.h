/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types.h - plain structs that cross modules, and the limits.  No functions.
 */
#ifndef ENGINE_TYPES_H
#define ENGINE_TYPES_H

#include "engine/base/buf.h"
#include "engine/id.h"
#include "engine/kernels/dist.h"

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t lsn_t; /* log position: the number of a record, from 1 */

#define DIM_MAX         65536u
#define SHARDS_MAX      256u
#define COLLECTIONS_MAX (1u << 24) /* over the life of a database */
#define POINT_NO_MAX    (1ull << 36)
#define LIMIT_MAX       1000000u    /* limit + offset of one query */
#define BODY_MAX        (32u << 20) /* one request */
#define JSON_DEPTH_MAX  128
#define DIGEST_LEN      16

/*
 * How the text of a point reads back, without storing the vector twice.
 * Rendering is json_point_render().
 *
 *   CANONICAL  compact JSON made from id, vector and payload; text is the
 *              payload object alone (or empty).
 *   TEMPLATE   text is the document without the vector's numbers: the bytes up
 *              to vec_at, then sep_len bytes that stand between two numbers,
 *              then the rest.  The numbers are printed in `style`.
 *   VERBATIM   text is the document.
 */
enum doc_form { DOC_CANONICAL = 1, DOC_TEMPLATE = 2, DOC_VERBATIM = 3 };

struct doc {
	uint8_t form;  /* enum doc_form */
	uint8_t style; /* TEMPLATE: enum num_style (json/number.h) */
	uint16_t sep_len;
	uint32_t size;    /* bytes of the whole document: st_size */
	uint32_t vec_at;  /* into text */
	uint32_t pay_at;  /* the payload object inside text; */
	uint32_t pay_len; /* 0: none */
	struct slice text;
};

/* A point as it goes in and comes out.  Slices and vec belong to the arena or
 * the object that filled the struct in. */
struct point {
	struct id_key id;
	uint32_t dim;     /* 0: no vector */
	const float *vec; /* as given, not normalised */
	struct doc doc;
	uint8_t digest[DIGEST_LEN]; /* of id, vector and document */
	int64_t mtime_ns;
	uint32_t uid;
	/* set by the engine */
	uint64_t no; /* point number: inode; kept over overwrite and rename */
	lsn_t lsn;   /* last change: Qdrant's version */
	int64_t time_us; /* wall clock of that log record: ctime */
};

/* What stat() needs. */
struct point_stat {
	uint64_t no;
	lsn_t lsn;
	int64_t time_us;
	int64_t mtime_ns;
	uint32_t size;
	uint32_t uid;
};

#endif
