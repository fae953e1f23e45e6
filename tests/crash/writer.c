/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/oracle_impl.h"

#include "engine/base/check.h"

#include <stdio.h>
#include <string.h>

#define BATCH_MAX 8u

struct change { /* between the ledger and the call */
	struct writer *w;
	struct ledger *l;
	const struct state *now;
	struct state *next;
};

static struct change
change_begin(struct writer *w)
{
	struct ledger *l = &w->o->led[w->nr];

	return (struct change){w, l, ledger_now(l), ledger_begin(l)};
}

/* The call is about to be made; one that will be refused changes nothing. */
static void
change_fly(struct change *ch, int want)
{
	if (want != 0)
		*ch->next = *ch->now;
	ledger_fly(ch->l);
}

/* The call is over: want is what it had to answer.  An answer that is neither
 * is only fine where faults are. */
static enum outcome
change_end(struct change *ch, int rc, int want, const struct err *err)
{
	struct writer *w = ch->w;

	if (rc == want) {
		ledger_end(w->o, ch->l, rc == 0);
		return OUT_OK;
	}
	if (!w->may_fail)
		die("writer %u: %s instead of %s: %s", w->nr, err_name(rc),
		    err_name(want), err_text(err));
	if (rc == 0)
		die("writer %u: done instead of %s", w->nr, err_name(want));
	w->rc = rc;
	if (rc != -ERR_NO_SPACE)
		return OUT_DOUBT;
	ledger_end(w->o, ch->l, false);
	return OUT_FULL;
}

static uint32_t
rnd_obj(struct writer *w)
{
	uint32_t from = w->nr == 0 && !w->alone ? OBJ_FREE : 0;
	uint32_t upto = w->nr == 0 ? OBJS : OBJ_FREE;

	return from + rnd_below(&w->rnd, upto - from);
}

static uint32_t
obj_id(struct writer *w, uint32_t obj)
{
	if (obj < OBJ_FREE)
		return w->o->shared_id[obj];
	return ledger_now(&w->o->led[0])->obj_id[obj];
}

/* Shared objects are never removed; their numbers do not change. */
static struct coll *
obj_open(struct writer *w, uint32_t obj)
{
	struct coll *c;
	struct err err = {0};

	if (obj_id(w, obj) == 0)
		return NULL;
	ok(db_coll_open_id(w->db, obj_id(w, obj), &c, &err));
	return c;
}

/* --- points ----------------------------------------------------------------
 */

static enum outcome
step_put(struct writer *w, uint32_t obj, struct coll *c)
{
	struct change ch = change_begin(w);
	uint32_t k = rnd_below(&w->rnd, KEYS), seq = ch.l->next_seq++;
	struct put_opts opts = {.mode = PUT_UPSERT};
	struct id_key id = key_id(w->nr, k);
	struct arena a = {0};
	struct err err = {0};
	struct point p;
	int rc;

	doc_point(w->nr, seq, &id, &a, &p);
	ch.next->seq[obj][k] = seq;
	change_fly(&ch, 0);
	rc = coll_put(c, &p, &opts, &err);
	arena_done(&a);
	return change_end(&ch, rc, 0, &err);
}

static enum outcome
step_put_many(struct writer *w, uint32_t obj, struct coll *c)
{
	struct change ch = change_begin(w);
	uint32_t n = 1 + rnd_below(&w->rnd, BATCH_MAX);
	uint32_t at = rnd_below(&w->rnd, KEYS);
	struct err errs[BATCH_MAX] = {{0}}, err = {0};
	struct point p[BATCH_MAX];
	struct arena a = {0};
	int rcs[BATCH_MAX], rc;

	for (uint32_t i = 0; i < n; i++) {
		struct id_key id = key_id(w->nr, (at + i) % KEYS);
		uint32_t seq = ch.l->next_seq++;

		doc_point(w->nr, seq, &id, &a, &p[i]);
		ch.next->seq[obj][(at + i) % KEYS] = seq;
	}
	change_fly(&ch, 0);
	rc = coll_put_many(c, p, n, rcs, errs, &err);
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		die_at(rcs[i], &errs[i], __FILE__, __LINE__);
	arena_done(&a);
	return change_end(&ch, rc, 0, &err);
}

static enum outcome
step_delete(struct writer *w, uint32_t obj, struct coll *c)
{
	struct change ch = change_begin(w);
	uint32_t k = rnd_below(&w->rnd, KEYS);
	struct id_key id = key_id(w->nr, k);
	struct err err = {0};
	int want;

	want = ch.now->seq[obj][k] != 0 ? 0 : -ERR_NOT_FOUND;
	ch.next->seq[obj][k] = 0;
	change_fly(&ch, want);
	return change_end(&ch, coll_delete(c, &id, &err), want, &err);
}

