/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_point.h - the text of a point to struct point and back, byte for byte.
 *
 * shapes   INTERFACE section 2.  Members: id, vector (alias vectors), payload,
 *          shard_key.  Others, duplicates at any depth, and wrong types are
 *          refused with the byte offset.
 * errors   ERR_JSON, ERR_TYPE, ERR_KEY, ERR_ID, ERR_ID_NAME, ERR_NUMBER,
 *          ERR_NOT_YET (named, sparse, multi-vectors, shard_key), ERR_TOO_BIG.
 *          The dimension is the collection's to check.
 * owners   The point's slices point into the arena, never into the text.
 */
#ifndef ENGINE_JSON_JSON_POINT_H
#define ENGINE_JSON_JSON_POINT_H

#include "engine/types.h"

struct arena;

/* name: the id the file's name says; an absent id member takes it, another one
 * is ERR_ID_NAME.  NULL: the id member is required.  canonical: forget the
 * text's spelling; the document becomes DOC_CANONICAL (import, upsert).
 * Fills in id, dim, vec, doc, digest; the rest is zero. */
int json_point_parse(const void *text, size_t n, const struct id_key *name,
		     bool canonical, struct arena *a, struct point *ret,
		     struct err *err);

/* The document, exactly p->doc.size bytes, appended. */
int json_point_render(const struct point *p, struct buf *ret, struct err *err);

/* The same point under another id: an id member in its text is rewritten and
 * no other byte; size and digest follow. */
int json_point_rename(const struct point *p, const struct id_key *id,
		      struct arena *a, struct point *ret, struct err *err);

/* From parts (fvecs, .update): DOC_CANONICAL, payload may be empty.  Payload
 * text is a JSON object and is kept as given. */
int json_point_make(const struct id_key *id, const float *vec, uint32_t dim,
		    struct slice payload, struct arena *a, struct point *ret,
		    struct err *err);

static inline struct slice
point_payload(const struct point *p)
{
	return (struct slice){(const char *)p->doc.text.p + p->doc.pay_at,
			      p->doc.pay_len};
}

#endif
