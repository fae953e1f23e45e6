/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_settings.h - DATA/config.json to struct settings and back.
 *
 * shapes   One table in json_settings.c says which members there are and what
 *          each may be.  Durations are "500ms" "30s" "15min" "24h" "7d", sizes
 *          "512B" "64KiB" "64MiB" "1GiB" "2TiB" or a number of bytes.
 * errors   ERR_JSON with the place, ERR_KEY naming an unknown member,
 *          ERR_CONFIG or ERR_TYPE naming the member and what it may be.
 * owners   Results live in the arena and share nothing with what was given.
 * threads  Any.
 */
#ifndef ENGINE_JSON_JSON_SETTINGS_H
#define ENGINE_JSON_JSON_SETTINGS_H

#include "engine/settings.h"

#include <stdbool.h>

struct arena;

int settings_defaults(struct arena *a, struct settings *ret, struct err *err);

/* The text merged over old as PATCH does: absent stays, null resets. */
int json_settings_merge(const struct settings *old, const void *text, size_t n,
			struct arena *a, struct settings *ret, struct err *err);

/* All of it, indented, with a newline at the end; merging it into anything
 * gives the same settings back. */
int json_settings_print(const struct settings *s, struct buf *ret);

/* One member by its own name, as in `-o name=value` ("wal_capacity_mb" too,
 * without the objects around it).  "null" resets.  ERR_KEY: no such name. */
int settings_set(const struct settings *old, const char *name,
		 const char *value, struct arena *a, struct settings *ret,
		 struct err *err);

/* The i-th name that settings_set() takes, or NULL behind the last. */
const char *settings_name(unsigned i);
bool settings_has_name(const char *name);

/* Whole numbers with a unit, the whole string. */
int size_parse(const char *s, uint64_t *ret_bytes, struct err *err);
int duration_parse(const char *s, uint64_t *ret_ms, struct err *err);

#endif
