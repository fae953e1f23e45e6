/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage.  A small database is copied again and again with one thing wrong: a
 * byte flipped, a file cut off, removed, taken for another or put back from an
 * earlier day.  A child opens the copy and reads all of it.  What it gets must
 * be right, or an error that says where; it may not crash.  Only the log's end
 * may look like a crash and be cut off: the states before are right then.
 *
 * POINTFS_STRIDE is how many bytes of a page file stand between two flips.
 */
#include "tests/crash/oracle_impl.h"

#include "engine/base/check.h"
#include "engine/base/file.h"
#include "engine/check.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX 400u
#define PAST_MAX  4000u

struct file {
	char path[200]; /* in the data directory */
	size_t n;
	uint8_t *p;
};

struct tree {
	struct file f[FILES_MAX];
	uint32_t n;
};

static struct tree good, older;
static struct oracle *o;
static struct state past[PAST_MAX];
static uint32_t n_past;
static char dir[100];

/* --- trees of files ---------------------------------------------------------
 */

static struct tree *reading;
static char read_root[200];

static int tree_add(void *arg, const char *name, struct err *err);

static void
tree_read_dir(const char *sub)
{
	char path[PATH_MAX], arg[200];
	int fd;

	snprintf(path, sizeof path, "%s/%s", read_root, sub);
	snprintf(arg, sizeof arg, "%s", sub);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0 && dir_each(fd, tree_add, arg, NULL) == 0);
	close(fd);
}

static int
tree_add(void *arg, const char *name, struct err *err)
{
	struct file *f = &reading->f[reading->n];
	char path[PATH_MAX], sub[200];
	CLEAN(buf_done) struct buf b = {0};
	struct stat st;

	snprintf(sub, sizeof sub, "%.90s%s%.100s", (char *)arg,
		 ((char *)arg)[0] != '\0' ? "/" : "", name);
	snprintf(path, sizeof path, "%s/%s", read_root, sub);
	check(stat(path, &st) == 0);
	if (S_ISDIR(st.st_mode)) {
		tree_read_dir(sub);
		return 0;
	}
	check(reading->n < FILES_MAX);
	check(file_load_at(AT_FDCWD, path, 64u << 20, &b, err) == 0);
	memcpy(f->path, sub, sizeof f->path);
	f->n = b.n;
	f->p = malloc(b.n + 1);
	check(f->p != NULL);
	memcpy(f->p, b.n != 0 ? (void *)b.p : "", b.n);
	reading->n++;
	return 0;
}

static void
tree_read(struct tree *t, const char *root)
{
	reading = t;
	snprintf(read_root, sizeof read_root, "%s", root);
	tree_read_dir("");
}

static void
tree_free(struct tree *t)
{
	while (t->n > 0)
		free(t->f[--t->n].p);
}

static const struct file *
tree_find(const struct tree *t, const char *path)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (strcmp(t->f[i].path, path) == 0)
			return &t->f[i];
	return NULL;
}

