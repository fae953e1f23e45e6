/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9.  A child opens the database, compares all of it with the ledger, and
 * lets several writers work on it until it is killed: by its parent after a
 * number of acknowledged changes, or by itself at one of the named places
 * (fault.h), also while it opens.  Then the next child comes.  In other rounds
 * the place fails instead, and the child must go on: reads as before, an error
 * to whoever wrote, and, unless the log is hurt, writes again.
 *
 * POINTFS_ROUNDS and POINTFS_SEED make it another run.
 */
#include "tests/crash/oracle.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/fault.h"
#include "engine/base/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_OF_ONE 30u /* then a new database */
#define CHILD_SECONDS 120u

enum ending { END_KILL, END_FAULT, END_FAIL, END_CLOSE, END_FLUSH };

struct plan {
	enum ending how;
	uint32_t target; /* acknowledged changes */
	int fault;       /* -1: none */
	uint32_t pass;
	enum sync_policy sync;
	uint64_t seed;
	bool fresh;
};

struct crew { /* the threads of one child */
	struct oracle *o;
	struct db *db;
	const struct plan *plan;
	uint64_t stop_at;
	atomic_bool told;
	int pipe;
	bool may_fail;
	bool writable; /* errors were expected, and are no more */
};

/* --- the child ---------------------------------------------------------------
 */

static struct db *
child_open(const struct plan *p, const char *dir)
{
	struct db_settings s;
	struct err err = {0};
	struct db *db;
	int rc;

	db_settings_defaults(&s);
	s.sync = p->sync;
	s.sync_interval_ms = 3;
	s.wal_file_bytes = 64u << 10;
	s.memtable_bytes = 32u << 10;
	s.workers = 2;
	rc = db_open(dir, &s, DB_CREATE, &db, &err);
	if (rc < 0 && p->how == END_FAIL) /* it fails once */
		rc = db_open(dir, &s, DB_CREATE, &db, &err);
	ok(rc);
	return db;
}

static void
tell_parent(struct crew *c)
{
	if (c->pipe >= 0 && !atomic_exchange(&c->told, true))
		check(write(c->pipe, "x", 1) == 1);
}

struct hand {
	struct crew *crew;
	struct writer w;
	pthread_t thread;
};

static void *
hand_run(void *arg)
{
	struct hand *h = arg;
	struct crew *c = h->crew;

	while (c->pipe >= 0 || c->o->acked < c->stop_at) {
		enum outcome out = writer_step(&h->w);

		if (out == OUT_DOUBT)
			break;
		if (c->o->acked >= c->stop_at)
			tell_parent(c);
	}
	return NULL;
}

/* Returns when enough was done or nobody can go on.  With a pipe the parent
 * says when. */
static void
crew_work(struct crew *c, uint32_t target, uint64_t seed)
{
	struct hand h[WRITERS] = {{0}};

	c->stop_at = c->o->acked + target;
	for (uint32_t i = 0; i < c->o->n_writers; i++) {
		h[i].crew = c;
		h[i].w = (struct writer){.o = c->o,
					 .db = c->db,
					 .nr = i,
					 .rnd = seed + i,
					 .may_fail = c->may_fail};
		check(pthread_create(&h[i].thread, NULL, hand_run, &h[i]) == 0);
	}
	for (uint32_t i = 0; i < c->o->n_writers; i++)
		pthread_join(h[i].thread, NULL);
}

static bool
db_is_read_only(struct db *db)
{
	struct db_status st;

	db_status(db, &st);
	return st.read_only;
}

/* What the failed place was for is done by the second try. */
static void
flush_works(struct crew *c)
{
	struct err err = {0};
	int rc = db_flush(c->db, &err);

	if (rc < 0)
		rc = db_flush(c->db, &err);
	ok(rc);
	for (uint32_t obj = 0; obj < OBJ_FREE; obj++) {
		struct coll *coll;
		uint32_t id =
			c->o->led[0].st[c->o->led[0].word & 1].obj_id[obj];

		ok(db_coll_open_id(c->db, id, &coll, &err));
		rc = coll_settle(coll, &err);
		if (rc < 0)
			rc = coll_settle(coll, &err);
		ok(rc);
		coll_close(coll);
	}
}

