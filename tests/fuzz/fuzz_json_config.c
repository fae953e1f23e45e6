/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration that was accepted prints as one that reads back the same.
 */
#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/json/json_config.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *text, size_t n)
{
	CLEAN(arena_done) struct arena a = {0};
	CLEAN(buf_done) struct buf one = {0}, two = {0};
	struct coll_config old, c, d;
	struct err err = {0};
	int rc;

	config_defaults(&old);
	rc = json_config_merge(&old, text, n, &a, &c, &err);
	check(rc == 0 || (err.code == -rc && err.text[0] != 0));
	if (rc < 0)
		return 0;
	check(c.size <= DIM_MAX && c.shard_number >= 1 &&
	      c.shard_number <= SHARDS_MAX);
	check(json_config_print(&c, &one) == 0);
	check(json_config_merge(&old, one.p, one.n, &a, &d, &err) == 0);
	check(json_config_print(&d, &two) == 0);
	check(one.n == two.n && memcmp(one.p, two.p, one.n) == 0);
	return 0;
}
