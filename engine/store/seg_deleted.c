/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_deleted.c - which rows of a segment are deleted, as a stream: gaps where
 * they are few, a bitmap where that is smaller.
 */
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/store/seg_impl.h"

static bool
bit_get(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static uint32_t
gaps_put(const uint64_t *bits, uint32_t n_rows, struct buf *ret)
{
	uint32_t n = 0, next = 0;

	for (uint32_t i = 0; i < n_rows; i++) {
		if (i % 64 == 0 && bits[i / 64] == 0) {
			i += 63;
			continue;
		}
		if (!bit_get(bits, i))
			continue;
		buf_put_varint(ret, i - next);
		next = i + 1;
		n++;
	}
	return n;
}

static void
bits_put(const uint64_t *bits, uint32_t n_rows, struct buf *ret)
{
	uint32_t left = n_rows;

	for (uint32_t i = 0; left > 0; i++) {
		uint32_t n = MIN(left, 64);
		uint64_t w = bits[i];
		uint8_t b[8];

		if (n < 64)
			w &= (1ull << n) - 1;
		set_u64(b, w);
		buf_put(ret, b, (n + 7) / 8);
		left -= n;
	}
}

static int
write_stream(int dirfd, enum stream_kind kind, struct slice head,
	     struct slice body, struct pages_list *ret, struct err *err)
{
	struct pages_writer *w;
	int rc = pages_create(dirfd, kind, &w, err);

	if (rc != 0)
		return rc;
	rc = pages_write(w, head.p, head.n, err);
	if (rc == 0)
		rc = pages_write(w, body.p, body.n, err);
	if (rc == 0)
		rc = pages_finish(w, ret, err);
	pages_abort(w);
	return rc;
}

int
seg_write_deleted(int dirfd, const uint64_t *bits, uint32_t n_rows,
		  struct pages_list *ret, uint32_t *ret_n, struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};
	struct seg_deleted_disk d = {.coding = DELETED_GAPS};
	uint32_t n = gaps_put(bits, n_rows, &b);
	int rc;

	if (n == 0) {
		*ret = (struct pages_list){0};
		*ret_n = 0;
		return 0;
	}
	if (b.n > (n_rows + 7) / 8) {
		buf_clear(&b);
		bits_put(bits, n_rows, &b);
		d.coding = DELETED_BITS;
	}
	if (b.failed)
		return err_set(err, ERR_NO_MEMORY, "deleted rows");
	memcpy(d.magic, DELETED_MAGIC, sizeof d.magic);
	set_u16(d.version, DELETED_VERSION);
	set_u32(d.n_rows, n_rows);
	set_u32(d.n_deleted, n);
	set_u32(d.len, (uint32_t)b.n);
	rc = write_stream(dirfd, STREAM_DELETED, (struct slice){&d, sizeof d},
			  (struct slice){b.p, b.n}, ret, err);
	if (rc == 0)
		*ret_n = n;
	return rc;
}

int
seg_write_graph(int dirfd, struct slice graph, struct pages_list *ret,
		struct err *err)
{
	return write_stream(dirfd, STREAM_GRAPH, graph, (struct slice){0}, ret,
			    err);
}

/* --- reading --------------------------------------------------------- */

static bool
gaps_read(struct reader *r, uint32_t n_rows, uint64_t *bits, uint32_t n)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < n; i++, at++) {
		uint64_t gap = reader_varint(r);

		if (r->failed || gap >= n_rows || (at += gap) >= n_rows)
			return false;
		bits[at / 64] |= 1ull << (at % 64);
	}
	return r->at == r->n;
}

static bool
bits_read(struct reader *r, uint32_t n_rows, uint64_t *bits, uint32_t n)
{
	uint32_t sum = 0;

	if (r->n - r->at != (n_rows + 7) / 8)
		return false;
	for (uint32_t i = 0; r->at < r->n; i++) {
		bits[i / 8] |= (uint64_t)reader_u8(r) << (8 * (i % 8));
		if (i % 8 == 7 || r->at == r->n)
			sum += (uint32_t)__builtin_popcountll(bits[i / 8]);
	}
	if (n_rows % 64 && bits[n_rows / 64] >> (n_rows % 64))
		return false;
	return sum == n;
}

static int
head_read(struct reader *r, uint32_t n_rows, uint8_t *ret_coding,
	  uint32_t *ret_n, struct err *err)
{
	const struct seg_deleted_disk *d;

	d = reader_bytes(r, sizeof *d).p;
	if (r->failed || memcmp(d->magic, DELETED_MAGIC, sizeof d->magic) != 0)
		return err_set(err, ERR_DAMAGED, "deleted rows: wrong magic");
	if (get_u16(d->version) != DELETED_VERSION ||
	    (d->coding != DELETED_GAPS && d->coding != DELETED_BITS))
		return err_set(err, ERR_VERSION,
			       "deleted rows: format %u.%u, this program "
			       "knows %u",
			       get_u16(d->version), d->coding, DELETED_VERSION);
	if (d->zero || get_u32(d->n_rows) != n_rows ||
	    get_u32(d->len) != r->n - r->at)
		return err_set(err, ERR_DAMAGED,
			       "deleted rows: of another segment");
	*ret_coding = d->coding;
	*ret_n = get_u32(d->n_deleted);
	return 0;
}

int
deleted_read(const struct pages *pg, uint32_t n_rows, uint64_t *bits,
	     uint32_t *ret_n, struct err *err)
{
	struct reader r = {.p = pg->p, .n = pg->len};
	uint8_t coding = 0;
	uint32_t n = 0;
	bool good;
	int rc = head_read(&r, n_rows, &coding, &n, err);

	if (rc != 0)
		return rc;
	if (coding == DELETED_GAPS)
		good = gaps_read(&r, n_rows, bits, n);
	else
		good = bits_read(&r, n_rows, bits, n);
	if (!good)
		return err_set(err, ERR_DAMAGED,
			       "deleted rows: the list contradicts itself");
	*ret_n = n;
	return 0;
}
