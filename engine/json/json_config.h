/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_config.h - a collection's configuration as Qdrant's create body.
 *
 * Named vectors, sparse vectors, multivectors, datatypes other than float32,
 * sharding_method custom and quantization are ERR_NOT_YET, by name; unknown
 * members are ERR_KEY.  Merging follows PATCH: absent stays, null resets.
 */
#ifndef ENGINE_JSON_JSON_CONFIG_H
#define ENGINE_JSON_JSON_CONFIG_H

#include "engine/config.h"

struct arena;

void config_defaults(struct coll_config *ret);

/* The body merged over old (never NULL); *ret is in the arena.  Does not know
 * whether there are points: the collection refuses a change of size. */
int json_config_merge(const struct coll_config *old, const void *text, size_t n,
		      struct arena *a, struct coll_config *ret,
		      struct err *err);

/* The effective configuration, pretty, with a newline at the end; reading it
 * back by merge gives the same. */
int json_config_print(const struct coll_config *c, struct buf *ret);

/* Its payload_schema on one line, {} if there is none. */
int json_config_schema(const struct coll_config *c, struct buf *ret);

#endif