static enum outcome
step_move(struct writer *w, uint32_t obj, struct coll *c)
{
	uint32_t obj2 = rnd_obj(w), k = rnd_below(&w->rnd, KEYS);
	uint32_t k2 = rnd_below(&w->rnd, 3) != 0 ? k : rnd_below(&w->rnd, KEYS);
	struct id_key id = key_id(w->nr, k), id2 = key_id(w->nr, k2);
	bool keep = rnd_below(&w->rnd, 2) != 0;
	struct coll *to = obj_open(w, obj2);
	struct change ch = change_begin(w);
	struct err err = {0};
	enum outcome out = OUT_OK;
	int want = 0;

	if (to == NULL || (obj == obj2 && k == k2)) {
		coll_close(to);
		return OUT_OK;
	}
	if (ch.now->seq[obj][k] == 0)
		want = -ERR_NOT_FOUND;
	else if (keep && ch.now->seq[obj2][k2] != 0)
		want = -ERR_EXISTS;
	ch.next->seq[obj2][k2] = ch.now->seq[obj][k];
	ch.next->seq[obj][k] = 0;
	change_fly(&ch, want);
	out = change_end(&ch, coll_move(c, &id, to, &id2, keep, &err), want,
			 &err);
	coll_close(to);
	return out;
}

static enum outcome
step_exchange(struct writer *w, uint32_t obj, struct coll *c)
{
	uint32_t obj2 = rnd_obj(w), k = rnd_below(&w->rnd, KEYS);
	uint32_t k2 = rnd_below(&w->rnd, KEYS);
	struct id_key id = key_id(w->nr, k), id2 = key_id(w->nr, k2);
	struct coll *to = obj_open(w, obj2);
	struct change ch = change_begin(w);
	struct err err = {0};
	enum outcome out = OUT_OK;
	int want = ch.now->seq[obj][k] != 0 && ch.now->seq[obj2][k2] != 0
			   ? 0
			   : -ERR_NOT_FOUND;

	if (to == NULL || (obj == obj2 && k == k2)) {
		coll_close(to);
		return OUT_OK;
	}
	ch.next->seq[obj2][k2] = ch.now->seq[obj][k];
	ch.next->seq[obj][k] = ch.now->seq[obj2][k2];
	change_fly(&ch, want);
	out = change_end(&ch, coll_exchange(c, &id, to, &id2, &err), want,
			 &err);
	coll_close(to);
	return out;
}

/* What a writer owns it must see as it left it, while others write. */
static enum outcome
step_look(struct writer *w, uint32_t obj, struct coll *c)
{
	const struct state *now = ledger_now(&w->o->led[w->nr]);
	uint32_t want[WRITERS][KEYS] = {{0}};

	memcpy(want[w->nr], now->seq[obj], sizeof want[w->nr]);
	if (w->nr != 0) { /* ids of the others are theirs to know */
		for (uint32_t i = 0; i < WRITERS; i++)
			for (uint32_t k = 0; i != w->nr && k < KEYS; k++)
				want[i][k] = 1;
	}
	coll_compare(c, want, w->nr);
	return OUT_OK;
}

/* --- names
 * --------------------------------------------------------------------- */

static bool
obj_empty(const struct state *s, int32_t obj)
{
	for (uint32_t k = 0; k < KEYS; k++)
		if (s->seq[obj][k] != 0)
			return false;
	return true;
}

static void
obj_gone(struct state *s, int32_t obj)
{
	s->obj_id[obj] = 0;
	s->ef[obj] = 0;
}

static enum outcome
step_create(struct writer *w, uint32_t n)
{
	struct change ch = change_begin(w);
	struct catalog_entry e;
	struct arena a = {0};
	struct err err = {0};
	uint32_t obj = OBJ_FREE;
	int rc, want = ch.now->name[n] == NAME_NONE ? 0 : -ERR_EXISTS;

	while (obj < OBJS && ch.now->obj_id[obj] != 0)
		obj++;
	if (obj == OBJS)
		return OUT_OK;
	ch.next->name[n] = (int32_t)obj;
	ch.next->obj_id[obj] = OBJ_ID_OPEN;
	change_fly(&ch, want);
	rc = db_coll_create(w->db, name_text(n), 0700, 1, 1, &err);
	if (rc == 0) {
		ok(db_catalog_find(w->db, name_text(n), &a, &e, &err));
		ch.next->obj_id[obj] = e.id;
		arena_done(&a);
	}
	return change_end(&ch, rc, want, &err);
}

static enum outcome
step_remove(struct writer *w, uint32_t n)
{
	struct change ch = change_begin(w);
	int32_t is = ch.now->name[n];
	struct err err = {0};
	int want = 0;

	if (is >= 0 && is < OBJ_FREE)
		return OUT_OK;
	if (is == NAME_NONE)
		want = -ERR_NOT_FOUND;
	else if (is >= NAME_ALIAS)
		want = -ERR_NOT_DIR;
	else if (!obj_empty(ch.now, is))
		want = -ERR_NOT_EMPTY;
	else
		obj_gone(ch.next, is);
	ch.next->name[n] = NAME_NONE;
	change_fly(&ch, want);
	return change_end(&ch, db_coll_remove(w->db, name_text(n), &err), want,
			  &err);
}

