/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_import.c - files of points into a collection.
 *
 * Whatever the file, what flows is text, one point a line: into .import of a
 * mount, or into the engine when nobody serves DATA.
 */
#include "tools/answer.h"
#include "tools/args.h"
#include "tools/import_db.h"
#include "tools/mounts.h"
#include "tools/progress.h"
#include "tools/vectors.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/json/number.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK     (1u << 20)
#define SHOWN_MAX 20

struct import {
	const struct command *c;
	struct coll_place place;
	struct import_db *db; /* not mounted */
	int fd;               /* mounted: .import, one opening a file */
	const char *file;     /* at hand */
	const char *payload;  /* option */
	uint64_t next_id;
	struct progress bar;
	struct buf text; /* lines on their way */
	uint64_t n_accepted, n_refused;
	unsigned n_shown;
};

/* --- where it goes --------------------------------------------------- */

static void
refused_show(void *arg, uint64_t line, const char *why)
{
	struct import *im = arg;

	if (im->n_shown++ >= SHOWN_MAX)
		return;
	progress_end(&im->bar);
	fprintf(stderr, "pointfs import: %s:%llu: %s\n", im->file,
		(unsigned long long)line, why);
}

static int
mount_write(int fd, const void *p, size_t n, struct err *err)
{
	const char *at = p;
	ssize_t did;

	while (n) {
		did = write(fd, at, n);
		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return err_sys(err, errno, ".import");
		at += did;
		n -= (size_t)did;
	}
	return 0;
}

static int
text_write(struct import *im, const void *p, size_t n, struct err *err)
{
	return im->db ? import_db_write(im->db, p, n, err)
		      : mount_write(im->fd, p, n, err);
}

static int
answer_load(int fd, struct buf *ret, struct err *err)
{
	ssize_t n;

	do {
		if (buf_reserve(ret, CHUNK))
			return err_set(err, ERR_NO_MEMORY, "answer");
		n = read(fd, ret->p + ret->n, CHUNK);
		if (n < 0 && errno != EINTR)
			return err_sys(err, errno, ".import");
		ret->n += n > 0 ? (size_t)n : 0;
	} while (n != 0);
	return 0;
}

static bool
refused_element(void *arg, struct slice element)
{
	struct import *im = arg;
	CLEAN(buf_done) struct buf why = {0};
	uint64_t line = 0;

	answer_number(element, "line", &line);
	if (!answer_string(element, "error", &why))
		return false;
	refused_show(im, line, (char *)why.p);
	return im->n_shown < SHOWN_MAX;
}

static int
mount_result(struct import *im, struct err *err)
{
	CLEAN(buf_done) struct buf answer = {0};
	CLEAN(buf_done) struct buf why = {0};
	struct slice text;
	uint64_t accepted = 0, refused = 0;
	int rc;

	rc = answer_load(im->fd, &answer, err);
	if (rc)
		return rc;
	text = (struct slice){answer.p, answer.n};
	if (answer_error(text, &why))
		return err_set(err, ERR_QUERY, "%s", (char *)why.p);
	answer_number(text, "result.accepted", &accepted);
	answer_number(text, "result.refused", &refused);
	im->n_accepted += accepted;
	im->n_refused += refused;
	answer_each(text, "result.errors", refused_element, im);
	return 0;
}

static int
target_begin(struct import *im, struct err *err)
{
	char path[PATH_MAX];

	if (im->db) {
		import_db_file(im->db, refused_show, im);
		return 0;
	}
	if (snprintf(path, sizeof path, "%s/.import", im->place.dir) >=
	    PATH_MAX)
		return err_set(err, ERR_NAME_LONG, "%.100s", im->place.dir);
	im->fd = open(path, O_RDWR | O_CLOEXEC);
	return im->fd < 0 ? err_sys(err, errno, "%s", path) : 0;
}

static int
target_end(struct import *im, struct err *err)
{
	uint64_t accepted = 0, refused = 0;
	int rc;

	if (im->db) {
		rc = import_db_end(im->db, &accepted, &refused, err);
		im->n_accepted += accepted;
		im->n_refused += refused;
		return rc;
	}
	rc = mount_result(im, err);
	if (close(im->fd) < 0 && !rc)
		rc = err_sys(err, errno, ".import");
	im->fd = -1;
	return rc;
}

/* --- where it comes from --------------------------------------------- */

