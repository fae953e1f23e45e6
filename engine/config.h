/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - what a collection is set to.  Plain data; json_config.h turns it
 * into Qdrant's create-collection body and back.
 */
#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H

#include "engine/types.h"

struct coll_config {
	uint32_t size;          /* 0: not fixed yet */
	enum distance distance; /* 0: not fixed yet, Cosine when it is */
	bool implied; /* size and distance come from the first point */
	uint32_t shard_number;
	uint32_t hnsw_m;
	uint32_t hnsw_ef_construct;
	uint32_t full_scan_threshold_kb; /* smaller segments get no graph */
	uint32_t indexing_threshold_kb;
	float deleted_threshold; /* share of deleted rows that starts a rewrite
				  */
	/* members accepted and kept for later versions, as JSON text of one
	 * object ("{}" if none): on_disk_payload, wal_config, metadata, ... */
	struct slice extra;
};

#endif
