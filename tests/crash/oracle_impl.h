/* SPDX-License-Identifier: Apache-2.0 */
/* oracle_impl.h - points that tell where they come from. */
#ifndef TESTS_CRASH_ORACLE_IMPL_H
#define TESTS_CRASH_ORACLE_IMPL_H

#include "tests/crash/oracle.h"

#include "engine/base/arena.h"
#include "engine/base/buf.h"
#include "engine/base/err.h"

struct id_key key_id(uint32_t writer, uint32_t key);
/* Whose it is; false: nobody's. */
bool key_of(const struct id_key *id, uint32_t *ret_writer, uint32_t *ret_key);

/* seq 0 never is.  Some points have no vector. */
bool doc_has_vector(uint32_t seq);
void doc_vector(uint32_t writer, uint32_t seq, float ret[DIM]);
void doc_text(uint32_t writer, uint32_t seq, const struct id_key *id,
	      struct buf *ret);
void doc_point(uint32_t writer, uint32_t seq, const struct id_key *id,
	       struct arena *a, struct point *ret);
/* The seq of a point that was read; dies if one byte of it is not its own. */
uint32_t doc_check(const struct point *p, uint32_t writer);

const struct state *ledger_now(const struct ledger *l);
struct state *ledger_begin(struct ledger *l); /* to be changed, then: */
void ledger_fly(struct ledger *l);
void ledger_end(struct oracle *o, struct ledger *l, bool done);

const char *name_text(uint32_t n);

/* Compares listing, scroll and exact search of one collection; own keys of the
 * writer only, or all with writer UINT32_MAX.  want[writer][key]. */
void coll_compare(struct coll *c, uint32_t want[WRITERS][KEYS],
		  uint32_t writer);

#endif
