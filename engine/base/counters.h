/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counters.h - what the program counts, sorted, with help; metrics.prom.
 */
#ifndef ENGINE_BASE_COUNTERS_H
#define ENGINE_BASE_COUNTERS_H

#include <stdint.h>

/* clang-format off */
#define COUNTER_LIST(X)                                                        \
	X(compactions,     "Segments merged into one, times")                  \
	X(flushes,         "Memtables written as segments")                    \
	X(fs_requests,     "Requests from the kernel")                         \
	X(indexes_built,   "Graphs built")                                     \
	X(points_deleted,  "Points deleted")                                   \
	X(points_read,     "Documents read")                                   \
	X(points_written,  "Points written")                                   \
	X(refused,         "Operations refused")                               \
	X(searches,        "Queries answered")                                 \
	X(wal_bytes,       "Bytes appended to the log")                        \
	X(wal_records,     "Records appended to the log")                      \
	X(wal_syncs,       "fdatasync calls on the log")
/* clang-format on */

enum counter {
#define X(name, help) COUNTER_##name,
	COUNTER_LIST(X)
#undef X
		COUNTER_NR
};

extern _Atomic uint64_t counters[COUNTER_NR];

static inline void
count(enum counter c, uint64_t n)
{
	__atomic_fetch_add((uint64_t *)&counters[c], n, __ATOMIC_RELAXED);
}

const char *counter_name(enum counter c);
const char *counter_help(enum counter c);

#endif