static void
life_after_failure(struct crew *c, const struct plan *p)
{
	oracle_verify(c->o, c->db, VERIFY_LIVE);
	if (db_is_read_only(c->db) || p->seed % 3 == 0)
		return; /* what comes next finds what the failure left */
	for (uint32_t i = 0; i < c->o->n_writers; i++)
		if ((c->o->led[i].word & LEDGER_FLYING) != 0)
			die("an error while the log is good");
	flush_works(c);
	oracle_verify(c->o, c->db, VERIFY_LIVE);
	c->may_fail = !db_is_read_only(c->db);
	crew_work(c, 50, p->seed ^ 99);
	oracle_verify(c->o, c->db, VERIFY_LIVE);
}

static void
fault_set(const struct plan *p)
{
	char text[100];

	if (p->fault < 0)
		return;
	snprintf(text, sizeof text, "%s:%s:%u",
		 fault_name((enum fault)p->fault),
		 p->how == END_FAIL ? "fail" : "kill", p->pass);
	setenv("POINTFS_FAULT", text, 1);
}

_Noreturn static void
child_run(struct oracle *o, const struct plan *p, const char *dir, int pipe)
{
	struct crew c = {.o = o, .plan = p, .pipe = -1};
	struct err err = {0};

	alarm(CHILD_SECONDS);
	fault_set(p);
	c.db = child_open(p, dir);
	if (p->fresh)
		oracle_setup(o, c.db);
	oracle_verify(o, c.db, 0);
	o->opened = 1;
	if (p->how == END_KILL || p->how == END_FAULT)
		c.pipe = pipe;
	c.may_fail = p->how == END_FAIL;
	crew_work(&c, p->target, p->seed);
	if (p->how == END_KILL || p->how == END_FAULT)
		die("nobody can write any more");
	if (p->how == END_FAIL)
		life_after_failure(&c, p);
	if (p->how == END_FLUSH)
		ok(db_flush(c.db, &err));
	if (p->how != END_FAIL || p->seed % 2 == 0)
		db_close(c.db);
	_exit(0);
}

/* --- the parent
 * --------------------------------------------------------------- */

struct tally {
	uint32_t killed[FAULT_NR]; /* how often it died there */
	uint32_t failed[FAULT_NR]; /* how often it was asked to fail there */
	uint32_t kills;
	uint32_t opening; /* died while it opened */
};

static struct plan
plan_make(uint64_t seed, uint32_t round, bool first)
{
	uint64_t s = seed * 1000003 + round;
	struct plan p = {.fault = -1,
			 .fresh = first || round % ROUNDS_OF_ONE == 0,
			 .seed = rnd_next(&s)};
	uint32_t turn = round / 4 % FAULT_NR;

	p.target = 30 + rnd_below(&s, 700);
	p.sync = (enum sync_policy)rnd_below(&s, 3);
	p.how = (enum ending)(round % 4 < 3 ? round % 4
					    : END_KILL + rnd_below(&s, 5));
	if (p.fresh)
		p.how = END_KILL; /* it shall not die half made */
	if (p.how != END_FAULT && p.how != END_FAIL)
		return p;
	p.fault = (int)(round % 4 == 3 ? rnd_below(&s, FAULT_NR) : turn);
	p.pass = 1 + (rnd_below(&s, 2) != 0 ? rnd_below(&s, 6) : 0);
	if (strncmp(fault_name((enum fault)p.fault), "wal_", 4) == 0 ||
	    p.fault == FAULT_recover_in_replay)
		p.pass += rnd_below(&s, 40);
	if (p.fault == FAULT_wal_before_switch ||
	    p.fault == FAULT_wal_after_switch || p.fault == FAULT_wal_in_trim)
		p.pass = 1 + rnd_below(&s, 2);
	if (strncmp(fault_name((enum fault)p.fault), "recover_", 8) == 0 &&
	    p.fault != FAULT_recover_in_replay)
		p.pass = 1;
	if (p.how == END_FAULT || rnd_below(&s, 2) == 0)
		p.target = 2000; /* enough to come by most places */
	return p;
}

