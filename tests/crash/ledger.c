/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/oracle_impl.h"

#include "engine/base/check.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct oracle *
oracle_new(uint32_t n_writers)
{
	struct oracle *o = mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	check(o != MAP_FAILED && n_writers <= WRITERS);
	o->n_writers = n_writers;
	oracle_reset(o);
	return o;
}

void
oracle_free(struct oracle *o)
{
	munmap(o, sizeof *o);
}

void
oracle_reset(struct oracle *o)
{
	memset(o->led, 0, sizeof o->led);
	for (uint32_t w = 0; w < WRITERS; w++) {
		o->led[w].next_seq = 1;
		for (uint32_t n = 0; n < NAMES; n++)
			o->led[w].st[0].name[n] = NAME_NONE;
	}
}

const struct state *
ledger_now(const struct ledger *l)
{
	return &l->st[l->word & 1];
}

struct state *
ledger_begin(struct ledger *l)
{
	struct state *next = &l->st[1 - (l->word & 1)];

	*next = *ledger_now(l);
	return next;
}

void
ledger_fly(struct ledger *l)
{
	l->word |= LEDGER_FLYING;
}

void
ledger_end(struct oracle *o, struct ledger *l, bool done)
{
	uint32_t at = l->word & 1;

	l->word = done ? 1 - at : at;
	if (done)
		o->acked++;
}

const char *
name_text(uint32_t n)
{
	static const char *const names[NAMES] = {"cats", "dogs", "a", "b",
						 "c",    "d",    "e"};

	return names[n];
}

static void
setup_one(struct oracle *o, struct db *db, uint32_t obj)
{
	struct ledger *l = &o->led[0];
	struct state *s = ledger_begin(l);
	struct catalog_entry e;
	struct arena a = {0};
	struct err err = {0};
	struct coll *c;
	char conf[200];

	snprintf(conf, sizeof conf,
		 "{\"shard_number\": %u, \"optimizers_config\": "
		 "{\"indexing_threshold\": 1}}",
		 obj + 1);
	ok(db_coll_create(db, name_text(obj), 0755, 0, 0, &err));
	ok(db_coll_open(db, name_text(obj), &c, &err));
	ok(coll_set_config(c, conf, strlen(conf), &err));
	coll_close(c);
	ok(db_catalog_find(db, name_text(obj), &a, &e, &err));
	s->name[obj] = (int32_t)obj;
	s->obj_id[obj] = o->shared_id[obj] = e.id;
	ledger_end(o, l, true);
	arena_done(&a);
}

void
oracle_setup(struct oracle *o, struct db *db)
{
	struct err err = {0};

	for (uint32_t obj = 0; obj < OBJ_FREE; obj++)
		setup_one(o, db, obj);
	ok(db_sync(db, &err));
}