static enum outcome
step_alias(struct writer *w, uint32_t n)
{
	struct change ch = change_begin(w);
	uint32_t to = rnd_below(&w->rnd, NAMES);
	int32_t is = ch.now->name[n];
	struct err err = {0};
	int want;

	if (is >= NAME_ALIAS) {
		ch.next->name[n] = NAME_NONE;
		change_fly(&ch, 0);
		return change_end(&ch,
				  db_alias_remove(w->db, name_text(n), &err), 0,
				  &err);
	}
	want = is == NAME_NONE ? 0 : -ERR_EXISTS;
	ch.next->name[n] = NAME_ALIAS + (int32_t)to;
	change_fly(&ch, want);
	return change_end(
		&ch,
		db_alias_create(w->db, name_text(n), name_text(to), 1, 1, &err),
		want, &err);
}

static int
rename_model(const struct state *now, struct state *next, uint32_t n,
	     uint32_t to, unsigned flags)
{
	int32_t a = now->name[n], b = now->name[to];

	if (a == NAME_NONE)
		return -ERR_NOT_FOUND;
	if ((flags & RENAME_FLAG_NOREPLACE) != 0 && b != NAME_NONE)
		return -ERR_EXISTS;
	next->name[to] = a;
	next->name[n] = NAME_NONE;
	if ((flags & RENAME_FLAG_EXCHANGE) != 0) {
		next->name[n] = b;
		return b != NAME_NONE ? 0 : -ERR_NOT_FOUND;
	}
	if (b == NAME_NONE || (a >= NAME_ALIAS && b >= NAME_ALIAS))
		return 0;
	if (a < NAME_ALIAS && b >= NAME_ALIAS)
		return -ERR_NOT_DIR;
	if (a >= NAME_ALIAS)
		return -ERR_IS_DIR;
	if (!obj_empty(now, b))
		return -ERR_NOT_EMPTY;
	obj_gone(next, b);
	return 0;
}

static enum outcome
step_rename(struct writer *w, uint32_t n)
{
	static const unsigned all[] = {0, RENAME_FLAG_NOREPLACE,
				       RENAME_FLAG_EXCHANGE};
	struct change ch = change_begin(w);
	unsigned flags = all[rnd_below(&w->rnd, 3)];
	uint32_t to = rnd_below(&w->rnd, NAMES);
	int32_t there = ch.now->name[to];
	struct err err = {0};
	int want;

	/* whether a shared one is empty, only its writers know */
	if (n == to || (flags == 0 && there >= 0 && there < OBJ_FREE))
		return OUT_OK;
	want = rename_model(ch.now, ch.next, n, to, flags);
	change_fly(&ch, want);
	return change_end(
		&ch, db_rename(w->db, name_text(n), name_text(to), flags, &err),
		want, &err);
}

static enum outcome
step_config(struct writer *w)
{
	struct change ch = change_begin(w);
	uint32_t obj = rnd_below(&w->rnd, OBJS);
	struct coll *c = obj_open(w, obj);
	struct err err = {0};
	enum outcome out;
	char text[80];

	if (c == NULL)
		return OUT_OK;
	ch.next->ef[obj] = 20 + rnd_below(&w->rnd, 100);
	snprintf(text, sizeof text, "{\"hnsw_config\": {\"ef_construct\": %u}}",
		 ch.next->ef[obj]);
	change_fly(&ch, 0);
	out = change_end(&ch, coll_set_config(c, text, strlen(text), &err), 0,
			 &err);
	coll_close(c);
	return out;
}

static enum outcome
step_names(struct writer *w)
{
	uint32_t n = rnd_below(&w->rnd, NAMES);

	switch (rnd_below(&w->rnd, 6)) {
	case 0:
		return step_create(w, n);
	case 1:
		return step_remove(w, n);
	case 2:
		return step_alias(w, n);
	case 3:
		return step_config(w);
	default:
		return step_rename(w, n);
	}
}

enum outcome
writer_step(struct writer *w)
{
	uint32_t what = rnd_below(&w->rnd, 100), obj = rnd_obj(w);
	enum outcome out;
	struct coll *c;

	if (w->nr == 0 && rnd_below(&w->rnd, w->alone ? 8 : 2) == 0)
		return step_names(w);
	c = obj_open(w, obj);
	if (c == NULL)
		return OUT_OK;
	if (what < 40)
		out = step_put(w, obj, c);
	else if (what < 55)
		out = step_put_many(w, obj, c);
	else if (what < 75)
		out = step_delete(w, obj, c);
	else if (what < 91)
		out = step_move(w, obj, c);
	else if (what < 97)
		out = step_exchange(w, obj, c);
	else
		out = step_look(w, obj, c);
	coll_close(c);
	return out;
}
