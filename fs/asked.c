/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/asked.h"

#include "engine/base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP_NS (ASKED_KEEP_S * 1000000000ll)

void
asked_init(struct asked_table *t)
{
	memset(t, 0, sizeof *t);
	mutex_init(&t->lock, LOCK_LEAF);
}

void
asked_done(struct asked_table *t)
{
	for (size_t i = 0; i < ASKED_MAX; i++)
		buf_done(&t->e[i].text);
	mutex_done(&t->lock);
}

static void
clear(struct asked *e)
{
	buf_done(&e->text);
	memset(e, 0, sizeof *e);
}

static bool
key_eq(const struct asked_key *a, const struct asked_key *b)
{
	return a->ino == b->ino && a->uid == b->uid && a->session == b->session;
}

/* The entry of this key, or a free one, or the oldest. */
static struct asked *
place_for(struct asked_table *t, const struct asked_key *k)
{
	struct asked *best = &t->e[0];

	for (size_t i = 0; i < ASKED_MAX; i++) {
		if (t->e[i].at_ns && key_eq(&t->e[i].key, k))
			return &t->e[i];
		if (t->e[i].at_ns < best->at_ns)
			best = &t->e[i];
	}
	return best;
}

void
asked_put(struct asked_table *t, const struct asked_key *k, uint64_t owner,
	  bool wrong, const void *p, size_t n)
{
	struct asked *e;

	if (k->session == 0 || n > ASKED_BYTES)
		return;
	mutex_lock(&t->lock);
	e = place_for(t, k);
	clear(e);
	if (buf_put(&e->text, p, n) == 0) {
		e->key = *k;
		e->owner = owner;
		e->wrong = wrong;
		e->at_ns = clock_mono_ns();
	}
	mutex_unlock(&t->lock);
}

void
asked_drop(struct asked_table *t, uint64_t owner)
{
	mutex_lock(&t->lock);
	for (size_t i = 0; i < ASKED_MAX; i++)
		if (t->e[i].at_ns && t->e[i].owner == owner)
			clear(&t->e[i]);
	mutex_unlock(&t->lock);
}

int
asked_get(struct asked_table *t, const struct asked_key *k, bool *ret_wrong,
	  struct buf *ret)
{
	int64_t now = clock_mono_ns();
	int found = 0;

	if (k->session == 0)
		return 0;
	mutex_lock(&t->lock);
	for (size_t i = 0; i < ASKED_MAX && !found; i++) {
		struct asked *e = &t->e[i];

		if (e->at_ns && now - e->at_ns > KEEP_NS)
			clear(e);
		if (e->at_ns == 0 || !key_eq(&e->key, k))
			continue;
		*ret_wrong = e->wrong;
		found = buf_put(ret, e->text.p, e->text.n) == 0;
	}
	mutex_unlock(&t->lock);
	return found;
}

pid_t
session_parse(const char *stat, size_t n)
{
	/* The command's name is in parentheses and may hold any byte; the
	 * fields behind the last one are state, ppid, pgrp, session. */
	const char *p = memrchr(stat, ')', n);
	char rest[128];
	size_t len;
	int session;

	if (p == NULL)
		return 0;
	len = n - (size_t)(p + 1 - stat);
	if (len >= sizeof rest)
		len = sizeof rest - 1;
	memcpy(rest, p + 1, len);
	rest[len] = '\0';
	if (sscanf(rest, " %*c %*d %*d %d", &session) != 1 || session < 0)
		return 0;
	return session;
}

pid_t
session_of(pid_t pid)
{
	char path[40], text[1024];
	ssize_t n;
	int fd;

	if (pid <= 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text);
	close(fd);
	return n > 0 ? session_parse(text, (size_t)n) : 0;
}
