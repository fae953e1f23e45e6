/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages_format.h - the bytes of one <sha256>.qv file; FORMAT.md says it in
 * prose.
 *
 *   page 0        struct pages_header_disk
 *   page 1 ..     the payload, zeros up to the end of its last page
 *   then          a crc32c of 4 bytes for each page of payload
 *
 * The length of a file follows from its payload, so that it can be compared
 * before anything is mapped.
 */
#ifndef ENGINE_STORE_PAGES_FORMAT_H
#define ENGINE_STORE_PAGES_FORMAT_H

#include "engine/base/bytes.h"
#include "engine/base/hash.h"
#include "engine/store/pages.h"

#include <assert.h>

#define PAGES_MAGIC     "PointFSq"
#define PAGES_VERSION   1
#define PAGES_PER_FILE  (PAGES_PAYLOAD_MAX / PAGE_LEN)
#define PAGES_FILES_MAX (1u << 20) /* of one stream */
#define PAGES_LEN_MAX   ((uint64_t)PAGES_FILES_MAX * PAGES_PAYLOAD_MAX)
#define PAGES_TMP       ".new-" /* prefix of files not yet under their name */

struct pages_header_disk {
	uint8_t magic[8];
	uint8_t version[2];
	uint8_t kind; /* enum stream_kind */
	uint8_t zero;
	uint8_t len[4]; /* of the file */
	uint8_t payload[4];
	uint8_t page_len[4];
	uint8_t at[8];                   /* of the payload in the stream */
	uint8_t reserved[PAGE_LEN - 36]; /* zero, refused otherwise */
	uint8_t crc[4]; /* crc32c of all before; same place in each version */
};
static_assert(sizeof(struct pages_header_disk) == PAGE_LEN,
	      "a header is one page");
static_assert(PAGE_LEN + PAGES_PAYLOAD_MAX + 4 * PAGES_PER_FILE <=
		      PAGES_FILE_MAX,
	      "a full file keeps to its limit");

static inline uint32_t
pages_count(uint64_t payload)
{
	return (uint32_t)((payload + PAGE_LEN - 1) / PAGE_LEN);
}

static inline uint32_t
pages_file_len(uint32_t payload)
{
	return PAGE_LEN + pages_count(payload) * (PAGE_LEN + 4);
}

/* The page's number in its file goes into its sum, so that a page written to
 * the place of another does not pass. */
static inline uint32_t
pages_sum(uint32_t no, const void *page)
{
	uint8_t b[4];

	set_u32(b, no);
	return crc32c(crc32c(0, b, sizeof b), page, PAGE_LEN);
}

#endif
