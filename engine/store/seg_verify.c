/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seg_verify.c - everything in a segment against everything else.
 */
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/store/seg_impl.h"

#include <math.h>

#define NORM_TOLERANCE 1e-5 /* instruction sets add in different order */

static int
sums_verify(struct seg *s, bool deep, struct err *err)
{
	const struct seg_full *f = (const struct seg_full *)s;
	int rc = pages_verify(s->map->data, deep, err);

	if (rc == 0 && f->graph)
		rc = pages_verify(f->graph, deep, err);
	if (rc == 0 && s->map->deleted)
		rc = pages_verify(s->map->deleted, deep, err);
	return rc;
}

static int
row_verify(struct seg *s, uint32_t row, uint32_t *n_vecs, struct err *err)
{
	const struct seg_map *m = s->map;
	const struct seg_meta_disk *d;
	uint32_t vec_no, found;
	struct slice id;
	lsn_t lsn;
	int rc;

	d = (const void *)map_row(m, SECT_META, row, sizeof *d, err);
	if (!d)
		return -ERR_DAMAGED;
	lsn = get_u64(d->lsn);
	vec_no = get_u32(d->vec_no);
	if (row > 0 && get_u64(d->no) <= get_u64(d[-1].no))
		return map_damaged(err, "point numbers", row);
	if (lsn < m->min_lsn || lsn > m->max_lsn || get_u16(d->flags) != 0)
		return map_damaged(err, "metadata", row);
	if (vec_no != ROW_NONE &&
	    (vec_no != (*n_vecs)++ || seg_vec_row(s, vec_no) != row))
		return map_damaged(err, "vectors", row);
	rc = seg_id(s, row, &id, err);
	if (rc == 0)
		rc = seg_find_id(s, id.p, id.n, &found, err);
	if (rc == 0 && found != row)
		rc = map_damaged(err, "table of ids", row);
	return rc;
}

static int
order_verify(struct seg *s, struct err *err)
{
	struct slice id, last = {0};

	for (uint32_t i = 0; i < s->map->n_rows; i++) {
		uint32_t row;
		int rc = seg_by_id(s, i, &row, err);

		if (rc == 0)
			rc = seg_id(s, row, &id, err);
		if (rc == 0 && i > 0 && id_cmp(last.p, last.n, id.p, id.n) >= 0)
			rc = map_damaged(err, "order of ids", row);
		if (rc != 0)
			return rc;
		last = id;
	}
	return 0;
}

static int
norms_verify(const struct seg *s, struct err *err)
{
	const struct vectors *v = &s->vecs;

	for (uint32_t i = 0; v->norms && i < v->n; i++) {
		double norm = vec_norm(v->base + i * v->stride, v->dim);
		double off = fabs(norm - (double)v->norms[i]);

		if (!(off <= norm * NORM_TOLERANCE))
			return map_damaged(err, "lengths of vectors",
					   seg_vec_row(s, i));
	}
	return 0;
}

int
seg_verify(struct seg *s, bool deep, struct err *err)
{
	const struct seg_map *m = s->map;
	uint32_t n_vecs = 0;
	int rc = sums_verify(s, deep, err);

	for (uint32_t row = 0; rc == 0 && row < m->n_rows; row++)
		rc = row_verify(s, row, &n_vecs, err);
	if (rc == 0 && n_vecs != m->n_vecs)
		rc = map_damaged(err, "counts of vectors", m->n_rows);
	if (rc == 0)
		rc = order_verify(s, err);
	if (rc == 0)
		rc = norms_verify(s, err);
	if (rc == 0)
		rc = docs_verify(m, err);
	return rc;
}
