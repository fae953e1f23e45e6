/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_probe.c - timed loops against any directory, and the documents and
 * vectors they need.  One line of JSON a run on the standard output.
 *
 *   stat DIR PREFIX N             stat of every file, shuffled
 *   orc DIR PREFIX N              open, read, close of every file, shuffled
 *   create DIR PREFIX N DOC T     create, write and close; T threads
 *   sync FILE N BYTES             pwrite and fdatasync, one behind the other
 *   sleep DIR PREFIX N DOC US     one file each US microseconds, latencies
 *   ask FILE OPS T BODY           pwrite, pread on one open file each thread;
 *                                 what an answer calls "time" is left out too
 *   docs DIR N DIM BYTES          N documents of that many bytes
 *   lines N DIM f32|f64           N JSON lines with a small payload
 *   fvecs N DIM                   N vectors in the fvecs format
 *
 * The files of a directory are PREFIX followed by seven digits and ".json".
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME_BYTES  64
#define READ_BYTES  65536
#define THREADS_MAX 64

struct run {
	const char *dir, *prefix;
	const char *text; /* a document or a body */
	size_t n_text;
	long n, threads, pause_us;
	uint32_t *order;
	double *took;  /* seconds, one an operation; NULL: not wanted */
	double *inner; /* of which the answer says it searched */
};

struct worker {
	pthread_t thread;
	const struct run *run;
	long no;
};

static void
die(const char *what)
{
	fprintf(stderr, "mount_probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *
must_alloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		die("memory");
	return p;
}

static uint64_t
random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15ull;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return z ^ z >> 31;
}

static float
random_float(uint64_t *state)
{
	return (float)(random_next(state) >> 40) * 0x1p-23f - 1.0f;
}

static uint32_t *
order_make(long n)
{
	uint32_t *order = must_alloc((size_t)n * sizeof *order);
	uint64_t state = 7;
	long i, j;

	for (i = 0; i < n; i++) {
		j = (long)(random_next(&state) % (uint64_t)(i + 1));
		order[i] = order[j];
		order[j] = (uint32_t)i;
	}
	return order;
}

static void
name_print(const struct run *r, long i, char ret[NAME_BYTES])
{
	snprintf(ret, NAME_BYTES, "%s%07ld.json", r->prefix, i);
}

/* --- loops over a directory ------------------------------------------ */

static int
dir_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die(path);
	return fd;
}

static void *
stat_loop(void *arg)
{
	const struct worker *w = arg;
	const struct run *r = w->run;
	char name[NAME_BYTES];
	struct stat st;
	int dir = dir_open(r->dir);
	long i;

	for (i = w->no; i < r->n; i += r->threads) {
		name_print(r, r->order[i], name);
		if (fstatat(dir, name, &st, 0))
			die(name);
	}
	close(dir);
	return NULL;
}

static void *
orc_loop(void *arg)
{
	const struct worker *w = arg;
	const struct run *r = w->run;
	static _Thread_local char text[READ_BYTES];
	char name[NAME_BYTES];
	int dir = dir_open(r->dir), fd;
	long i;

	for (i = w->no; i < r->n; i += r->threads) {
		name_print(r, r->order[i], name);
		fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die(name);
		if (read(fd, text, sizeof text) <= 0)
			die("read");
		close(fd);
	}
	close(dir);
	return NULL;
}

static void
file_put(const struct run *r, int dir, long i)
{
	char name[NAME_BYTES];
	int fd;

	name_print(r, i, name);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		die(name);
	if (write(fd, r->text, r->n_text) != (ssize_t)r->n_text)
		die("write");
	if (close(fd))
		die("close");
}

static void *
create_loop(void *arg)
{
	const struct worker *w = arg;
	const struct run *r = w->run;
	int dir = dir_open(r->dir);
	double start;
	long i;

	for (i = w->no; i < r->n; i += r->threads) {
		start = now_s();
		file_put(r, dir, i);
		r->took[i] = now_s() - start;
		if (r->pause_us)
			usleep((useconds_t)r->pause_us);
	}
	close(dir);
	return NULL;
}

