/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - named places where tests kill, fail or hold the program.
 *
 * Compiled to nothing unless POINTFS_FAULTS is defined (debug and test
 * builds).  The environment says what happens: POINTFS_FAULT=name:action[:n],
 * action kill (SIGKILL), fail (the call site returns an error), or wait (until
 * the file named by POINTFS_FAULT_GATE exists); n: at the n-th pass, default
 * 1.  `pointfs` lists the names with --fault-points.
 */
#ifndef ENGINE_BASE_FAULT_H
#define ENGINE_BASE_FAULT_H

#include <stdbool.h>

#define FAULT_LIST(X)                                                          \
	X(catalog_before_rename)                                               \
	X(catalog_after_rename)                                                \
	X(compact_before_manifest)                                             \
	X(compact_after_manifest)                                              \
	X(flush_after_files)                                                   \
	X(flush_before_manifest)                                               \
	X(flush_after_manifest)                                                \
	X(index_before_manifest)                                               \
	X(index_after_manifest)                                                \
	X(manifest_before_rename)                                              \
	X(manifest_after_rename)                                               \
	X(recover_after_manifests)                                             \
	X(recover_in_replay)                                                   \
	X(recover_before_sweep)                                                \
	X(recover_after_sweep)                                                 \
	X(wal_before_write)                                                    \
	X(wal_after_write)                                                     \
	X(wal_after_sync)                                                      \
	X(wal_before_switch)                                                   \
	X(wal_after_switch)                                                    \
	X(wal_in_trim)

enum fault {
#define X(name) FAULT_##name,
	FAULT_LIST(X)
#undef X
		FAULT_NR
};

#ifdef POINTFS_FAULTS
bool fault_hit(enum fault f); /* true: fail here */
#else
static inline bool
fault_hit(enum fault f)
{
	(void)f;
	return false;
}
#endif
const char *fault_name(enum fault f);

#endif
