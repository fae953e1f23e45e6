/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/fault.h"
#include "engine/base/file.h"
#include "engine/json/json_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME    "lock"
#define LOCK_WAIT_MS 1000u
#define LOCK_STEP_MS 20u

void
db_settings_defaults(struct db_settings *ret)
{
	*ret = (struct db_settings){
		.sync = SYNC_CLOSE,
		.sync_interval_ms = 50,
		.wal_file_bytes = 32u << 20,
		.wal_ahead = 0,
		.memtable_bytes = 64u << 20,
	};
}

/* --- opening --------------------------------------------------------- */

static int
foreign_entry(void *arg, const char *name, struct err *err)
{
	struct db *db = arg;

	if (strcmp(name, "config.json") == 0 || strcmp(name, "lost+found") == 0)
		return 0;
	return err_set(err, ERR_NOT_EMPTY,
		       "%s is not a data directory of pointfs and not empty "
		       "('%s' is in it)",
		       db->path, name);
}

/* A new data directory is an empty one, and nobody else's to read: arguments in
 * the wrong order must not fill somebody's home. */
static int
dir_adopt(struct db *db, struct err *err)
{
	int rc;

	if (db->read_only || faccessat(db->dirfd, LOCK_NAME, F_OK, 0) == 0)
		return 0;
	rc = dir_each(db->dirfd, foreign_entry, db, err);
	if (rc == 0 && fchmod(db->dirfd, 0700) != 0)
		rc = err_sys(err, errno, "mode of %s", db->path);
	return rc;
}

