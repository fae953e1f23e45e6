/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two readers of JSON agree, however the text is cut into pieces.
 */
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/text.h"
#include "tests/fuzz/fuzz.h"

#define DEPTH 128

static int
feed(const uint8_t *p, size_t n, size_t piece)
{
	struct json_feed f = {0};
	struct err err;
	size_t at, m;
	int rc = JSON_MORE;

	for (at = 0; at < n && rc >= 0; at += m) {
		m = MIN(piece, n - at);
		rc = json_feed(&f, p + at, m, DEPTH, NULL, &err);
	}
	if (rc >= 0)
		rc = json_feed(&f, "\n", 1, DEPTH, NULL, &err);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct json_walk w;
	struct json_tok t;
	struct err err;
	int rc, whole;

	json_walk_init(&w, p, n, DEPTH);
	rc = json_next(&w, &t, &err);
	if (rc == 0)
		rc = json_skip(&w, &t, NULL, &err);
	if (rc == 0)
		rc = json_finish(&w, &err);
	check(rc == 0 || rc == -ERR_JSON);
	whole = feed(p, n, n + 1);
	check((whole == JSON_WHOLE) == (rc == 0));
	check(feed(p, n, 1) == whole);
	check(feed(p, n, 7) == whole);
	return 0;
}
