/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_import.h - many points from text: JSON lines, one point each, or
 * Qdrant's upsert bodies ({"points": [...]}, {"batch": {...}}).
 */
#ifndef ENGINE_JSON_JSON_IMPORT_H
#define ENGINE_JSON_JSON_IMPORT_H

#include "engine/types.h"

struct arena;

/* One line (or one body that spans lines: see json_feed): calls put for each
 * point in it, in order.  The points are DOC_CANONICAL and live as long as the
 * arena.  put's return of non-zero ends the line with it.
 *
 * A mistake in one point refuses that point only and is told to refuse, and
 * the return is 0.  What makes the whole text unusable (grammar, a wrong
 * shape around the points) is returned; points in front of it were put. */
struct import_sink {
	int (*put)(void *arg, struct point *p, struct err *err);
	void (*refuse)(void *arg, uint64_t line, const struct err *err);
	void *arg;
};

int json_import_body(const void *text, size_t n, uint64_t line, struct arena *a,
		     const struct import_sink *sink, struct err *err);

#endif
