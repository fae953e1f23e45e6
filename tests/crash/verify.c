/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/oracle_impl.h"

#include "engine/base/check.h"
#include "engine/check.h"
#include "engine/json/json_point.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- one collection: all ways of reading say the same --------------------- */

struct seen {
	bool at[WRITERS][KEYS];
	uint32_t n;
};

/* An id that was found; false: not one of those that are compared. */
static bool
see(struct seen *s, const struct id_key *id, uint32_t want[WRITERS][KEYS],
    uint32_t writer, const char *where, uint32_t *ret_w, uint32_t *ret_k)
{
	uint32_t w, k;

	if (!key_of(id, &w, &k))
		die("%s: invented id", where);
	if (writer != UINT32_MAX && w != writer)
		return false;
	if (want[w][k] == 0)
		die("%s: key %u of writer %u should not be there", where, k, w);
	if (s->at[w][k])
		die("%s: key %u of writer %u twice", where, k, w);
	s->at[w][k] = true;
	s->n++;
	*ret_w = w;
	*ret_k = k;
	return true;
}

static uint32_t
want_count(uint32_t want[WRITERS][KEYS], uint32_t writer, bool with_vector)
{
	uint32_t n = 0;

	for (uint32_t w = 0; w < WRITERS; w++)
		for (uint32_t k = 0; k < KEYS; k++)
			if ((writer == UINT32_MAX || w == writer) &&
			    want[w][k] != 0 &&
			    (!with_vector || doc_has_vector(want[w][k])))
				n++;
	return n;
}

static void
listing_compare(struct coll *c, uint32_t want[WRITERS][KEYS], uint32_t writer)
{
	struct seen seen = {.n = 0};
	struct coll_list *l;
	struct point_stat st;
	struct id_key id;
	struct err err = {0};
	uint64_t pos = 0, no;
	uint32_t w, k;
	int rc;

	ok(coll_list_open(c, &l, &err));
	while ((rc = coll_list_next(l, &pos, &id, &no, &st, &err)) > 0) {
		CLEAN(buf_done) struct buf text = {0};

		if (!see(&seen, &id, want, writer, "listing", &w, &k))
			continue;
		doc_text(w, want[w][k], &id, &text);
		if (st.size != text.n || st.mtime_ns != want[w][k])
			die("listing: key %u of writer %u has seq %lld, size "
			    "%u, not seq %u, size %zu",
			    k, w, (long long)st.mtime_ns, st.size, want[w][k],
			    text.n);
	}
	ok(rc);
	coll_list_close(l);
	if (seen.n != want_count(want, writer, false))
		die("listing has %u of %u", seen.n,
		    want_count(want, writer, false));
}

static void
scroll_compare(struct coll *c, uint32_t want[WRITERS][KEYS], uint32_t writer)
{
	struct scroll_request r = {.limit = 37};
	struct seen seen = {.n = 0};
	struct arena a = {0};
	struct err err = {0};
	struct id_key next;
	uint32_t w, k;

	do {
		struct hits h;

		ok(coll_scroll(c, &r, &a, &h, &next, &err));
		for (uint32_t i = 0; i < h.n; i++)
			(void)see(&seen, &h.h[i].point.id, want, writer,
				  "scroll", &w, &k);
		r.offset = next;
	} while (next.n != 0);
	if (seen.n != want_count(want, writer, false))
		die("scroll has %u of %u", seen.n,
		    want_count(want, writer, false));
	arena_done(&a);
}

static double
cosine(const float *x, const float *y)
{
	double xy = 0, xx = 0, yy = 0;

	for (int d = 0; d < DIM; d++) {
		xy += (double)x[d] * (double)y[d];
		xx += (double)x[d] * (double)x[d];
		yy += (double)y[d] * (double)y[d];
	}
	return xy / sqrt(xx * yy);
}

/* Exact: all vectors and no others; with graphs: no others. */
static void
search_compare(struct coll *c, uint32_t want[WRITERS][KEYS], uint32_t writer,
	       bool exact)
{
	float q[DIM] = {1, 2, -3, 4, -5, 6, -7, 8}, v[DIM];
	struct query query = {.kind = QUERY_VECTOR,
			      .vec = q,
			      .dim = DIM,
			      .limit = 2 * WRITERS * KEYS,
			      .exact = exact};
	uint32_t n = want_count(want, writer, true), w, k;
	struct seen seen = {.n = 0};
	struct arena a = {0};
	struct err err = {0};
	struct hits h;

	if (n == 0) /* the size may be not fixed */
		return;
	ok(coll_search(c, &query, &a, &h, &err));
	for (uint32_t i = 0; i < h.n; i++) {
		if (!see(&seen, &h.h[i].point.id, want, writer, "search", &w,
			 &k))
			continue;
		doc_vector(w, want[w][k], v);
		if (!doc_has_vector(want[w][k]) ||
		    fabs(cosine(q, v) - (double)h.h[i].score) > 1e-4)
			die("search: key %u of writer %u has score %g, not %g",
			    k, w, (double)h.h[i].score, cosine(q, v));
	}
	if (exact && seen.n != n)
		die("exact search has %u of %u", seen.n, n);
	arena_done(&a);
}