static void
file_out(const char *path, const uint8_t *p, size_t n)
{
	char full[PATH_MAX];
	int fd;

	snprintf(full, sizeof full, "%s/%s", dir, path);
	for (char *s = strchr(full + 1, '/'); s != NULL;
	     s = strchr(s + 1, '/')) {
		*s = '\0';
		(void)mkdir(full, 0700);
		*s = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(fd >= 0 && pwrite(fd, p, n, 0) == (ssize_t)n);
	close(fd);
}

static void
tree_out(void)
{
	file_remove_tree(AT_FDCWD, dir, NULL);
	check(mkdir(dir, 0700) == 0);
	for (uint32_t i = 0; i < good.n; i++)
		file_out(good.f[i].path, good.f[i].p, good.f[i].n);
}

/* --- the child: reading all of it
 * ----------------------------------------------- */

struct reading {
	struct db *db;
	bool log;       /* the log is what was damaged */
	bool complains; /* something says that not all is well */
	uint32_t n_errors;
};

/* An error must say what is wrong. */
static void
complaint(struct reading *r, const struct err *err)
{
	const char *t = err_text(err);

	if (strstr(t, "log") == NULL && strstr(t, "catalog") == NULL &&
	    strstr(t, "manifest") == NULL && strstr(t, ".qv") == NULL &&
	    strstr(t, "segment") == NULL)
		die("an error that does not say where: %s", t);
	r->complains = true;
	r->n_errors++;
}

static bool
seq_once_was(uint32_t obj, uint32_t k, uint32_t seq)
{
	for (uint32_t i = 0; i < n_past; i++)
		if (past[i].seq[obj][k] == seq)
			return true;
	return false;
}

static void
look_point(struct reading *r, struct coll *c, uint32_t obj, uint32_t k)
{
	uint32_t want = ledger_now(&o->led[0])->seq[obj][k], seq = 0;
	struct id_key id = key_id(0, k);
	struct arena a = {0};
	struct err err = {0};
	struct point p;
	int rc = coll_get(c, &id, &a, &p, &err);

	if (rc == 0)
		seq = doc_check(&p, 0);
	if (rc < 0 && rc != -ERR_NOT_FOUND)
		complaint(r, &err);
	else if (seq != want && !(r->log && seq_once_was(obj, k, seq)))
		die("object %u key %u: %u, not %u", obj, k, seq, want);
	arena_done(&a);
}

static void
look_many(struct reading *r, struct coll *c)
{
	float q[DIM] = {1, -1, 1, 1, -1, 1, 1, 1};
	struct query query = {.kind = QUERY_VECTOR,
			      .vec = q,
			      .dim = DIM,
			      .limit = 100,
			      .exact = true};
	struct scroll_request sr = {.limit = 1000};
	struct coll_list *l;
	struct arena a = {0};
	struct err err = {0};
	struct point_stat st;
	struct id_key id, next;
	struct hits h;
	uint64_t pos = 0, no;
	int rc = coll_search(c, &query, &a, &h, &err);

	if (rc < 0 && rc != -ERR_DIM)
		complaint(r, &err);
	query.exact = false;
	rc = coll_search(c, &query, &a, &h, &err);
	if (rc < 0 && rc != -ERR_DIM)
		complaint(r, &err);
	if (coll_scroll(c, &sr, &a, &h, &next, &err) < 0)
		complaint(r, &err);
	rc = coll_list_open(c, &l, &err);
	if (rc < 0) {
		complaint(r, &err);
		arena_done(&a);
		return;
	}
	while ((rc = coll_list_next(l, &pos, &id, &no, &st, &err)) > 0)
		;
	if (rc < 0)
		complaint(r, &err);
	coll_list_close(l);
	arena_done(&a);
}

static void
look_coll(struct reading *r, uint32_t obj)
{
	uint32_t id = ledger_now(&o->led[0])->obj_id[obj];
	struct coll_status st;
	struct err err = {0};
	struct coll *c;

	if (id == 0)
		return;
	if (db_coll_open_id(r->db, id, &c, &err) < 0) {
		if (!r->log)
			die("object %u is gone: %s", obj, err_text(&err));
		return;
	}
	coll_status(c, &st);
	r->complains = r->complains || st.error[0] != '\0';
	for (uint32_t k = 0; k < KEYS; k++)
		look_point(r, c, obj, k);
	look_many(r, c);
	coll_status(c, &st);
	r->complains = r->complains || st.error[0] != '\0';
	coll_close(c);
}

/* Without a complaint it must be one of the states that were. */
static void
judge(struct reading *r)
{
	struct ledger *l = &o->led[0];

	if (r->complains)
		return;
	if (oracle_matches(o, r->db)) {
		oracle_verify(o, r->db, 0);
		return;
	}
	for (uint32_t i = n_past; r->log && i-- > 0;) {
		l->word = 0;
		l->st[0] = past[i];
		if (oracle_matches(o, r->db))
			return;
	}
	die("wrong data, and nobody says so");
}

static struct db_settings
settings(void)
{
	struct db_settings s;

	db_settings_defaults(&s);
	s.wal_file_bytes = 16u << 10;
	s.memtable_bytes = 12u << 10;
	s.workers = 1;
	return s;
}

static void
report(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

/* Exit code: 0 all is right, 1 it was said that it is not. */
_Noreturn static void
child_read(bool log, bool must_notice)
{
	struct db_settings s = settings();
	struct reading r = {.log = log};
	struct db_status st;
	struct err err = {0};
	int rc;

	alarm(60);
	rc = db_open(dir, &s, DB_READ_ONLY, &r.db, &err);
	if (rc < 0) {
		complaint(&r, &err);
		_exit(1);
	}
	db_status(r.db, &st);
	r.complains = st.warning[0] != '\0';
	if (st.warning[0] != '\0' && (!log || !st.read_only))
		die("%s", st.warning);
	for (uint32_t obj = 0; obj < OBJS; obj++)
		look_coll(&r, obj);
	rc = db_check(r.db, true, report, NULL, &err);
	if (rc < 0 && rc != -ERR_DAMAGED)
		ok(rc);
	if (must_notice && rc == 0 && !r.complains)
		die("damage was not noticed");
	r.complains = r.complains || rc < 0;
	judge(&r);
	db_close(r.db);
	_exit(r.complains ? 1 : 0);
}

/* As a server: jobs run, files are swept; what is served is still right. */
_Noreturn static void
child_serve(bool log)
{
	struct db_settings s = settings();
	struct reading r = {.log = log};
	struct err err = {0};
	int rc;

	alarm(60);
	rc = db_open(dir, &s, 0, &r.db, &err);
	if (rc < 0) {
		complaint(&r, &err);
		_exit(1);
	}
	for (uint32_t obj = 0; obj < OBJS; obj++)
		look_coll(&r, obj);
	db_close(r.db);
	rc = db_open(dir, &s, 0, &r.db, &err);
	if (rc < 0) {
		complaint(&r, &err);
		_exit(1);
	}
	for (uint32_t obj = 0; obj < OBJS; obj++)
		look_coll(&r, obj);
	db_close(r.db);
	_exit(r.complains ? 1 : 0);
}

/* --- the cases
 * --------------------------------------------------------------------- */

static uint32_t n_cases, n_noticed;

static void
child_wait(pid_t pid)
{
	int status;

	check(pid >= 0 && waitpid(pid, &status, 0) == pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		die("status %x%s", (unsigned)status,
		    WIFSIGNALED(status) ? ": crashed" : "");
	n_cases++;
	n_noticed += WEXITSTATUS(status) == 1;
}

static void
judge_copy(bool log, bool must_notice, bool serve)
{
	pid_t pid = fork();

	if (pid == 0)
		child_read(log, must_notice);
	child_wait(pid);
	if (!serve)
		return;
	pid = fork();
	if (pid == 0)
		child_serve(log);
	child_wait(pid);
}

static bool
is_log(const struct file *f)
{
	return strncmp(f->path, "log/", 4) == 0;
}

static bool
is_page_file(const struct file *f)
{
	return strstr(f->path, ".qv") != NULL;
}

static void
context(const struct file *f, const char *what, size_t at)
{
	snprintf(oracle_context, sizeof oracle_context, "%.120s: %s %zu",
		 f->path, what, at);
}

/* One bit each, another with every byte. */
static void
flips(const struct file *f, size_t stride, uint64_t *rnd)
{
	size_t at = is_page_file(f) ? rnd_below(rnd, (uint32_t)stride) : 0;
	size_t used = f->n;

	while (used > 0 && is_log(f) && f->p[used - 1] == 0)
		used--; /* a log file ends in zeros */
	if (is_log(f))
		used = MIN(f->n, used + 64);
	for (; at < used; at += is_page_file(f) ? stride : 1) {
		uint8_t c = f->p[at] ^ (uint8_t)(1u << at % 8);
		char full[PATH_MAX];
		int fd;

		if (is_log(f) && used > 2000 && rnd_below(rnd, 12) != 0)
			continue;
		context(f, "flip at", at);
		snprintf(full, sizeof full, "%s/%s", dir, f->path);
		fd = open(full, O_WRONLY | O_CLOEXEC);
		check(fd >= 0 && pwrite(fd, &c, 1, (off_t)at) == 1);
		judge_copy(is_log(f), is_page_file(f), false);
		check(pwrite(fd, f->p + at, 1, (off_t)at) == 1);
		close(fd);
	}
}

static void
cuts(const struct file *f, uint64_t *rnd)
{
	for (int i = 0; i < 6; i++) {
		size_t n = i == 0   ? 0
			   : i == 1 ? f->n - 1
				    : rnd_below(rnd, (uint32_t)f->n);

		context(f, "cut to", n);
		tree_out();
		file_out(f->path, f->p, n);
		judge_copy(is_log(f), is_page_file(f), true);
	}
	tree_out();
}

static void
replaced(const struct file *f, const struct file *by, const char *what)
{
	char full[PATH_MAX];

	context(f, what, 0);
	tree_out();
	if (by != NULL) {
		file_out(f->path, by->p, by->n);
	} else {
		snprintf(full, sizeof full, "%s/%s", dir, f->path);
		check(unlink(full) == 0);
	}
	judge_copy(is_log(f), is_page_file(f), true);
	tree_out();
}

static void
file_cases(const struct file *f, size_t stride, uint64_t *rnd)
{
	const struct file *old = tree_find(&older, f->path);
	const struct file *other = &good.f[rnd_below(rnd, good.n)];

	if (f->n == 0 || strstr(f->path, "spare.") != NULL)
		return;
	flips(f, stride, rnd);
	cuts(f, rnd);
	replaced(f, NULL, "removed");
	if (other != f && other->n != 0 &&
	    (other->n != f->n || memcmp(other->p, f->p, f->n) != 0))
		replaced(f, other,
			 is_page_file(other) ? "another page file" : "another");
	if (old != NULL && (old->n != f->n || memcmp(old->p, f->p, f->n) != 0))
		replaced(f, old, "an older");
}

/* --- the database
 * -------------------------------------------------------------------- */

static void
steps(struct writer *w, int n)
{
	for (int i = 0; i < n; i++) {
		(void)writer_step(w);
		check(n_past < PAST_MAX);
		past[n_past++] = *ledger_now(&o->led[0]);
	}
}

static void
settle_all(struct db *db)
{
	struct err err = {0};

	ok(db_flush(db, &err));
	for (uint32_t obj = 0; obj < OBJ_FREE; obj++) {
		struct coll *c;

		ok(db_coll_open_id(db, ledger_now(&o->led[0])->obj_id[obj], &c,
				   &err));
		ok(coll_settle(c, &err));
		coll_close(c);
	}
}

static void
database_make(uint64_t seed)
{
	struct db_settings s = settings();
	struct writer w = {.o = o, .rnd = seed, .alone = true};
	struct err err = {0};

	ok(db_open(dir, &s, DB_CREATE, &w.db, &err));
	oracle_setup(o, w.db);
	past[n_past++] = *ledger_now(&o->led[0]);
	steps(&w, 150);
	settle_all(w.db);
	tree_read(&older, dir);
	steps(&w, 150);
	settle_all(w.db);
	steps(&w, 40);
	db_close(w.db);
	tree_read(&good, dir);
}

int
main(void)
{
	uint64_t seed = env_number("POINTFS_SEED", 1), rnd = seed;
	size_t stride = (size_t)env_number("POINTFS_STRIDE", 499);
	const char *tmp = getenv("TMPDIR");

	o = oracle_new(1);
	snprintf(dir, sizeof dir, "%s/pointfs-flip-XXXXXX",
		 tmp != NULL ? tmp : "/tmp");
	check(mkdtemp(dir) != NULL);
	database_make(seed);
	tree_out();
	snprintf(oracle_context, sizeof oracle_context, "untouched");
	judge_copy(false, false, false);
	check(n_noticed == 0);
	for (uint32_t i = 0; i < good.n; i++)
		file_cases(&good.f[i], stride, &rnd);
	printf("# %u files, %u cases, %u noticed, the others right\n", good.n,
	       n_cases, n_noticed);
	file_remove_tree(AT_FDCWD, dir, NULL);
	tree_free(&good);
	tree_free(&older);
	oracle_free(o);
	return 0;
}
