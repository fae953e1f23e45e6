/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/wal_impl.h"

#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW (1u << 20) /* bytes read at once, at least */

struct wal_reader {
	int dirfd;
	int fd; /* -1: no file */
	struct wal_head head;
	uint64_t at;    /* of the next record */
	uint64_t limit; /* bytes there are */
	struct buf win; /* bytes of the file from win_at */
	uint64_t win_at;
	lsn_t from;
	lsn_t last;
	bool ended;
	struct wal_end end;
};

struct rec { /* a header, checked */
	lsn_t lsn;
	lsn_t synced;
	int64_t time_us;
	uint32_t len;
	uint32_t body_crc;
	uint8_t kind;
	uint8_t version;
};

/* --- bytes ----------------------------------------------------------- */

/* n bytes of the file at `at`; behind its end there are zeros. */
static int
bytes_get(struct wal_reader *r, uint64_t at, size_t n, const uint8_t **ret,
	  struct err *err)
{
	if (at < r->win_at || at + n > r->win_at + r->win.n) {
		uint64_t left = r->limit > at ? r->limit - at : 0;
		size_t want = MAX(n, (size_t)MIN(WINDOW, left)), got = 0;

		buf_clear(&r->win);
		if (buf_reserve(&r->win, want) != 0)
			return err_set(err, ERR_NO_MEMORY, "log record");
		int rc = file_read_all(r->fd, r->win.p, want, (off_t)at, &got,
				       err);
		if (rc != 0)
			return err_in(err, rc, "log file %s", r->end.file);
		memset(r->win.p + got, 0, want - got);
		r->win.n = want;
		r->win_at = at;
	}
	*ret = r->win.p + (at - r->win_at);
	return 0;
}

/* Whether p holds a record header that fits in room bytes; epoch 0 is any. */
static bool
rec_decode(const uint8_t *p, uint64_t room, uint64_t epoch, struct rec *ret)
{
	struct wal_rec_disk d;

	memcpy(&d, p, sizeof d);
	if (epoch ? get_u64(d.epoch) != epoch : get_u64(d.epoch) == 0)
		return false;
	ret->len = get_u32(d.len);
	if (ret->len > WAL_RECORD_MAX || wal_rec_room(ret->len) > room)
		return false;
	if (get_u32(d.crc) != crc32c(0, d.body_crc, sizeof d - 4))
		return false;
	ret->lsn = get_u64(d.lsn);
	ret->synced = get_u64(d.synced);
	ret->time_us = (int64_t)get_u64(d.time_us);
	ret->body_crc = get_u32(d.body_crc);
	ret->kind = d.kind;
	ret->version = d.version;
	return true;
}

/* The record at `at`: 1 and its body, 0 if there is none that is whole. */
static int
rec_read(struct wal_reader *r, uint64_t at, uint64_t epoch, struct rec *ret,
	 const uint8_t **ret_body, struct err *err)
{
	const uint8_t *p = NULL;

	if (at + WAL_REC_HEAD > r->limit)
		return 0;
	int rc = bytes_get(r, at, WAL_REC_HEAD, &p, err);
	if (rc != 0 || !rec_decode(p, r->limit - at, epoch, ret))
		return rc;
	if (get_u16(((const struct wal_rec_disk *)p)->reserved) != 0)
		return err_set(err, ERR_VERSION,
			       "log record %llu has a newer format",
			       (unsigned long long)ret->lsn);
	rc = bytes_get(r, at, WAL_REC_HEAD + ret->len, &p, err);
	if (rc != 0)
		return rc;
	*ret_body = p + WAL_REC_HEAD;
	return crc32c(0, *ret_body, ret->len) == ret->body_crc;
}

/* --- files ----------------------------------------------------------- */

static void
file_take(struct wal_reader *r, int fd, const struct wal_head *head,
	  uint64_t len)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = fd;
	r->head = *head;
	r->at = WAL_FILE_START;
	r->limit = MIN(head->size, round_up(len, 8));
	r->win_at = 0;
	buf_clear(&r->win);
	wal_name_print(head->first, r->end.file);
}

