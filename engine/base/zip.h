/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zip.h - zstd in and out with a limit on what comes out.  The one door to
 * libzstd.  threads: any; contexts are kept per thread.
 */
#ifndef ENGINE_BASE_ZIP_H
#define ENGINE_BASE_ZIP_H

#include "engine/base/buf.h"

struct err;

/* Appends the compressed bytes to ret. */
int zip_pack(const void *p, size_t n, int level, struct buf *ret,
	     struct err *err);

/* Unpacks into exactly len bytes at ret; anything else is ERR_DAMAGED. */
int zip_unpack(const void *p, size_t n, void *ret, size_t len, struct err *err);

#endif
