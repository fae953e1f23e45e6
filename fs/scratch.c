/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/scratch.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS_MIN 256

/* --- tables ---------------------------------------------------------- */

static size_t
name_bucket(const struct scratch_tree *t, uint32_t coll, const char *name)
{
	return (hash64(name, strlen(name)) + coll * 0x9E3779B97F4A7C15ull) &
	       (t->n_buckets - 1);
}

static size_t
no_bucket(const struct scratch_tree *t, uint32_t coll, uint64_t no)
{
	return ((no + coll * 0x9E3779B9ull) * 0x9E3779B97F4A7C15ull >> 20) &
	       (t->n_buckets - 1);
}

static void
link_name(struct scratch_tree *t, struct scratch *s)
{
	struct scratch **b = &t->by_name[name_bucket(t, s->coll, s->name)];

	s->next_name = *b;
	*b = s;
}

static void
unlink_name(struct scratch_tree *t, struct scratch *s)
{
	struct scratch **p = &t->by_name[name_bucket(t, s->coll, s->name)];

	while (*p != s)
		p = &(*p)->next_name;
	*p = s->next_name;
}

static void
link_no(struct scratch_tree *t, struct scratch *s)
{
	struct scratch **b = &t->by_no[no_bucket(t, s->coll, s->no)];

	s->next_no = *b;
	*b = s;
}

static void
unlink_no(struct scratch_tree *t, struct scratch *s)
{
	struct scratch **p = &t->by_no[no_bucket(t, s->coll, s->no)];

	while (*p != s)
		p = &(*p)->next_no;
	*p = s->next_no;
}

/* Doubles the tables; without memory they just get slower. */
static void
tables_grow(struct scratch_tree *t)
{
	struct scratch_tree old = *t;
	size_t n = t->n_buckets * 2;
	struct scratch **names = calloc(n, sizeof(*names));
	struct scratch **nos = calloc(n, sizeof(*nos));

	if (names == NULL || nos == NULL) {
		free(names);
		free(nos);
		return;
	}
	t->by_name = names;
	t->by_no = nos;
	t->n_buckets = n;
	for (size_t i = 0; i < old.n_buckets; i++) {
		for (struct scratch *s = old.by_no[i], *next; s; s = next) {
			next = s->next_no;
			link_no(t, s);
			if (s->name)
				link_name(t, s);
		}
	}
	free(old.by_name);
	free(old.by_no);
}

static struct coll_memo *
memo_find(struct scratch_tree *t, uint32_t coll)
{
	struct coll_memo *m = t->memos[coll % SCRATCH_MEMOS];

	while (m && m->coll != coll)
		m = m->next;
	return m;
}

static struct coll_memo *
memo_make(struct scratch_tree *t, uint32_t coll)
{
	struct coll_memo *m = memo_find(t, coll);

	if (m == NULL && (m = calloc(1, sizeof(*m)))) {
		m->coll = coll;
		m->next = t->memos[coll % SCRATCH_MEMOS];
		t->memos[coll % SCRATCH_MEMOS] = m;
	}
	return m;
}

/* There will be a file; a memo with files is not forgotten. */
static bool
memo_ready(struct scratch_tree *t, uint32_t coll)
{
	struct coll_memo *m;

	mutex_lock(&t->memo_lock);
	m = memo_make(t, coll);
	mutex_unlock(&t->memo_lock);
	return m != NULL;
}

/* A named file comes (1) or goes (-1). */
static void
memo_count(struct scratch_tree *t, const struct scratch *s, int by)
{
	struct coll_memo *m;

	mutex_lock(&t->memo_lock);
	m = memo_make(t, s->coll);
	check(m != NULL); /* memo_ready() was asked under the tree's lock */
	m->n_files += (uint32_t)by;
	if (s->state == SCRATCH_DRAFT)
		m->n_drafts += (uint32_t)by;
	mutex_unlock(&t->memo_lock);
}

