/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/vectors.h"

#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/types.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NPY_HEADER_MAX 65536u

enum vectors_kind
vectors_kind_of(const char *path)
{
	const char *dot = strrchr(path, '.');

	if (dot && strcmp(dot, ".fvecs") == 0)
		return VECTORS_FVECS;
	if (dot && strcmp(dot, ".npy") == 0)
		return VECTORS_NPY;
	return VECTORS_NONE;
}

/* 1: all of it, 0: the file ended before the first byte. */
static int
bytes_read(struct vectors *v, void *p, size_t n, struct err *err)
{
	size_t got = fread(p, 1, n, v->f);

	v->taken += got;
	if (got == n)
		return 1;
	if (ferror(v->f))
		return err_sys(err, errno, "read");
	if (got == 0)
		return 0;
	return err_set(err, ERR_TYPE, "the file ends inside a vector");
}

static int
room_make(struct vectors *v, uint64_t dim, struct err *err)
{
	if (dim == 0 || dim > DIM_MAX)
		return err_set(err, ERR_TYPE,
			       "a vector of %llu numbers (1 to %u)",
			       (unsigned long long)dim, DIM_MAX);
	v->dim = (uint32_t)dim;
	if (v->dim <= v->cap)
		return 0;
	free(v->v);
	v->cap = v->dim;
	v->v = malloc(v->cap * sizeof(double));
	if (v->v)
		return 0;
	v->cap = 0;
	return err_set(err, ERR_NO_MEMORY, "vector");
}

/* --- npy ------------------------------------------------------------- */

/* The header is a Python dictionary; numpy writes it in one way. */
static int
npy_header_parse(struct vectors *v, const char *text, struct err *err)
{
	const char *descr = strstr(text, "'descr':");
	const char *order = strstr(text, "'fortran_order':");
	const char *shape = strstr(text, "'shape':");
	unsigned long long rows, dim;

	if (!descr || !order || !shape)
		return err_set(err, ERR_TYPE, "not a header of numpy");
	descr += strspn(descr + 8, " ") + 8;
	order += strspn(order + 16, " ") + 16;
	shape += strspn(shape + 8, " ") + 8;
	if (strncmp(descr, "'<f4'", 5) != 0 && strncmp(descr, "'<f8'", 5) != 0)
		return err_set(err, ERR_TYPE,
			       "numbers must be <f4 or <f8, not %.6s", descr);
	if (strncmp(order, "False", 5) != 0)
		return err_set(err, ERR_TYPE, "must be in C order");
	if (sscanf(shape, "(%llu, %llu)", &rows, &dim) != 2)
		return err_set(err, ERR_TYPE, "must have two dimensions");
	v->item = descr[3] == '8' ? 8 : 4;
	v->left = rows;
	return room_make(v, dim, err);
}

static int
npy_begin(struct vectors *v, struct err *err)
{
	uint8_t head[12];
	char *text;
	uint32_t len;
	int rc;

	rc = bytes_read(v, head, 10, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || memcmp(head, "\x93NUMPY", 6) != 0 || head[6] < 1 ||
	    head[6] > 3)
		return err_set(err, ERR_TYPE, "not a .npy file");
	len = get_u16(head + 8);
	if (head[6] > 1) {
		if (bytes_read(v, head + 10, 2, err) != 1)
			return err_set(err, ERR_TYPE, "not a .npy file");
		len = get_u32(head + 8);
	}
	if (len > NPY_HEADER_MAX)
		return err_set(err, ERR_TYPE, "a header of %u bytes", len);
	text = calloc(1, len + 1);
	if (!text)
		return err_set(err, ERR_NO_MEMORY, "header");
	rc = bytes_read(v, text, len, err);
	rc = rc == 1 ? npy_header_parse(v, text, err)
		     : err_set(err, ERR_TYPE, "the header is cut off");
	free(text);
	return rc;
}

static int
npy_next(struct vectors *v, struct err *err)
{
	uint32_t i;
	double d;
	int rc;

	if (v->left == 0)
		return 0;
	rc = bytes_read(v, v->v, (size_t)v->dim * v->item, err);
	if (rc == 0)
		return err_set(err, ERR_TYPE, "%llu vectors are missing",
			       (unsigned long long)v->left);
	if (rc < 0)
		return rc;
	v->left--;
	for (i = 0; v->item == 8 && i < v->dim; i++) {
		/* the float goes where an earlier double was */
		memcpy(&d, (char *)v->v + (size_t)i * 8, 8);
		v->v[i] = (float)d;
	}
	return 1;
}

/* --- all ------------------------------------------------------------- */

int
vectors_open(const char *path, struct vectors *ret, struct err *err)
{
	struct vectors v = {.kind = vectors_kind_of(path)};
	int rc = 0;

	v.f = fopen(path, "rbe");
	if (!v.f)
		return err_sys(err, errno, "%s", path);
	if (v.kind == VECTORS_NPY)
		rc = npy_begin(&v, err);
	if (rc) {
		vectors_close(&v);
		return err_in(err, rc, "%s", path);
	}
	*ret = v;
	return 0;
}

int
vectors_next(struct vectors *v, struct err *err)
{
	uint8_t head[4];
	int rc;

	if (v->kind == VECTORS_NPY)
		return npy_next(v, err);
	rc = bytes_read(v, head, 4, err);
	if (rc != 1)
		return rc;
	rc = room_make(v, get_u32(head), err);
	if (rc)
		return rc;
	rc = bytes_read(v, v->v, (size_t)v->dim * 4, err);
	return rc ? rc
		  : err_set(err, ERR_TYPE, "the file ends inside a vector");
}

void
vectors_close(struct vectors *v)
{
	if (v->f)
		fclose(v->f);
	free(v->v);
	*v = (struct vectors){0};
}

/* Rows are packed in place: each moves left over the lengths. */
static int
rows_pack(uint8_t *p, uint64_t size, uint64_t *ret_n, uint32_t *ret_dim,
	  struct err *err)
{
	uint32_t dim = size >= 4 ? get_u32(p) : 0;
	uint64_t row, i, n;

	if (dim == 0 || dim > DIM_MAX || size % (4 + 4ull * dim))
		return err_set(err, ERR_TYPE, "not rows of equal length");
	row = 4ull * dim;
	n = size / (4 + row);
	for (i = 0; i < n; i++) {
		if (get_u32(p + i * (4 + row)) != dim)
			return err_set(err, ERR_TYPE,
				       "row %llu has another length",
				       (unsigned long long)i);
		memmove(p + i * row, p + i * (4 + row) + 4, row);
	}
	*ret_n = n;
	*ret_dim = dim;
	return 0;
}

int
vecs_load(const char *path, void **ret, uint64_t *ret_n, uint32_t *ret_dim,
	  struct err *err)
{
	FILE *f = fopen(path, "rbe");
	uint8_t *p = NULL;
	off_t size;
	int rc;

	if (!f)
		return err_sys(err, errno, "%s", path);
	fseeko(f, 0, SEEK_END);
	size = ftello(f);
	rewind(f);
	if (size > 0)
		p = aligned_alloc(64, round_up((uint64_t)size, 64));
	if (!p)
		rc = err_set(err, ERR_NO_MEMORY, "%lld bytes", (long long)size);
	else if (fread(p, 1, (size_t)size, f) != (size_t)size)
		rc = err_sys(err, errno, "read");
	else
		rc = rows_pack(p, (uint64_t)size, ret_n, ret_dim, err);
	fclose(f);
	if (rc) {
		free(p);
		return err_in(err, rc, "%s", path);
	}
	*ret = p;
	return 0;
}
