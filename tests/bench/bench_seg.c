/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_seg.c - how fast a segment is built and asked.
 *
 *   bench_seg [points [dim [directory]]]
 */
#include "engine/store/seg.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define N_ASKS 1000000u

static uint64_t seed = 1;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 32) * below >> 32);
}

static void
die(int rc, const struct err *err)
{
	if (rc == 0)
		return;
	fprintf(stderr, "bench_seg: %s\n", err_text(err));
	exit(1);
}

static void
tell(const char *what, int64_t ns, uint64_t n)
{
	printf("%-28s %10.1f ns each, %.2f M/s\n", what, (double)ns / (double)n,
	       (double)n * 1e3 / (double)ns);
}

static size_t
payload_make(uint32_t i, char *ret, size_t cap)
{
	static const char *const cities[] = {"Berlin", "London", "Moscow",
					     "Paris",  "Lisbon", "Vienna"};

	return (size_t)snprintf(ret, cap,
				"{\"city\":\"%s\",\"price\":%u.%02u,"
				"\"title\":\"item %u of lot %u\",\"tags\":"
				"[\"t%u\",\"t%u\"],\"seen\":%s}",
				cities[rnd(6)], rnd(1000), rnd(100), i,
				rnd(5000), rnd(40), rnd(40),
				rnd(2) ? "true" : "false");
}

static void
build(int dirfd, uint32_t n, uint32_t dim, struct seg_desc *ret)
{
	float *v = malloc((dim + 65536) * sizeof *v);
	int64_t at = clock_mono_ns(), cpu = clock_thread_ns();
	struct seg_builder *b;
	struct err err = {0};
	uint64_t text = 0;
	double mb, s;

	check(v != NULL);
	for (uint32_t i = 0; i < dim + 65536; i++)
		v[i] = (float)rnd(1 << 24) / (1 << 23) - 1;
	die(seg_create(dirfd, DISTANCE_COSINE, dim, &b, &err), &err);
	for (uint32_t i = 0; i < n; i++) {
		struct point p = {.no = i + 2, .lsn = i + 1, .dim = dim};
		char s_doc[400];
		size_t len = payload_make(i, s_doc, sizeof s_doc);

		id_from_num(i, &p.id);
		p.vec = v + rnd(65536);
		p.doc = (struct doc){.form = DOC_CANONICAL,
				     .size = 10 * dim,
				     .pay_len = (uint32_t)len,
				     .text = {s_doc, len}};
		text += len;
		die(seg_add(b, &p, &err), &err);
	}
	printf("added in %.2f s\n", (double)(clock_mono_ns() - at) / 1e9);
	die(seg_finish(b, ret, &err), &err);
	seg_abort(b);
	s = (double)(clock_mono_ns() - at) / 1e9;
	mb = (double)(ret->vec_bytes + text) / 1e6;
	printf("built in %.2f s (%.2f s of CPU): %.0f k points/s, %.0f MB/s\n",
	       s, (double)(clock_thread_ns() - cpu) / 1e9, n / s / 1e3, mb / s);
	printf("%.0f MB of vectors and text in %.0f MB of files\n", mb,
	       (double)ret->data.len / 1e6);
	free(v);
}

static void
bench_find(struct seg *s, uint32_t n, bool hit, const char *what)
{
	struct err err = {0};
	int64_t at = clock_mono_ns();

	for (uint32_t i = 0; i < N_ASKS; i++) {
		struct id_key k;
		uint32_t row;

		id_from_num(rnd(n) + (hit ? 0 : n), &k);
		die(seg_find_id(s, k.b, k.n, &row, &err), &err);
		check((row != ROW_NONE) == hit);
	}
	tell(what, clock_mono_ns() - at, N_ASKS);
}

static void
bench_find_no(struct seg *s, uint32_t n)
{
	struct err err = {0};
	int64_t at = clock_mono_ns();

	for (uint32_t i = 0; i < N_ASKS; i++) {
		uint32_t no = rnd(n), row;

		die(seg_find_no(s, no + 2, &row, &err), &err);
		check(row == no);
	}
	tell("seg_find_no", clock_mono_ns() - at, N_ASKS);
}

static void
bench_point(struct seg *s, uint32_t n, bool random, const char *what)
{
	uint32_t asks = MIN(n, random ? N_ASKS / 10 : N_ASKS);
	struct arena a = {0};
	struct err err = {0};
	int64_t at = clock_mono_ns();

	for (uint32_t i = 0; i < asks; i++) {
		uint32_t row = random ? rnd(n) : i;
		struct point p;

		die(seg_point(s, row, true, &a, &p, &err), &err);
		check(p.no == row + 2);
		arena_reset(&a);
	}
	tell(what, clock_mono_ns() - at, asks);
	arena_done(&a);
}

static void
bench_verify(struct seg *s)
{
	struct err err = {0};
	int64_t at = clock_mono_ns();

	die(seg_verify(s, true, &err), &err);
	printf("seg_verify, deep: %.2f GB/s\n",
	       (double)s->desc.data.len / (double)(clock_mono_ns() - at));
}

int
main(int argc, char **argv)
{
	uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000;
	uint32_t dim = argc > 2 ? (uint32_t)atoi(argv[2]) : 128;
	char dir[200] = "/tmp/bench_seg.XXXXXX";
	struct err err = {0};
	struct seg_desc d;
	struct rusage ru;
	struct seg *s;
	int64_t at;
	int dirfd;

	if (argc > 3)
		snprintf(dir, sizeof dir, "%s/bench_seg.XXXXXX", argv[3]);
	if (n == 0 || dim == 0 || !mkdtemp(dir))
		return 2;
	die(dir_open_at(AT_FDCWD, dir, false, &dirfd, &err), &err);
	build(dirfd, n, dim, &d);
	getrusage(RUSAGE_SELF, &ru);
	printf("largest resident size: %ld MB\n", ru.ru_maxrss / 1024);
	at = clock_mono_ns();
	die(seg_open(dirfd, &d, DISTANCE_COSINE, &s, &err), &err);
	printf("seg_open: %.1f us\n", (double)(clock_mono_ns() - at) / 1e3);
	bench_find(s, n, false, "seg_find_id, miss, first");
	bench_find(s, n, false, "seg_find_id, miss");
	bench_find(s, n, true, "seg_find_id, hit, first");
	bench_find(s, n, true, "seg_find_id, hit");
	bench_find_no(s, n);
	bench_point(s, n, false, "seg_point, sequential, first");
	bench_point(s, n, false, "seg_point, sequential");
	bench_point(s, n, true, "seg_point, random");
	bench_verify(s);
	seg_unref(s);
	seg_desc_done(&d);
	close(dirfd);
	die(file_remove_tree(AT_FDCWD, dir, &err), &err);
	return 0;
}
