/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.c - names of collections and aliases, and what changes them.
 *
 * One change at a time (ddl): checked, logged, then set in the table.  Replay
 * sets the same entries by the same functions.
 */
#include "engine/collection_impl.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/text.h"
#include "engine/json/json_config.h"

#include <stdlib.h>
#include <string.h>

/* --- the table ------------------------------------------------------- */

static int
name_cmp(const char *name, size_t n, const char *entry)
{
	size_t en = strlen(entry);
	int d = memcmp(name, entry, MIN(n, en));

	return d != 0 ? d : (n > en) - (n < en);
}

/* Where the name is, or would be. */
static uint32_t
names_at(const struct db *db, const char *name, size_t n)
{
	uint32_t lo = 0, hi = db->n_entries;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (name_cmp(name, n, db->entries[mid].name) > 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct name_entry *
names_find(struct db *db, const char *name, size_t n)
{
	uint32_t i = names_at(db, name, n);

	if (i < db->n_entries && name_cmp(name, n, db->entries[i].name) == 0)
		return &db->entries[i];
	return NULL;
}

static void
entry_done(struct name_entry *e)
{
	free(e->name);
	free(e->target);
}

int
names_set(struct db *db, const struct op_entry *op, struct err *err)
{
	uint32_t i = names_at(db, op->name.p, op->name.n);
	struct name_entry fresh = {
		.name = strndup(op->name.p, op->name.n),
		.target = op->target.n != 0
				  ? strndup(op->target.p, op->target.n)
				  : NULL,
		.coll = op->coll,
		.mode = op->mode,
		.uid = op->uid,
		.gid = op->gid,
		.mtime_us = op->mtime_us,
	};
	struct name_entry *more;

	if (fresh.name == NULL || (op->target.n != 0 && fresh.target == NULL))
		goto no_memory;
	if (i < db->n_entries &&
	    name_cmp(op->name.p, op->name.n, db->entries[i].name) == 0) {
		entry_done(&db->entries[i]);
		db->entries[i] = fresh;
		return 0;
	}
	more = realloc(db->entries, ((size_t)db->n_entries + 1) * sizeof *more);
	if (more == NULL)
		goto no_memory;
	db->entries = more;
	memmove(more + i + 1, more + i, (db->n_entries - i) * sizeof *more);
	more[i] = fresh;
	db->n_entries++;
	return 0;
no_memory:
	entry_done(&fresh);
	return err_set(err, ERR_NO_MEMORY, "no memory for a name");
}

void
names_drop(struct db *db, struct slice name)
{
	struct name_entry *e = names_find(db, name.p, name.n);
	uint32_t i;

	if (e == NULL)
		return;
	i = (uint32_t)(e - db->entries);
	entry_done(e);
	db->n_entries--;
	memmove(e, e + 1, (db->n_entries - i) * sizeof *e);
}

int
names_add_coll(struct db *db, struct coll *c_take, struct err *err)
{
	uint32_t id = c_take->id;

	if (id >= db->n_colls) {
		uint32_t n = MAX(id + 1, db->n_colls * 2);
		struct coll **more =
			realloc(db->colls, n * sizeof(struct coll *));

		if (more == NULL) {
			coll_close(c_take);
			return err_set(err, ERR_NO_MEMORY, "no memory");
		}
		memset(more + db->n_colls, 0,
		       (n - db->n_colls) * sizeof(struct coll *));
		db->colls = more;
		db->n_colls = n;
	}
	coll_close(db->colls[id]);
	db->colls[id] = c_take;
	db->next_coll = MAX(db->next_coll, id + 1);
	return 0;
}

int
db_coll_remake(struct db *db, struct coll *c, struct err *err)
{
	struct coll *fresh;
	int rc = coll_new(db, c->id, c->config_text, c->implied, c->flushed,
			  &fresh, err);

	if (rc < 0)
		return rc;
	fresh->next_no = c->next_no;
	fresh->saved = c->saved;
	c->remade = true;
	rwlock_write(&db->names);
	rc = names_add_coll(db, fresh, err);
	rwlock_unlock(&db->names);
	return rc;
}

/* --- names ----------------------------------------------------------- */

int
coll_name_check(const char *name, size_t n, struct err *err)
{
	const unsigned char *s = (const unsigned char *)name;

	if (n > COLL_NAME_MAX)
		return err_set(err, ERR_NAME_LONG,
			       "collection name has %zu bytes; at most %d", n,
			       COLL_NAME_MAX);
	if (n == 0 || s[0] == '.')
		return err_set(err, ERR_NAME,
			       "collection name is empty or starts with '.'");
	if (!utf8_valid(name, n))
		return err_set(err, ERR_NAME, "collection name is not UTF-8");
	for (size_t i = 0; i < n; i++)
		if (s[i] < 0x20 || s[i] == 0x7f ||
		    strchr("/<>:\"\\|?*", s[i]) != NULL)
			return err_set(err, ERR_NAME,
				       "collection name: character 0x%02x at "
				       "byte %zu is not allowed",
				       s[i], i);
	return 0;
}

/* --- one change ------------------------------------------------------ */

struct change { /* a record, and the entries it sets and drops */
	struct db *db;
	struct buf rec;
	struct arena
		mem; /* targets: the table frees its own while it changes */
	struct op_entry set[2];
	struct slice drop[2];
	unsigned n_set, n_drop;
};

static void
change_done(struct change *ch)
{
	buf_done(&ch->rec);
	arena_done(&ch->mem);
}

static void
change_set(struct change *ch, struct op_entry e)
{
	if (e.target.n != 0)
		e.target.p = arena_dup(&ch->mem, e.target.p, e.target.n);
	if (e.target.n != 0 && e.target.p == NULL) {
		ch->rec.failed = true;
		return;
	}
	e.mtime_us = e.mtime_us != 0 ? e.mtime_us : clock_wall_ns() / 1000;
	ch->set[ch->n_set++] = e;
	op_encode_entry(&ch->rec, OP_ENTRY_SET, &e);
}

static void
change_drop(struct change *ch, const char *name)
{
	struct op_entry e = {.name = {name, strlen(name)}};

	ch->drop[ch->n_drop++] = e.name;
	op_encode_entry(&ch->rec, OP_ENTRY_DROP, &e);
}

/* ddl is held.  Drops first, so that a rename can set what it dropped. */
static int
change_commit(struct change *ch, struct err *err)
{
	struct db *db = ch->db;
	struct slice part = {ch->rec.p, ch->rec.n};
	lsn_t lsn;
	int rc = ch->rec.failed ? err_set(err, ERR_NO_MEMORY, "no memory")
				: db_log(db, &part, 1, &lsn, NULL, err);

	if (rc < 0)
		return rc;
	rwlock_write(&db->names);
	for (unsigned i = 0; i < ch->n_drop; i++)
		names_drop(db, ch->drop[i]);
	for (unsigned i = 0; rc == 0 && i < ch->n_set; i++)
		rc = names_set(db, &ch->set[i], err);
	rwlock_unlock(&db->names);
	db->catalog_lsn = lsn;
	return rc;
}

static struct op_entry
entry_op(const struct name_entry *e, const char *name)
{
	return (struct op_entry){
		.name = {name, strlen(name)},
		.target = {e->target, e->target ? strlen(e->target) : 0},
		.coll = e->coll,
		.mode = e->mode,
		.uid = e->uid,
		.gid = e->gid,
		.mtime_us = e->mtime_us,
	};
}

static int
name_free(struct db *db, const char *name, struct err *err)
{
	int rc = coll_name_check(name, strlen(name), err);

	if (rc == 0 && names_find(db, name, strlen(name)) != NULL)
		rc = err_set(err, ERR_EXISTS, "'%s' exists already", name);
	return rc;
}

static int
name_known(struct db *db, const char *name, struct name_entry **ret,
	   struct err *err)
{
	*ret = names_find(db, name, strlen(name));
	if (*ret == NULL)
		return err_set(err, ERR_NOT_FOUND, "no collection '%s'", name);
	return 0;
}

/* --- collections ----------------------------------------------------- */

static void
coll_forget(struct db *db, struct coll *c)
{
	c->dropped = true;
	rwlock_write(&db->names);
	if (c->id < db->n_colls && db->colls[c->id] == c) {
		db->colls[c->id] = NULL;
		coll_close(c);
	}
	rwlock_unlock(&db->names);
}

static int
create_locked(struct db *db, const char *name, uint32_t mode, uint32_t uid,
	      uint32_t gid, struct err *err)
{
	CLEAN(buf_done) struct buf text = {0};
	struct change ch = {.db = db};
	struct coll_config conf;
	struct coll *c;
	uint32_t id = db->next_coll;
	int rc = name_free(db, name, err);

	if (rc < 0)
		return rc;
	if (id >= COLLECTIONS_MAX)
		return err_set(err, ERR_NO_SPACE,
			       "collection numbers are used up");
	config_defaults(&conf);
	json_config_print(&conf, &text);
	buf_put_u8(&text, 0);
	if (text.failed)
		return err_set(err, ERR_NO_MEMORY, "no memory");
	rc = coll_new(db, id, (char *)text.p, false, wal_last(db->wal), &c,
		      err);
	if (rc < 0)
		return rc;
	op_encode_coll(&ch.rec, OP_COLL_CREATE, id,
		       (struct slice){text.p, text.n - 1}, false);
	change_set(&ch, (struct op_entry){.name = {name, strlen(name)},
					  .coll = id,
					  .mode = mode & 07777,
					  .uid = uid,
					  .gid = gid});
	rwlock_write(&db->names);
	rc = names_add_coll(db, c, err);
	rwlock_unlock(&db->names);
	if (rc == 0) {
		rc = change_commit(&ch, err);
		if (rc < 0)
			coll_forget(db, c);
	}
	change_done(&ch);
	return rc;
}

int
db_coll_create(struct db *db, const char *name, uint32_t mode, uint32_t uid,
	       uint32_t gid, struct err *err)
{
	int rc = db_writable(db, err);

	if (rc < 0)
		return rc;
	mutex_lock(&db->ddl);
	rc = create_locked(db, name, mode, uid, gid, err);
	mutex_unlock(&db->ddl);
	return rc;
}

/* Drops the collection in the same record as the names that ch changes.  Its
 * stripes are held from the check to the end: no put slips in. */
static int
drop_with(struct change *ch, uint32_t id, struct err *err)
{
	struct coll *c;
	int rc = db_coll_open_id(ch->db, id, &c, err);

	if (rc < 0)
		return rc;
	coll_lock_all(c);
	if (coll_live(c) != 0)
		rc = err_set(err, ERR_NOT_EMPTY, "collection has points");
	for (uint32_t s = 0; rc == 0 && s < c->n_shards; s++)
		if (c->shards[s].lost) /* nobody knows that it is empty */
			rc = err_set(err, ERR_READ_ONLY,
				     "collection is damaged: %s", c->error);
	op_encode_coll(&ch->rec, OP_COLL_DROP, id, (struct slice){0}, false);
	if (rc == 0)
		rc = change_commit(ch, err);
	/* its files go now, and no power cut may bring it back without them */
	if (rc == 0)
		rc = db_sync(ch->db, err);
	if (rc == 0)
		coll_forget(ch->db, c);
	coll_unlock_all(c);
	coll_close(c);
	return rc;
}

static int
remove_locked(struct db *db, const char *name, bool alias, struct err *err)
{
	struct change ch = {.db = db};
	struct name_entry *e;
	int rc = name_known(db, name, &e, err);

	if (rc < 0)
		return rc;
	if (!alias && e->target != NULL)
		return err_set(err, ERR_NOT_DIR, "'%s' is an alias", name);
	if (alias && e->target == NULL)
		return err_set(err, ERR_IS_DIR, "'%s' is a collection", name);
	change_drop(&ch, name);
	rc = alias ? change_commit(&ch, err) : drop_with(&ch, e->coll, err);
	change_done(&ch);
	return rc;
}

static int
remove_name(struct db *db, const char *name, bool alias, struct err *err)
{
	int rc = db_writable(db, err);

	if (rc < 0)
		return rc;
	mutex_lock(&db->ddl);
	rc = remove_locked(db, name, alias, err);
	mutex_unlock(&db->ddl);
	return rc;
}

int
db_coll_remove(struct db *db, const char *name, struct err *err)
{
	return remove_name(db, name, false, err);
}

int
db_alias_remove(struct db *db, const char *name, struct err *err)
{
	return remove_name(db, name, true, err);
}

int
db_alias_create(struct db *db, const char *name, const char *target,
		uint32_t uid, uint32_t gid, struct err *err)
{
	struct change ch = {.db = db};
	int rc = db_writable(db, err);

	if (rc == 0)
		rc = coll_name_check(target, strlen(target), err);
	if (rc < 0)
		return rc;
	mutex_lock(&db->ddl);
	rc = name_free(db, name, err);
	if (rc == 0) {
		change_set(&ch,
			   (struct op_entry){.name = {name, strlen(name)},
					     .target = {target, strlen(target)},
					     .mode = 0777,
					     .uid = uid,
					     .gid = gid});
		rc = change_commit(&ch, err);
	}
	mutex_unlock(&db->ddl);
	change_done(&ch);
	return rc;
}

/* --- rename ---------------------------------------------------------- */

static int
rename_exchange(struct change *ch, const char *from, const char *to,
		struct name_entry *ef, struct name_entry *et, struct err *err)
{
	if (et == NULL)
		return err_set(err, ERR_NOT_FOUND, "no collection '%s'", to);
	change_set(ch, entry_op(ef, to));
	change_set(ch, entry_op(et, from));
	return change_commit(ch, err);
}

static int
rename_locked(struct db *db, const char *from, const char *to, unsigned flags,
	      struct err *err)
{
	struct change ch = {.db = db};
	struct name_entry *ef, *et;
	int rc = name_known(db, from, &ef, err);

	if (rc == 0)
		rc = coll_name_check(to, strlen(to), err);
	if (rc < 0)
		return rc;
	et = names_find(db, to, strlen(to));
	if (et == ef)
		return 0;
	if (et != NULL && (flags & RENAME_FLAG_NOREPLACE) != 0)
		return err_set(err, ERR_EXISTS, "'%s' exists already", to);
	if ((flags & RENAME_FLAG_EXCHANGE) != 0)
		rc = rename_exchange(&ch, from, to, ef, et, err);
	else if (et != NULL && ef->target == NULL && et->target != NULL)
		rc = err_set(err, ERR_NOT_DIR, "'%s' is an alias", to);
	else if (et != NULL && ef->target != NULL && et->target == NULL)
		rc = err_set(err, ERR_IS_DIR, "'%s' is a collection", to);
	else {
		change_drop(&ch, from);
		change_set(&ch, entry_op(ef, to));
		rc = et != NULL && et->target == NULL
			     ? drop_with(&ch, et->coll, err)
			     : change_commit(&ch, err);
	}
	change_done(&ch);
	return rc;
}

int
db_rename(struct db *db, const char *from, const char *to, unsigned flags,
	  struct err *err)
{
	int rc = db_writable(db, err);

	if (rc < 0)
		return rc;
	mutex_lock(&db->ddl);
	rc = rename_locked(db, from, to, flags, err);
	mutex_unlock(&db->ddl);
	return rc;
}

/* --- reading --------------------------------------------------------- */

static int
entry_out(const struct name_entry *e, struct arena *a,
	  struct catalog_entry *ret, struct err *err)
{
	*ret = (struct catalog_entry){
		.name = arena_strndup(a, e->name, strlen(e->name)),
		.target = e->target != NULL ? arena_strndup(a, e->target,
							    strlen(e->target))
					    : NULL,
		.id = e->coll,
		.mode = e->mode,
		.uid = e->uid,
		.gid = e->gid,
		.mtime_us = e->mtime_us,
	};
	if (ret->name == NULL || (e->target != NULL && ret->target == NULL))
		return err_set(err, ERR_NO_MEMORY, "no memory");
	return 0;
}

int
db_catalog_list(struct db *db, struct arena *a, struct catalog_entry **ret,
		uint32_t *ret_n, struct err *err)
{
	struct catalog_entry *list;
	int rc = 0;

	rwlock_read(&db->names);
	list = arena_alloc(a, ((size_t)db->n_entries + 1) * sizeof *list);
	if (list == NULL)
		rc = err_set(err, ERR_NO_MEMORY, "no memory");
	for (uint32_t i = 0; rc == 0 && i < db->n_entries; i++)
		rc = entry_out(&db->entries[i], a, &list[i], err);
	*ret_n = db->n_entries;
	rwlock_unlock(&db->names);
	if (rc == 0)
		*ret = list;
	return rc;
}

int
db_catalog_find(struct db *db, const char *name, struct arena *a,
		struct catalog_entry *ret, struct err *err)
{
	struct name_entry *e;
	int rc;

	rwlock_read(&db->names);
	rc = name_known(db, name, &e, err);
	if (rc == 0)
		rc = entry_out(e, a, ret, err);
	rwlock_unlock(&db->names);
	return rc;
}

static struct name_entry *
names_by_id(struct db *db, uint32_t id)
{
	for (uint32_t i = 0; i < db->n_entries; i++)
		if (db->entries[i].target == NULL && db->entries[i].coll == id)
			return &db->entries[i];
	return NULL;
}

int
db_catalog_find_id(struct db *db, uint32_t id, struct arena *a,
		   struct catalog_entry *ret, struct err *err)
{
	struct name_entry *e;
	int rc;

	rwlock_read(&db->names);
	e = names_by_id(db, id);
	rc = e != NULL ? entry_out(e, a, ret, err)
		       : err_set(err, ERR_NOT_FOUND, "no such collection");
	rwlock_unlock(&db->names);
	return rc;
}

static int
entry_change(struct db *db, uint32_t id,
	     void (*edit)(struct op_entry *e, const void *arg), const void *arg,
	     struct err *err)
{
	struct change ch = {.db = db};
	struct name_entry *e;
	struct op_entry op;
	int rc = db_writable(db, err);

	if (rc < 0)
		return rc;
	mutex_lock(&db->ddl);
	e = names_by_id(db, id);
	if (e == NULL) {
		rc = err_set(err, ERR_NOT_FOUND, "no such collection");
	} else {
		op = entry_op(e, e->name);
		edit(&op, arg);
		change_set(&ch, op);
		rc = change_commit(&ch, err);
	}
	mutex_unlock(&db->ddl);
	change_done(&ch);
	return rc;
}

static void
edit_owner(struct op_entry *e, const void *arg)
{
	const uint32_t *v = arg;

	e->mode = v[0] & 07777;
	e->uid = v[1];
	e->gid = v[2];
}

int
db_coll_set_owner(struct db *db, uint32_t id, uint32_t mode, uint32_t uid,
		  uint32_t gid, struct err *err)
{
	const uint32_t v[3] = {mode, uid, gid};

	return entry_change(db, id, edit_owner, v, err);
}

static void
edit_mtime(struct op_entry *e, const void *arg)
{
	const int64_t *mtime_us = arg;

	e->mtime_us = *mtime_us;
}

int
db_coll_set_mtime(struct db *db, uint32_t id, int64_t mtime_us, struct err *err)
{
	return entry_change(db, id, edit_mtime, &mtime_us, err);
}

int
db_coll_open_id(struct db *db, uint32_t id, struct coll **ret, struct err *err)
{
	struct coll *c;

	rwlock_read(&db->names);
	c = id < db->n_colls ? db->colls[id] : NULL;
	if (c != NULL)
		coll_ref(c);
	rwlock_unlock(&db->names);
	if (c == NULL)
		return err_set(err, ERR_NOT_FOUND, "no such collection");
	*ret = c;
	return 0;
}

int
db_coll_open(struct db *db, const char *name, struct coll **ret,
	     struct err *err)
{
	struct name_entry *e;
	uint32_t id = 0;
	int rc;

	rwlock_read(&db->names);
	rc = name_known(db, name, &e, err);
	if (rc == 0 && e->target != NULL)
		rc = name_known(db, e->target, &e, err);
	if (rc == 0 && e->target != NULL)
		rc = err_set(err, ERR_NOT_FOUND, "alias '%s' leads to an alias",
			     name);
	if (rc == 0)
		id = e->coll;
	rwlock_unlock(&db->names);
	return rc < 0 ? rc : db_coll_open_id(db, id, ret, err);
}
