/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dist_impl.h - what each instruction set's file gives to dist.c.
 *
 * The files are compiled with flags of their own, so they include no header
 * with inline code: the linker could keep a copy of it that needs AVX-512.
 */
#ifndef ENGINE_KERNELS_DIST_IMPL_H
#define ENGINE_KERNELS_DIST_IMPL_H

#include "engine/kernels/dist.h"

struct dist_kernels {
	const char *name; /* what POINTFS_ISA calls it */
	dist_fn l2;       /* sum of squared differences */
	dist_fn l1;       /* sum of differences without sign */
	dist_fn product;  /* sum of products */
	dist_fn dot;      /* 1 - product */
};

extern const struct dist_kernels dist_serial;
extern const struct dist_kernels dist_avx2;
extern const struct dist_kernels dist_avx512;
extern const struct dist_kernels dist_neon;

#endif
