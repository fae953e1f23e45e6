/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c - opening: catalog, manifests, then the log behind them.
 *
 * Every step can be killed and run again: nothing is removed before what
 * replaces it is on disk, and the sweep only takes what no manifest names.
 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/fault.h"
#include "engine/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- catalog and manifests ------------------------------------------- */

/* The catalog knows of a manifest; without it the segments would be nobody's.
 */
static int
saved_check(const struct coll *c, const struct catalog_coll *cc,
	    struct err *err)
{
	if (c->saved >= cc->flushed)
		return 0;
	return err_set(err, ERR_DAMAGED, "%s, and position %llu was saved",
		       c->saved == 0 ? "it is missing" : "it is an older one",
		       (unsigned long long)cc->flushed);
}

/* In the place of what could not be read: its name and number, no points, and
 * nothing of it is touched. */
static int
coll_refuse(struct db *db, const struct catalog_coll *cc, const struct err *why,
	    struct coll **ret, struct err *err)
{
	struct coll *c;
	char text[400];
	int rc = coll_new(db, cc->id, cc->config.p, cc->implied, 0, &c, err);

	if (rc < 0)
		return rc;
	for (uint32_t s = 0; s < c->n_shards; s++)
		c->shards[s].lost = true;
	snprintf(text, sizeof text, "collections/%08x/manifest: %.350s", c->id,
		 err_text(why));
	coll_note_error(c, text);
	c->unreadable = true;
	c->saved = cc->flushed; /* the next catalog says so again */
	*ret = c;
	return 0;
}

/* A collection that cannot be read is kept out and named; the rest is served.
 */
static int
coll_restore(struct db *db, const struct catalog_coll *cc, struct err *err)
{
	struct err why = {0};
	struct coll *c;
	int rc = coll_new(db, cc->id, cc->config.p, cc->implied, 0, &c, err);

	if (rc < 0)
		return rc;
	rc = coll_load(c, &why);
	if (rc == 0)
		rc = saved_check(c, cc, &why);
	if (rc == 0)
		return names_add_coll(db, c, err);
	coll_close(c);
	if (rc == -ERR_NO_MEMORY || rc == -ERR_NO_FILES)
		return err_set(err, -rc, "%s", err_text(&why));
	rc = coll_refuse(db, cc, &why, &c, err);
	return rc < 0 ? rc : names_add_coll(db, c, err);
}

static int
catalog_restore(struct db *db, lsn_t *ret_checkpoint, struct err *err)
{
	struct catalog c = {0};
	int rc = catalog_load(db->dirfd, &c, err);

	*ret_checkpoint = 0;
	if (rc == -ERR_NOT_FOUND)
		return 0; /* a new database, or all of it in the log */
	if (rc < 0)
		return err_in(err, rc, "catalog");
	*ret_checkpoint = c.checkpoint;
	db->checkpoint = c.checkpoint;
	db->catalog_lsn = c.lsn;
	for (uint32_t i = 0; rc == 0 && i < c.n_colls; i++)
		rc = coll_restore(db, &c.colls[i], err);
	for (uint32_t i = 0; rc == 0 && i < c.n_entries; i++)
		rc = names_set(db, &c.entries[i], err);
	db->next_coll = MAX(db->next_coll, c.next_coll);
	catalog_done(&c);
	return rc;
}

/* --- replay ---------------------------------------------------------- */

static struct coll *
coll_at(struct db *db, uint32_t id)
{
	return id < db->n_colls ? db->colls[id] : NULL;
}

/* A point's change, unless the collection is gone or has it in a segment. */
static int
replay_point(struct db *db, const struct wal_record *r, struct op *op,
	     struct err *err)
{
	struct coll *c = coll_at(db, op->coll);
	bool deleted = op->kind == OP_DELETE;
	struct mem_entry *e;
	struct shard *s;
	int rc;

