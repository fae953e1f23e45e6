/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vectors.h - files of vectors: .fvecs and .ivecs (a little-endian int32 with
 * the length before each vector) and .npy (two dimensions, C order, <f4 or
 * <f8).
 *
 * errors   ERR_TYPE with what is wrong with the file; ERR_IO.
 * threads  One reader, one thread.
 */
#ifndef TOOLS_VECTORS_H
#define TOOLS_VECTORS_H

#include <stdint.h>
#include <stdio.h>

struct err;

enum vectors_kind { VECTORS_NONE, VECTORS_FVECS, VECTORS_NPY };
enum vectors_kind vectors_kind_of(const char *path); /* by the name's end */

struct vectors {
	FILE *f;
	enum vectors_kind kind;
	uint32_t dim; /* of the vector last read */
	float *v;     /* [dim] */
	uint32_t cap;
	uint64_t left;  /* npy: rows to come */
	uint32_t item;  /* npy: bytes of a number */
	uint64_t taken; /* bytes read */
};

int vectors_open(const char *path, struct vectors *ret, struct err *err);
int vectors_next(struct vectors *v, struct err *err); /* 1, 0 at the end */
void vectors_close(struct vectors *v);

/* A whole file of equally long rows of 4-byte items (.fvecs, .ivecs); *ret is
 * malloc'd, aligned to 64 bytes. */
int vecs_load(const char *path, void **ret, uint64_t *ret_n, uint32_t *ret_dim,
	      struct err *err);

#endif