static void *
sync_loop(void *arg)
{
	const struct worker *w = arg;
	const struct run *r = w->run;
	int fd = open(r->dir, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	double start;
	long i;

	/* Written before, as a log is: only data has to reach the disk. */
	for (i = 0; fd >= 0 && i < r->n; i++)
		if (pwrite(fd, r->text, r->n_text, i * (off_t)r->n_text) < 0)
			die(r->dir);
	if (fd < 0 || fsync(fd))
		die(r->dir);
	for (i = 0; i < r->n; i++) {
		start = now_s();
		if (pwrite(fd, r->text, r->n_text, i * (off_t)r->n_text) < 0 ||
		    fdatasync(fd))
			die(r->dir);
		r->took[i] = now_s() - start;
	}
	close(fd);
	return NULL;
}

/* --- questions ------------------------------------------------------- */

static double
answer_time(const char *text, ssize_t n)
{
	static const char key[] = "\"time\":";
	const char *at = NULL;
	ssize_t i;

	for (i = 0; i + (ssize_t)sizeof key < n; i++)
		if (memcmp(text + i, key, sizeof key - 1) == 0)
			at = text + i + sizeof key - 1;
	return at ? strtod(at, NULL) : 0;
}

static void *
ask_loop(void *arg)
{
	const struct worker *w = arg;
	const struct run *r = w->run;
	long each = r->n / r->threads, i, at;
	char *text = must_alloc(READ_BYTES + 1);
	int fd = open(r->dir, O_RDWR | O_CLOEXEC);
	ssize_t got;
	double start;

	for (i = 0; fd >= 0 && i < each; i++) {
		at = w->no * each + i;
		start = now_s();
		if (pwrite(fd, r->text, r->n_text, 0) != (ssize_t)r->n_text)
			die("pwrite");
		got = pread(fd, text, READ_BYTES, 0);
		if (got <= 0)
			die("pread");
		r->took[at] = now_s() - start;
		text[got] = '\0';
		r->inner[at] = answer_time(text, got);
	}
	if (fd < 0)
		die(r->dir);
	close(fd);
	free(text);
	return NULL;
}

/* --- running and reporting ------------------------------------------- */

static double
all_run(const struct run *r, void *(*loop)(void *))
{
	struct worker w[THREADS_MAX];
	double start = now_s();
	long i;

	for (i = 0; i < r->threads; i++) {
		w[i] = (struct worker){.run = r, .no = i};
		if (pthread_create(&w[i].thread, NULL, loop, &w[i]))
			die("thread");
	}
	for (i = 0; i < r->threads; i++)
		pthread_join(w[i].thread, NULL);
	return now_s() - start;
}

static int
double_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
at_us(const double *sorted, long n, double part)
{
	long i = (long)((double)n * part);

	return sorted[i < n ? i : n - 1] * 1e6;
}

static void
report(struct run *r, double s)
{
	long i;

	printf("{\"per_s\":%.0f", (double)r->n / s);
	if (r->inner) {
		for (i = 0; i < r->n; i++)
			r->inner[i] = r->took[i] - r->inner[i];
		qsort(r->inner, (size_t)r->n, sizeof *r->inner, double_cmp);
		printf(",\"over_p50_us\":%.2f", at_us(r->inner, r->n, 0.5));
	}
	if (r->took) {
		qsort(r->took, (size_t)r->n, sizeof *r->took, double_cmp);
		printf(",\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,"
		       "\"max_us\":%.0f",
		       at_us(r->took, r->n, 0.5), at_us(r->took, r->n, 0.99),
		       at_us(r->took, r->n, 0.999), at_us(r->took, r->n, 1));
	}
	puts("}");
}

static void
text_load(struct run *r, const char *path)
{
	char *text = must_alloc(1 << 20);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, 1 << 20);

	if (n <= 0)
		die(path);
	close(fd);
	r->text = text;
	r->n_text = (size_t)n;
}

/* --- what to store --------------------------------------------------- */

static const char *const words[] = {"river",   "stone",  "glass",  "winter",
				    "harbour", "copper", "signal", "garden",
				    "engine",  "letter", "island", "mirror",
				    "thread",  "candle", "forest", "bridge"};

/* The fewest digits that read back as the same float32, as most programs
 * print it; as_double: as those do that made a double of it before. */
static void
number_print(FILE *f, float x, bool as_double)
{
	char text[320];
	int digits = as_double ? 15 : 6;

	do
		snprintf(text, sizeof text, "%.*g", digits, (double)x);
	while (as_double ? strtod(text, NULL) != (double)x && ++digits <= 17
			 : strtof(text, NULL) != x && ++digits <= 9);
	fputs(text, f);
}

static void
vector_print(FILE *f, uint64_t *state, long dim, bool as_double)
{
	long i;

	for (i = 0; i < dim; i++) {
		if (i)
			fputs(", ", f);
		number_print(f, random_float(state), as_double);
	}
}

static void
doc_print(FILE *f, uint64_t *state, long dim, long bytes)
{
	long left;

	fprintf(f, "{\"vector\": [");
	vector_print(f, state, dim, false);
	fprintf(f, "], \"payload\": {\"n\": %u, \"text\": \"",
		(unsigned)(random_next(state) % 1000));
	for (left = bytes - ftell(f) - 4; left > 8; left = bytes - ftell(f) - 4)
		fprintf(f, "%s ", words[random_next(state) % 16]);
	fprintf(f, "%.*s\"}}\n", (int)(left > 0 ? left : 0), "........");
}