/* --- life ------------------------------------------------------------ */

int
scratch_tree_init(struct scratch_tree *t, int tmp_fd, uint64_t max_bytes,
		  struct err *err)
{
	memset(t, 0, sizeof *t);
	t->n_buckets = BUCKETS_MIN;
	t->tmp_fd = tmp_fd;
	t->max_bytes = max_bytes;
	t->by_name = calloc(t->n_buckets, sizeof(*t->by_name));
	t->by_no = calloc(t->n_buckets, sizeof(*t->by_no));
	mutex_init(&t->lock, LOCK_FS_TREE);
	mutex_init(&t->memo_lock, LOCK_LEAF);
	cond_init(&t->unclaimed);
	if (t->by_name && t->by_no)
		return 0;
	scratch_tree_done(t);
	return err_set(err, ERR_NO_MEMORY, "table of scratch files");
}

static void
scratch_free(struct scratch_tree *t, struct scratch *s)
{
	t->used -= s->size;
	t->n--;
	if (s->fd >= 0)
		close(s->fd);
	free(s->mem);
	free(s->name);
	mutex_done(&s->lock);
	free(s);
}

void
scratch_tree_done(struct scratch_tree *t)
{
	for (size_t i = 0; t->by_no && i < t->n_buckets; i++) {
		for (struct scratch *s = t->by_no[i], *next; s; s = next) {
			next = s->next_no;
			scratch_free(t, s);
		}
	}
	for (size_t i = 0; i < SCRATCH_MEMOS; i++) {
		for (struct coll_memo *m = t->memos[i], *next; m; m = next) {
			next = m->next;
			free(m);
		}
	}
	free(t->by_name);
	free(t->by_no);
	cond_done(&t->unclaimed);
	mutex_done(&t->memo_lock);
	mutex_done(&t->lock);
}

bool
scratch_any(const struct scratch_tree *t)
{
	/* A stale 0 is fine: who created the file has not been told yet. */
	return __atomic_load_n(&t->n, __ATOMIC_ACQUIRE) != 0;
}

static struct scratch *
find_name(struct scratch_tree *t, uint32_t coll, const char *name)
{
	struct scratch *s = t->by_name[name_bucket(t, coll, name)];

	while (s && (s->coll != coll || strcmp(s->name, name) != 0))
		s = s->next_name;
	return s;
}

struct scratch *
scratch_find(struct scratch_tree *t, uint32_t coll, const char *name)
{
	struct scratch *s;

	if (!scratch_any(t))
		return NULL;
	mutex_lock(&t->lock);
	s = find_name(t, coll, name);
	if (s)
		s->refs++;
	mutex_unlock(&t->lock);
	return s;
}

struct scratch *
scratch_find_no(struct scratch_tree *t, uint32_t coll, uint64_t no)
{
	struct scratch *s;

	if (!scratch_any(t))
		return NULL;
	mutex_lock(&t->lock);
	s = t->by_no[no_bucket(t, coll, no)];
	while (s &&
	       (s->coll != coll || s->no != no || s->state == SCRATCH_POINT))
		s = s->next_no;
	if (s)
		s->refs++;
	mutex_unlock(&t->lock);
	return s;
}

static struct scratch *
scratch_new(uint32_t coll, uint64_t no, const char *name,
	    enum scratch_state state, const struct scratch_attr *attr)
{
	struct scratch *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->name = strdup(name);
	if (s->name == NULL) {
		free(s);
		return NULL;
	}
	s->coll = coll;
	s->no = no;
	s->state = state;
	s->refs = 2; /* the name's and the caller's */
	s->attr = *attr;
	s->fd = -1;
	mutex_init(&s->lock, LOCK_LEAF);
	return s;
}

int
scratch_create(struct scratch_tree *t, uint32_t coll, uint64_t no,
	       const char *name, enum scratch_state state,
	       const struct scratch_attr *attr, struct scratch **ret,
	       struct err *err)
{
	struct scratch *s = scratch_new(coll, no, name, state, attr);

