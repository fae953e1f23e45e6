/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import_db.h"

#include "tools/config_file.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/text.h"
#include "engine/collection.h"
#include "engine/json/json_import.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_POINTS 1000
#define BATCH_BYTES  (8u << 20)
#define BODY_LEN_MAX (256u << 20) /* of one upsert body */

struct import_db {
	struct config_file cf;
	struct db *db;
	struct coll *coll;

	/* the file at hand */
	import_refused *refused;
	void *arg;
	uint64_t line;   /* of the first byte of text that is not done */
	struct buf text; /* from the body at hand on */
	size_t fed;      /* bytes of text that feed has seen */
	struct json_feed feed;
	uint64_t n_accepted, n_refused;

	/* points on their way */
	struct arena arena;
	struct point batch[BATCH_POINTS];
	uint64_t lines[BATCH_POINTS];
	int rcs[BATCH_POINTS];
	struct err errs[BATCH_POINTS];
	uint32_t n_batch;
	uint64_t body_line;
	int fatal; /* of a batch inside json_import_body() */
};

/* --- batches --------------------------------------------------------- */

static void
refuse(void *arg, uint64_t line, const struct err *err)
{
	struct import_db *im = arg;

	im->n_refused++;
	im->refused(im->arg, line, err_text(err));
}

static int
batch_flush(struct import_db *im, struct err *err)
{
	uint32_t i;
	int rc;

	if (im->n_batch == 0)
		return 0;
	rc = coll_put_many(im->coll, im->batch, im->n_batch, im->rcs, im->errs,
			   err);
	if (rc)
		return rc;
	for (i = 0; i < im->n_batch; i++)
		if (im->rcs[i])
			refuse(im, im->lines[i], &im->errs[i]);
		else
			im->n_accepted++;
	im->n_batch = 0;
	return 0;
}

static int
point_take(void *arg, struct point *p, struct err *err)
{
	struct import_db *im = arg;

	p->mtime_ns = clock_wall_ns();
	p->uid = getuid();
	im->lines[im->n_batch] = im->body_line;
	im->batch[im->n_batch++] = *p;
	if (im->n_batch < BATCH_POINTS)
		return 0;
	im->fatal = batch_flush(im, err);
	return im->fatal;
}

/* --- bodies out of the text ------------------------------------------ */

static uint64_t
lines_in(const uint8_t *p, size_t n)
{
	uint64_t lines = 0;
	const uint8_t *end = p + n;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		lines++;
		p++;
	}
	return lines;
}

static int
body_done(struct import_db *im, const uint8_t *p, size_t n, struct err *err)
{
	const struct import_sink sink = {point_take, refuse, im};
	struct err why = {0};
	int rc;

	im->body_line = im->line;
	rc = json_import_body(p, n, im->line, &im->arena, &sink, &why);
	if (im->fatal) {
		if (err)
			*err = why;
		return im->fatal;
	}
	if (rc)
		refuse(im, im->line, &why);
	if (im->arena.used < BATCH_BYTES)
		return 0;
	rc = batch_flush(im, err);
	arena_reset(&im->arena);
	return rc;
}

static bool
blank_is(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Forgets the bytes before at. */
static void
text_drop(struct import_db *im, size_t at)
{
	memmove(im->text.p, im->text.p + at, im->text.n - at);
	im->text.n -= at;
	im->fed -= at;
}

/* Bytes of the line that begins at p, its newline included. */
static size_t
line_len(const uint8_t *p, size_t n)
{
	const uint8_t *nl = memchr(p, '\n', n);

	return nl ? (size_t)(nl - p) + 1 : n;
}

/* Takes one body at *at.  1: taken or refused, *at is behind it; 0: more text
 * is needed. */
static int
body_step(struct import_db *im, size_t *at, bool last, struct err *err)
{
	const uint8_t *p = im->text.p;
	struct err why = {0};
	size_t end = 0, n;
	int rc;

	while (*at < im->text.n && blank_is(p[*at]))
		im->line += p[(*at)++] == '\n';
	if (*at == im->text.n) {
		im->fed = *at;
		return 0;
	}
	im->fed = MAX(im->fed, *at);
	rc = json_feed(&im->feed, p + im->fed, im->text.n - im->fed,
		       JSON_DEPTH_MAX, &end, &why);
	if (rc == JSON_MORE && !last) {
		im->fed = im->text.n;
		if (im->text.n - *at <= BODY_LEN_MAX)
			return 0;
		rc = err_set(&why, ERR_TOO_BIG, "a body over 256 MiB");
	}
	if (rc == JSON_WHOLE) {
		n = im->fed + end - *at;
		rc = body_done(im, p + *at, n, err);
		if (rc)
			return rc;
	} else {
		if (rc == JSON_MORE)
			err_set(&why, ERR_JSON, "ends too early");
		refuse(im, im->line, &why);
		n = line_len(p + *at, im->text.n - *at);
	}
	im->line += lines_in(p + *at, n);
	*at += n;
	im->fed = *at;
	memset(&im->feed, 0, sizeof im->feed);
	return 1;
}

static int
text_run(struct import_db *im, bool last, struct err *err)
{
	size_t at = 0;
	int rc;

	do
		rc = body_step(im, &at, last, err);
	while (rc == 1);
	text_drop(im, at);
	return rc;
}

/* --- public ---------------------------------------------------------- */

static int
coll_get_open(struct import_db *im, const char *name, struct err *err)
{
	int rc = db_coll_open(im->db, name, &im->coll, err);

	if (rc != -ERR_NOT_FOUND)
		return rc;
	rc = db_coll_create(im->db, name, 0755, getuid(), getgid(), err);
	return rc ? rc : db_coll_open(im->db, name, &im->coll, err);
}

int
import_db_open(const char *data, const char *name, struct import_db **ret,
	       struct err *err)
{
	struct import_db *im = calloc(1, sizeof *im);
	struct db_settings s;
	int rc;

	if (!im)
		return err_set(err, ERR_NO_MEMORY, "import");
	rc = config_load(&im->cf, data, NULL, 0, err);
	if (rc) {
		free(im);
		return rc;
	}
	config_to_db(&im->cf, &s);
	rc = db_open(data, &s, 0, &im->db, err);
	if (!rc)
		rc = coll_get_open(im, name, err);
	if (rc)
		import_db_close(im);
	else
		*ret = im;
	return rc;
}

void
import_db_file(struct import_db *im, import_refused *refused, void *arg)
{
	im->refused = refused;
	im->arg = arg;
	im->line = 1;
	im->n_accepted = im->n_refused = 0;
	buf_clear(&im->text);
	im->fed = 0;
	memset(&im->feed, 0, sizeof im->feed);
}

int
import_db_write(struct import_db *im, const void *p, size_t n, struct err *err)
{
	if (buf_put(&im->text, p, n))
		return err_set(err, ERR_NO_MEMORY, "import");
	return text_run(im, false, err);
}

int
import_db_end(struct import_db *im, uint64_t *ret_accepted,
	      uint64_t *ret_refused, struct err *err)
{
	int rc = text_run(im, true, err);

	if (!rc)
		rc = batch_flush(im, err);
	arena_reset(&im->arena);
	*ret_accepted = im->n_accepted;
	*ret_refused = im->n_refused;
	return rc;
}

void
import_db_close(struct import_db *im)
{
	coll_close(im->coll);
	if (im->db)
		db_close(im->db);
	config_done(&im->cf);
	arena_done(&im->arena);
	buf_done(&im->text);
	free(im);
}
