/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/seg.h"

#include "engine/base/err.h"
#include "engine/store/seg_format.h"

#define DESC_VERSION 1
#define GRAPH_HNSW   1

void
seg_desc_done(struct seg_desc *d)
{
	if (!d)
		return;
	pages_list_done(&d->data);
	pages_list_done(&d->graph);
	pages_list_done(&d->deleted);
	*d = (struct seg_desc){0};
}

int
seg_desc_copy(const struct seg_desc *d, struct seg_desc *ret, struct err *err)
{
	struct seg_desc c = *d;
	int rc;

	c.data = c.graph = c.deleted = (struct pages_list){0};
	rc = pages_list_copy(&d->data, &c.data, err);
	if (rc == 0)
		rc = pages_list_copy(&d->graph, &c.graph, err);
	if (rc == 0)
		rc = pages_list_copy(&d->deleted, &c.deleted, err);
	if (rc != 0)
		seg_desc_done(&c);
	else
		*ret = c;
	return rc;
}

int
seg_desc_encode(const struct seg_desc *d, struct buf *ret)
{
	buf_put_u8(ret, DESC_VERSION);
	buf_put_varint(ret, d->id);
	buf_put_varint(ret, d->n_rows);
	buf_put_varint(ret, d->n_vecs);
	buf_put_varint(ret, d->dim);
	buf_put_varint(ret, d->min_lsn);
	buf_put_varint(ret, d->max_lsn);
	buf_put_varint(ret, d->n_deleted);
	buf_put_u8(ret, d->graph.n ? d->graph_kind : 0);
	pages_list_encode(&d->data, ret);
	pages_list_encode(&d->graph, ret);
	pages_list_encode(&d->deleted, ret);
	return ret->failed ? -ERR_NO_MEMORY : 0;
}

/* A number that must not pass its limit; above it the reader fails. */
static uint32_t
read_max(struct reader *r, uint32_t max)
{
	uint64_t v = reader_varint(r);

	if (v > max)
		r->failed = true;
	return r->failed ? 0 : (uint32_t)v;
}

static bool
desc_fits(const struct seg_desc *d)
{
	return d->data.n > 0 && (d->n_vecs == 0 || d->dim > 0) &&
	       d->min_lsn <= d->max_lsn &&
	       (d->n_deleted > 0) == (d->deleted.n > 0) &&
	       (d->graph_kind != 0) == (d->graph.n > 0);
}

static int
desc_read(struct reader *r, struct seg_desc *d, struct err *err)
{
	int rc;

	d->id = reader_varint(r);
	d->n_rows = read_max(r, SEG_ROWS_MAX);
	d->n_vecs = read_max(r, d->n_rows);
	d->dim = read_max(r, DIM_MAX);
	d->vec_bytes = (uint64_t)d->n_vecs * d->dim * 4;
	d->min_lsn = reader_varint(r);
	d->max_lsn = reader_varint(r);
	d->n_deleted = read_max(r, d->n_rows);
	d->graph_kind = reader_u8(r);
	if (r->failed)
		return err_set(err, ERR_DAMAGED, "segment: cut short");
	if (d->graph_kind > GRAPH_HNSW)
		return err_set(err, ERR_VERSION, "segment: graph of kind %u",
			       d->graph_kind);
	rc = pages_list_decode(r, &d->data, err);
	if (rc == 0)
		rc = pages_list_decode(r, &d->graph, err);
	if (rc == 0)
		rc = pages_list_decode(r, &d->deleted, err);
	if (rc == 0 && !desc_fits(d))
		rc = err_set(err, ERR_DAMAGED,
			     "segment: its numbers contradict each other");
	return rc;
}

int
seg_desc_decode(struct reader *r, struct seg_desc *ret, struct err *err)
{
	struct seg_desc d = {0};
	uint8_t version = reader_u8(r);
	int rc;

	if (r->failed)
		return err_set(err, ERR_DAMAGED, "segment: cut short");
	if (version != DESC_VERSION)
		return err_set(err, ERR_VERSION,
			       "segment: description %u, this program knows %u",
			       version, DESC_VERSION);
	rc = desc_read(r, &d, err);
	if (rc != 0)
		seg_desc_done(&d);
	else
		*ret = d;
	return rc;
}
