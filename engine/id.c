/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/id.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define UUID_TEXT 36
#define UUID_LEN  16

/* --- numbers --------------------------------------------------------- */

static bool
is_digits(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return n > 0;
}

/* false: above u64, which makes the digits a string */
static bool
num_parse(const char *s, size_t n, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < n; i++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	*ret = v;
	return true;
}

static size_t
num_print(const uint8_t *b, char *ret)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | b[i];
	return (size_t)snprintf(ret, ID_TEXT_MAX + 1, "%" PRIu64, v);
}

/* --- UUIDs ----------------------------------------------------------- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
uuid_hyphenated(const char *s, uint8_t ret[UUID_LEN])
{
	size_t i, at = 0;
	int high, low;

	for (i = 0; i < UUID_LEN; i++) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && s[at++] != '-')
			return false;
		high = hex_value(s[at]);
		low = high < 0 ? -1 : hex_value(s[at + 1]);
		if (low < 0)
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
		at += 2;
	}
	return true;
}

/* Any spelling with hyphens: plain, in braces, as a urn. */
static bool
uuid_parse(const char *s, size_t n, uint8_t ret[UUID_LEN])
{
	if (n == UUID_TEXT + 9 && strncasecmp(s, "urn:uuid:", 9) == 0) {
		s += 9;
		n -= 9;
	} else if (n == UUID_TEXT + 2 && s[0] == '{' && s[n - 1] == '}') {
		s++;
		n -= 2;
	}
	return n == UUID_TEXT && uuid_hyphenated(s, ret);
}

static size_t
uuid_print(const uint8_t *b, char *ret)
{
	static const char hex[] = "0123456789abcdef";
	size_t i, at = 0;

	for (i = 0; i < UUID_LEN; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			ret[at++] = '-';
		ret[at++] = hex[b[i] >> 4];
		ret[at++] = hex[b[i] & 15];
	}
	ret[at] = 0;
	return at;
}

/* --- strings --------------------------------------------------------- */

static int
string_check(const char *s, size_t n, struct err *err)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t i, len;

	if (n == 0)
		return err_set(err, ERR_ID, "an id cannot be empty");
	if (n > ID_TEXT_MAX)
		return err_set(err, ERR_NAME_LONG,
			       "an id has at most %d bytes, this has %zu",
			       ID_TEXT_MAX, n);
	if (p[0] == '.')
		return err_set(err, ERR_ID, "an id cannot start with '.'");
	for (i = 0; i < n; i += len) {
		len = utf8_char(p + i, n - i);
		if (len == 0)
			return err_set(err, ERR_ID, "an id must be UTF-8");
		if (p[i] == '/')
			return err_set(err, ERR_ID, "an id cannot contain '/'");
		if (p[i] == 0)
			return err_set(err, ERR_ID, "an id cannot contain NUL");
	}
	return 0;
}

/* --- keys ------------------------------------------------------------ */

static void
key_set(enum id_kind kind, const void *p, size_t n, struct id_key *ret)
{
	ret->n = (uint16_t)(n + 1);
	ret->b[0] = (uint8_t)kind;
	memcpy(ret->b + 1, p, n);
}

/* What names and JSON strings have in common; *ret_uuid says that it is one in
 * whatever spelling. */
static int
id_parse(const char *s, size_t n, struct id_key *ret, bool *ret_uuid,
	 struct err *err)
{
	uint8_t uuid[UUID_LEN];
	uint64_t num;
	int rc;

	*ret_uuid = uuid_parse(s, n, uuid);
	if (*ret_uuid) {
		key_set(ID_UUID, uuid, sizeof uuid, ret);
		return 0;
	}
	rc = string_check(s, n, err);
	if (rc < 0)
		return rc;
	if (is_digits(s, n) && s[0] == '0' && n > 1)
		return err_set(err, ERR_ID,
			       "an id of digits has no leading zeros: %.*s",
			       (int)n, s);
	if (is_digits(s, n) && num_parse(s, n, &num))
		id_from_num(num, ret);
	else
		key_set(ID_STR, s, n, ret);
	return 0;
}

int
id_from_name(const char *stem, size_t n, struct id_key *ret, struct err *err)
{
	char right[ID_TEXT_MAX + 1];
	struct id_key key;
	bool is_uuid;
	int rc;

	rc = id_parse(stem, n, &key, &is_uuid, err);
	if (rc < 0)
		return rc;
	if (is_uuid) {
		uuid_print(key.b + 1, right);
		if (n != UUID_TEXT || memcmp(right, stem, UUID_TEXT) != 0)
			return err_set(err, ERR_ID,
				       "the name of this UUID is %s", right);
	}
	*ret = key;
	return 0;
}

int
id_from_string(const char *s, size_t n, struct id_key *ret, struct err *err)
{
	struct id_key key;
	bool is_uuid;
	int rc;

	rc = id_parse(s, n, &key, &is_uuid, err);
	if (rc < 0)
		return rc;
	*ret = key;
	return 0;
}

void
id_from_num(uint64_t num, struct id_key *ret)
{
	uint8_t b[8];
	int i;

	for (i = 7; i >= 0; i--, num >>= 8)
		b[i] = (uint8_t)num;
	key_set(ID_NUM, b, sizeof b, ret);
}

int
id_from_bytes(const void *p, size_t n, struct id_key *ret, struct err *err)
{
	const uint8_t *b = p;
	struct id_key key = {0};
	bool right = n >= 2 && n <= ID_KEY_MAX;

	if (right && b[0] == ID_NUM)
		right = n == 1 + 8;
	else if (right && b[0] == ID_UUID)
		right = n == 1 + UUID_LEN;
	else if (right && b[0] == ID_STR) /* one id, one key */
		right = id_from_name((const char *)b + 1, n - 1, &key, NULL) ==
				0 &&
			key.b[0] == ID_STR;
	else
		right = false;
	if (!right)
		return err_set(err, ERR_DAMAGED, "%zu bytes are no id", n);
	ret->n = (uint16_t)n;
	memcpy(ret->b, p, n);
	return 0;
}

size_t
id_print(const void *key, size_t n, char *ret)
{
	const uint8_t *b = key;

	if (n == 1 + 8 && b[0] == ID_NUM)
		return num_print(b + 1, ret);
	if (n == 1 + UUID_LEN && b[0] == ID_UUID)
		return uuid_print(b + 1, ret);
	check(n > 1 && n <= ID_KEY_MAX && b[0] == ID_STR);
	memcpy(ret, b + 1, n - 1);
	ret[n - 1] = 0;
	return n - 1;
}

int
id_print_json(const void *key, size_t n, struct buf *ret)
{
	char text[ID_TEXT_MAX + 1];
	size_t len = id_print(key, n, text);

	if (*(const uint8_t *)key == ID_NUM)
		return buf_put(ret, text, len);
	return json_quote(text, len, ret);
}

int
id_cmp(const void *a, size_t an, const void *b, size_t bn)
{
	int d = memcmp(a, b, MIN(an, bn));

	return d != 0 ? d : (an > bn) - (an < bn);
}
