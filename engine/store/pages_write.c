/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages_write.c - a stream into files.
 *
 * A file is written under a name of its own, .new-<random>: payload first, then
 * the sums, then the header, which needs both; then it is read back from the
 * page cache for its SHA-256.  All files get their names together in
 * pages_finish(), so that until then an abort can remove everything without
 * asking who else may have come to need a file with the same content.
 */
#include "engine/store/pages.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/store/pages_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUF_LEN    (64u * PAGE_LEN)
#define NAME_LEN   (sizeof PAGES_TMP + 16)
#define WRITE_BACK (4u << 20) /* start writing to disk each so many bytes */

struct done_file {
	struct pages_file f;
	char tmp[NAME_LEN]; /* empty once it has its name */
};

struct pages_writer {
	int dirfd;
	enum stream_kind kind;
	uint64_t at; /* of the stream */
	int rc;      /* a failed writer stays failed */
	/* the file being written; fd -1: none */
	int fd;
	char tmp[NAME_LEN];
	uint32_t payload; /* bytes of it that went through the buffer */
	uint32_t synced;  /* bytes of it whose writing to disk was started */
	uint32_t fill;    /* bytes in buf */
	uint8_t *buf;
	struct buf sums;
	/* files that are whole */
	uint32_t n_done, cap_done;
	struct done_file *done;
};

int
pages_create(int dirfd, enum stream_kind kind, struct pages_writer **ret,
	     struct err *err)
{
	struct pages_writer *w = calloc(1, sizeof *w);

	if (!w)
		return err_set(err, ERR_NO_MEMORY, "stream writer");
	w->buf = malloc(BUF_LEN);
	if (!w->buf) {
		free(w);
		return err_set(err, ERR_NO_MEMORY, "stream writer");
	}
	w->dirfd = dirfd;
	w->kind = kind;
	w->fd = -1;
	*ret = w;
	return 0;
}

static int
file_begin(struct pages_writer *w, struct err *err)
{
	uint64_t r;

	if (w->n_done == PAGES_FILES_MAX)
		return err_set(err, ERR_TOO_BIG, "too many files in a stream");
	if (getrandom(&r, sizeof r, 0) != sizeof r)
		return err_sys(err, errno, "random name");
	snprintf(w->tmp, sizeof w->tmp, PAGES_TMP "%016llx",
		 (unsigned long long)r);
	w->payload = 0;
	w->synced = 0;
	buf_clear(&w->sums);
	return file_open_at(w->dirfd, w->tmp, O_RDWR | O_CREAT | O_EXCL, &w->fd,
			    err);
}

/* Spreads the writing to disk over the building, so that the fsync at the end
 * of a file is short.  Only a hint: what fails here fails again there. */
static void
write_back(struct pages_writer *w)
{
	if (w->payload - w->synced < WRITE_BACK)
		return;
	sync_file_range(w->fd, PAGE_LEN + (off_t)w->synced,
			w->payload - w->synced, SYNC_FILE_RANGE_WRITE);
	w->synced = w->payload;
}

/* Writes the buffer out; its last page is filled up with zeros. */
static int
buf_flush(struct pages_writer *w, struct err *err)
{
	uint32_t n = pages_count(w->fill) * PAGE_LEN;
	uint32_t first = (w->payload - w->fill) / PAGE_LEN;
	int rc;

	if (w->fill == 0)
		return 0;
	memset(w->buf + w->fill, 0, n - w->fill);
	for (uint32_t i = 0; i < n / PAGE_LEN; i++)
		buf_put_u32(&w->sums,
			    pages_sum(first + i, w->buf + i * PAGE_LEN));
	if (w->sums.failed)
		return err_set(err, ERR_NO_MEMORY, "page sums");
	rc = file_write_all(w->fd, w->buf, n,
			    PAGE_LEN + (off_t)first * PAGE_LEN, err);
	if (rc == 0) {
		w->fill = 0;
		write_back(w);
	}
	return rc;
}

