/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/wal_impl.h"

#include "engine/base/check.h"
#include "engine/base/counters.h"
#include "engine/base/fault.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPARE_NAME "spare."
#define ZERO_CHUNK (256u << 10)
#define FILES_MAX  (1u << 20) /* in one directory */

/* --- names and headers ----------------------------------------------- */

void
wal_name_print(lsn_t first, char ret[WAL_NAME_ROOM])
{
	snprintf(ret, WAL_NAME_ROOM, "%016llx.log", (unsigned long long)first);
}

static void
spare_name_print(unsigned no, char ret[WAL_NAME_ROOM])
{
	snprintf(ret, WAL_NAME_ROOM, SPARE_NAME "%u", no);
}

bool
wal_file_name(const char *name, lsn_t *ret_first)
{
	lsn_t first = 0;

	for (int i = 0; i < 16; i++) {
		char c = name[i];
		if (c >= '0' && c <= '9')
			first = first << 4 | (lsn_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			first = first << 4 | (lsn_t)(c - 'a' + 10);
		else
			return false;
	}
	if (first == 0 || strcmp(name + 16, ".log") != 0)
		return false;
	*ret_first = first;
	return true;
}

static bool
spare_name_parse(const char *name, unsigned *ret_no)
{
	size_t n = strlen(SPARE_NAME);
	unsigned no = 0;

	if (strncmp(name, SPARE_NAME, n) != 0 || !name[n])
		return false;
	for (const char *s = name + n; *s; s++) {
		if (*s < '0' || *s > '9' || no > 99999999)
			return false;
		no = no * 10 + (unsigned)(*s - '0');
	}
	*ret_no = no;
	return true;
}

static int
list_add(void *arg, const char *name, struct err *err)
{
	struct buf *list = arg;
	lsn_t first;

	if (!wal_file_name(name, &first))
		return 0;
	if (list->n / sizeof first >= FILES_MAX)
		return err_set(err, ERR_TOO_BIG, "too many log files");
	if (buf_put(list, &first, sizeof first) != 0)
		return err_set(err, ERR_NO_MEMORY, "list of log files");
	return 0;
}

static int
lsn_cmp(const void *a, const void *b)
{
	lsn_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

int
wal_list(int dirfd, struct buf *ret, struct err *err)
{
	buf_clear(ret);
	int rc = dir_each(dirfd, list_add, ret, err);
	if (rc == 0 && ret->n)
		qsort(ret->p, ret->n / sizeof(lsn_t), sizeof(lsn_t), lsn_cmp);
	return rc;
}

static void
head_encode(const struct wal_head *h, struct wal_file_disk *ret)
{
	memset(ret, 0, sizeof *ret);
	memcpy(ret->magic, WAL_MAGIC, sizeof ret->magic);
	set_u32(ret->version, WAL_VERSION);
	set_u64(ret->first, h->first);
	set_u64(ret->epoch, h->epoch);
	set_u64(ret->size, h->size);
	set_u32(ret->crc, crc32c(0, ret->version, sizeof *ret - 12));
}

static int
head_decode(const struct wal_file_disk *d, struct wal_head *ret)
{
	if (memcmp(d->magic, WAL_MAGIC, sizeof d->magic) != 0 ||
	    get_u32(d->crc) != crc32c(0, d->version, sizeof *d - 12))
		return -ERR_DAMAGED;
	if (get_u32(d->version) != WAL_VERSION)
		return -ERR_VERSION;
	ret->first = get_u64(d->first);
	ret->epoch = get_u64(d->epoch);
	ret->size = get_u64(d->size);
	if (ret->epoch == 0 || ret->size < WAL_FILE_START ||
	    ret->size > WAL_FILE_MAX)
		return -ERR_DAMAGED;
	return 0;
}

/* Whether a file with a bad header never held a record: it is as long as its
 * header must have been, and nothing was written behind it.  A shorter file
 * may have been longer once. */
static int
file_is_empty(int fd, bool *ret, struct err *err)
{
	uint64_t at = WAL_FILE_START;
	size_t got = 0;
	CLEAN(buf_done) struct buf b = {0};

	*ret = false;
	if (buf_reserve(&b, ZERO_CHUNK) != 0)
		return err_set(err, ERR_NO_MEMORY, "log file check");
	do {
		int rc = file_read_all(fd, b.p, ZERO_CHUNK, (off_t)at, &got,
				       err);
		if (rc != 0)
			return rc;
		if (!wal_is_zero(b.p, got))
			return 0;
		at += got;
	} while (got == ZERO_CHUNK);
	*ret = at > WAL_FILE_START;
	return 0;
}

static int
probe_fd(int fd, lsn_t first, struct wal_head *ret, struct err *err)
{
	struct wal_file_disk d;
	bool empty;
	size_t got;

	int rc = file_read_all(fd, &d, sizeof d, 0, &got, err);
	if (rc != 0)
		return rc;
	rc = got == sizeof d ? head_decode(&d, ret) : -ERR_DAMAGED;
	if (rc == -ERR_VERSION)
		return err_set(err, ERR_VERSION,
			       "log file of format %u, this program knows %u",
			       get_u32(d.version), WAL_VERSION);
	if (rc == 0 && ret->first == first)
		return WAL_FILE_GOOD;
	rc = file_is_empty(fd, &empty, err);
	if (rc != 0)
		return rc;
	return empty ? WAL_FILE_EMPTY : WAL_FILE_BROKEN;
}

int
wal_probe(int dirfd, lsn_t first, int flags, int *ret_fd, struct wal_head *ret,
	  struct err *err)
{
	char name[WAL_NAME_ROOM];
	int fd;

	wal_name_print(first, name);
	int rc = file_open_at(dirfd, name, flags, &fd, err);
	if (rc == -ERR_NOT_FOUND)
		return WAL_FILE_NONE;
	if (rc != 0)
		return rc;
	rc = probe_fd(fd, first, ret, err);
	if (rc == WAL_FILE_GOOD || rc == WAL_FILE_BROKEN)
		*ret_fd = fd;
	else
		close(fd);
	return rc < 0 ? err_in(err, rc, "log file %s", name) : rc;
}

/* --- spares ---------------------------------------------------------- */

void
wal_file_free(struct wal_file *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

void
wal_file_unref(struct wal_file *f)
{
	if (--f->refs > 0)
		return;
	close(f->fd);
	f->fd = -1;
	if (f->trimmed)
		free(f);
}

static int
spare_fill(struct wal *w, struct wal_file *f, struct err *err)
{
	struct stat st;

	do {
		if (getrandom(&f->epoch, sizeof f->epoch, 0) != sizeof f->epoch)
			return err_sys(err, errno, "random number");
	} while (f->epoch == 0);
	if (fstat(f->fd, &st) != 0)
		return err_sys(err, errno, "spare log file");
	f->size = MAX((uint64_t)st.st_size, w->file_bytes);
	int rc = file_allocate(f->fd, (off_t)f->size, err);
	if (rc == 0)
		rc = file_sync_full(f->fd, err);
	if (rc == 0)
		rc = file_sync_full(w->dirfd, err);
	return rc;
}

/* Makes spare.no, or takes it over. */
static int
spare_make(struct wal *w, unsigned no, struct wal_file **ret, struct err *err)
{
	char name[WAL_NAME_ROOM];
	struct wal_file *f = calloc(1, sizeof *f);

	if (!f)
		return err_set(err, ERR_NO_MEMORY, "spare log file");
	f->fd = -1;
	f->refs = 1;
	f->spare_no = no;
	spare_name_print(no, name);
	int rc = file_open_at(w->dirfd, name, O_RDWR | O_CREAT, &f->fd, err);
	if (rc == 0) {
		rc = spare_fill(w, f, err);
		if (rc != 0)
			file_unlink_at(w->dirfd, name, NULL);
	}
	if (rc != 0) {
		wal_file_free(f);
		return err_in(err, rc, "log file %s", name);
	}
	*ret = f;
	return 0;
}

static void
spare_push(struct wal *w, struct wal_file *f)
{
	f->next = w->spares;
	w->spares = f;
	w->n_spares++;
}

static void
making_begin(struct wal *w)
{
	w->making = true;
	mutex_unlock(&w->lock);
}

static void
making_end(struct wal *w)
{
	mutex_lock(&w->lock);
	w->making = false;
	cond_broadcast(&w->changed);
}

int
wal_spare_add(struct wal *w, struct err *err)
{
	struct wal_file *f = NULL;

	if (w->making) {
		while (w->making)
			cond_wait(&w->changed, &w->lock);
		return 0;
	}
	unsigned no = w->spare_no++;
	making_begin(w);
	int rc = spare_make(w, no, &f, err);
	making_end(w);
	if (rc == 0)
		spare_push(w, f);
	w->starved = rc != 0;
	return rc;
}

int
wal_spare_grow(struct wal *w, uint64_t size, struct err *err)
{
	while (w->making)
		cond_wait(&w->changed, &w->lock);
	struct wal_file *f = w->spares;
	if (!f || f->size >= size)
		return 0;
	w->spares = f->next;
	w->n_spares--;
	making_begin(w);
	int rc = file_allocate(f->fd, (off_t)size, err);
	if (rc != 0)
		file_truncate(f->fd, (off_t)f->size, NULL);
	making_end(w);
	if (rc == 0)
		f->size = size;
	spare_push(w, f);
	return rc;
}

struct adopt {
	struct wal *w;
	unsigned *no;
	unsigned n;
};

static int
adopt_name(void *arg, const char *name, struct err *err)
{
	struct adopt *a = arg;
	unsigned no;

	if (!spare_name_parse(name, &no))
		return 0;
	a->w->spare_no = MAX(a->w->spare_no, no + 1);
	if (a->n < WAL_AHEAD_MAX + 1)
		a->no[a->n++] = no;
	(void)err;
	return 0;
}

/* A spare may hold an old header, if the program died while entering it, but
 * no record: those are written after it lost this name. */
int
wal_spares_adopt(struct wal *w, struct err *err)
{
	unsigned no[WAL_AHEAD_MAX + 1];
	struct adopt a = {w, no, 0};

	int rc = dir_each(w->dirfd, adopt_name, &a, err);
	for (unsigned i = 0; rc == 0 && i < a.n; i++) {
		struct wal_file *f;
		char name[WAL_NAME_ROOM];

		spare_name_print(no[i], name);
		if (w->n_spares > w->ahead)
			rc = file_unlink_at(w->dirfd, name, err);
		else if (spare_make(w, no[i], &f, NULL) == 0)
			spare_push(w, f);
	}
	return rc;
}

/* --- moving on ------------------------------------------------------- */

/* A tail without a record cannot stay: the next file gets its name, too. */
static void
tail_drop(struct wal *w)
{
	struct wal_file *f = w->tail, *before = NULL;

	for (struct wal_file *i = w->files; i != f; i = i->next)
		before = i;
	if (before)
		before->next = NULL;
	else
		w->files = NULL;
	w->tail = before;
	if (f->entered)
		f->trimmed = true; /* until cur is another */
	else
		spare_push(w, f);
}

void
wal_tail_move(struct wal *w)
{
	struct wal_file *f = w->spares;

	w->spares = f->next;
	w->n_spares--;
	if (w->tail && w->tail->at == WAL_FILE_START)
		tail_drop(w);
	f->next = NULL;
	f->first = w->last + 1;
	f->at = WAL_FILE_START;
	if (w->tail)
		w->tail->next = f;
	else
		w->files = f;
	w->tail = f;
}

/* The header is on disk before the name is, so that no crash leaves a named
 * file with a bad header. */
static int
file_name(struct wal *w, struct wal_file *f, struct err *err)
{
	char from[WAL_NAME_ROOM], to[WAL_NAME_ROOM];
	struct wal_head h = {f->first, f->epoch, f->size};
	struct wal_file_disk d;

	head_encode(&h, &d);
	spare_name_print(f->spare_no, from);
	wal_name_print(f->first, to);
	int rc = file_write_all(f->fd, &d, sizeof d, 0, err);
	if (rc == 0)
		rc = file_sync(f->fd, err);
	if (rc == 0)
		rc = file_rename_at(w->dirfd, from, to, err);
	if (rc == 0)
		rc = file_sync_full(w->dirfd, err);
	return rc < 0 ? err_in(err, rc, "log file %s", to) : 0;
}

int
wal_enter(struct wal *w, struct wal_file *f, struct err *err)
{
	struct wal_file *old = w->cur; /* only the writer changes it */
	int rc = 0;

	if (fault_hit(FAULT_wal_before_switch))
		return err_set(err, ERR_IO, "fault wal_before_switch");
	if (old) {
		count(COUNTER_wal_syncs, 1);
		rc = file_sync(old->fd, err);
	}
	if (rc == 0)
		rc = file_name(w, f, err);
	if (rc == 0 && fault_hit(FAULT_wal_after_switch))
		rc = err_set(err, ERR_IO, "fault wal_after_switch");
	if (rc != 0)
		return rc;
	mutex_lock(&w->lock);
	f->entered = true;
	w->cur = f;
	w->durable = MAX(w->durable, f->first - 1);
	if (old)
		wal_file_unref(old);
	mutex_unlock(&w->lock);
	return 0;
}

/* Whether all records are before keep, and the writer has left it. */
static bool
file_is_past(const struct wal_file *f, lsn_t keep)
{
	return f->next && f->next->entered && f->next->first <= keep;
}

int
wal_trim(struct wal *w, lsn_t keep, struct err *err)
{
	char name[WAL_NAME_ROOM];
	int rc = 0;

	mutex_lock(&w->lock);
	while (w->trimming)
		cond_wait(&w->changed, &w->lock);
	w->trimming = true;
	while (rc == 0 && file_is_past(w->files, keep)) {
		struct wal_file *f = w->files;
		mutex_unlock(&w->lock);
		wal_name_print(f->first, name);
		if (fault_hit(FAULT_wal_in_trim))
			rc = err_set(err, ERR_IO, "fault wal_in_trim");
		else
			rc = file_unlink_at(w->dirfd, name, err);
		if (rc == -ERR_NOT_FOUND)
			rc = 0; /* removed before, but the sync failed */
		/* one by one, so that no crash can leave a gap */
		if (rc == 0)
			rc = file_sync_full(w->dirfd, err);
		mutex_lock(&w->lock);
		if (rc == 0) {
			w->files = f->next;
			f->trimmed = true;
			if (f->refs == 0)
				free(f);
		}
	}
	w->trimming = false;
	cond_broadcast(&w->changed);
	mutex_unlock(&w->lock);
	return rc;
}
