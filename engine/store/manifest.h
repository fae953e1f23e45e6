/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h - the two small files that say what counts: a collection's
 * manifest (its segments and the log position they reach) and the database's
 * catalog (names, numbers, configurations).  Both are replaced whole.
 *
 * errors   ERR_DAMAGED, ERR_VERSION; ERR_NOT_FOUND when the file is not there.
 * owners   Decoded structs own malloc'd memory: *_done().
 */
#ifndef ENGINE_STORE_MANIFEST_H
#define ENGINE_STORE_MANIFEST_H

#include "engine/store/op.h"
#include "engine/store/seg.h"

struct manifest_shard {
	uint64_t next_seg; /* number for the next segment */
	uint32_t n_segs;
	struct seg_desc *segs; /* oldest first */
};

struct manifest {
	uint32_t coll;
	lsn_t lsn;        /* every change up to here is in the segments */
	int64_t time_us;  /* when it was written */
	uint64_t next_no; /* first point number never used up to lsn */
	uint32_t distance;
	uint32_t n_shards;
	struct manifest_shard *shards;
};

int manifest_save(int dirfd, const struct manifest *m, struct err *err);
int manifest_load(int dirfd, struct manifest *ret, struct err *err);
int manifest_decode(const void *p, size_t n, struct manifest *ret,
		    struct err *err);
void manifest_done(struct manifest *m);

struct catalog_coll {
	uint32_t id;
	bool implied;
	lsn_t flushed; /* at least this has its manifest; 0: none is needed */
	struct slice config; /* JSON text, malloc'd */
};

struct catalog {
	lsn_t checkpoint; /* replay starts behind this position */
	lsn_t lsn;        /* entries are as of this position */
	uint32_t next_coll;
	uint32_t n_colls;
	struct catalog_coll *colls;
	uint32_t n_entries;
	struct op_entry *entries; /* names malloc'd */
};

int catalog_save(int dirfd, const struct catalog *c, struct err *err);
int catalog_load(int dirfd, struct catalog *ret, struct err *err);
int catalog_decode(const void *p, size_t n, struct catalog *ret,
		   struct err *err);
void catalog_done(struct catalog *c);

#define MANIFEST_NAME  "manifest"
#define CATALOG_NAME   "catalog"
#define MANIFEST_MAGIC "PFSMANI1"
#define CATALOG_MAGIC  "PFSCATA1"

#endif