	if (s == NULL)
		return err_set(err, ERR_NO_MEMORY, "a scratch file");
	mutex_lock(&t->lock);
	if (find_name(t, coll, name) || !memo_ready(t, coll)) {
		mutex_unlock(&t->lock);
		mutex_done(&s->lock);
		free(s->name);
		free(s);
		return err_set(err, ERR_EXISTS, "'%s' exists", name);
	}
	link_name(t, s);
	link_no(t, s);
	memo_count(t, s, 1);
	t->n++;
	if (t->n > t->n_buckets)
		tables_grow(t);
	mutex_unlock(&t->lock);
	*ret = s;
	return 0;
}

/* The tree's lock is held. */
static void
unref_locked(struct scratch_tree *t, struct scratch *s)
{
	if (--s->refs > 0)
		return;
	unlink_no(t, s);
	scratch_free(t, s);
}

void
scratch_unref(struct scratch_tree *t, struct scratch *s)
{
	if (s == NULL)
		return;
	mutex_lock(&t->lock);
	unref_locked(t, s);
	mutex_unlock(&t->lock);
}

/* --- names ----------------------------------------------------------- */

void
scratch_claim(struct scratch_tree *t, struct scratch *s)
{
	mutex_lock(&t->lock);
	while (s->claimed)
		cond_wait(&t->unclaimed, &t->lock);
	s->claimed = true;
	mutex_unlock(&t->lock);
}

void
scratch_release(struct scratch_tree *t, struct scratch *s)
{
	mutex_lock(&t->lock);
	s->claimed = false;
	cond_broadcast(&t->unclaimed);
	mutex_unlock(&t->lock);
}

static void
drop_name(struct scratch_tree *t, struct scratch *s)
{
	if (s->name == NULL)
		return;
	unlink_name(t, s);
	memo_count(t, s, -1);
	free(s->name);
	s->name = NULL;
	unref_locked(t, s);
}

void
scratch_remove(struct scratch_tree *t, struct scratch *s)
{
	mutex_lock(&t->lock);
	drop_name(t, s);
	mutex_unlock(&t->lock);
}

void
scratch_became_point(struct scratch_tree *t, struct scratch *s)
{
	mutex_lock(&t->lock);
	t->commits++;
	drop_name(t, s);
	s->state = SCRATCH_POINT;
	mutex_unlock(&t->lock);
}

int
scratch_rename(struct scratch_tree *t, struct scratch *s, uint32_t coll,
	       uint64_t no, const char *name, enum scratch_state state,
	       struct err *err)
{
	char *copy = strdup(name);
	struct scratch *old;

	mutex_lock(&t->lock);
	if (copy == NULL || s->name == NULL || !memo_ready(t, coll)) {
		mutex_unlock(&t->lock);
		free(copy);
		return s->name ? err_set(err, ERR_NO_MEMORY, "a name")
			       : err_set(err, ERR_NOT_FOUND, "it was removed");
	}
	old = find_name(t, coll, name);
	if (old && old != s)
		drop_name(t, old);
	unlink_name(t, s);
	unlink_no(t, s);
	memo_count(t, s, -1);
	free(s->name);
	s->name = copy;
	s->coll = coll;
	s->no = no;
	s->state = state;
	link_name(t, s);
	link_no(t, s);
	memo_count(t, s, 1);
	mutex_unlock(&t->lock);
	return 0;
}

void
scratch_exchange(struct scratch_tree *t, struct scratch *a, struct scratch *b)
{
	char *name;

	mutex_lock(&t->lock);
	if (a->name && b->name) {
		unlink_name(t, a);
		unlink_name(t, b);
		name = a->name;
		a->name = b->name;
		b->name = name;
		link_name(t, a);
		link_name(t, b);
	}
	mutex_unlock(&t->lock);
}

