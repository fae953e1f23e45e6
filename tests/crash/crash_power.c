/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts.  A writer works on a database that stands on a disk which forgets
 * what was not synced (shadow_disk.h), until the power goes at some call; what
 * lasted is opened, also under a second cut, and compared with the ledger: with
 * the policy `close` all that was acknowledged is there, with `fsync` the state
 * of one moment not before the last sync.
 *
 * POINTFS_CUTS and POINTFS_SEED make it another run.
 */
#include "tests/crash/oracle.h"
#include "tests/crash/shadow_disk.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CUTS_OF_ONE 12u /* then a new database */
#define STEPS_MAX   1500u
#define HISTORY_MAX (STEPS_MAX + 1)

static struct world {
	struct oracle *o;
	char dir[100];
	uint64_t rnd;
	enum sync_policy sync;
	struct state *past; /* acknowledged, since the last sync; newest last */
	uint32_t n_past;
	uint32_t reopened, again;
} w;

static void
dir_make(char *dir, size_t n)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, n, "%s/pointfs-power-XXXXXX", tmp != NULL ? tmp : "/tmp");
	check(mkdtemp(dir) != NULL);
}

/* Behind the shadow's back: it is gone for it already. */
static void
dir_drop(const char *dir, const struct file_hooks *system)
{
	struct file_hooks now = file_hooks;

	file_hooks = *system;
	file_remove_tree(AT_FDCWD, dir, NULL);
	file_hooks = now;
}

static int
world_open(struct db **ret, struct err *err)
{
	struct db_settings s;

	db_settings_defaults(&s);
	s.sync = w.sync;
	s.wal_file_bytes = 32u << 10;
	s.memtable_bytes = 16u << 10;
	s.workers = 1;
	return db_open(w.dir, &s, DB_CREATE, ret, err);
}

/* --- work
 * --------------------------------------------------------------------- */

static void
past_add(void)
{
	const struct ledger *l = &w.o->led[0];

	check(w.n_past < HISTORY_MAX);
	w.past[w.n_past++] = l->st[l->word & 1];
}

static void
past_forget(void)
{
	w.n_past = 0;
	past_add();
}

/* Now and then what normally comes by itself. */
static int
extra(struct db *db)
{
	struct coll *c;
	struct err err = {0};
	int rc = 0;

	switch (rnd_below(&w.rnd, 100)) {
	case 0:
		rc = db_flush(db, &err);
		break;
	case 1:
		ok(db_coll_open_id(db, w.o->led[0].st[0].obj_id[0], &c, &err));
		rc = coll_settle(c, &err);
		coll_close(c);
		break;
	case 2:
	case 3:
		rc = db_sync(db, &err);
		if (rc == 0)
			past_forget();
		break;
	default:
		break;
	}
	return rc;
}

static void
work(struct db *db)
{
	struct writer wr = {.o = w.o,
			    .db = db,
			    .rnd = rnd_next(&w.rnd),
			    .may_fail = true,
			    .alone = true};

	for (uint32_t i = 0; i < STEPS_MAX && !shadow_is_off(); i++) {
		if (writer_step(&wr) != OUT_OK)
			break;
		past_add();
		if (extra(db) < 0)
			break;
	}
	shadow_off();
}

/* --- after the cut
 * ---------------------------------------------------------------- */

/* Unsynced changes may be gone, the last ones first. */
static void
past_choose(struct db *db)
{
	struct ledger *l = &w.o->led[0];

	if (oracle_matches(w.o, db))
		return;
	for (uint32_t i = w.n_past; i-- > 0;) {
		l->word = 0;
		l->st[0] = w.past[i];
		if (oracle_matches(w.o, db))
			return;
	}
	die("found is no state since the last sync");
}

static struct db *
power_on(const struct file_hooks *system)
{
	struct err err = {0};
	struct db *db;

	for (;;) {
		char old[sizeof w.dir];
		int rc;

		memcpy(old, w.dir, sizeof old);
		dir_make(w.dir, sizeof w.dir);
		shadow_restore(w.dir);
		dir_drop(old, system);
		if (rnd_below(&w.rnd, 3) == 0)
			shadow_cut_after(rnd_below(&w.rnd, 12));
		rc = world_open(&db, &err);
		if (rc == 0 && !shadow_is_off())
			return db;
		if (rc < 0 && !shadow_is_off())
			ok(rc);
		if (rc == 0)
			db_close(db);
		shadow_off();
		w.again++;
	}
}

static void
one_cut(struct db **db, const struct file_hooks *system)
{
	shadow_cut_after(rnd_below(&w.rnd, 4) == 0 ? rnd_below(&w.rnd, 60)
						   : rnd_below(&w.rnd, 1500));
	work(*db);
	db_close(*db);
	*db = power_on(system);
	shadow_cut_after(UINT32_MAX);
	if (w.sync != SYNC_CLOSE)
		past_choose(*db);
	oracle_verify(w.o, *db, 0);
	past_forget();
	w.reopened++;
}

static void
one_database(uint64_t seed, uint32_t cuts, const struct file_hooks *system)
{
	struct err err = {0};
	struct db *db;

	w.rnd = seed;
	w.sync = rnd_below(&w.rnd, 3) == 0 ? SYNC_FSYNC : SYNC_CLOSE;
	dir_make(w.dir, sizeof w.dir);
	shadow_begin(w.dir, seed * 31);
	oracle_reset(w.o);
	ok(world_open(&db, &err));
	oracle_setup(w.o, db);
	past_forget();
	for (uint32_t i = 0; i < cuts; i++) {
		snprintf(oracle_context, sizeof oracle_context,
			 "database POINTFS_SEED=%llu, policy %d, cut %u, %s",
			 (unsigned long long)seed, (int)w.sync, i, w.dir);
		one_cut(&db, system);
	}
	db_close(db);
	shadow_end();
	file_remove_tree(AT_FDCWD, w.dir, NULL);
}

int
main(void)
{
	uint64_t seed = env_number("POINTFS_SEED", 1);
	uint32_t cuts = (uint32_t)env_number("POINTFS_CUTS", 240);
	struct file_hooks system = file_hooks;

	w.o = oracle_new(1);
	w.past = calloc(HISTORY_MAX, sizeof *w.past);
	check(w.past != NULL);
	for (uint32_t done = 0; done < cuts; done += CUTS_OF_ONE)
		one_database(seed + done / CUTS_OF_ONE,
			     MIN(CUTS_OF_ONE, cuts - done), &system);
	printf("# %u cuts while working, %u while opening, %llu changes\n",
	       w.reopened, w.again, (unsigned long long)w.o->acked);
	free(w.past);
	oracle_free(w.o);
	return 0;
}