static void
docs_make(const char *dir, long n, long dim, long bytes)
{
	struct run r = {.dir = dir, .prefix = "p"};
	char name[NAME_BYTES], path[4096];
	uint64_t state = 11;
	FILE *f;
	long i;

	for (i = 0; i < n; i++) {
		name_print(&r, i, name);
		snprintf(path, sizeof path, "%s/%s", dir, name);
		f = fopen(path, "w");
		if (!f)
			die(path);
		doc_print(f, &state, dim, bytes);
		if (fclose(f))
			die(path);
	}
}

static void
lines_make(long n, long dim, bool as_double)
{
	uint64_t state = 13;
	long i;

	for (i = 0; i < n; i++) {
		printf("{\"id\": %ld, \"vector\": [", i);
		vector_print(stdout, &state, dim, as_double);
		printf("], \"payload\": {\"n\": %ld, \"city\": \"%s\"}}\n",
		       i % 100, words[i % 16]);
	}
}

static void
fvecs_make(long n, long dim)
{
	uint64_t state = 17;
	int32_t head = (int32_t)dim;
	float x;
	long i, j;

	for (i = 0; i < n; i++) {
		fwrite(&head, sizeof head, 1, stdout);
		for (j = 0; j < dim; j++) {
			x = random_float(&state);
			fwrite(&x, sizeof x, 1, stdout);
		}
	}
}

/* --- the command line ------------------------------------------------ */

static int
usage(void)
{
	fprintf(stderr,
		"usage: mount_probe stat|orc DIR PREFIX N\n"
		"       mount_probe create DIR PREFIX N DOC THREADS\n"
		"       mount_probe sleep DIR PREFIX N DOC MICROSECONDS\n"
		"       mount_probe sync FILE N BYTES\n"
		"       mount_probe ask FILE OPS THREADS BODY\n"
		"       mount_probe docs DIR N DIM BYTES\n"
		"       mount_probe lines N DIM f32|f64\n"
		"       mount_probe fvecs N DIM\n");
	return 2;
}

static int
directory_main(int argc, char **argv)
{
	struct run r = {.dir = argv[2],
			.prefix = argv[3],
			.n = atol(argv[4]),
			.threads = 1};
	void *(*loop)(void *) = create_loop;

	if (argc == 5) {
		loop = argv[1][0] == 's' ? stat_loop : orc_loop;
		r.order = order_make(r.n);
	} else {
		text_load(&r, argv[5]);
		r.took = must_alloc((size_t)r.n * sizeof *r.took);
		if (argv[1][0] == 's')
			r.pause_us = atol(argv[6]);
		else
			r.threads = atol(argv[6]);
	}
	if (r.threads < 1 || r.threads > THREADS_MAX)
		return usage();
	report(&r, all_run(&r, loop));
	return 0;
}

static int
ask_main(char **argv)
{
	struct run r = {.dir = argv[2], .threads = atol(argv[4])};

	if (r.threads < 1 || r.threads > THREADS_MAX)
		return usage();
	r.n = atol(argv[3]) / r.threads * r.threads;
	r.took = must_alloc((size_t)r.n * sizeof *r.took);
	r.inner = must_alloc((size_t)r.n * sizeof *r.inner);
	text_load(&r, argv[5]);
	report(&r, all_run(&r, ask_loop));
	return 0;
}

static int
sync_main(char **argv)
{
	struct run r = {.dir = argv[2], .n = atol(argv[3]), .threads = 1};
	double sum = 0;
	long i;

	r.n_text = (size_t)atol(argv[4]);
	r.text = must_alloc(r.n_text);
	r.took = must_alloc((size_t)r.n * sizeof *r.took);
	all_run(&r, sync_loop);
	for (i = 0; i < r.n; i++)
		sum += r.took[i];
	report(&r, sum);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *cmd = argc > 1 ? argv[1] : "";

	if ((!strcmp(cmd, "stat") || !strcmp(cmd, "orc")) && argc == 5)
		return directory_main(argc, argv);
	if ((!strcmp(cmd, "create") || !strcmp(cmd, "sleep")) && argc == 7)
		return directory_main(argc, argv);
	if (!strcmp(cmd, "ask") && argc == 6)
		return ask_main(argv);
	if (!strcmp(cmd, "sync") && argc == 5)
		return sync_main(argv);
	if (!strcmp(cmd, "docs") && argc == 6)
		docs_make(argv[2], atol(argv[3]), atol(argv[4]), atol(argv[5]));
	else if (!strcmp(cmd, "lines") && argc == 5)
		lines_make(atol(argv[2]), atol(argv[3]), argv[4][1] == '6');
	else if (!strcmp(cmd, "fvecs") && argc == 4)
		fvecs_make(atol(argv[2]), atol(argv[3]));
	else
		return usage();
	return fclose(stdout) ? 1 : 0;
}