static int
write_header(struct pages_writer *w, struct err *err)
{
	struct pages_header_disk d = {0};

	memcpy(d.magic, PAGES_MAGIC, sizeof d.magic);
	set_u16(d.version, PAGES_VERSION);
	d.kind = (uint8_t)w->kind;
	set_u32(d.len, pages_file_len(w->payload));
	set_u32(d.payload, w->payload);
	set_u32(d.page_len, PAGE_LEN);
	set_u64(d.at, (uint64_t)w->n_done * PAGES_PAYLOAD_MAX);
	set_u32(d.crc, crc32c(0, &d, sizeof d - 4));
	return file_write_all(w->fd, &d, sizeof d, 0, err);
}

static int
file_hash(struct pages_writer *w, int fd, uint32_t len, uint8_t ret[SHA256_LEN],
	  struct err *err)
{
	struct sha256_state *s = sha256_new();
	int rc = 0;

	if (!s)
		return err_set(err, ERR_NO_MEMORY, "hash");
	for (uint32_t at = 0; rc == 0 && at < len;) {
		size_t n = MIN(len - at, BUF_LEN), got;

		rc = file_read_all(fd, w->buf, n, at, &got, err);
		if (rc == 0 && got != n)
			rc = err_set(err, ERR_IO, "a file is short");
		if (rc == 0)
			sha256_add(s, w->buf, n);
		at += (uint32_t)n;
	}
	if (rc == 0)
		sha256_end(s, ret);
	sha256_free(s);
	return rc;
}

static int
done_reserve(struct pages_writer *w, struct err *err)
{
	uint32_t cap = w->cap_done ? 2 * w->cap_done : 4;
	struct done_file *d;

	if (w->n_done < w->cap_done)
		return 0;
	d = realloc(w->done, cap * sizeof *d);
	if (!d)
		return err_set(err, ERR_NO_MEMORY, "list of files");
	w->done = d;
	w->cap_done = cap;
	return 0;
}

/* Completes the file being written. */
static int
file_end(struct pages_writer *w, struct err *err)
{
	uint32_t pages = pages_count(w->payload);
	struct done_file d = {0};
	int rc = done_reserve(w, err);

	d.f.payload = w->payload;
	d.f.len = pages_file_len(w->payload);
	if (rc == 0)
		rc = buf_flush(w, err);
	if (rc == 0)
		rc = file_write_all(w->fd, w->sums.p, w->sums.n,
				    PAGE_LEN * (1 + (off_t)pages), err);
	if (rc == 0)
		rc = write_header(w, err);
	if (rc == 0)
		rc = file_hash(w, w->fd, d.f.len, d.f.sum, err);
	if (rc == 0)
		rc = file_sync(w->fd, err);
	if (rc != 0)
		return rc;
	close(w->fd);
	w->fd = -1;
	memcpy(d.tmp, w->tmp, sizeof d.tmp);
	w->done[w->n_done++] = d;
	return 0;
}

static int
write_some(struct pages_writer *w, const uint8_t *p, size_t n, size_t *ret_n,
	   struct err *err)
{
	uint32_t room;
	int rc = 0;

	if (w->fd < 0)
		rc = file_begin(w, err);
	if (rc != 0)
		return rc;
	room = MIN(BUF_LEN - w->fill, PAGES_PAYLOAD_MAX - w->payload);
	n = MIN(n, room);
	if (p)
		memcpy(w->buf + w->fill, p, n);
	else
		memset(w->buf + w->fill, 0, n);
	w->fill += (uint32_t)n;
	w->payload += (uint32_t)n;
	w->at += n;
	*ret_n = n;
	if (w->payload == PAGES_PAYLOAD_MAX)
		return file_end(w, err);
	return w->fill == BUF_LEN ? buf_flush(w, err) : 0;
}

