/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - the grammar of names, and inode numbers.  Pure functions.
 *
 * An inode number is what it names: a kind, a collection and a number.  The
 * kernel may forget one and bring it back; there is no table behind it.
 *
 *	63..60 kind   59..36 collection   35..0 number
 *
 * The root is 1 to the kernel and {NODE_STATIC, 0, STATIC_ROOT} here.
 */
#ifndef FS_PATH_H
#define FS_PATH_H

#include "engine/id.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

#define FS_NAME_MAX 255

enum node_kind {
	NODE_STATIC = 1, /* number: enum static_node */
	NODE_COLL,       /* a collection's directory */
	NODE_CONTROL,    /* number: enum control */
	NODE_POINT,      /* number: the point's; drafts, scratch files too */
	NODE_NEAR_ROOT,  /* .near */
	NODE_NEAR,       /* .near/<id>; number: the point's */
	NODE_NEAR_LINK,  /* a neighbour; number: the neighbour's */
	NODE_ALIAS,      /* number: see alias.h */
	NODE_KIND_NR
};

enum static_node {
	STATIC_ROOT = 1,
	STATIC_README,
	STATIC_CONFIG,
	STATIC_STATUS,
	STATIC_ERRORS,
	STATIC_METRICS,
	STATIC_COLLECTIONS,
	STATIC_SNAPSHOTS,
	STATIC_SNAPSHOTS_COLLECTIONS,
	STATIC_SNAPSHOTS_SHARDS,
	STATIC_SNAPSHOTS_FULL,
	STATIC_HISTORY,
	STATIC_CLUSTER,
	STATIC_CLUSTER_STATUS,
	STATIC_NR
};

enum control {
	CONTROL_CONFIG = 1,
	CONTROL_STATUS,
	CONTROL_SEARCH,
	CONTROL_SCROLL,
	CONTROL_COUNT,
	CONTROL_IMPORT,
	CONTROL_NR
};

struct node {
	enum node_kind kind;
	uint32_t coll;
	uint64_t no;
};

uint64_t node_ino(enum node_kind kind, uint32_t coll, uint64_t no);
bool node_parse(uint64_t ino, struct node *ret); /* false: no such kind */

const char *control_name(enum control c); /* ".search" */

/* --- names in a collection ------------------------------------------- */

enum name_kind {
	NAME_POINT,   /* <id>.json: id is set */
	NAME_CONTROL, /* control is set */
	NAME_NEAR,    /* .near */
	NAME_SCRATCH, /* anything else */
	NAME_NOT_YET, /* a control file that a later version has */
	NAME_RESTORE, /* a file of a snapshot: part of a restore */
};

struct name {
	enum name_kind kind;
	enum control control;
	struct id_key id;
};

/* ERR_NAME_LONG over 255 bytes; ERR_ID for a stem that is not canonical. */
int name_parse(const char *name, struct name *ret, struct err *err);

/* "<rank>_<score>_<id>.json" of .near.  Printing cuts to 255 bytes; false:
 * not such a name, or one that was cut. */
size_t near_name_print(unsigned rank, float score, const struct id_key *id,
		       char ret[FS_NAME_MAX + 1]);
bool near_name_parse(const char *name, struct id_key *ret);

#endif