void
coll_compare(struct coll *c, uint32_t want[WRITERS][KEYS], uint32_t writer)
{
	listing_compare(c, want, writer);
	scroll_compare(c, want, writer);
	search_compare(c, want, writer, true);
	search_compare(c, want, writer, false);
}

/* --- the database as it is
 * ------------------------------------------------------ */

/* What get and stat find of one key; 0: nothing. */
static uint32_t
point_look(struct coll *c, uint32_t w, uint32_t k)
{
	struct id_key id = key_id(w, k), back;
	struct arena a = {0};
	struct err err = {0};
	struct point_stat st;
	struct point p;
	uint32_t seq = 0;
	int rc = coll_get(c, &id, &a, &p, &err);

	if (rc != -ERR_NOT_FOUND) {
		ok(rc);
		seq = doc_check(&p, w);
		ok(coll_stat(c, &id, &st, &err));
		if (st.size != p.doc.size || st.no != p.no || st.lsn != p.lsn)
			die("stat and get differ on key %u of writer %u", k, w);
		ok(coll_stat_no(c, st.no, &back, &st, &err));
		if (id_cmp(back.b, back.n, id.b, id.n) != 0)
			die("number %llu leads to another id",
			    (unsigned long long)st.no);
	}
	arena_done(&a);
	return seq;
}

struct found {
	struct catalog_entry *e;
	uint32_t n;
	uint32_t seq[WRITERS][OBJS][KEYS];
};

static const struct catalog_entry *
entry_find(const struct found *f, const char *name)
{
	for (uint32_t i = 0; i < f->n; i++)
		if (strcmp(f->e[i].name, name) == 0)
			return &f->e[i];
	return NULL;
}

static bool
name_matches(const struct state *s, const struct found *f, uint32_t n)
{
	const struct catalog_entry *e = entry_find(f, name_text(n));
	int32_t is = s->name[n];

	if (is == NAME_NONE || e == NULL)
		return is == NAME_NONE && e == NULL;
	if (is >= NAME_ALIAS)
		return e->target != NULL &&
		       strcmp(e->target,
			      name_text((uint32_t)is - NAME_ALIAS)) == 0;
	return e->target == NULL &&
	       (s->obj_id[is] == OBJ_ID_OPEN || s->obj_id[is] == e->id);
}

static bool
ef_matches(struct db *db, const struct state *s, uint32_t obj)
{
	struct coll_config conf = {0};
	struct arena a = {0};
	struct err err = {0};
	struct coll *c;

	if (s->obj_id[obj] == 0 || s->obj_id[obj] == OBJ_ID_OPEN ||
	    s->ef[obj] == 0 ||
	    db_coll_open_id(db, s->obj_id[obj], &c, &err) < 0)
		return true;
	ok(coll_config(c, &a, &conf, &err));
	coll_close(c);
	arena_done(&a);
	return conf.hnsw_ef_construct == s->ef[obj];
}

static bool
names_match(struct db *db, const struct state *s, const struct found *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < NAMES; i++) {
		if (!name_matches(s, f, i))
			return false;
		n += s->name[i] != NAME_NONE;
	}
	for (uint32_t o = 0; o < OBJS; o++)
		if (!ef_matches(db, s, o))
			return false;
	return n == f->n;
}

static bool
state_matches(struct db *db, const struct state *s, const struct found *f,
	      uint32_t w)
{
	return memcmp(s->seq, f->seq[w], sizeof s->seq) == 0 &&
	       (w != 0 || names_match(db, s, f));
}

static void
state_print(const char *what, uint32_t w, const struct state *s,
	    const struct found *f)
{
	fprintf(stderr, "%s of writer %u:\n", what, w);
	for (uint32_t o = 0; o < OBJS; o++)
		for (uint32_t k = 0; k < KEYS; k++)
			if (s->seq[o][k] != f->seq[w][o][k])
				fprintf(stderr,
					"  object %u key %u: %u, found %u\n", o,
					k, s->seq[o][k], f->seq[w][o][k]);
	for (uint32_t n = 0; w == 0 && n < NAMES; n++)
		if (!name_matches(s, f, n))
			fprintf(stderr, "  name %s: %d (id %u) differs\n",
				name_text(n), s->name[n],
				s->name[n] >= 0 && s->name[n] < OBJS
					? s->obj_id[s->name[n]]
					: 0);
}

