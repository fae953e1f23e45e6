/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.h - telling the kernel what it must not believe any longer.
 *
 * A change that came through the kernel is known to it.  Others (a refused
 * flush, an import, a file that moved to another collection) are queued here
 * and told by a thread of their own, because telling takes locks that the
 * kernel holds while it waits for our answer to a request.
 *
 * threads  Any.
 */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

#include "engine/base/lock.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct notify_hooks {
	void (*inode)(void *arg, uint64_t ino); /* attributes and pages */
	void (*entry)(void *arg, uint64_t dir, const char *name);
	void *arg;
};

struct notice {
	uint64_t ino;
	char *name; /* NULL: the inode itself */
};

struct notify {
	struct mutex lock;
	struct cond change;
	struct notify_hooks hooks;
	pthread_t thread;
	bool running, stopping;
	struct notice *q;
	size_t n, cap;
	uint64_t done, queued; /* notices ever */
};

int notify_start(struct notify *t, const struct notify_hooks *h,
		 struct err *err);
void notify_stop(struct notify *t); /* drops what is left */

void notify_inode(struct notify *t, uint64_t ino);
void notify_entry(struct notify *t, uint64_t dir, const char *name);

#endif