int
scratch_list(struct scratch_tree *t, uint32_t coll, struct arena *a,
	     struct scratch_entry **ret, uint32_t *ret_n, struct err *err)
{
	struct scratch_entry *e = NULL;
	uint32_t n = 0, max;

	*ret = NULL;
	*ret_n = 0;
	mutex_lock(&t->lock);
	max = scratch_count(t, coll); /* changes under this lock only */
	if (max > 0)
		e = arena_alloc(a, max * sizeof(*e));
	for (size_t i = 0; e && i < t->n_buckets; i++) {
		for (struct scratch *s = t->by_name[i]; s; s = s->next_name) {
			if (s->coll != coll || n == max)
				continue;
			e[n].name = arena_strndup(a, s->name, strlen(s->name));
			e[n].no = s->no;
			e[n].draft = s->state == SCRATCH_DRAFT;
			if (e[n].name)
				n++;
		}
	}
	mutex_unlock(&t->lock);
	if (n < max)
		return err_set(err, ERR_NO_MEMORY, "a list of files");
	*ret = e;
	*ret_n = n;
	return 0;
}

uint32_t
scratch_count(struct scratch_tree *t, uint32_t coll)
{
	struct coll_memo m;

	memo_get(t, coll, &m);
	return m.n_files;
}

/* --- bytes ----------------------------------------------------------- */

int
scratch_read(struct scratch *s, void *p, size_t n, uint64_t at, size_t *ret_n,
	     struct err *err)
{
	int rc = 0;

	mutex_lock(&s->lock);
	n = at >= s->size ? 0 : MIN(n, s->size - at);
	if (s->fd >= 0)
		rc = file_read_all(s->fd, p, n, (off_t)at, &n, err);
	else if (n > 0)
		memcpy(p, s->mem + at, n);
	mutex_unlock(&s->lock);
	if (rc == 0)
		*ret_n = n;
	return rc;
}

