/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/oracle_impl.h"

#include "engine/base/check.h"
#include "engine/base/hash.h"
#include "engine/json/json_point.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char oracle_context[200];

void
die(const char *fmt, ...)
{
	char text[1500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fprintf(stderr, "FAILED (%s): %s\n", oracle_context, text);
	_exit(2);
}

void
die_at(int rc, const struct err *err, const char *file, int line)
{
	if (rc < 0)
		die("%s:%d: %s: %s", file, line, err_name(rc), err_text(err));
}

uint64_t
env_number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s != NULL ? strtoull(s, NULL, 10) : otherwise;
}

uint64_t
rnd_next(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint32_t
rnd_below(uint64_t *s, uint32_t n)
{
	return (uint32_t)(rnd_next(s) % n);
}

/* --- ids: numbers, UUIDs and names in turn ------------------------------- */

struct id_key
key_id(uint32_t writer, uint32_t key)
{
	struct id_key id;
	char name[64];
	int n;

	if (key % 3 == 0) {
		id_from_num(writer * 1000ull + key, &id);
		return id;
	}
	if (key % 3 == 1)
		n = snprintf(name, sizeof name, "w%u-k%u", writer, key);
	else
		n = snprintf(name, sizeof name,
			     "00000000-0000-4000-8000-%08x%04x", writer, key);
	check(id_from_name(name, (size_t)n, &id, NULL) == 0);
	return id;
}

bool
key_of(const struct id_key *id, uint32_t *ret_writer, uint32_t *ret_key)
{
	for (uint32_t w = 0; w < WRITERS; w++)
		for (uint32_t k = 0; k < KEYS; k++) {
			struct id_key own = key_id(w, k);

			if (id_cmp(own.b, own.n, id->b, id->n) != 0)
				continue;
			*ret_writer = w;
			*ret_key = k;
			return true;
		}
	return false;
}

/* --- documents ---------------------------------------------------------------
 */

bool
doc_has_vector(uint32_t seq)
{
	return seq % 13 != 0;
}

/* Eighths, so that few digits tell them exactly; never all zero. */
void
doc_vector(uint32_t writer, uint32_t seq, float ret[DIM])
{
	uint64_t s = ((uint64_t)writer << 32 | seq) * 77;

	for (int d = 0; d < DIM; d++)
		ret[d] = (float)((int)rnd_below(&s, 2001) - 1000) / 8.0f;
	ret[0] = ret[0] >= 0 ? ret[0] + 1 : ret[0] - 1;
}

static void
pad_text(uint32_t writer, uint32_t seq, struct buf *ret)
{
	uint64_t s = (uint64_t)writer << 32 | seq;
	uint32_t n = seq % 17 == 0 ? 3000 : rnd_below(&s, 200);

	while (n-- > 0)
		buf_put_u8(ret, (uint8_t)('a' + rnd_below(&s, 26)));
}

void
doc_text(uint32_t writer, uint32_t seq, const struct id_key *id,
	 struct buf *ret)
{
	float v[DIM];
	size_t at;

	buf_puts(ret, "{");
	if (seq % 3 == 0) {
		buf_puts(ret, "\"id\": ");
		id_print_json(id->b, id->n, ret);
		buf_puts(ret, ", ");
	}
	at = ret->n; /* what a rename does not change */
	if (doc_has_vector(seq)) {
		doc_vector(writer, seq, v);
		for (int d = 0; d < DIM; d++)
			buf_printf(ret, "%s%.7g",
				   d == 0 ? "\"vector\": [" : ", ",
				   (double)v[d]);
		buf_puts(ret, "], ");
	}
	buf_printf(ret, "\"payload\": {\"w\": %u, \"seq\": %u, \"pad\": \"",
		   writer, seq);
	pad_text(writer, seq, ret);
	buf_printf(ret, "\", \"sum\": %u}}",
		   crc32c(0, ret->p + at, ret->n - at));
	check(!ret->failed);
}

void
doc_point(uint32_t writer, uint32_t seq, const struct id_key *id,
	  struct arena *a, struct point *ret)
{
	CLEAN(buf_done) struct buf text = {0};
	struct err err = {0};

	doc_text(writer, seq, id, &text);
	ok(json_point_parse(text.p, text.n, id, false, a, ret, &err));
	ret->mtime_ns = seq;
	ret->uid = writer;
}

static uint32_t
payload_seq(const struct point *p)
{
	struct slice s = point_payload(p);
	const char *at = memmem(s.p, s.n, "\"seq\": ", 7);

	return at != NULL ? (uint32_t)strtoul(at + 7, NULL, 10) : 0;
}

uint32_t
doc_check(const struct point *p, uint32_t writer)
{
	CLEAN(buf_done) struct buf got = {0};
	CLEAN(buf_done) struct buf want = {0};
	struct err err = {0};
	uint32_t seq = payload_seq(p);
	float v[DIM];

	ok(json_point_render(p, &got, &err));
	doc_text(writer, seq, &p->id, &want);
	if (seq == 0 || got.n != want.n || memcmp(got.p, want.p, got.n) != 0)
		die("torn document: %.*s\nwanted %.*s", (int)got.n,
		    (char *)got.p, (int)want.n, (char *)want.p);
	if (p->doc.size != got.n || p->mtime_ns != seq || p->uid != writer)
		die("size %u of %zu, mtime %lld, uid %u of seq %u", p->doc.size,
		    got.n, (long long)p->mtime_ns, p->uid, seq);
	doc_vector(writer, seq, v);
	if (p->dim != (doc_has_vector(seq) ? DIM : 0) ||
	    (p->dim != 0 && memcmp(p->vec, v, sizeof v) != 0))
		die("vector of seq %u is another one's", seq);
	return seq;
}
