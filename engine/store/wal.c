/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/wal_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/counters.h"
#include "engine/base/fault.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_KEPT  (16u << 20) /* a larger one is given back */
#define STARVED_MS   1000u       /* between two tries to allocate */
#define INTERVAL_MIN 1u

static int
failed_before(const struct wal *w, struct err *err)
{
	return err_set(err, ERR_READ_ONLY, "the log has stopped: %s",
		       err_text(&w->failure));
}

/* For those who waited while it happened. */
static int
failed_now(const struct wal *w, struct err *err)
{
	return err_set(err, (enum errcode)w->failure.code, "%s",
		       err_text(&w->failure));
}

static void
wal_fail(struct wal *w, const struct err *why)
{
	if (!w->failure.code)
		w->failure = *why;
	/* that code promises a caller that nothing was done */
	if (w->failure.code == ERR_NO_SPACE)
		w->failure.code = ERR_IO;
}

/* --- writing --------------------------------------------------------- */

/* The witness and the header's checksum are filled in last, so that a record
 * tells as much as is known, and outside the lock. */
static void
records_seal(uint8_t *p, size_t n, lsn_t synced)
{
	struct wal_rec_disk *d;

	for (size_t at = 0; at < n; at += wal_rec_room(get_u32(d->len))) {
		d = (struct wal_rec_disk *)(p + at);
		set_u64(d->synced, synced);
		set_u32(d->crc, crc32c(0, d->body_crc, sizeof *d - 4));
	}
}

static int
batch_write(struct wal *w, struct wal_batch *b, lsn_t synced, struct err *err)
{
	for (unsigned i = 0; i < b->n_pieces; i++) {
		struct wal_piece *p = &b->pieces[i];
		int rc = p->file->entered ? 0 : wal_enter(w, p->file, err);
		if (rc != 0)
			return rc;
		if (fault_hit(FAULT_wal_before_write))
			return err_set(err, ERR_IO, "fault wal_before_write");
		/* entering a file has synced the one before */
		records_seal(b->bytes.p + p->from, p->n,
			     MAX(synced, p->file->first - 1));
		rc = file_write_all(p->file->fd, b->bytes.p + p->from, p->n,
				    (off_t)p->at, err);
		if (rc != 0)
			return err_in(err, rc, "log");
		if (fault_hit(FAULT_wal_after_write))
			return err_set(err, ERR_IO, "fault wal_after_write");
	}
	return 0;
}

static void
batch_clear(struct wal_batch *b)
{
	b->n_pieces = 0;
	buf_clear(&b->bytes);
	if (b->bytes.cap > BUFFER_KEPT)
		buf_done(&b->bytes);
}

/* Writes all that is pending.  Lock held, released meanwhile. */
static void
wal_write(struct wal *w)
{
	struct wal_batch *b = w->pend;
	struct err why = {0};
	lsn_t upto = w->last, synced = w->durable;

	if (b->n_pieces == 0 || w->failure.code)
		return;
	w->writing = true;
	w->pend = b == &w->batches[0] ? &w->batches[1] : &w->batches[0];
	mutex_unlock(&w->lock);
	int rc = batch_write(w, b, synced, &why);
	batch_clear(b);
	mutex_lock(&w->lock);
	if (rc == 0)
		w->written = upto;
	else
		wal_fail(w, &why);
	w->writing = false;
	cond_broadcast(&w->changed);
}

static void
write_upto(struct wal *w, lsn_t lsn)
{
	while (w->written < lsn && !w->failure.code) {
		if (w->writing)
			cond_wait(&w->changed, &w->lock);
		else
			wal_write(w);
	}
}

/* --- group commit ---------------------------------------------------- */

static int
cur_sync(struct wal_file *f, struct err *err)
{
	count(COUNTER_wal_syncs, 1);
	int rc = file_sync(f->fd, err);
	if (rc == 0 && fault_hit(FAULT_wal_after_sync))
		rc = err_set(err, ERR_IO, "fault wal_after_sync");
	return rc < 0 ? err_in(err, rc, "log") : 0;
}

/* One round: writes and syncs for all that have appended by now.  Files before
 * cur were synced when it was entered. */
