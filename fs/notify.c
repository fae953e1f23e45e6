/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/notify.h"

#include "engine/base/err.h"

#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX 65536 /* then who adds waits */

static void
batch_tell(struct notify *t, struct notice *q, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (q[i].name)
			t->hooks.entry(t->hooks.arg, q[i].ino, q[i].name);
		else
			t->hooks.inode(t->hooks.arg, q[i].ino);
		free(q[i].name);
	}
	free(q);
}

static void *
notify_loop(void *arg)
{
	struct notify *t = arg;
	struct notice *q;
	size_t n;

	mutex_lock(&t->lock);
	while (!t->stopping) {
		if (t->n == 0) {
			cond_wait(&t->change, &t->lock);
			continue;
		}
		q = t->q;
		n = t->n;
		t->q = NULL;
		t->n = t->cap = 0;
		mutex_unlock(&t->lock);
		batch_tell(t, q, n);
		mutex_lock(&t->lock);
		__atomic_store_n(&t->done, t->done + n, __ATOMIC_RELEASE);
		cond_broadcast(&t->change);
	}
	mutex_unlock(&t->lock);
	return NULL;
}

int
notify_start(struct notify *t, const struct notify_hooks *h, struct err *err)
{
	int e;

	memset(t, 0, sizeof *t);
	t->hooks = *h;
	mutex_init(&t->lock, LOCK_LEAF);
	cond_init(&t->change);
	e = pthread_create(&t->thread, NULL, notify_loop, t);
	if (e)
		return err_sys(err, e, "a thread");
	t->running = true;
	return 0;
}

void
notify_stop(struct notify *t)
{
	if (!t->running)
		return;
	mutex_lock(&t->lock);
	t->stopping = true;
	cond_broadcast(&t->change);
	mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	for (size_t i = 0; i < t->n; i++)
		free(t->q[i].name);
	free(t->q);
	cond_done(&t->change);
	mutex_done(&t->lock);
	t->running = false;
}

static void
notice_add(struct notify *t, uint64_t ino, char *name)
{
	mutex_lock(&t->lock);
	while (t->n >= QUEUE_MAX && !t->stopping)
		cond_wait(&t->change, &t->lock);
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct notice *q = realloc(t->q, cap * sizeof(*q));

		if (q == NULL) { /* the kernel's own timeout must do */
			mutex_unlock(&t->lock);
			free(name);
			return;
		}
		t->q = q;
		t->cap = cap;
	}
	t->q[t->n++] = (struct notice){ino, name};
	__atomic_store_n(&t->queued, t->queued + 1, __ATOMIC_RELEASE);
	cond_broadcast(&t->change);
	mutex_unlock(&t->lock);
}

void
notify_inode(struct notify *t, uint64_t ino)
{
	notice_add(t, ino, NULL);
}

void
notify_entry(struct notify *t, uint64_t dir, const char *name)
{
	char *copy = strdup(name);

	if (copy)
		notice_add(t, dir, copy);
}
