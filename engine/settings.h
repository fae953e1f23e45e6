/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h - what a database is set to: config.json as plain data.
 *
 * The typed members are those that this version acts upon.  text holds all of
 * them, also those that are only kept (remotes, schedule, objectives), so that
 * printing and merging lose nothing.  INTERFACE section 8 lists the members.
 */
#ifndef ENGINE_SETTINGS_H
#define ENGINE_SETTINGS_H

#include "engine/store/wal.h" /* enum sync_policy */

#include <stdint.h>

#define SETTINGS_TEXT_MAX (1u << 20)

struct settings {
	enum sync_policy sync;
	uint32_t sync_interval_ms;
	uint64_t max_point_bytes;
	uint64_t scratch_max_bytes;
	const char *snapshots_path; /* NULL: inside DATA; all are absolute */
	const char *temp_path;
	const char *wal_path;
	uint32_t wal_capacity_mb;
	uint32_t wal_segments_ahead;
	uint64_t history_window_ms;
	uint64_t history_max_bytes; /* 0: no limit */
	const char *text;           /* everything, as compact JSON */
};

#endif
