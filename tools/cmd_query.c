/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_query.c - search, scroll and count: the control files of a mount, or the
 * same requests to a DATA that nobody serves.
 */
#include "tools/answer.h"
#include "tools/args.h"
#include "tools/config_file.h"
#include "tools/mounts.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/collection.h"
#include "engine/database.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum ask { ASK_SEARCH, ASK_SCROLL, ASK_COUNT };

static const char *const control_files[] = {".search", ".scroll", ".count"};

/* --- bytes ----------------------------------------------------------- */

static int
fd_read(int fd, struct buf *ret, size_t max, struct err *err)
{
	ssize_t n;

	for (;;) {
		if (buf_reserve(ret, 65536))
			return err_set(err, ERR_NO_MEMORY, "answer");
		n = read(fd, ret->p + ret->n, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read");
		if (n == 0)
			return 0;
		ret->n += (size_t)n;
		if (max && ret->n > max)
			return err_set(err, ERR_TOO_BIG, "a body over %u MiB",
				       BODY_MAX >> 20);
	}
}

static int
body_take(const char *operand, struct buf *ret, struct err *err)
{
	if (strcmp(operand, "-") == 0)
		return fd_read(STDIN_FILENO, ret, BODY_MAX, err);
	if (buf_puts(ret, operand))
		return err_set(err, ERR_NO_MEMORY, "body");
	return 0;
}

/* --- through the mount ----------------------------------------------- */

/* A refused body is no failure here: the answer says why.  *ret_eno keeps the
 * errno for the exit code. */
static int
control_write(int fd, const struct buf *body, int *ret_eno, struct err *err)
{
	size_t at = 0;
	ssize_t n;

	*ret_eno = 0;
	while (at < body->n) {
		n = write(fd, body->p + at, body->n - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EINVAL || errno == EOPNOTSUPP ||
			      errno == ENOENT)) {
			*ret_eno = errno;
			return 0;
		}
		if (n < 0)
			return err_sys(err, errno, "write");
		at += (size_t)n;
	}
	return 0;
}

static int
ask_mounted(const struct coll_place *p, enum ask ask, struct buf *body,
	    struct buf *ret, int *ret_eno, struct err *err)
{
	char path[PATH_MAX];
	int fd, rc;

	if (snprintf(path, sizeof path, "%s/%s", p->dir, control_files[ask]) >=
	    PATH_MAX)
		return err_set(err, ERR_NAME_LONG, "%.100s", p->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	buf_puts(body, "\n"); /* so that the body is known to be complete */
	rc = control_write(fd, body, ret_eno, err);
	if (!rc)
		rc = fd_read(fd, ret, 0, err);
	close(fd);
	return rc ? err_in(err, rc, "%s", path) : 0;
}

/* --- in process ------------------------------------------------------ */

static int
search_run(struct coll *c, const struct buf *body, struct arena *a,
	   int64_t since, struct buf *ret, struct err *err)
{
	struct search_request r;
	struct hits *hits;
	uint32_t i;
	int rc;

	rc = json_search_parse(body->p, body->n, a, &r, err);
	if (rc)
		return rc;
	hits = arena_zalloc(a, (r.n ? r.n : 1) * sizeof *hits);
	if (!hits)
		return err_set(err, ERR_NO_MEMORY, "searches");
	for (i = 0; i < r.n; i++) {
		rc = coll_search(c, &r.q[i], a, &hits[i], err);
		if (rc)
			return rc;
	}
	return json_search_print(
		&r, hits, (double)(clock_mono_ns() - since) / 1e9, ret, err);
}

static int
scroll_run(struct coll *c, const struct buf *body, struct arena *a,
	   int64_t since, struct buf *ret, struct err *err)
{
	struct scroll_request r;
	struct hits hits;
	struct id_key next;
	int rc;

	rc = json_scroll_parse(body->p, body->n, a, &r, err);
	if (!rc)
		rc = coll_scroll(c, &r, a, &hits, &next, err);
	if (rc)
		return rc;
	return json_scroll_print(&r, &hits, &next,
				 (double)(clock_mono_ns() - since) / 1e9, ret,
				 err);
}

static int
count_run(struct coll *c, const struct buf *body, struct arena *a,
	  int64_t since, struct buf *ret, struct err *err)
{
	struct count_request r;
	uint64_t n;
	int rc;

	rc = json_count_parse(body->p, body->n, a, &r, err);
	if (!rc)
		rc = coll_count(c, r.filter, &n, err);
	if (rc)
		return rc;
	return json_count_print(n, (double)(clock_mono_ns() - since) / 1e9,
				ret);
}

static int
ask_collection(struct coll *c, enum ask ask, const struct buf *body,
	       struct buf *ret, struct err *err)
{
	int64_t since = clock_mono_ns();
	struct arena a = {0};
	int rc;