/* p NULL: n zeros. */
static int
write_all(struct pages_writer *w, const uint8_t *p, uint64_t n, struct err *err)
{
	if (w->rc != 0)
		return err_set(err, (enum errcode) - w->rc,
			       "the stream failed before");
	while (n > 0 && w->rc == 0) {
		size_t did = 0;

		w->rc = write_some(w, p, n, &did, err);
		n -= did;
		if (p)
			p += did;
	}
	return w->rc;
}

int
pages_write(struct pages_writer *w, const void *p, size_t n, struct err *err)
{
	return n ? write_all(w, p, n, err) : 0;
}

int
pages_pad(struct pages_writer *w, uint32_t to, struct err *err)
{
	return write_all(w, NULL, round_up(w->at, to) - w->at, err);
}

uint64_t
pages_at(const struct pages_writer *w)
{
	return w->at;
}

/* Whether the file is there already, and sound: what is made again because it
 * was found damaged must take the damaged one's place. */
static bool
is_there(struct pages_writer *w, const char *name, const struct pages_file *f)
{
	uint8_t sum[SHA256_LEN];
	struct stat st;
	bool same;
	int fd;

	if (file_open_at(w->dirfd, name, O_RDONLY | O_NOFOLLOW, &fd, NULL) != 0)
		return false;
	same = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == (off_t)f->len &&
	       file_hash(w, fd, f->len, sum, NULL) == 0 &&
	       memcmp(sum, f->sum, sizeof sum) == 0;
	close(fd);
	return same;
}

static int
name_file(struct pages_writer *w, struct done_file *d, struct err *err)
{
	char name[PAGES_NAME_LEN + 1];
	int rc;

	pages_name(&d->f, name);
	if (is_there(w, name, &d->f))
		rc = file_unlink_at(w->dirfd, d->tmp, err);
	else
		rc = file_rename_at(w->dirfd, d->tmp, name, err);
	if (rc == 0)
		d->tmp[0] = 0;
	return rc;
}

/* What got its name before a failure stays: another stream may hold the same
 * content by now, and a file that nobody names is swept at recovery. */
static void
drop_files(struct pages_writer *w)
{
	if (w->fd >= 0) {
		close(w->fd);
		w->fd = -1;
		file_unlink_at(w->dirfd, w->tmp, NULL);
	}
	for (uint32_t i = 0; i < w->n_done; i++)
		if (w->done[i].tmp[0])
			file_unlink_at(w->dirfd, w->done[i].tmp, NULL);
	w->n_done = 0;
}

static int
list_make(const struct pages_writer *w, struct pages_list *ret, struct err *err)
{
	struct pages_list l = {.n = w->n_done, .len = w->at};

	if (l.n) {
		l.files = malloc(l.n * sizeof *l.files);
		if (!l.files)
			return err_set(err, ERR_NO_MEMORY, "list of files");
	}
	for (uint32_t i = 0; i < l.n; i++)
		l.files[i] = w->done[i].f;
	*ret = l;
	return 0;
}

static int
finish(struct pages_writer *w, struct pages_list *l, struct err *err)
{
	int rc = w->rc;

	if (rc != 0)
		return err_set(err, (enum errcode) - rc,
			       "the stream failed before");
	if (w->fd >= 0)
		rc = file_end(w, err);
	if (rc == 0)
		rc = list_make(w, l, err);
	for (uint32_t i = 0; rc == 0 && i < w->n_done; i++)
		rc = name_file(w, &w->done[i], err);
	if (rc == 0 && w->n_done)
		rc = file_sync_full(w->dirfd, err);
	return rc;
}

int
pages_finish(struct pages_writer *w, struct pages_list *ret, struct err *err)
{
	struct pages_list l = {0};
	int rc = finish(w, &l, err);

	w->rc = rc ? rc : -ERR_STOPPED;
	drop_files(w);
	if (rc != 0)
		pages_list_done(&l);
	else
		*ret = l;
	return rc;
}

void
pages_abort(struct pages_writer *w)
{
	if (!w)
		return;
	drop_files(w);
	buf_done(&w->sums);
	free(w->done);
	free(w->buf);
	free(w);
}
