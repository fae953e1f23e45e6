/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hnsw_format.h - the bytes of a graph.
 *
 * Little endian, in this order, without gaps:
 *
 *   header    64 bytes, below
 *   links0    n lists of 2m u32: neighbours at level 0
 *   upper_at  n u32: word in upper where the node's list of level 1 begins;
 *             its lists of level 2, 3... follow.  0xffffffff: level 0 only
 *   twins     n u32, only with HNSW_FLAG_TWINS: the next row that equals this
 *             one, 0xffffffff at the end.  A chain starts at the one row of
 *             the equal ones that has links
 *   upper     upper_len u32: lists of m, neighbours above level 0
 *
 * A list ends at 0xffffffff or at its capacity.  The arrays are used where
 * they are mapped, so the bytes must begin at a multiple of 4 and the machine
 * must be little endian.
 */
#ifndef ENGINE_INDEX_HNSW_FORMAT_H
#define ENGINE_INDEX_HNSW_FORMAT_H

#include <assert.h>
#include <stdint.h>

#define HNSW_MAGIC      "PFSHNSW"
#define HNSW_VERSION    1
#define HNSW_FLAG_TWINS 1u
#define HNSW_LEVEL_MAX  31

struct hnsw_head_disk {
	uint8_t magic[8]; /* HNSW_MAGIC with its NUL */
	uint8_t version[4];
	uint8_t flags[4];
	uint8_t n[4];
	uint8_t m[4];
	uint8_t entry[4]; /* 0xffffffff when n is 0 */
	uint8_t max_level[4];
	uint8_t upper_len[8]; /* in u32 */
	uint8_t reserved[24]; /* written zero, refused otherwise */
};

static_assert(sizeof(struct hnsw_head_disk) == 64, "graph header is 64 bytes");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "graphs are mapped as they stand");

#endif