static int
move_to_disk(struct scratch_tree *t, struct scratch *s, struct err *err)
{
	int fd = openat(t->tmp_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return err_sys(err, errno, "a scratch file in temp_path");
	rc = file_write_all(fd, s->mem, s->size, 0, err);
	if (rc) {
		close(fd);
		return rc;
	}
	free(s->mem);
	s->mem = NULL;
	s->cap = 0;
	s->fd = fd;
	return 0;
}

/* Room for size bytes; what is new is zero. */
static int
grow(struct scratch_tree *t, struct scratch *s, uint64_t size, struct err *err)
{
	size_t cap = s->cap ? s->cap : 512;
	uint8_t *mem;

	if (s->fd < 0 && size > SCRATCH_MEMORY) {
		int rc = move_to_disk(t, s, err);
		if (rc)
			return rc;
	}
	if (s->fd >= 0)
		return file_truncate(s->fd, (off_t)size, err);
	while (cap < size)
		cap *= 2;
	if (cap > s->cap) {
		mem = realloc(s->mem, cap);
		if (mem == NULL)
			return err_set(err, ERR_NO_MEMORY, "a scratch file");
		s->mem = mem;
		s->cap = cap;
	}
	memset(s->mem + s->size, 0, size - s->size);
	return 0;
}

static int
set_size(struct scratch_tree *t, struct scratch *s, uint64_t size,
	 struct err *err)
{
	int rc = 0;

	if (size > s->size) {
		uint64_t more = size - s->size, used;

		if (size > SCRATCH_SIZE_MAX)
			return err_set(err, ERR_TOO_BIG, "a scratch file");
		t->used += more;
		used = t->used; /* others may have added: then they see it too
				 */
		if (used > t->max_bytes) {
			t->used -= more;
			return err_set(err, ERR_NO_SPACE,
				       "scratch files have at most %llu bytes "
				       "together (scratch_max_bytes)",
				       (unsigned long long)t->max_bytes);
		}
		rc = grow(t, s, size, err);
		if (rc) {
			t->used -= more;
			return rc;
		}
	} else if (size < s->size) {
		if (s->fd >= 0)
			rc = file_truncate(s->fd, (off_t)size, err);
		if (rc)
			return rc;
		t->used -= s->size - size;
	}
	s->size = size;
	return 0;
}

static void
touch(struct scratch *s)
{
	s->attr.mtime_ns = s->attr.ctime_ns = clock_wall_ns();
	s->attr.has_mtime = false;
}

int
scratch_write(struct scratch_tree *t, struct scratch *s, const void *p,
	      size_t n, uint64_t at, bool append, struct err *err)
{
	int rc = 0;

	mutex_lock(&s->lock);
	if (append)
		at = s->size;
	if (at + n > s->size)
		rc = set_size(t, s, at + n, err);
	if (rc == 0 && s->fd >= 0)
		rc = file_write_all(s->fd, p, n, (off_t)at, err);
	else if (rc == 0 && n > 0)
		memcpy(s->mem + at, p, n);
	if (rc == 0)
		touch(s);
	mutex_unlock(&s->lock);
	return rc;
}

int
scratch_truncate(struct scratch_tree *t, struct scratch *s, uint64_t size,
		 struct err *err)
{
	int rc;

	mutex_lock(&s->lock);
	rc = set_size(t, s, size, err);
	if (rc == 0)
		touch(s);
	mutex_unlock(&s->lock);
	return rc;
}

uint64_t
scratch_attr_get(struct scratch *s, struct scratch_attr *ret)
{
	uint64_t size;

	mutex_lock(&s->lock);
	*ret = s->attr;
	size = s->size;
	mutex_unlock(&s->lock);
	return size;
}

void
scratch_attr_set(struct scratch *s, const struct scratch_attr *a)
{
	mutex_lock(&s->lock);
	s->attr = *a;
	mutex_unlock(&s->lock);
}

/* --- collections ----------------------------------------------------- */

void
memo_get(struct scratch_tree *t, uint32_t coll, struct coll_memo *ret)
{
	struct coll_memo *m;

	mutex_lock(&t->memo_lock);
	m = memo_find(t, coll);
	if (m)
		*ret = *m;
	else
		*ret = (struct coll_memo){.coll = coll};
	mutex_unlock(&t->memo_lock);
}

void
memo_set_owner(struct scratch_tree *t, uint32_t coll, uint32_t mode,
	       uint32_t uid, uint32_t gid)
{
	struct coll_memo *m;

	mutex_lock(&t->memo_lock);
	m = memo_make(t, coll);
	if (m) {
		m->has_owner = true;
		m->mode = mode;
		m->uid = uid;
		m->gid = gid;
	}
	mutex_unlock(&t->memo_lock);
}

void
memo_set_changed(struct scratch_tree *t, uint32_t coll, int64_t ns)
{
	struct coll_memo *m;

	mutex_lock(&t->memo_lock);
	m = memo_make(t, coll);
	if (m)
		m->changed_ns = ns;
	mutex_unlock(&t->memo_lock);
}

void
memo_set_config_mtime(struct scratch_tree *t, uint32_t coll, int64_t ns)
{
	struct coll_memo *m;

	mutex_lock(&t->memo_lock);
	m = memo_make(t, coll);
	if (m)
		m->config_mtime_ns = ns;
	mutex_unlock(&t->memo_lock);
}

void
memo_forget(struct scratch_tree *t, uint32_t coll)
{
	struct coll_memo **p = &t->memos[coll % SCRATCH_MEMOS], *m;

	mutex_lock(&t->memo_lock);
	while (*p && (*p)->coll != coll)
		p = &(*p)->next;
	m = *p;
	if (m && m->n_files == 0) {
		*p = m->next;
		free(m);
	}
	mutex_unlock(&t->memo_lock);
}
