/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/answer.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <string.h>

#define DEPTH_MAX 128

/* Moves w to the value of member name of the object just entered. */
static bool
member_seek(struct json_walk *w, const char *name, size_t n,
	    struct json_tok *ret)
{
	char key[64];
	struct json_tok k;

	if (n >= sizeof key)
		return false;
	memcpy(key, name, n);
	key[n] = '\0';
	while (json_key(w, &k, NULL) == 0 && k.type == JSON_STRING) {
		if (json_next(w, ret, NULL))
			return false;
		if (json_tok_is(&k, key))
			return true;
		if (json_skip(w, ret, NULL, NULL))
			return false;
	}
	return false;
}

bool
answer_find(struct slice text, const char *path, struct json_tok *ret,
	    struct slice *ret_raw)
{
	struct json_walk w;
	struct json_tok t;
	struct slice raw = {0};

	json_walk_init(&w, text.p, text.n, DEPTH_MAX);
	if (json_next(&w, &t, NULL))
		return false;
	while (*path) {
		size_t n = strcspn(path, ".");

		if (t.type != JSON_OBJECT || !member_seek(&w, path, n, &t))
			return false;
		path += n + (path[n] == '.');
	}
	raw = t.raw;
	if ((t.type == JSON_OBJECT || t.type == JSON_ARRAY) &&
	    json_skip(&w, &t, &raw, NULL))
		return false;
	*ret = t;
	if (ret_raw)
		*ret_raw = raw;
	return true;
}

bool
answer_string(struct slice text, const char *path, struct buf *ret)
{
	struct json_tok t;

	buf_clear(ret);
	return answer_find(text, path, &t, NULL) && t.type == JSON_STRING &&
	       json_unescape(&t, ret, NULL) == 0 && buf_put_u8(ret, 0) == 0;
}

bool
answer_number(struct slice text, const char *path, uint64_t *ret)
{
	struct json_tok t;

	return answer_find(text, path, &t, NULL) && t.type == JSON_NUMBER &&
	       json_tok_u64(&t, ret, NULL) == 0;
}

void
answer_each(struct slice text, const char *path,
	    bool (*fn)(void *arg, struct slice element), void *arg)
{
	struct json_walk w;
	struct json_tok t;
	struct slice list, raw;

	if (!answer_find(text, path, &t, &list) || t.type != JSON_ARRAY)
		return;
	json_walk_init(&w, list.p, list.n, DEPTH_MAX);
	if (json_next(&w, &t, NULL))
		return;
	while (json_next(&w, &t, NULL) == 0 && t.type != JSON_END) {
		raw = t.raw;
		if ((t.type == JSON_OBJECT || t.type == JSON_ARRAY) &&
		    json_skip(&w, &t, &raw, NULL))
			return;
		if (!fn(arg, raw))
			return;
	}
}

bool
answer_error(struct slice text, struct buf *ret)
{
	return answer_string(text, "status.error", ret);
}
