/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_tree.h - what json_config.c needs of our own reader and writer, which
 * it cannot include: jansson has the same names in its header.  Private to
 * engine/json.
 */
#ifndef ENGINE_JSON_JSON_TREE_H
#define ENGINE_JSON_JSON_TREE_H

#include "engine/base/buf.h"

struct arena;
struct err;

/* Whether the text is one object, no object in it has a member twice, and
 * nothing is nested too deep. */
int tree_check_text(const void *text, size_t n, struct arena *a,
		    struct err *err);

int tree_put_string(const char *s, size_t n, struct buf *ret);

#endif
