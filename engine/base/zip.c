/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/zip.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

struct zip_ctx {
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack;
};

static pthread_once_t zip_once = PTHREAD_ONCE_INIT;
static pthread_key_t zip_key;

static void
zip_ctx_free(void *p)
{
	struct zip_ctx *c = p;

	ZSTD_freeCCtx(c->pack);
	ZSTD_freeDCtx(c->unpack);
	free(c);
}

static void
zip_setup(void)
{
	check(pthread_key_create(&zip_key, zip_ctx_free) == 0);
}

/* This thread's contexts, kept because setting one up costs more than packing
 * a small piece.  NULL: out of memory. */
static struct zip_ctx *
zip_ctx(void)
{
	struct zip_ctx *c;

	pthread_once(&zip_once, zip_setup);
	c = pthread_getspecific(zip_key);
	if (c)
		return c;
	c = calloc(1, sizeof *c);
	if (c && pthread_setspecific(zip_key, c) != 0) {
		free(c);
		c = NULL;
	}
	return c;
}

int
zip_pack(const void *p, size_t n, int level, struct buf *ret, struct err *err)
{
	struct zip_ctx *c = zip_ctx();
	size_t bound = ZSTD_compressBound(n), got;

	if (c && !c->pack)
		c->pack = ZSTD_createCCtx();
	if (!c || !c->pack || ZSTD_isError(bound) || buf_reserve(ret, bound))
		return err_set(err, ERR_NO_MEMORY, "zstd: out of memory");
	got = ZSTD_compressCCtx(c->pack, ret->p + ret->n, bound, p, n, level);
	if (ZSTD_isError(got))
		return err_set(err, ERR_NO_MEMORY, "zstd: %s",
			       ZSTD_getErrorName(got));
	ret->n += got;
	return 0;
}

int
zip_unpack(const void *p, size_t n, void *ret, size_t len, struct err *err)
{
	struct zip_ctx *c = zip_ctx();
	size_t got;

	if (c && !c->unpack)
		c->unpack = ZSTD_createDCtx();
	if (!c || !c->unpack)
		return err_set(err, ERR_NO_MEMORY, "zstd: out of memory");
	got = ZSTD_decompressDCtx(c->unpack, ret, len, p, n);
	if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
		return err_set(err, ERR_NO_MEMORY, "zstd: out of memory");
	if (ZSTD_isError(got))
		return err_set(err, ERR_DAMAGED, "zstd: %s",
			       ZSTD_getErrorName(got));
	if (got != len)
		return err_set(err, ERR_DAMAGED,
			       "zstd: %zu bytes where %zu should be", got, len);
	return 0;
}