/* Moves to the file named first: enum wal_state or -ERR_*.  A broken one is
 * taken too, so that what is left of it can be looked at. */
static int
file_enter(struct wal_reader *r, lsn_t first, struct err *err)
{
	struct wal_head head = {0};
	struct stat st;
	int fd;

	int state = wal_probe(r->dirfd, first, O_RDONLY, &fd, &head, err);
	if (state != WAL_FILE_GOOD && state != WAL_FILE_BROKEN)
		return state;
	if (fstat(fd, &st) != 0) {
		close(fd);
		return err_set(err, ERR_IO, "size of a log file");
	}
	if (state == WAL_FILE_BROKEN)
		head = (struct wal_head){first, 0, WAL_FILE_MAX};
	file_take(r, fd, &head, (uint64_t)st.st_size);
	return state;
}

/* The first file after position lsn that holds or held something; 0: none. */
static int
file_later(const struct wal_reader *r, lsn_t lsn, lsn_t *ret, struct err *err)
{
	CLEAN(buf_done) struct buf list = {0};

	*ret = 0;
	int rc = wal_list(r->dirfd, &list, err);
	for (size_t at = 0; rc == 0 && at < list.n; at += sizeof(lsn_t)) {
		struct wal_head head;
		lsn_t first;
		int fd;

		memcpy(&first, list.p + at, sizeof first);
		if (first <= lsn)
			continue;
		rc = wal_probe(r->dirfd, first, O_RDONLY, &fd, &head, err);
		if (rc == WAL_FILE_GOOD || rc == WAL_FILE_BROKEN) {
			close(fd);
			*ret = first;
			return 0;
		}
		rc = MIN(rc, 0);
	}
	return rc;
}

/* --- the end --------------------------------------------------------- */

struct rest {          /* what stands behind the last good record */
	bool any;      /* something that is not zero */
	lsn_t next;    /* first whole record later than the missing one; 0 */
	lsn_t highest; /* last such */
	lsn_t synced;  /* highest witness */
};

static int
rest_record(struct wal_reader *r, uint64_t at, lsn_t missing, struct rest *rest,
	    uint64_t *ret_room, struct err *err)
{
	const uint8_t *body = NULL;
	struct rec rec = {0};

	*ret_room = 8;
	int rc = rec_read(r, at, r->head.epoch, &rec, &body, err);
	if (rc <= 0)
		return rc;
	*ret_room = wal_rec_room(rec.len);
	if (rec.lsn < missing)
		return 0;
	if (!rest->next && rec.lsn > missing)
		rest->next = rec.lsn;
	rest->highest = MAX(rest->highest, rec.lsn);
	rest->synced = MAX(rest->synced, rec.synced);
	return 0;
}

static int
rest_scan(struct wal_reader *r, lsn_t missing, struct rest *rest,
	  struct err *err)
{
	uint64_t at = r->at, room;
	const uint8_t *p = NULL;

	while (at < r->limit) {
		size_t n = (size_t)MIN(WINDOW, r->limit - at);
		int rc = bytes_get(r, at, n, &p, err);
		if (rc != 0)
			return rc;
		if (wal_is_zero(p, n)) {
			at += n;
			continue;
		}
		rest->any = true;
		for (uint64_t to = at + n; at < to; at += room) {
			rc = rest_record(r, at, missing, rest, &room, err);
			if (rc != 0)
				return rc;
		}
	}
	return 0;
}

static void
end_set(struct wal_reader *r, enum wal_end_kind kind, lsn_t lost_to)
{
	r->ended = true;
	r->end.kind = kind;
	r->end.last = r->last;
	r->end.offset = r->at;
	if (kind == WAL_END_DAMAGED) {
		r->end.lost_from = r->last + 1;
		r->end.lost_to = MAX(lost_to, r->last + 1);
	}
}

