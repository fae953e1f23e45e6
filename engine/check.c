/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/check.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/collection_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct checking {
	bool deep;
	void (*report)(void *arg, const char *line);
	void *arg;
	unsigned n_damaged;
};

static void __attribute__((format(printf, 2, 3)))
say(struct checking *k, const char *fmt, ...)
{
	char line[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (k->report != NULL)
		k->report(k->arg, line);
}

static void
check_shard(struct checking *k, const char *name, struct shard *s)
{
	for (uint32_t i = 0; i < s->n_segs; i++) {
		struct seg_state *st = &s->segs[i];
		struct err err = {0};
		int rc = 0;

		if (st->seg == NULL) /* it says why when it is opened */
			rc = seg_open(s->coll->dirfd, &st->desc,
				      s->coll->distance, &st->seg, &err);
		if (rc == 0)
			rc = seg_verify(st->seg, k->deep, &err);
		if (rc == 0)
			continue;
		k->n_damaged++;
		say(k, "collections/%s (%08x), shard %u, segment %llu: %s",
		    name, s->coll->id, s->nr,
		    (unsigned long long)st->desc.id, err_text(&err));
	}
}

static void
check_coll(struct checking *k, const struct catalog_entry *e, struct coll *c)
{
	struct coll_status st;
	unsigned before = k->n_damaged;

	if (c->unreadable) {
		k->n_damaged++;
		say(k, "collections/%s (%08x): %s", e->name, c->id, c->error);
		return;
	}
	for (uint32_t s = 0; s < c->n_shards; s++)
		check_shard(k, e->name, &c->shards[s]);
	coll_status(c, &st);
	say(k, "collections/%s: %llu points, %u segments, %s", e->name,
	    (unsigned long long)st.points, st.segments,
	    k->n_damaged == before ? "good" : "damaged");
}

int
db_check(struct db *db, bool deep,
	 void (*report)(void *arg, const char *line), void *arg,
	 struct err *err)
{
	CLEAN(arena_done) struct arena a = {0};
	struct checking k = {.deep = deep, .report = report, .arg = arg};
	struct catalog_entry *e;
	struct db_status st;
	uint32_t n;
	int rc = db_catalog_list(db, &a, &e, &n, err);

	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		struct coll *c;

		if (e[i].target != NULL)
			continue;
		rc = db_coll_open_id(db, e[i].id, &c, err);
		if (rc < 0)
			return rc;
		check_coll(&k, &e[i], c);
		coll_close(c);
	}
	if (rc < 0)
		return rc;
	db_status(db, &st);
	if (st.lost_from != 0) {
		k.n_damaged++;
		say(&k, "%s", st.warning);
	} else {
		say(&k, "log: good up to position %llu",
		    (unsigned long long)st.last);
	}
	if (k.n_damaged != 0)
		return err_set(err, ERR_DAMAGED, "%u damaged", k.n_damaged);
	return 0;
}