/* The number of an object in this world; writer 0's change in flight may have
 * made or removed it. */
static uint32_t
obj_number(const struct oracle *o, const struct found *f, uint32_t obj)
{
	const struct ledger *l = &o->led[0];
	const struct state *next = &l->st[1 - (l->word & 1)];
	uint32_t id = ledger_now(l)->obj_id[obj];

	if (id != 0 || (l->word & LEDGER_FLYING) == 0 || next->obj_id[obj] == 0)
		return id;
	for (uint32_t n = 0; n < NAMES; n++)
		if (next->name[n] == (int32_t)obj) {
			const struct catalog_entry *e =
				entry_find(f, name_text(n));

			return e != NULL && e->target == NULL ? e->id : 0;
		}
	return 0;
}

static void
settle(struct oracle *o, struct db *db, const struct found *f, uint32_t w,
       unsigned flags)
{
	struct ledger *l = &o->led[w];
	struct state *next = &l->st[1 - (l->word & 1)];
	bool flying = (l->word & LEDGER_FLYING) != 0;

	if (state_matches(db, ledger_now(l), f, w)) {
		if ((flags & VERIFY_LIVE) == 0)
			l->word &= 1;
		return;
	}
	if (flying && (flags & VERIFY_LIVE) == 0 &&
	    state_matches(db, next, f, w)) {
		for (uint32_t i = 0; i < OBJS && w == 0; i++)
			if (next->obj_id[i] == OBJ_ID_OPEN)
				next->obj_id[i] = obj_number(o, f, i);
		l->word = 1 - (l->word & 1);
		return;
	}
	state_print("acknowledged", w, ledger_now(l), f);
	if (flying)
		state_print("in flight", w, next, f);
	die("writer %u: found is neither what was acknowledged nor what was "
	    "in flight",
	    w);
}

static void
found_read(struct oracle *o, struct db *db, struct found *f, struct arena *a)
{
	struct err err = {0};

	ok(db_catalog_list(db, a, &f->e, &f->n, &err));
	for (uint32_t obj = 0; obj < OBJS; obj++) {
		uint32_t id = obj_number(o, f, obj);
		struct coll *c;

		if (id == 0 || db_coll_open_id(db, id, &c, &err) < 0)
			continue;
		for (uint32_t w = 0; w < o->n_writers; w++)
			for (uint32_t k = 0; k < KEYS; k++)
				f->seq[w][obj][k] = point_look(c, w, k);
		coll_close(c);
	}
}

static void
objs_compare(struct oracle *o, struct db *db, const struct found *f)
{
	for (uint32_t obj = 0; obj < OBJS; obj++) {
		uint32_t want[WRITERS][KEYS] = {{0}};
		uint32_t id = obj_number(o, f, obj);
		struct err err = {0};
		struct coll *c;
		uint64_t n;

		if (id == 0 || db_coll_open_id(db, id, &c, &err) < 0)
			continue;
		for (uint32_t w = 0; w < o->n_writers; w++)
			memcpy(want[w], f->seq[w][obj], sizeof want[w]);
		coll_compare(c, want, UINT32_MAX);
		ok(coll_count(c, NULL, &n, &err));
		if (n != want_count(want, UINT32_MAX, false))
			die("count of object %u is %llu", obj,
			    (unsigned long long)n);
		coll_close(c);
	}
}

bool
oracle_matches(struct oracle *o, struct db *db)
{
	struct found f = {.n = 0};
	struct arena a = {0};
	bool all = true;

	found_read(o, db, &f, &a);
	for (uint32_t w = 0; w < o->n_writers; w++) {
		const struct ledger *l = &o->led[w];

		all = all &&
		      (state_matches(db, ledger_now(l), &f, w) ||
		       ((l->word & LEDGER_FLYING) != 0 &&
			state_matches(db, &l->st[1 - (l->word & 1)], &f, w)));
	}
	arena_done(&a);
	return all;
}

static void
report_bad(void *arg, const char *line)
{
	(void)arg;
	if (strstr(line, "good") == NULL)
		fprintf(stderr, "%s\n", line);
}

void
oracle_verify(struct oracle *o, struct db *db, unsigned flags)
{
	struct found f = {.n = 0};
	struct arena a = {0};
	struct err err = {0};

	found_read(o, db, &f, &a);
	objs_compare(o, db, &f);
	for (uint32_t w = 0; w < o->n_writers; w++)
		settle(o, db, &f, w, flags);
	ok(db_check(db, true, report_bad, NULL, &err));
	arena_done(&a);
}
