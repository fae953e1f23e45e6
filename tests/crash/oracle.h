/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle.h - what a database must hold after a crash, kept outside of it.
 *
 * A ledger, in shared memory so that it outlives the process that writes, has
 * for each writer the acknowledged state of what it owns and the one change in
 * flight.  Collections are objects with keys; an object keeps its number
 * whatever it is called.  Writer 0 owns the names and the objects from
 * OBJ_FREE on; the first objects are shared, each writer with keys of its own.
 * Every document tells who wrote it and when, so that what is found can be made
 * again and compared byte by byte.
 */
#ifndef TESTS_CRASH_ORACLE_H
#define TESTS_CRASH_ORACLE_H

#include "engine/collection.h"
#include "engine/database.h"

#include <stdbool.h>
#include <stdint.h>

#define OBJS     6
#define OBJ_FREE 2 /* objects before this one are there from the beginning */
#define KEYS     24
#define NAMES    7
#define WRITERS  4
#define DIM      8

#define NAME_NONE   (-1)
#define NAME_ALIAS  100        /* + number of the name it leads to */
#define OBJ_ID_OPEN UINT32_MAX /* being made: its number is not known */

struct state {
	uint32_t seq[OBJS][KEYS]; /* 0: no point */
	/* of writer 0 */
	uint32_t obj_id[OBJS]; /* 0: no collection */
	uint32_t ef[OBJS];     /* a setting, by which configurations are told */
	int32_t name[NAMES];   /* NAME_NONE, an object, NAME_ALIAS + name */
};

#define LEDGER_FLYING 2u /* beside the index of the acknowledged state */

struct ledger {
	struct state st[2];
	_Atomic uint32_t word;
	uint32_t next_seq;
};

struct oracle {
	uint32_t n_writers;
	uint32_t shared_id[OBJ_FREE]; /* numbers of the shared objects */
	_Atomic uint64_t acked;       /* changes */
	_Atomic uint32_t opened;      /* the child has opened and verified */
	struct ledger led[WRITERS];
};

struct oracle *oracle_new(uint32_t n_writers); /* shared with children */
void oracle_free(struct oracle *o);
void oracle_reset(struct oracle *o);

/* The two first collections, with one and two shards. */
void oracle_setup(struct oracle *o, struct db *db);

enum outcome {
	OUT_OK,   /* acknowledged, or refused as it had to be */
	OUT_FULL, /* no space: nothing was done */
	OUT_DOUBT /* another error: done or not is for the next start to tell */
};

struct writer {
	struct oracle *o;
	struct db *db;
	uint32_t nr;
	uint64_t rnd;
	bool may_fail; /* errors are expected: false dies on one */
	bool alone;    /* writer 0 works on all objects */
	int rc;        /* of the last error */
};

/* One random change, or a look at what the writer owns. */
enum outcome writer_step(struct writer *w);

#define VERIFY_LIVE 1u /* no restart since: what is in flight is not there */

/* Compares all of the database with the ledger, and settles what was in flight.
 * Dies on a difference. */
void oracle_verify(struct oracle *o, struct db *db, unsigned flags);

/* Whether it would be settled by the acknowledged state or by what is in
 * flight. */
bool oracle_matches(struct oracle *o, struct db *db);

uint64_t rnd_next(uint64_t *state);
uint32_t rnd_below(uint64_t *state, uint32_t n);
uint64_t env_number(const char *name, uint64_t otherwise);

/* Prints the text and the context, exits with 2 at once. */
extern char oracle_context[200];
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void die_at(int rc, const struct err *err, const char *file, int line);
#define ok(rc) die_at((rc), &err, __FILE__, __LINE__)

#endif