	if (ask == ASK_SEARCH)
		rc = search_run(c, body, &a, since, ret, err);
	else if (ask == ASK_SCROLL)
		rc = scroll_run(c, body, &a, since, ret, err);
	else
		rc = count_run(c, body, &a, since, ret, err);
	arena_done(&a);
	return rc;
}

static int
ask_offline(const struct coll_place *p, enum ask ask, const struct buf *body,
	    struct buf *ret, struct err *err)
{
	struct config_file cf;
	struct db_settings s;
	struct coll *c = NULL;
	struct db *db;
	int rc;

	rc = config_load(&cf, p->data, NULL, 0, err);
	if (rc)
		return rc;
	config_to_db(&cf, &s);
	rc = db_open(p->data, &s, DB_READ_ONLY, &db, err);
	if (!rc) {
		rc = db_coll_open(db, p->name, &c, err);
		if (!rc)
			rc = ask_collection(c, ask, body, ret, err);
		coll_close(c);
		db_close(db);
	}
	config_done(&cf);
	return rc;
}

/* --- the commands ---------------------------------------------------- */

static int
answer_show(const struct command *c, const struct buf *answer, int eno)
{
	struct slice text = {answer->p, answer->n};
	CLEAN(buf_done) struct buf why = {0};

	if (answer_error(text, &why)) {
		fprintf(stderr, "pointfs %s: %s\n", c->name, (char *)why.p);
		return EXIT_FAILED;
	}
	if (eno) {
		fprintf(stderr, "pointfs %s: %s\n", c->name, strerror(eno));
		return EXIT_FAILED;
	}
	fwrite(answer->p, 1, answer->n, stdout);
	if (fflush(stdout) == 0)
		return EXIT_DONE;
	fprintf(stderr, "pointfs %s: output: %s\n", c->name, strerror(errno));
	return EXIT_FAILED;
}

static int
query_run(const struct command *c, int argc, char **argv, enum ask ask)
{
	bool json = false; /* the answers are JSON anyway */
	const struct arg_option options[] = {
		{.name = "json", .flag = &json},
		{0},
	};
	CLEAN(buf_done) struct buf body = {0};
	CLEAN(buf_done) struct buf answer = {0};
	struct coll_place place;
	struct err err = {0};
	char **operands;
	int n, rc, eno = 0;

	if (!args_parse(c, argc, argv, options, 2, 2, &operands, &n))
		return EXIT_USAGE;
	rc = place_find(operands[0], &place, &err);
	if (!rc)
		rc = body_take(operands[1], &body, &err);
	if (!rc)
		rc = place.mounted
			     ? ask_mounted(&place, ask, &body, &answer, &eno,
					   &err)
			     : ask_offline(&place, ask, &body, &answer, &err);
	return rc ? command_fail(c, rc, &err) : answer_show(c, &answer, eno);
}

int
cmd_search(const struct command *c, int argc, char **argv)
{
	return query_run(c, argc, argv, ASK_SEARCH);
}

int
cmd_scroll(const struct command *c, int argc, char **argv)
{
	return query_run(c, argc, argv, ASK_SCROLL);
}

int
cmd_count(const struct command *c, int argc, char **argv)
{
	return query_run(c, argc, argv, ASK_COUNT);
}
