/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/check.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/collection_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

struct checked {         /* a segment of one moment */
	struct seg *seg; /* NULL: it could not be opened */
	struct seg_desc desc;
};

/* The list without what merges do to it meanwhile. */
static int
segs_take(struct shard *s, struct checked **ret, uint32_t *ret_n,
	  struct err *err)
{
	struct checked *list;
	uint32_t n = 0;
	int rc = 0;

	mutex_lock(&s->coll->manifest);
	list = calloc((size_t)s->n_segs + 1, sizeof *list);
	if (list == NULL)
		rc = err_set(err, ERR_NO_MEMORY, "no memory to check");
	for (; rc == 0 && n < s->n_segs; n++) {
		list[n].seg = s->segs[n].seg;
		rc = seg_desc_copy(&s->segs[n].desc, &list[n].desc, err);
		if (rc < 0)
			break;
		if (list[n].seg != NULL)
			seg_ref(list[n].seg);
	}
	mutex_unlock(&s->coll->manifest);
	*ret = list;
	*ret_n = n;
	return rc;
}

static void
check_seg(struct checking *k, const char *name, struct shard *s,
	  struct checked *ch)
{
	struct err err = {0};
	int rc = 0;

	if (ch->seg == NULL) /* it says why when it is opened */
		rc = seg_open(s->coll->dirfd, &ch->desc, 0, &ch->seg, &err);
	if (rc == 0)
		rc = seg_verify(ch->seg, k->deep, &err);
	if (rc == 0)
		return;
	k->n_damaged++;
	say(k, "collections/%s (%08x), shard %u, segment %llu: %s", name,
	    s->coll->id, s->nr, (unsigned long long)ch->desc.id,
	    err_text(&err));
}

static int
check_shard(struct checking *k, const char *name, struct shard *s,
	    struct err *err)
{
	struct checked *list;
	uint32_t n;
	int rc = segs_take(s, &list, &n, err);

	for (uint32_t i = 0; i < n; i++) {
		if (rc == 0)
			check_seg(k, name, s, &list[i]);
		seg_unref(list[i].seg);
		seg_desc_done(&list[i].desc);
	}
	free(list);
	return rc;
}

static int
check_coll(struct checking *k, const struct catalog_entry *e, struct coll *c,
	   struct err *err)
{
	struct coll_status st;
	unsigned before = k->n_damaged;
	int rc = 0;

	if (c->unreadable) {
		k->n_damaged++;
		say(k, "collections/%s (%08x): %s", e->name, c->id, c->error);
		return 0;
	}
	for (uint32_t s = 0; rc == 0 && s < c->n_shards; s++)
		rc = check_shard(k, e->name, &c->shards[s], err);
	if (rc < 0)
		return rc;
	coll_status(c, &st);
	say(k, "collections/%s: %llu points, %u segments, %s", e->name,
	    (unsigned long long)st.points, st.segments,
	    k->n_damaged == before ? "good" : "damaged");
	return 0;
}

int
db_check(struct db *db, bool deep, void (*report)(void *arg, const char *line),
	 void *arg, struct err *err)
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
		if (db_coll_open_id(db, e[i].id, &c, NULL) < 0)
			continue; /* removed meanwhile */
		rc = check_coll(&k, &e[i], c, err);
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