static void
sync_round(struct wal *w)
{
	struct err why = {0};

	w->syncing = true;
	w->round++;
	w->target = w->last;
	write_upto(w, w->target);
	if (!w->failure.code) {
		struct wal_file *f = w->cur;
		lsn_t upto = w->written;
		f->refs++;
		mutex_unlock(&w->lock);
		int rc = cur_sync(f, &why);
		mutex_lock(&w->lock);
		wal_file_unref(f);
		if (rc == 0)
			w->durable = MAX(w->durable, upto);
		else
			wal_fail(w, &why);
	}
	w->syncing = false;
	if (w->failure.code)
		cond_broadcast(&w->rounds[(w->round + 1) & 1]);
	else
		cond_signal(&w->rounds[(w->round + 1) & 1]); /* leads */
	cond_broadcast(&w->rounds[w->round & 1]);
}

static void
sync_upto(struct wal *w, lsn_t lsn)
{
	unsigned r = w->round;

	while (w->durable < lsn && !w->failure.code) {
		if (!w->syncing) {
			sync_round(w);
			r = w->round;
			continue;
		}
		r = lsn <= w->target ? w->round : w->round + 1;
		cond_wait(&w->rounds[r & 1], &w->lock);
	}
	/* woken to lead, but a change of files did the work meanwhile */
	if (r == w->round + 1 && !w->syncing)
		cond_signal(&w->rounds[r & 1]);
}

static int
wal_wait(struct wal *w, lsn_t lsn, bool sync, struct err *err)
{
	int rc = 0;

	mutex_lock(&w->lock);
	lsn = MIN(lsn, w->last);
	sync = sync || w->policy == SYNC_CLOSE;
	if (lsn <= (sync ? w->durable : w->written))
		goto out;
	if (w->failure.code) {
		rc = failed_before(w, err);
		goto out;
	}
	if (sync)
		sync_upto(w, lsn);
	else
		write_upto(w, lsn);
	if (lsn > (sync ? w->durable : w->written))
		rc = failed_now(w, err);
out:
	mutex_unlock(&w->lock);
	return rc;
}

int
wal_commit(struct wal *w, lsn_t lsn, struct err *err)
{
	return wal_wait(w, lsn, false, err);
}

int
wal_sync(struct wal *w, lsn_t lsn, struct err *err)
{
	return wal_wait(w, lsn, true, err);
}

/* --- appending ------------------------------------------------------- */

static bool
pending_full(const struct wal *w)
{
	const struct wal_batch *b = w->pend;

	return b->bytes.n >= WAL_PENDING || b->n_pieces == WAL_PIECES;
}

/* Gets a file for a record that does not fit in the tail.  The last spare is
 * for deletes on a full disk. */
static int
room_make(struct wal *w, uint64_t room, unsigned flags, struct err *err)
{
	uint64_t size = round_up(WAL_FILE_START + room, WAL_FILE_START);

	if (w->n_spares < 2) {
		int rc = wal_spare_add(w, err);
		if (rc != 0 && !(rc == -ERR_NO_SPACE && w->n_spares > 0 &&
				 (flags & WAL_RESERVE)))
			return rc;
		if (rc == 0 && w->n_spares < 2)
			return 0; /* somebody else tried; once more */
	}
	if (w->n_spares > 0 && w->spares->size < size)
		return wal_spare_grow(w, size, err);
	if (w->n_spares > 0)
		wal_tail_move(w);
	return 0;
}

/* Returns when there is room for the record: 0, and nothing can fail for want
 * of space any more. */
static int
room_get(struct wal *w, uint64_t room, unsigned flags, struct err *err)
{
	int rc = 0;

	while (rc == 0) {
		bool fits = room <= w->tail->size - w->tail->at;

		if (w->failure.code)
			return failed_before(w, err);
		if (pending_full(w)) {
			if (w->writing)
				cond_wait(&w->changed, &w->lock);
			else
				wal_write(w);
		} else if (!fits) {
			rc = room_make(w, room, flags, err);
		} else if (w->n_spares == 0 && !(flags & WAL_RESERVE)) {
			rc = wal_spare_add(w, err);
		} else {
			return 0;
		}
	}
	return rc;
}

static void
record_put(struct wal *w, const struct wal_rec_disk *d,
	   const struct slice *parts, unsigned n_parts, uint64_t room)
{
	struct wal_batch *b = w->pend;
	struct wal_file *f = w->tail;
	struct wal_piece *p = &b->pieces[b->n_pieces];
	size_t end = b->bytes.n + room;

	if (b->n_pieces > 0 && p[-1].file == f)
		p--;
	else
		b->pieces[b->n_pieces++] =
			(struct wal_piece){f, f->at, b->bytes.n, 0};
	buf_put(&b->bytes, d, sizeof *d);
	for (unsigned i = 0; i < n_parts; i++)
		buf_put(&b->bytes, parts[i].p, parts[i].n);
	buf_put_zero(&b->bytes, end - b->bytes.n);
	check(!b->bytes.failed); /* reserved before */
	p->n += room;
	f->at += room;
}