	if (c == NULL || c->unreadable || r->lsn <= c->flushed)
		return 0;
	if (deleted)
		op->point.id = op->id;
	op->point.lsn = r->lsn;
	op->point.time_us = r->time_us;
	s = coll_shard(c, &op->point.id);
	rc = mem_reserve(c->gen->mems[s->nr], 1, err);
	if (rc == 0)
		rc = mem_entry_new(&op->point, deleted, &e, err);
	if (rc < 0)
		return rc;
	if (c->gen->first == 0)
		c->gen->first = r->lsn;
	coll_see_no(c, op->point.no);
	rwlock_write(&s->lock);
	shard_apply(s, c->gen->mems[s->nr], e);
	rwlock_unlock(&s->lock);
	return 0;
}

static int
replay_create(struct db *db, lsn_t lsn, const struct op *op, struct err *err)
{
	char *text;
	struct coll *c;
	int rc;

	if (coll_at(db, op->coll) != NULL)
		return 0; /* in the catalog already */
	text = strndup(op->config.p, op->config.n);
	if (text == NULL)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	rc = coll_new(db, op->coll, text, op->implied, lsn, &c, err);
	free(text);
	if (rc == 0)
		rc = coll_load(c, err);
	return rc < 0 ? rc : names_add_coll(db, c, err);
}

static int
replay_config(struct db *db, lsn_t lsn, const struct op *op, struct err *err)
{
	struct coll *c = coll_at(db, op->coll);
	int rc;

	if (c == NULL)
		return 0;
	rc = coll_config_apply(c, op->config.p, op->config.n, op->implied, err);
	/* the shards that a manifest names were made after this record */
	if (rc == 0 && c->config.shard_number != c->n_shards &&
	    lsn > c->flushed)
		rc = db_coll_remake(db, c, err);
	return rc;
}

static int
replay_names(struct db *db, lsn_t lsn, const struct op *op, struct err *err)
{
	struct coll *c;

	if (lsn <= db->catalog_lsn)
		return 0;
	switch (op->kind) {
	case OP_COLL_CREATE:
		return replay_create(db, lsn, op, err);
	case OP_COLL_DROP:
		c = coll_at(db, op->coll);
		if (c != NULL) {
			c->dropped = true;
			db->colls[op->coll] = NULL;
			coll_close(c);
		}
		return 0;
	case OP_ENTRY_SET:
		return names_set(db, &op->entry, err);
	case OP_ENTRY_DROP:
		names_drop(db, op->entry.name);
		return 0;
	default:
		return 0;
	}
}