static void
child_judge(const struct plan *p, const struct oracle *o, int status,
	    bool by_us, struct tally *t)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		t->kills++;
		t->opening += !o->opened;
		if (!by_us && p->how != END_FAULT)
			die("killed by somebody else");
		if (!by_us)
			t->killed[p->fault]++;
		return;
	}
	if (WIFSIGNALED(status))
		die("died of signal %d%s", WTERMSIG(status),
		    WTERMSIG(status) == SIGALRM ? " (hangs)" : "");
	if (WEXITSTATUS(status) != 0)
		die("exit %d", WEXITSTATUS(status));
	if (p->how == END_FAIL)
		t->failed[p->fault]++;
}

static void
round_run(struct oracle *o, const struct plan *p, const char *dir,
	  struct tally *t)
{
	bool by_us = false;
	int ends[2], status;
	char c;
	pid_t pid;

	check(pipe2(ends, O_CLOEXEC) == 0);
	o->opened = 0;
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child_run(o, p, dir, ends[1]);
	}
	close(ends[1]);
	if (read(ends[0], &c, 1) == 1) {
		by_us = true;
		kill(pid, SIGKILL);
	}
	close(ends[0]);
	check(waitpid(pid, &status, 0) == pid);
	child_judge(p, o, status, by_us, t);
}

static void
dir_make(char *dir, size_t n)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, n, "%s/pointfs-crash-XXXXXX", tmp != NULL ? tmp : "/tmp");
	check(mkdtemp(dir) != NULL);
}

static int
tally_print(const struct tally *t, uint32_t rounds, const struct oracle *o)
{
	uint32_t missed = 0;

	for (int f = 0; f < FAULT_NR; f++) {
		printf("# %-24s killed %u, failed %u\n",
		       fault_name((enum fault)f), t->killed[f], t->failed[f]);
		missed += t->killed[f] == 0;
	}
	printf("# %u rounds, %u kills, %u of them while opening, %llu changes "
	       "acknowledged\n",
	       rounds, t->kills, t->opening, (unsigned long long)o->acked);
	if (rounds >= 200 && missed != 0) {
		fprintf(stderr, "%u places were never reached\n", missed);
		return 1;
	}
	return 0;
}

/* Which places a round comes by is a matter of timing too: those that none
 * died at yet get rounds of their own. */
static bool
plan_missed(struct plan *p, const struct tally *t)
{
	for (int f = 0; f < FAULT_NR; f++)
		if (t->killed[f] == 0) {
			p->how = END_FAULT;
			p->fault = f;
			p->pass = 1;
			p->target = 5000;
			p->fresh = false;
			return true;
		}
	return false;
}

int
main(void)
{
	uint64_t seed = env_number("POINTFS_SEED", 1);
	uint32_t rounds = (uint32_t)env_number("POINTFS_ROUNDS", 200);
	uint32_t first = (uint32_t)env_number("POINTFS_FIRST", 0);
	uint32_t extra = rounds >= 200 ? 60 : 0;
	struct oracle *o = oracle_new(WRITERS);
	struct tally t;
	char dir[100] = "";
	int rc;

	memset(&t, 0, sizeof t);
	for (uint32_t r = first; r < first + rounds + extra; r++) {
		struct plan p = plan_make(seed, r, r == first);

		if (r >= first + rounds && !plan_missed(&p, &t))
			break;
		if (p.fresh) {
			if (dir[0] != '\0')
				file_remove_tree(AT_FDCWD, dir, NULL);
			dir_make(dir, sizeof dir);
			oracle_reset(o);
		}
		snprintf(oracle_context, sizeof oracle_context,
			 "POINTFS_SEED=%llu round %u, ending %d, fault %s:%u, "
			 "%s",
			 (unsigned long long)seed, r, (int)p.how,
			 p.fault < 0 ? "none" : fault_name((enum fault)p.fault),
			 p.pass, dir);
		round_run(o, &p, dir, &t);
	}
	file_remove_tree(AT_FDCWD, dir, NULL);
	rc = tally_print(&t, rounds, o);
	oracle_free(o);
	return rc;
}
