/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_impl.h - what one node_*.c needs of another.
 */
#ifndef FS_NODE_IMPL_H
#define FS_NODE_IMPL_H

#include "fs/node.h"

/* --- generated and settings files (node_text.c) ---------------------- */

struct text_kind {
	int (*print)(struct req *r, struct coll *c, uint64_t no,
		     struct buf *ret);
	/* NULL: read-only */
	int (*commit)(struct req *r, struct coll *c, const void *p, size_t n);
};
int text_open(struct req *r, const struct text_kind *k, const struct node *n,
	      struct coll *coll_take, int flags, struct handle **ret);
int text_size(struct req *r, const struct text_kind *k, struct coll *c,
	      uint64_t no, uint64_t *ret);

/* A slice of a text at an offset, copied to the arena. */
int text_slice(struct req *r, const struct buf *b, size_t n, uint64_t at,
	       struct slice *ret);

/* --- root ------------------------------------------------------------ */

void static_path(uint64_t no, struct buf *b);
int readme_print(struct buf *ret); /* readme.c */

/* --- points and scratch files ---------------------------------------- */

struct open_state;
void point_entry(struct req *r, const struct owner *o, uint32_t coll,
		 uint64_t no, const struct point_stat *st, struct entry *ret);
void scratch_entry(const struct owner *o, struct scratch *s, struct entry *ret);
/* The open file of a point or draft; coll_take is given away. */
int point_open(struct req *r, const struct node *n, int flags,
	       struct handle **ret);
int draft_open(struct req *r, struct coll *coll_take, struct scratch *s,
	       int flags, struct handle **ret);
int scratch_open(struct req *r, struct coll *coll_take, struct scratch *s,
		 int flags, struct handle **ret);
/* Drafts whose names are points now, which came another way, are dropped. */
void drafts_settle(struct req *r, struct coll *c);
void coll_changed(struct req *r, uint32_t coll); /* its entries */

/* --- control files --------------------------------------------------- */

extern const struct text_kind config_kind, status_kind;
int control_entry(struct req *r, uint32_t coll, enum control c, bool plus,
		  struct entry *ret);
int query_open(struct req *r, const struct node *n, struct coll *coll_take,
	       struct handle **ret);
int import_open(struct req *r, const struct node *n, struct coll *coll_take,
		struct handle **ret);

#endif