static unsigned
spares_wanted(const struct wal *w)
{
	/* the next file is made while there is time */
	if (w->ahead == 0 && w->tail->at > w->tail->size / 2)
		return 2;
	return w->ahead + 1;
}

static void
helper_kick(struct wal *w)
{
	if (w->kicked || w->starved || w->n_spares >= spares_wanted(w))
		return;
	w->kicked = true;
	cond_signal(&w->work);
}

static int
body_sum(const struct slice *parts, unsigned n_parts, uint64_t *ret_len,
	 uint32_t *ret_crc, struct err *err)
{
	uint64_t len = 0;
	uint32_t crc = 0;

	for (unsigned i = 0; i < n_parts; i++) {
		if (parts[i].n > WAL_RECORD_MAX - len)
			return err_set(err, ERR_TOO_BIG,
				       "log record over %u bytes",
				       WAL_RECORD_MAX);
		len += parts[i].n;
	}
	for (unsigned i = 0; i < n_parts; i++)
		if (parts[i].n)
			crc = crc32c(crc, parts[i].p, parts[i].n);
	*ret_len = len;
	*ret_crc = crc;
	return 0;
}

int
wal_append(struct wal *w, uint8_t kind, uint8_t version,
	   const struct slice *parts, unsigned n_parts, unsigned flags,
	   lsn_t *ret_lsn, int64_t *ret_time_us, struct err *err)
{
	struct wal_rec_disk d = {.kind = kind, .version = version};
	int64_t now = clock_wall_ns() / 1000;
	uint64_t len = 0;
	uint32_t crc = 0;

	int rc = body_sum(parts, n_parts, &len, &crc, err);
	if (rc != 0)
		return rc;
	uint64_t room = wal_rec_room(len);
	set_u32(d.body_crc, crc);
	set_u32(d.len, (uint32_t)len);
	set_u64(d.time_us, (uint64_t)now);
	mutex_lock(&w->lock);
	rc = room_get(w, room, flags, err);
	if (rc == 0 && buf_reserve(&w->pend->bytes, room) != 0) {
		buf_clear(&w->pend->bytes);
		rc = err_set(err, ERR_NO_MEMORY, "log record");
	}
	if (rc == 0) {
		set_u64(d.lsn, ++w->last);
		set_u64(d.epoch, w->tail->epoch);
		record_put(w, &d, parts, n_parts, room);
		*ret_lsn = w->last;
		if (ret_time_us)
			*ret_time_us = now;
		helper_kick(w);
	}
	mutex_unlock(&w->lock);
	if (rc == 0) {
		count(COUNTER_wal_records, 1);
		count(COUNTER_wal_bytes, room);
	}
	return rc;
}

/* --- the helper ------------------------------------------------------ */

static bool
helper_spares(struct wal *w)
{
	w->kicked = false;
	if (w->n_spares >= spares_wanted(w))
		return false;
	return wal_spare_add(w, NULL) == 0;
}

static void *
helper_run(void *arg)
{
	struct wal *w = arg;
	int64_t synced_at = clock_mono_ns();

	mutex_lock(&w->lock);
	while (!w->stop) {
		if (helper_spares(w) || w->stop)
			continue; /* it had let go of the lock */
		bool timed = w->policy == SYNC_INTERVAL;
		int64_t age = (clock_mono_ns() - synced_at) / 1000000;
		if (timed && age >= w->interval_ms) {
			sync_upto(w, w->last);
			synced_at = clock_mono_ns();
			continue;
		}
		unsigned ms = timed ? w->interval_ms - (unsigned)age : 0;
		if (w->starved)
			ms = timed ? MIN(ms, STARVED_MS) : STARVED_MS;
		if (ms)
			cond_wait_ms(&w->work, &w->lock, ms);
		else
			cond_wait(&w->work, &w->lock);
	}
	mutex_unlock(&w->lock);
	return NULL;
}

/* --- opening --------------------------------------------------------- */