static int
replay_record(struct db *db, const struct wal_record *r, struct err *err)
{
	struct reader body = {.p = r->body.p, .n = r->body.n};
	struct op op;
	int rc;

	if (r->kind != WAL_KIND_OPS || r->version > WAL_OPS_VERSION)
		return err_set(err, ERR_VERSION,
			       "log record of kind %u, version %u", r->kind,
			       r->version);
	while ((rc = op_next(&body, &op, err)) > 0) {
		if (op.kind == OP_PUT || op.kind == OP_DELETE)
			rc = replay_point(db, r, &op, err);
		else if (op.kind == OP_COLL_CONFIG)
			rc = replay_config(db, r->lsn, &op, err);
		else
			rc = replay_names(db, r->lsn, &op, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int
replay(struct db *db, lsn_t from, lsn_t *ret_names, struct err *err)
{
	struct wal_reader *rd;
	struct wal_record r;
	int rc = wal_reader_open(db->log_fd, from, &rd, err);

	if (rc < 0)
		return rc;
	while ((rc = wal_reader_next(rd, &r, err)) > 0) {
		rc = replay_record(db, &r, err);
		if (rc < 0) {
			rc = err_in(err, rc, "log position %llu",
				    (unsigned long long)r.lsn);
			break;
		}
		*ret_names = r.lsn;
		(void)fault_hit(FAULT_recover_in_replay);
	}
	if (rc == 0)
		wal_reader_end(rd, &db->end);
	wal_reader_close(rd);
	return rc;
}

/* --- what nobody names ----------------------------------------------- */

static bool
list_has(const struct pages_list *l, const char *name)
{
	char own[PAGES_NAME_LEN + 1];

	for (uint32_t i = 0; i < l->n; i++) {
		pages_name(&l->files[i], own);
		if (strcmp(own, name) == 0)
			return true;
	}
	return false;
}

static bool
coll_has_file(const struct coll *c, const char *name)
{
	if (strcmp(name, MANIFEST_NAME) == 0)
		return true;
	for (uint32_t s = 0; s < c->n_shards; s++)
		for (uint32_t i = 0; i < c->shards[s].n_segs; i++) {
			const struct seg_desc *d = &c->shards[s].segs[i].desc;

			if (list_has(&d->data, name) ||
			    list_has(&d->graph, name) ||
			    list_has(&d->deleted, name))
				return true;
		}
	return false;
}

static int
sweep_file(void *arg, const char *name, struct err *err)
{
	const struct coll *c = arg;

	(void)err;
	if (!coll_has_file(c, name))
		(void)file_unlink_at(c->dirfd, name, NULL);
	return 0;
}

static int
sweep_dir(void *arg, const char *name, struct err *err)
{
	struct db *db = arg;
	char *end;
	unsigned long id = strtoul(name, &end, 16);
	struct coll *c = *end == '\0' && strlen(name) == 8
				 ? coll_at(db, (uint32_t)id)
				 : NULL;

	if (c == NULL) {
		(void)file_remove_tree(db->colls_fd, name, NULL);
		return 0;
	}
	/* a collection that could not be read keeps all its files */
	return c->unreadable ? 0 : dir_each(c->dirfd, sweep_file, c, err);
}

static int
sweep_tmp(void *arg, const char *name, struct err *err)
{
	struct db *db = arg;

	(void)err;
	(void)file_remove_tree(db->tmp_fd, name, NULL);
	return 0;
}

static int
sweep(struct db *db, struct err *err)
{
	int rc;

	(void)fault_hit(FAULT_recover_before_sweep);
	rc = dir_each(db->colls_fd, sweep_dir, db, err);
	if (rc == 0)
		rc = dir_each(db->tmp_fd, sweep_tmp, db, err);
	(void)fault_hit(FAULT_recover_after_sweep);
	return rc;
}

/* --- all of it ------------------------------------------------------- */

static void
note_damage(struct db *db)
{
	db->read_only = true;
	snprintf(db->warning, sizeof db->warning,
		 "the log is damaged in %s at byte %llu: positions %llu to "
		 "%llu are lost; served read-only up to position %llu",
		 db->end.file, (unsigned long long)db->end.offset,
		 (unsigned long long)db->end.lost_from,
		 (unsigned long long)db->end.lost_to,
		 (unsigned long long)db->end.last);
}

/* Segments never know more than a synced log: if they do, its end is gone. */
static void
log_compare(struct db *db, lsn_t checkpoint)
{
	lsn_t known = checkpoint;

	for (uint32_t i = 0; i < db->n_colls; i++)
		if (db->colls[i] != NULL)
			known = MAX(known, db->colls[i]->flushed);
	if (db->end.last >= known || db->end.kind == WAL_END_DAMAGED)
		return;
	db->end.kind = WAL_END_DAMAGED;
	db->end.lost_from = db->end.last + 1;
	db->end.lost_to = known;
}

static int
log_open(struct db *db, struct err *err)
{
	struct wal_opts o = {
		.dirfd = db->log_fd,
		.file_bytes = db->set.wal_file_bytes,
		.ahead = db->set.wal_ahead,
		.policy = db->set.sync,
		.interval_ms = db->set.sync_interval_ms,
	};

	if (db->end.kind == WAL_END_DAMAGED) {
		note_damage(db);
		return 0;
	}
	return db->read_only ? 0 : wal_open(&o, &db->end, &db->wal, err);
}

int
db_recover(struct db *db, struct err *err)
{
	lsn_t checkpoint, last = 0;
	int rc = catalog_restore(db, &checkpoint, err);

	if (rc < 0)
		return rc;
	(void)fault_hit(FAULT_recover_after_manifests);
	rc = replay(db, checkpoint + 1, &last, err);
	if (rc < 0)
		return rc;
	log_compare(db, checkpoint);
	db->catalog_lsn = MAX(db->catalog_lsn, last);
	rc = log_open(db, err);
	if (rc == 0 && !db->read_only)
		rc = sweep(db, err);
	return rc;
}
