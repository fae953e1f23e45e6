/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/op.h"

#include "engine/base/err.h"

#include <string.h>

/* A put names how many vectors follow and what each is, so that named, sparse
 * and multivectors need no new format. */
enum { VEC_DENSE = 1 };

static struct slice
key_slice(const struct id_key *id)
{
	return (struct slice){id->b, id->n};
}

int
op_put_head(struct buf *b, uint32_t coll, const struct point *p)
{
	const struct doc *d = &p->doc;

	buf_put_u8(b, OP_PUT);
	buf_put_varint(b, coll);
	buf_put_slice(b, key_slice(&p->id));
	buf_put_varint(b, p->no);
	buf_put_u64(b, (uint64_t)p->mtime_ns);
	buf_put_varint(b, p->uid);
	buf_put(b, p->digest, DIGEST_LEN);
	buf_put_u8(b, d->form);
	buf_put_u8(b, d->style);
	buf_put_varint(b, d->sep_len);
	buf_put_varint(b, d->size);
	buf_put_varint(b, d->vec_at);
	buf_put_varint(b, d->pay_at);
	buf_put_varint(b, d->pay_len);
	buf_put_varint(b, d->text.n);
	buf_put_u8(b, p->dim != 0);
	if (p->dim != 0) {
		buf_put_u8(b, VEC_DENSE);
		buf_put_varint(b, 0); /* length of its name: the unnamed one */
		buf_put_varint(b, p->dim);
	}
	return b->failed ? -ERR_NO_MEMORY : 0;
}

int
op_encode_delete(struct buf *b, uint32_t coll, const struct id_key *id)
{
	buf_put_u8(b, OP_DELETE);
	buf_put_varint(b, coll);
	buf_put_slice(b, key_slice(id));
	return b->failed ? -ERR_NO_MEMORY : 0;
}

int
op_encode_coll(struct buf *b, enum op_kind kind, uint32_t coll,
	       struct slice config, bool implied)
{
	buf_put_u8(b, kind);
	buf_put_varint(b, coll);
	if (kind != OP_COLL_DROP) {
		buf_put_slice(b, config);
		buf_put_u8(b, implied);
	}
	return b->failed ? -ERR_NO_MEMORY : 0;
}

int
op_encode_entry(struct buf *b, enum op_kind kind, const struct op_entry *e)
{
	buf_put_u8(b, kind);
	buf_put_slice(b, e->name);
	if (kind == OP_ENTRY_SET) {
		buf_put_slice(b, e->target);
		buf_put_varint(b, e->coll);
		buf_put_varint(b, e->mode);
		buf_put_varint(b, e->uid);
		buf_put_varint(b, e->gid);
		buf_put_u64(b, (uint64_t)e->mtime_us);
	}
	return b->failed ? -ERR_NO_MEMORY : 0;
}

static int
damaged(const struct reader *r, struct err *err, const char *what)
{
	return err_set(err, ERR_DAMAGED, "operation near byte %zu: %s", r->at,
		       what);
}

static int
read_id(struct reader *r, struct id_key *ret, struct err *err)
{
	struct slice s = reader_slice(r);

	if (r->failed)
		return damaged(r, err, "cut off");
	return id_from_bytes(s.p, s.n, ret, err);
}

static int
read_vector_head(struct reader *r, struct point *p, struct err *err)
{
	unsigned n = reader_u8(r);

	if (n == 0)
		return 0;
	if (n != 1 || reader_u8(r) != VEC_DENSE || reader_varint(r) != 0)
		return err_set(err, ERR_VERSION,
			       "a kind of vector this program does not know");
	p->dim = (uint32_t)reader_varint(r);
	if (p->dim == 0 || p->dim > DIM_MAX)
		return damaged(r, err, "vector length out of range");
	return 0;
}

static int
doc_check(const struct doc *d)
{
	uint64_t n = d->text.n;

	if (d->form < DOC_CANONICAL || d->form > DOC_VERBATIM)
		return 0;
	return (uint64_t)d->pay_at + d->pay_len <= n &&
	       (uint64_t)d->vec_at + d->sep_len <= n;
}

static int
read_put(struct reader *r, struct op *op, struct err *err)
{
	struct point *p = &op->point;
	struct doc *d = &p->doc;
	struct slice digest;
	uint64_t text_len;
	int rc = read_id(r, &p->id, err);

	if (rc < 0)
		return rc;
	p->no = reader_varint(r);
	p->mtime_ns = (int64_t)reader_u64(r);
	p->uid = (uint32_t)reader_varint(r);
	digest = reader_bytes(r, DIGEST_LEN);
	if (r->failed)
		return damaged(r, err, "cut off");
	memcpy(p->digest, digest.p, DIGEST_LEN);
	d->form = reader_u8(r);
	d->style = reader_u8(r);
	d->sep_len = (uint16_t)reader_varint(r);
	d->size = (uint32_t)reader_varint(r);
	d->vec_at = (uint32_t)reader_varint(r);
	d->pay_at = (uint32_t)reader_varint(r);
	d->pay_len = (uint32_t)reader_varint(r);
	text_len = reader_varint(r);
	rc = read_vector_head(r, p, err);
	if (rc < 0)
		return rc;
	d->text = reader_bytes(r, text_len);
	p->vec = reader_bytes(r, (size_t)p->dim * sizeof(float)).p;
	if (r->failed || !doc_check(d))
		return damaged(r, err, "document out of range");
	return 0;
}

static int
read_entry(struct reader *r, struct op *op, struct err *err)
{
	struct op_entry *e = &op->entry;

	e->name = reader_slice(r);
	if (op->kind == OP_ENTRY_SET) {
		e->target = reader_slice(r);
		e->coll = (uint32_t)reader_varint(r);
		e->mode = (uint32_t)reader_varint(r);
		e->uid = (uint32_t)reader_varint(r);
		e->gid = (uint32_t)reader_varint(r);
		e->mtime_us = (int64_t)reader_u64(r);
	}
	return r->failed ? damaged(r, err, "cut off") : 0;
}

int
op_next(struct reader *r, struct op *ret, struct err *err)
{
	int rc = 0;

	if (r->at == r->n)
		return 0;
	memset(ret, 0, sizeof *ret);
	ret->kind = reader_u8(r);
	if (ret->kind == OP_ENTRY_SET || ret->kind == OP_ENTRY_DROP) {
		rc = read_entry(r, ret, err);
		return rc < 0 ? rc : 1;
	}
	ret->coll = (uint32_t)reader_varint(r);
	switch (ret->kind) {
	case OP_PUT:
		rc = read_put(r, ret, err);
		break;
	case OP_DELETE:
		rc = read_id(r, &ret->id, err);
		break;
	case OP_COLL_CREATE:
	case OP_COLL_CONFIG:
		ret->config = reader_slice(r);
		ret->implied = reader_u8(r) != 0;
		break;
	case OP_COLL_DROP:
		break;
	default:
		return err_set(err, ERR_VERSION, "operation of kind %d",
			       ret->kind);
	}
	if (rc == 0 && r->failed)
		rc = damaged(r, err, "cut off");
	return rc < 0 ? rc : 1;
}
