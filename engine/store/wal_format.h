/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_format.h - the log's bytes on disk.
 *
 * A file is a header, then from WAL_FILE_START records, each beginning at a
 * multiple of 8.  What follows the last record is zero.  A record too large
 * for the rest of a file stands in the next one, whose name is the position
 * that was expected here: that is how a reader knows the rest is unused.
 *
 * A file gets its name only after the file before it was synced to its last
 * record and its own header was synced.  A file with a name is therefore a
 * witness that everything before its first position was on disk.
 *
 * All numbers are little endian.  A new field is a new version.
 */
#ifndef ENGINE_STORE_WAL_FORMAT_H
#define ENGINE_STORE_WAL_FORMAT_H

#include "engine/base/bytes.h"

#include <assert.h>

#define WAL_MAGIC      "PFSWAL\r\n"
#define WAL_VERSION    1u
#define WAL_FILE_START 4096u /* of records: the header has its own page */

struct wal_file_disk {
	uint8_t magic[8];
	uint8_t crc[4]; /* crc32c of all that follows */
	uint8_t version[4];
	uint8_t first[8]; /* position of the first record, as in the name */
	uint8_t epoch[8]; /* random, not 0; every record of the file has it */
	uint8_t size[8];  /* bytes allocated */
	uint8_t reserved[24];
};
static_assert(sizeof(struct wal_file_disk) == 64, "file header is 64 bytes");

struct wal_rec_disk {
	uint8_t crc[4];      /* crc32c of the header's bytes that follow */
	uint8_t body_crc[4]; /* crc32c of the body */
	uint8_t len[4];      /* of the body, which follows the header */
	uint8_t kind;        /* the body's, as is its version */
	uint8_t version;
	uint8_t reserved[2]; /* written zero, refused otherwise */
	uint8_t lsn[8];
	uint8_t time_us[8]; /* wall clock; for history, never for order */
	uint8_t synced[8];  /* all up to here was on disk: the witness */
	uint8_t epoch[8];   /* the file's: stale bytes never look valid */
};
static_assert(sizeof(struct wal_rec_disk) == 48, "record header is 48 bytes");

#define WAL_REC_HEAD sizeof(struct wal_rec_disk)

/* Bytes a record takes in the file. */
static inline uint64_t
wal_rec_room(uint64_t body_len)
{
	return round_up(WAL_REC_HEAD + body_len, 8);
}

#endif