static void
wal_free(struct wal *w)
{
	struct wal_file *lists[] = {w->files, w->spares};

	if (w->cur && w->cur->trimmed)
		wal_file_free(w->cur);
	for (unsigned i = 0; i < ARRAY_LEN(lists); i++)
		for (struct wal_file *f = lists[i], *next; f; f = next) {
			next = f->next;
			wal_file_free(f);
		}
	buf_done(&w->batches[0].bytes);
	buf_done(&w->batches[1].bytes);
	cond_done(&w->changed);
	cond_done(&w->rounds[0]);
	cond_done(&w->rounds[1]);
	cond_done(&w->work);
	mutex_done(&w->lock);
	free(w);
}

static struct wal *
wal_new(const struct wal_opts *o, const struct wal_end *end)
{
	struct wal *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	w->dirfd = o->dirfd;
	w->file_bytes = MIN(MAX(o->file_bytes, WAL_FILE_MIN), WAL_FILE_MAX);
	w->file_bytes = round_up(w->file_bytes, WAL_FILE_START);
	w->ahead = MIN(o->ahead, WAL_AHEAD_MAX);
	w->policy = o->policy;
	w->interval_ms = MAX(o->interval_ms, INTERVAL_MIN);
	w->pend = &w->batches[0];
	w->last = w->written = w->durable = end->last;
	mutex_init(&w->lock, LOCK_WAL);
	cond_init(&w->changed);
	cond_init(&w->rounds[0]);
	cond_init(&w->rounds[1]);
	cond_init(&w->work);
	return w;
}