/* No record `missing` here and no file that begins with it: torn, or lost? */
static int
end_find(struct wal_reader *r, struct err *err)
{
	lsn_t missing = r->last + 1, later;
	struct rest rest = {0};

	int rc = rest_scan(r, missing, &rest, err);
	if (rc == 0)
		rc = file_later(r, missing, &later, err);
	if (rc != 0)
		return rc;
	if (later || rest.synced >= missing)
		end_set(r, WAL_END_DAMAGED,
			rest.next ? rest.next - 1
			: later   ? later - 1
				  : rest.synced);
	else
		end_set(r, rest.any ? WAL_END_TORN : WAL_END_CLEAN, 0);
	return 0;
}

/* A file whose header is lost, and with it the way to its records. */
static int
end_broken(struct wal_reader *r, struct err *err)
{
	struct rest rest = {0};

	int rc = rest_scan(r, r->last + 1, &rest, err);
	if (rc != 0)
		return rc;
	r->at = 0;
	end_set(r, WAL_END_DAMAGED, MAX(rest.highest, rest.synced));
	return 0;
}

/* Goes on in the file that begins with the next position.  1, or 0 at the
 * end. */
static int
file_next(struct wal_reader *r, struct err *err)
{
	int state = WAL_FILE_NONE;

	if (r->head.first != r->last + 1)
		state = file_enter(r, r->last + 1, err);
	if (state == WAL_FILE_GOOD)
		return 1;
	if (state < 0)
		return state;
	if (state == WAL_FILE_BROKEN)
		return end_broken(r, err);
	return end_find(r, err);
}

/* --- public ---------------------------------------------------------- */

int
wal_reader_next(struct wal_reader *r, struct wal_record *ret, struct err *err)
{
	const uint8_t *body = NULL;
	struct rec rec = {0};

	while (!r->ended) {
		int rc = rec_read(r, r->at, r->head.epoch, &rec, &body, err);
		if (rc < 0)
			return rc;
		if (rc == 0 || rec.lsn != r->last + 1) {
			rc = file_next(r, err);
			if (rc < 0)
				return rc;
			continue;
		}
		r->at += wal_rec_room(rec.len);
		r->last = rec.lsn;
		if (rec.lsn < r->from)
			continue;
		ret->lsn = rec.lsn;
		ret->time_us = rec.time_us;
		ret->kind = rec.kind;
		ret->version = rec.version;
		ret->body = (struct slice){body, rec.len};
		return 1;
	}
	return 0;
}

/* Finds the file that holds r->from, or would.  Files without anything in
 * them do not count. */
static int
file_first(struct wal_reader *r, struct err *err)
{
	CLEAN(buf_done) struct buf list = {0};
	lsn_t later;

	int rc = wal_list(r->dirfd, &list, err);
	for (size_t at = list.n; rc == 0 && at > 0;) {
		lsn_t first;

		at -= sizeof first;
		memcpy(&first, list.p + at, sizeof first);
		if (first > r->from)
			continue;
		r->last = first - 1;
		rc = file_enter(r, first, err);
		if (rc == WAL_FILE_GOOD)
			return 0;
		if (rc == WAL_FILE_BROKEN)
			return end_broken(r, err);
		rc = MIN(rc, 0);
	}
	if (rc == 0)
		rc = file_later(r, 0, &later, err);
	if (rc != 0)
		return rc;
	if (later || r->from > 1)
		return err_set(err, ERR_NOT_FOUND,
			       "the log does not reach back to %llu",
			       (unsigned long long)r->from);
	r->last = 0;
	end_set(r, WAL_END_CLEAN, 0);
	return 0;
}

int
wal_reader_open(int dirfd, lsn_t from, struct wal_reader **ret, struct err *err)
{
	struct wal_reader *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(err, ERR_NO_MEMORY, "log reader");
	r->dirfd = dirfd;
	r->fd = -1;
	r->from = MAX(from, 1);
	int rc = file_first(r, err);
	if (rc != 0) {
		wal_reader_close(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void
wal_reader_end(const struct wal_reader *r, struct wal_end *ret)
{
	*ret = r->end;
	ret->last = r->last;
}

void
wal_reader_close(struct wal_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	buf_done(&r->win);
	free(r);
}
