/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of many points: each point that comes out renders.
 */
#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/json/json_import.h"
#include "engine/json/json_point.h"
#include "tests/fuzz/fuzz.h"

static int
put(void *arg, struct point *p, struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};

	(void)arg;
	check(p->doc.form == DOC_CANONICAL);
	return json_point_render(p, &b, err);
}

static void
refuse(void *arg, uint64_t line, const struct err *err)
{
	(void)arg;
	check(line == 1 && err->code != 0 && err->text[0] != 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *text, size_t n)
{
	CLEAN(arena_done) struct arena a = {0};
	const struct import_sink sink = {put, refuse, NULL};
	struct err err = {0};
	int rc = json_import_body(text, n, 1, &a, &sink, &err);

	check(rc == 0 || (err.code == -rc && err.code != ERR_DAMAGED));
	return 0;
}