static int
lines_copy(struct import *im, int fd, struct err *err)
{
	CLEAN(buf_done) struct buf chunk = {0};
	ssize_t n;
	int rc;

	if (buf_reserve(&chunk, CHUNK))
		return err_set(err, ERR_NO_MEMORY, "import");
	while ((n = read(fd, chunk.p, CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "%s", im->file);
		rc = text_write(im, chunk.p, (size_t)n, err);
		if (rc)
			return rc;
		progress_add(&im->bar, (uint64_t)n);
	}
	return 0;
}

static void
vector_print(const struct vectors *v, struct buf *ret)
{
	char number[NUM_TEXT_MAX];
	uint32_t i;

	for (i = 0; i < v->dim; i++) {
		if (i)
			buf_put_u8(ret, ',');
		if (isfinite(v->v[i]))
			buf_put(ret, number, num_print_f32(v->v[i], 0, number));
		else
			buf_puts(ret, "null"); /* refused, with its place */
	}
}

/* The next line of the payload file into the point, if there is one. */
static int
payload_print(FILE *f, char **line, size_t *cap, struct buf *ret,
	      struct err *err)
{
	ssize_t n = f ? getline(line, cap, f) : 0;

	if (!f)
		return 0;
	if (n < 0)
		return err_set(err, ERR_TYPE,
			       "fewer lines of payload than vectors");
	while (n > 0 && ((*line)[n - 1] == '\n' || (*line)[n - 1] == '\r'))
		n--;
	if (n == 0)
		return 0;
	buf_puts(ret, ",\"payload\":");
	buf_put(ret, *line, (size_t)n);
	return 0;
}

static int
vectors_copy(struct import *im, struct vectors *v, FILE *payload,
	     struct err *err)
{
	char *line = NULL;
	size_t cap = 0;
	uint64_t before = 0;
	int rc, got = 0;

	buf_clear(&im->text);
	for (rc = 0; !rc && (got = vectors_next(v, err)) == 1;) {
		buf_printf(&im->text, "{\"id\":%llu,\"vector\":[",
			   (unsigned long long)im->next_id++);
		vector_print(v, &im->text);
		buf_puts(&im->text, "]");
		rc = payload_print(payload, &line, &cap, &im->text, err);
		if (rc)
			break;
		buf_puts(&im->text, "}\n");
		if (im->text.failed)
			rc = err_set(err, ERR_NO_MEMORY, "import");
		if (rc || im->text.n < CHUNK)
			continue;
		rc = text_write(im, im->text.p, im->text.n, err);
		buf_clear(&im->text);
		progress_add(&im->bar, v->taken - before);
		before = v->taken;
	}
	free(line);
	/* also in front of a damaged place: the lines before it are whole */
	if (!rc && im->text.n)
		rc = text_write(im, im->text.p, im->text.n, err);
	return rc ? rc : got;
}

static int
vectors_import(struct import *im, struct err *err)
{
	struct vectors v;
	FILE *payload = NULL;
	int rc;

	if (im->payload) {
		payload = fopen(im->payload, "re");
		if (!payload)
			return err_sys(err, errno, "%s", im->payload);
	}
	rc = vectors_open(im->file, &v, err);
	if (!rc) {
		rc = vectors_copy(im, &v, payload, err);
		if (rc)
			err_in(err, rc, "%s", im->file);
		vectors_close(&v);
	}
	if (payload)
		fclose(payload);
	return rc;
}

static int
lines_import(struct import *im, struct err *err)
{
	bool input = strcmp(im->file, "-") == 0;
	int fd = input ? STDIN_FILENO : open(im->file, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_sys(err, errno, "%s", im->file);
	rc = lines_copy(im, fd, err);
	if (!rc)
		rc = text_write(im, "\n", 1, err);
	if (!input)
		close(fd);
	return rc;
}

static int
file_import(struct import *im, const char *file, struct err *err)
{
	struct stat st = {0};
	struct err late;
	int rc, ended;

	im->file = file;
	rc = target_begin(im, err);
	if (rc)
		return rc;
	if (stat(file, &st) < 0 || !S_ISREG(st.st_mode))
		st.st_size = 0;
	progress_start(&im->bar, file, (uint64_t)st.st_size);
	rc = vectors_kind_of(file) == VECTORS_NONE ? lines_import(im, err)
						   : vectors_import(im, err);
	/* also after a failure: what went in before it counts */
	ended = target_end(im, rc ? &late : err);
	progress_end(&im->bar);
	return rc ? rc : ended;
}

/* --- the command ----------------------------------------------------- */

static int
target_open(struct import *im, struct err *err)
{
	if (!im->place.mounted)
		return import_db_open(im->place.data, im->place.name, &im->db,
				      err);
	if (mkdir(im->place.dir, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s", im->place.dir);
	return 0;
}

static void
result_show(const struct import *im, bool json)
{
	if (im->n_shown > SHOWN_MAX || im->n_refused > im->n_shown)
		fprintf(stderr, "pointfs import: and %llu more\n",
			(unsigned long long)(im->n_refused -
					     MIN(im->n_shown, SHOWN_MAX)));
	printf(json ? "{\"accepted\":%llu,\"refused\":%llu}\n"
		    : "%llu accepted, %llu refused\n",
	       (unsigned long long)im->n_accepted,
	       (unsigned long long)im->n_refused);
}

static int
files_import(struct import *im, char **files, int n, bool json)
{
	struct err err = {0};
	int i, rc = 0;

	rc = target_open(im, &err);
	if (rc)
		return command_fail(im->c, rc, &err);
	for (i = 0; i < n && !rc; i++)
		rc = file_import(im, files[i], &err);
	if (im->db)
		import_db_close(im->db);
	buf_done(&im->text);
	result_show(im, json);
	if (rc)
		return command_fail(im->c, rc, &err);
	return im->n_refused ? EXIT_FAILED : EXIT_DONE;
}

int
cmd_import(const struct command *c, int argc, char **argv)
{
	static struct import im;
	const char *first = "0";
	bool json = false;
	const struct arg_option options[] = {
		{.name = "first-id", .value = &first},
		{.name = "payload", .value = &im.payload},
		{.name = "json", .flag = &json},
		{0},
	};
	struct err err = {0};
	char **operands;
	int n, rc;

	im = (struct import){.c = c, .fd = -1};
	if (!args_parse(c, argc, argv, options, 2, 0, &operands, &n))
		return EXIT_USAGE;
	if (!number_parse(first, UINT64_MAX, &im.next_id))
		return usage_error(c, "'%s' is no id", first);
	rc = place_find(operands[0], &im.place, &err);
	if (rc)
		return command_fail(c, rc, &err);
	return files_import(&im, operands + 1, n - 1, json);
}
