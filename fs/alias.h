/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alias.h - inode numbers for aliases, which have none in the database.
 *
 * A number belongs to a name as long as the name is an alias, and moves with
 * it.  A number is not used again.
 *
 * threads  Any.
 */
#ifndef FS_ALIAS_H
#define FS_ALIAS_H

#include "engine/base/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alias {
	char *name;
	uint64_t no;
};

#define ALIASES_REPLACED 64

struct alias_table {
	struct mutex lock;
	struct alias *a; /* by rising number */
	size_t n, cap;
	uint64_t last;
	/* Numbers that were renamed over, a ring: who looked one up before the
	 * rename and follows it afterwards finds what has the name now. */
	struct alias replaced[ALIASES_REPLACED];
	size_t n_replaced; /* ever */
};

void alias_table_init(struct alias_table *t);
void alias_table_done(struct alias_table *t);
uint64_t alias_number(struct alias_table *t, const char *name); /* 0: memory */
bool alias_find(struct alias_table *t, uint64_t no, char *ret, size_t len);
void alias_drop(struct alias_table *t, const char *name);
void alias_move(struct alias_table *t, const char *from, const char *to,
		bool exchange);

#endif