static int
lock_take(struct db *db, struct err *err)
{
	int how = db->read_only ? LOCK_SH : LOCK_EX;
	int rc = file_open_at(db->dirfd, LOCK_NAME,
			      db->read_only ? O_RDONLY : O_RDWR | O_CREAT,
			      &db->lock_fd, err);

	if (rc < 0)
		return rc;
	/* A killed daemon keeps its lock until its last write has returned. */
	for (unsigned ms = 0; (rc = flock(db->lock_fd, how | LOCK_NB)) != 0 &&
			      errno == EWOULDBLOCK && ms < LOCK_WAIT_MS;
	     ms += LOCK_STEP_MS)
		clock_sleep_ms(LOCK_STEP_MS);
	if (rc == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return err_set(err, ERR_LOCKED,
			       "%s is served by another process", db->path);
	return err_sys(err, errno, "lock of %s", db->path);
}

static int
dir_beside(struct db *db, const char *setting, const char *name, int *ret_fd,
	   struct err *err)
{
	if (setting != NULL)
		return dir_open_at(AT_FDCWD, setting, !db->read_only, ret_fd,
				   err);
	return dir_open_at(db->dirfd, name, !db->read_only, ret_fd, err);
}

static int
dirs_open(struct db *db, unsigned flags, struct err *err)
{
	int rc = dir_open_at(AT_FDCWD, db->path, (flags & DB_CREATE) != 0,
			     &db->dirfd, err);

	if (rc == 0)
		rc = dir_adopt(db, err);
	if (rc == 0)
		rc = lock_take(db, err);
	if (rc == 0)
		rc = dir_open_at(db->dirfd, "collections", !db->read_only,
				 &db->colls_fd, err);
	if (rc == 0)
		rc = dir_beside(db, db->set.wal_path, "log", &db->log_fd, err);
	if (rc == 0 && !db->read_only)
		rc = dir_beside(db, db->set.temp_path, "tmp", &db->tmp_fd, err);
	if (rc == 0 && !db->read_only)
		rc = file_sync_full(db->dirfd, err);
	return rc;
}

static struct db *
db_new(const char *path, const struct db_settings *s, unsigned flags)
{
	struct db *db = calloc(1, sizeof *db);

	if (db == NULL)
		return NULL;
	db->path = strdup(path);
	db->set = *s;
	if (db->set.workers == 0) {
		long n = sysconf(_SC_NPROCESSORS_ONLN);

		db->set.workers = n < 1 ? 1 : (unsigned)MIN(n, 64);
	}
	db->read_only = (flags & DB_READ_ONLY) != 0;
	db->dirfd = db->colls_fd = db->log_fd = -1;
	db->tmp_fd = db->lock_fd = -1;
	db->next_coll = 1;
	mutex_init(&db->order, LOCK_ORDER);
	mutex_init(&db->ddl, LOCK_CATALOG);
	rwlock_init(&db->names, LOCK_NAMES);
	return db;
}

static void
fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void
db_free(struct db *db)
{
	for (uint32_t i = 0; i < db->n_colls; i++)
		coll_close(db->colls[i]);
	free(db->colls);
	for (uint32_t i = 0; i < db->n_entries; i++) {
		free(db->entries[i].name);
		free(db->entries[i].target);
	}
	free(db->entries);
	fd_close(db->colls_fd);
	fd_close(db->log_fd);
	fd_close(db->tmp_fd);
	fd_close(db->dirfd);
	fd_close(db->lock_fd);
	mutex_done(&db->order);
	mutex_done(&db->ddl);
	rwlock_done(&db->names);
	free(db->path);
	free(db);
}

int
db_open(const char *path, const struct db_settings *s, unsigned flags,
	struct db **ret, struct err *err)
{
	struct db *db = db_new(path, s, flags);
	int rc;

	if (db == NULL || db->path == NULL) {
		free(db);
		return err_set(err, ERR_NO_MEMORY, "no memory");
	}
	rc = dirs_open(db, flags, err);
	if (rc == 0)
		rc = db_recover(db, err);
	if (rc == 0 && !db->read_only)
		rc = sched_new(db->set.workers, &db->sched, err);
	if (rc < 0) {
		if (db->wal != NULL)
			wal_close(db->wal);
		db_free(db);
		return rc;
	}
	for (uint32_t i = 0; i < db->n_colls; i++)
		if (db->colls[i] != NULL)
			coll_tend(db->colls[i]);
	*ret = db;
	return 0;
}

void
db_close(struct db *db)
{
	if (db == NULL)
		return;
	if (db->sched != NULL) {
		sched_stop(db->sched);
		sched_free(db->sched);
	}
	if (db->wal != NULL)
		wal_close(db->wal);
	db_free(db);
}

int
db_tmp_fd(struct db *db)
{
	return db->tmp_fd;
}

/* --- the log --------------------------------------------------------- */

int
db_writable(struct db *db, struct err *err)
{
	int why;

	if (db->read_only)
		return err_set(err, ERR_READ_ONLY, "database is read-only%s%s",
			       db->warning[0] != '\0' ? ": " : "", db->warning);
	why = wal_failed(db->wal);
	if (why != 0)
		return err_set(err, ERR_READ_ONLY,
			       "database is read-only since its log could not "
			       "be written (%s); mount it again",
			       err_name(why));
	return 0;
}

int
db_log(struct db *db, const struct slice *parts, unsigned n, lsn_t *ret_lsn,
       int64_t *ret_time_us, struct err *err)
{
	lsn_t lsn;
	int64_t time_us;
	int rc = db_writable(db, err);

	if (rc < 0)
		return rc;
	mutex_lock(&db->order);
	rc = wal_append(db->wal, WAL_KIND_OPS, WAL_OPS_VERSION, parts, n,
			WAL_RESERVE, &lsn, &time_us, err);
	mutex_unlock(&db->order);
	if (rc == 0)
		rc = wal_commit(db->wal, lsn, err);
	if (rc == 0 && ret_lsn != NULL)
		*ret_lsn = lsn;
	if (rc == 0 && ret_time_us != NULL)
		*ret_time_us = time_us;
	return rc;
}

int
db_sync(struct db *db, struct err *err)
{
	if (db->wal == NULL)
		return 0;
	return wal_sync(db->wal, wal_last(db->wal), err);
}

void
db_set_sync(struct db *db, enum sync_policy p, unsigned interval_ms)
{
	if (db->wal != NULL)
		wal_set_policy(db->wal, p, interval_ms);
}

void
db_status(struct db *db, struct db_status *ret)
{
	*ret = (struct db_status){.read_only = db->read_only,
				  .last = db->end.last};
	if (db->wal != NULL) {
		ret->last = wal_last(db->wal);
		ret->durable = wal_durable(db->wal);
		ret->first = wal_first(db->wal);
		ret->wal_bytes = wal_bytes(db->wal);
		ret->read_only = ret->read_only || wal_failed(db->wal) != 0;
	}
	if (db->end.kind == WAL_END_DAMAGED) {
		ret->lost_from = db->end.lost_from;
		ret->lost_to = db->end.lost_to;
	}
	snprintf(ret->warning, sizeof ret->warning, "%s", db->warning);
	if (db->wal != NULL && wal_failed(db->wal) != 0)
		snprintf(ret->warning, sizeof ret->warning,
			 "the log could not be written (%s): read-only until "
			 "the next mount",
			 err_name(wal_failed(db->wal)));
	rwlock_read(&db->names);
	for (uint32_t i = 0; i < db->n_colls; i++)
		ret->n_collections += db->colls[i] != NULL;
	rwlock_unlock(&db->names);
}

/* --- checkpoints ----------------------------------------------------- */

/* Every collection, each with a reference. */
static int
colls_all(struct db *db, struct coll ***ret, uint32_t *ret_n, struct err *err)
{
	struct coll **all;
	uint32_t n = 0;

	rwlock_read(&db->names);
	all = calloc((size_t)db->n_colls + 1, sizeof(struct coll *));
	for (uint32_t i = 0; all != NULL && i < db->n_colls; i++)
		if (db->colls[i] != NULL)
			all[n++] = coll_ref(db->colls[i]);
	rwlock_unlock(&db->names);
	if (all == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	*ret = all;
	*ret_n = n;
	return 0;
}

static void
colls_put(struct coll **all, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		coll_close(all[i]);
	free(all);
}

/* The last position that no memtable needs any more.  A collection is in the
 * table before anything of it is in the log, so none is missed. */
static lsn_t
checkpoint_lsn(struct db *db)
{
	lsn_t at;

	mutex_lock(&db->order);
	at = wal_last(db->wal);
	rwlock_read(&db->names);
	for (uint32_t i = 0; i < db->n_colls; i++) {
		const struct coll *c = db->colls[i];
		const struct gen *g = c != NULL ? c->frozen : NULL;

		if (c != NULL && (g == NULL || g->first == 0))
			g = c->gen;
		if (g != NULL && g->first != 0 && g->first <= at)
			at = g->first - 1;
	}
	rwlock_unlock(&db->names);
	mutex_unlock(&db->order);
	return at;
}

/* A change of a configuration is logged before it is set: those that have their
 * position are set when this returns. */
static int
configs_settle(struct db *db, struct err *err)
{
	struct coll **all;
	uint32_t n;
	int rc = colls_all(db, &all, &n, err);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < n; i++) {
		mutex_lock(&all[i]->config_lock);
		mutex_unlock(&all[i]->config_lock);
	}
	colls_put(all, n);
	return 0;
}

static int
catalog_collect(struct db *db, struct catalog *c, struct err *err)
{
	c->next_coll = db->next_coll;
	c->colls = calloc((size_t)db->n_colls + 1, sizeof *c->colls);
	c->entries = calloc((size_t)db->n_entries + 1, sizeof *c->entries);
	if (c->colls == NULL || c->entries == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	for (uint32_t i = 0; i < db->n_colls; i++) {
		struct coll *co = db->colls[i];
		char *text;

		if (co == NULL)
			continue;
		rwlock_read(&co->config_read);
		text = strdup(co->config_text);
		rwlock_unlock(&co->config_read);
		if (text == NULL)
			return err_set(err, ERR_NO_MEMORY, "no memory");
		c->colls[c->n_colls++] =
			(struct catalog_coll){.id = co->id,
					      .implied = co->implied,
					      .flushed = co->saved,
					      .config = {text, strlen(text)}};
	}
	for (uint32_t i = 0; i < db->n_entries; i++) {
		const struct name_entry *e = &db->entries[i];

		c->entries[c->n_entries++] = (struct op_entry){
			.name = {e->name, strlen(e->name)},
			.target = {e->target,
				   e->target ? strlen(e->target) : 0},
			.coll = e->coll,
			.mode = e->mode,
			.uid = e->uid,
			.gid = e->gid,
			.mtime_us = e->mtime_us,
		};
	}
	return 0;
}

static int
catalog_write(struct db *db, lsn_t checkpoint, struct err *err)
{
	struct catalog c = {0};
	int rc;

	/* With ddl held no change of names has a position and is not yet in
	 * the table; configurations may be newer than lsn: replay sets them
	 * again. */
	mutex_lock(&db->ddl);
	/* never back: the log may be trimmed to where another one came */
	c.checkpoint = MAX(db->checkpoint, checkpoint);
	c.lsn = MAX(db->catalog_lsn, c.checkpoint);
	rwlock_read(&db->names);
	rc = catalog_collect(db, &c, err);
	rwlock_unlock(&db->names);
	/* it may not know more than a power cut leaves of the log */
	if (rc == 0)
		rc = wal_sync(db->wal, wal_last(db->wal), err);
	if (rc == 0)
		rc = catalog_save(db->dirfd, &c, err);
	if (rc == 0)
		db->checkpoint = c.checkpoint;
	mutex_unlock(&db->ddl);
	c.n_entries = 0; /* their names are the table's */
	catalog_done(&c);
	return rc;
}

int
db_checkpoint(struct db *db, struct err *err)
{
	lsn_t at = checkpoint_lsn(db);
	int rc = configs_settle(db, err);

	if (rc == 0)
		rc = catalog_write(db, at, err);
	if (rc == 0)
		rc = wal_trim(db->wal, at + 1, err);
	return rc;
}

/* Collections whose oldest change stands far behind in the log are flushed, so
 * that the log can be trimmed and replay stays short. */
static void
db_tend_run(struct job *j)
{
	struct db *db = CONTAINER_OF(j, struct db, tend_job);
	struct coll **all;
	uint32_t n;
	lsn_t half;

	if (colls_all(db, &all, &n, NULL) < 0)
		return;
	half = wal_first(db->wal) +
	       (wal_last(db->wal) - wal_first(db->wal)) / 2;
	for (uint32_t i = 0; i < n; i++) {
		bool lags;

		mutex_lock(&db->order);
		lags = all[i]->gen->first != 0 && all[i]->gen->first < half;
		mutex_unlock(&db->order);
		if (lags) {
			all[i]->backlog = MAX(all[i]->backlog, 1u);
			coll_flush_queue(all[i]);
		}
	}
	colls_put(all, n);
}

static void
db_tend_done(struct job *j)
{
	struct db *db = CONTAINER_OF(j, struct db, tend_job);

	db->tend_queued = false;
}

void
db_tend(struct db *db)
{
	uint64_t bytes = wal_bytes(db->wal);

	if (bytes < 4 * db->set.memtable_bytes ||
	    bytes < db->tended_bytes + db->set.memtable_bytes)
		return;
	if (__atomic_exchange_n((bool *)&db->tend_queued, true,
				__ATOMIC_ACQUIRE))
		return;
	db->tended_bytes = bytes;
	db->tend_job = (struct job){
		.prio = JOB_FLUSH, .run = db_tend_run, .done = db_tend_done};
	sched_submit(db->sched, &db->tend_job);
}

int
db_flush(struct db *db, struct err *err)
{
	struct coll **all = NULL;
	uint32_t n = 0;
	int rc = db_writable(db, err);

	if (rc == 0)
		rc = colls_all(db, &all, &n, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		rc = coll_flush_now(all[i], err);
	colls_put(all, n);
	if (rc == 0)
		rc = db_checkpoint(db, err);
	return rc;
}