static int
file_add(struct wal *w, lsn_t first, struct err *err)
{
	struct wal_file *f = calloc(1, sizeof *f);
	char name[WAL_NAME_ROOM];
	struct stat st;

	if (!f)
		return err_set(err, ERR_NO_MEMORY, "log file");
	f->fd = -1;
	f->first = first;
	f->entered = true;
	if (w->tail)
		w->tail->next = f;
	else
		w->files = f;
	w->tail = f;
	wal_name_print(first, name);
	if (fstatat(w->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return err_sys(err, errno, "log file %s", name);
	f->size = (uint64_t)st.st_size;
	return 0;
}

/* Files after the one where reading ended may not hold anything. */
static int
file_discard(struct wal *w, lsn_t first, struct err *err)
{
	char name[WAL_NAME_ROOM];
	struct wal_head head;
	int fd;

	wal_name_print(first, name);
	int rc = wal_probe(w->dirfd, first, O_RDONLY, &fd, &head, err);
	if (rc == WAL_FILE_GOOD || rc == WAL_FILE_BROKEN) {
		close(fd);
		return err_set(err, ERR_DAMAGED,
			       "log file %s is behind the end", name);
	}
	return rc < 0 ? rc : file_unlink_at(w->dirfd, name, err);
}

static int
files_load(struct wal *w, lsn_t end_first, struct err *err)
{
	CLEAN(buf_done) struct buf list = {0};

	int rc = wal_list(w->dirfd, &list, err);
	for (size_t at = 0; rc == 0 && at < list.n; at += sizeof(lsn_t)) {
		lsn_t first;
		memcpy(&first, list.p + at, sizeof first);
		if (first <= end_first)
			rc = file_add(w, first, err);
		else
			rc = file_discard(w, first, err);
	}
	if (rc == 0 && end_first && (!w->tail || w->tail->first != end_first))
		rc = err_set(err, ERR_NOT_FOUND, "last log file");
	return rc;
}

/* After a cut the rest must be zeros again: a new file end, synced, then a new
 * allocation.  If there is no space for that, the file is full. */
static int
tail_cut(struct wal *w, const struct wal_end *end, uint64_t size,
	 struct err *err)
{
	struct wal_file *f = w->tail;
	int rc = 0;

	if (end->kind == WAL_END_TORN || f->size > size) {
		rc = file_truncate(f->fd, (off_t)end->offset, err);
		if (rc == 0)
			rc = file_sync_full(f->fd, err);
		f->size = end->offset;
	}
	if (rc == 0 && f->size < size) {
		rc = file_allocate(f->fd, (off_t)size, err);
		if (rc == 0)
			f->size = size;
		else if (rc == -ERR_NO_SPACE)
			rc = file_truncate(f->fd, (off_t)f->size, err);
	}
	f->size = MAX(f->size, end->offset);
	/* records that were read may never have been synced */
	if (rc == 0)
		rc = file_sync_full(f->fd, err);
	return rc;
}

static int
tail_open(struct wal *w, const struct wal_end *end, struct err *err)
{
	struct wal_file *f = w->tail;
	struct wal_head head;

	int rc = wal_probe(w->dirfd, f->first, O_RDWR, &f->fd, &head, err);
	if (rc < 0)
		return rc;
	if (rc != WAL_FILE_GOOD || end->offset < WAL_FILE_START ||
	    end->offset > head.size || end->offset % 8 != 0 ||
	    head.first > end->last + 1)
		return err_set(err, ERR_DAMAGED, "log file %s", end->file);
	f->refs = 1;
	f->epoch = head.epoch;
	f->at = end->offset;
	w->cur = f;
	return err_in(err, tail_cut(w, end, head.size, err), "log file %s",
		      end->file);
}

static int
tail_make(struct wal *w, struct err *err)
{
	if (w->n_spares == 0) {
		mutex_lock(&w->lock);
		int rc = wal_spare_add(w, err);
		mutex_unlock(&w->lock);
		if (rc != 0)
			return rc;
	}
	wal_tail_move(w);
	return wal_enter(w, w->tail, err);
}

static int
wal_load(struct wal *w, const struct wal_end *end, struct err *err)
{
	lsn_t end_first = 0;

	if (end->file[0] && !wal_file_name(end->file, &end_first))
		return err_set(err, ERR_NAME, "log file '%s'", end->file);
	int rc = files_load(w, end_first, err);
	if (rc == 0)
		rc = wal_spares_adopt(w, err);
	if (rc == 0)
		rc = end_first ? tail_open(w, end, err) : tail_make(w, err);
	if (rc == 0)
		rc = file_sync_full(w->dirfd, err);
	return rc;
}

int
wal_open(const struct wal_opts *o, const struct wal_end *end, struct wal **ret,
	 struct err *err)
{
	if (end->kind == WAL_END_DAMAGED)
		return err_set(err, ERR_DAMAGED,
			       "the log has lost records %llu to %llu",
			       (unsigned long long)end->lost_from,
			       (unsigned long long)end->lost_to);
	struct wal *w = wal_new(o, end);
	if (!w)
		return err_set(err, ERR_NO_MEMORY, "log");
	int rc = wal_load(w, end, err);
	if (rc == 0) {
		int eno = pthread_create(&w->helper, NULL, helper_run, w);
		if (eno != 0)
			rc = err_sys(err, eno, "log thread");
	}
	if (rc != 0) {
		wal_free(w);
		return rc;
	}
	*ret = w;
	return 0;
}

void
wal_close(struct wal *w)
{
	if (!w)
		return;
	wal_sync(w, wal_last(w), NULL);
	mutex_lock(&w->lock);
	w->stop = true;
	cond_signal(&w->work);
	mutex_unlock(&w->lock);
	pthread_join(w->helper, NULL);
	wal_free(w);
}

/* --- questions ------------------------------------------------------- */

lsn_t
wal_last(struct wal *w)
{
	mutex_lock(&w->lock);
	lsn_t lsn = w->last;
	mutex_unlock(&w->lock);
	return lsn;
}

lsn_t
wal_durable(struct wal *w)
{
	mutex_lock(&w->lock);
	lsn_t lsn = w->durable;
	mutex_unlock(&w->lock);
	return lsn;
}

int
wal_failed(struct wal *w)
{
	mutex_lock(&w->lock);
	int code = w->failure.code;
	mutex_unlock(&w->lock);
	return code;
}

uint64_t
wal_bytes(struct wal *w)
{
	uint64_t n = 0;

	mutex_lock(&w->lock);
	for (const struct wal_file *f = w->files; f; f = f->next)
		n += f->size;
	for (const struct wal_file *f = w->spares; f; f = f->next)
		n += f->size;
	mutex_unlock(&w->lock);
	return n;
}

lsn_t
wal_first(struct wal *w)
{
	mutex_lock(&w->lock);
	lsn_t lsn = w->files->first;
	mutex_unlock(&w->lock);
	return lsn;
}

void
wal_set_policy(struct wal *w, enum sync_policy p, unsigned interval_ms)
{
	mutex_lock(&w->lock);
	w->policy = p;
	w->interval_ms = MAX(interval_ms, INTERVAL_MIN);
	cond_signal(&w->work);
	mutex_unlock(&w->lock);
}
