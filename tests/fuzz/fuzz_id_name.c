/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One id, one key, one name: what is accepted prints as the only name that
 * gives the key.
 */
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/id.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *s = (const char *)p;
	char text[ID_TEXT_MAX + 1];
	struct id_key name, string, again;
	struct err err = {0};
	size_t len;
	int rc = id_from_name(s, n, &name, &err);

	check(rc == 0 || (err.code == -rc && err.text[0] != 0));
	if (rc == 0) {
		len = id_print(name.b, name.n, text);
		check(len == n && memcmp(text, s, n) == 0);
		check(id_from_string(s, n, &string, NULL) == 0);
		check(id_cmp(name.b, name.n, string.b, string.n) == 0);
	}
	if (id_from_string(s, n, &string, NULL) == 0) {
		len = id_print(string.b, string.n, text);
		check(id_from_name(text, len, &again, NULL) == 0);
		check(id_cmp(again.b, again.n, string.b, string.n) == 0);
		check(id_from_bytes(string.b, string.n, &again, NULL) == 0);
	}
	id_from_bytes(p, n, &again, NULL);
	return 0;
}
