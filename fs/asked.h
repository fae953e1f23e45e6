/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asked.h - requests that were closed unread, for a `cat` that comes later
 * from the same user in the same terminal session.
 *
 * For people, who ask with one command and read with the next.  The table is
 * bounded; old entries go first, and all go after ASKED_KEEP_S.
 *
 * owners   Bodies are copied in and out.
 * threads  Any.
 */
#ifndef FS_ASKED_H
#define FS_ASKED_H

#include "engine/base/buf.h"
#include "engine/base/lock.h"

#include <sys/types.h>

#define ASKED_MAX    64
#define ASKED_BYTES  (1u << 20) /* a longer body is not kept */
#define ASKED_KEEP_S 600

struct asked_key {
	uint64_t ino; /* of the control file */
	uint32_t uid;
	pid_t session; /* 0: cannot be seen, matches nothing */
};

struct asked {
	struct asked_key key;
	int64_t at_ns;  /* 0: free */
	uint64_t owner; /* the open file that asked */
	bool wrong;     /* text is an answer already: an error */
	struct buf text;
};

struct asked_table {
	struct mutex lock;
	struct asked e[ASKED_MAX];
};

void asked_init(struct asked_table *t);
void asked_done(struct asked_table *t);
void asked_put(struct asked_table *t, const struct asked_key *k, uint64_t owner,
	       bool wrong, const void *p, size_t n);
/* The open file has read its answer itself. */
void asked_drop(struct asked_table *t, uint64_t owner);
/* 1: there is one, appended to ret; 0: nothing. */
int asked_get(struct asked_table *t, const struct asked_key *k, bool *ret_wrong,
	      struct buf *ret);

/* The session of a process as /proc tells it; 0: cannot be seen. */
pid_t session_of(pid_t pid);
pid_t session_parse(const char *stat, size_t n); /* /proc/<pid>/stat */

#endif
