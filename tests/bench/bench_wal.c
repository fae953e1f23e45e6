/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_wal [dir [seconds [body bytes]]] - the log beside a bare loop of
 * pwrite and fdatasync on a pre-allocated file, turn and turn about in one
 * run, because the disk's rate moves.  One JSON line per figure; the ratio is
 * what counts: 1 committer over bare >= 0.85, 16 over bare >= 4.
 */
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/base/lock.h"
#include "engine/store/wal.h"
#include "engine/store/wal_format.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS      5
#define N_MANY      16u
#define FILE_BYTES  (32u << 20)
#define BULK_BODIES 2000000u

static size_t body_len = 300;
static double seconds = 2;

static void
must(int rc, const struct err *err)
{
	if (rc < 0) {
		fprintf(stderr, "bench_wal: %s\n", err_text(err));
		exit(1);
	}
}

static double
seconds_since(int64_t from)
{
	return (double)(clock_mono_ns() - from) / 1e9;
}

/* --- bare ------------------------------------------------------------ */

static double
bare_rate(int dirfd, double length)
{
	size_t room = wal_rec_room(body_len), n = 0;
	uint8_t *b = calloc(1, room);
	struct err err;
	int fd;

	check(b);
	memset(b, 0x5a, room);
	must(file_open_at(dirfd, "bare", O_RDWR | O_CREAT, &fd, &err), &err);
	must(file_allocate(fd, FILE_BYTES, &err), &err);
	must(file_sync_full(fd, &err), &err);
	int64_t from = clock_mono_ns();
	while (seconds_since(from) < length) {
		off_t at = (off_t)(n * room % (FILE_BYTES - room));
		must(file_write_all(fd, b, room, at, &err), &err);
		must(file_sync(fd, &err), &err);
		n++;
	}
	double rate = (double)n / seconds_since(from);
	close(fd);
	must(file_unlink_at(dirfd, "bare", &err), &err);
	free(b);
	return rate;
}

/* --- the log --------------------------------------------------------- */

struct crowd {
	struct wal *w;
	struct mutex order;
	int64_t from;
	double length;
	atomic_ulong n;
};

static void *
crowd_commit(void *arg)
{
	struct crowd *c = arg;
	uint8_t *b = calloc(1, body_len);
	struct slice part = {b, body_len};
	unsigned long n = 0;
	struct err err;
	lsn_t lsn;

	check(b);
	while (seconds_since(c->from) < c->length) {
		mutex_lock(&c->order);
		int rc = wal_append(c->w, 1, 1, &part, 1, 0, &lsn, NULL, &err);
		mutex_unlock(&c->order);
		must(rc, &err);
		must(wal_commit(c->w, lsn, &err), &err);
		n++;
	}
	c->n += n;
	free(b);
	return NULL;
}

static struct wal *
log_open(int dirfd, enum sync_policy policy)
{
	struct wal_opts o = {.dirfd = dirfd,
			     .file_bytes = FILE_BYTES,
			     .ahead = 1,
			     .policy = policy};
	struct wal_reader *r;
	struct wal_record rec;
	struct wal_end end;
	struct wal *w;
	struct err err;
	int rc;

	must(wal_reader_open(dirfd, 1, &r, &err), &err);
	while ((rc = wal_reader_next(r, &rec, &err)) == 1)
		;
	must(rc, &err);
	wal_reader_end(r, &end);
	wal_reader_close(r);
	must(wal_open(&o, &end, &w, &err), &err);
	return w;
}

static double
log_rate(struct wal *w, unsigned n_threads, double length)
{
	struct crowd c = {.w = w, .from = clock_mono_ns(), .length = length};
	pthread_t threads[N_MANY];

	mutex_init(&c.order, LOCK_ORDER);
	for (unsigned i = 0; i < n_threads; i++)
		check(pthread_create(&threads[i], NULL, crowd_commit, &c) == 0);
	for (unsigned i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	mutex_done(&c.order);
	return (double)c.n / seconds_since(c.from);
}

static void
commit_bench(int dirfd)
{
	struct wal *w = log_open(dirfd, SYNC_CLOSE);
	double length = seconds / ROUNDS, bare = 0, one = 0, many = 0;

	for (int i = 0; i < ROUNDS; i++) {
		bare += bare_rate(dirfd, length) / ROUNDS;
		one += log_rate(w, 1, length) / ROUNDS;
		many += log_rate(w, N_MANY, length) / ROUNDS;
	}
	wal_close(w);
	printf("{\"bench\":\"wal_commit\",\"body\":%zu,\"bare_per_s\":%.0f,"
	       "\"one_per_s\":%.0f,\"one_ratio\":%.2f,\"threads\":%u,"
	       "\"many_per_s\":%.0f,\"many_ratio\":%.2f}\n",
	       body_len, bare, one, one / bare, N_MANY, many, many / bare);
}

/* --- bulk and replay ------------------------------------------------- */

static void
bulk_bench(int dirfd, size_t len, unsigned n)
{
	struct wal *w = log_open(dirfd, SYNC_FSYNC);
	uint8_t *b = calloc(1, len);
	struct slice part = {b, len};
	lsn_t lsn = 0, first = wal_last(w) + 1;
	struct wal_reader *r;
	struct wal_record rec;
	struct err err;

	check(b);
	int64_t from = clock_mono_ns();
	for (unsigned i = 0; i < n; i++)
		must(wal_append(w, 1, 1, &part, 1, 0, &lsn, NULL, &err), &err);
	must(wal_sync(w, lsn, &err), &err);
	double took = seconds_since(from);
	wal_close(w);
	from = clock_mono_ns();
	must(wal_reader_open(dirfd, first, &r, &err), &err);
	unsigned got = 0;
	while (wal_reader_next(r, &rec, &err) == 1)
		got++;
	check(got == n);
	double replay = seconds_since(from);
	wal_reader_close(r);
	printf("{\"bench\":\"wal_bulk\",\"body\":%zu,\"append_per_s\":%.0f,"
	       "\"append_mb_per_s\":%.0f,\"replay_per_s\":%.0f,"
	       "\"replay_mb_per_s\":%.0f}\n",
	       len, n / took, (double)n * (double)len / took / 1e6, n / replay,
	       (double)n * (double)len / replay / 1e6);
	free(b);
}

int
main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : ".";
	struct err err;
	int parent, dirfd;

	if (argc > 2)
		seconds = atof(argv[2]);
	if (argc > 3)
		body_len = MIN((size_t)atol(argv[3]), 1u << 20);
	must(dir_open_at(AT_FDCWD, dir, false, &parent, &err), &err);
	file_remove_tree(parent, "bench_wal.tmp", NULL);
	must(dir_open_at(parent, "bench_wal.tmp", true, &dirfd, &err), &err);
	commit_bench(dirfd);
	bulk_bench(dirfd, 60, BULK_BODIES);
	bulk_bench(dirfd, 3136, BULK_BODIES / 20);
	close(dirfd);
	must(file_remove_tree(parent, "bench_wal.tmp", &err), &err);
	close(parent);
	return 0;
}
