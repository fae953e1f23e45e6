/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/path.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <stdio.h>
#include <string.h>

#define NO_BITS   36
#define COLL_BITS 24
#define NO_MASK   ((1ull << NO_BITS) - 1)
#define COLL_MASK ((1ull << COLL_BITS) - 1)
#define ROOT_INO  1

static const char *const controls[CONTROL_NR] = {
	[CONTROL_CONFIG] = ".config.json", [CONTROL_STATUS] = ".status.json",
	[CONTROL_SEARCH] = ".search",      [CONTROL_SCROLL] = ".scroll",
	[CONTROL_COUNT] = ".count",        [CONTROL_IMPORT] = ".import",
};

static const char *const not_yet[] = {".facet", ".matrix", ".update",
				      ".recover", ".where"};

static const char *const restore_names[] = {"MANIFEST", "SHA256SUMS",
					    "RESTORE.md"};

uint64_t
node_ino(enum node_kind kind, uint32_t coll, uint64_t no)
{
	if (kind == NODE_STATIC && no == STATIC_ROOT)
		return ROOT_INO;
	return (uint64_t)kind << (NO_BITS + COLL_BITS) |
	       (coll & COLL_MASK) << NO_BITS | (no & NO_MASK);
}

bool
node_parse(uint64_t ino, struct node *ret)
{
	unsigned kind = (unsigned)(ino >> (NO_BITS + COLL_BITS));

	if (ino == ROOT_INO) {
		*ret = (struct node){NODE_STATIC, 0, STATIC_ROOT};
		return true;
	}
	if (kind < NODE_STATIC || kind >= NODE_KIND_NR)
		return false;
	ret->kind = (enum node_kind)kind;
	ret->coll = (uint32_t)(ino >> NO_BITS & COLL_MASK);
	ret->no = ino & NO_MASK;
	return true;
}

const char *
control_name(enum control c)
{
	return controls[c];
}

static bool
is_one_of(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

static bool
ends_with(const char *name, size_t n, const char *end)
{
	size_t m = strlen(end);

	return n > m && memcmp(name + n - m, end, m) == 0;
}

/* Names with a dot in front: ours, or anybody's. */
static int
dot_name_parse(const char *name, struct name *ret)
{
	for (unsigned i = 1; i < CONTROL_NR; i++) {
		if (strcmp(name, controls[i]) == 0) {
			ret->kind = NAME_CONTROL;
			ret->control = (enum control)i;
			return 0;
		}
	}
	if (strcmp(name, ".near") == 0)
		ret->kind = NAME_NEAR;
	else if (is_one_of(name, not_yet, ARRAY_LEN(not_yet)))
		ret->kind = NAME_NOT_YET;
	else
		ret->kind = NAME_SCRATCH;
	return 0;
}

int
name_parse(const char *name, struct name *ret, struct err *err)
{
	size_t n = strnlen(name, FS_NAME_MAX + 1);

	if (n > FS_NAME_MAX)
		return err_set(err, ERR_NAME_LONG,
			       "a name has at most %d bytes", FS_NAME_MAX);
	ret->control = 0;
	ret->id.n = 0;
	if (name[0] == '.')
		return dot_name_parse(name, ret);
	if (ends_with(name, n, ".json")) {
		ret->kind = NAME_POINT;
		return id_from_name(name, n - 5, &ret->id, err);
	}
	if (is_one_of(name, restore_names, ARRAY_LEN(restore_names)) ||
	    ends_with(name, n, ".qv"))
		ret->kind = NAME_RESTORE;
	else
		ret->kind = NAME_SCRATCH;
	return 0;
}

size_t
near_name_print(unsigned rank, float score, const struct id_key *id,
		char ret[FS_NAME_MAX + 1])
{
	char stem[ID_TEXT_MAX + 1], whole[FS_NAME_MAX + 128];
	size_t n;

	id_print(id->b, id->n, stem);
	snprintf(whole, sizeof whole, "%03u_%.4f_%s.json", rank, (double)score,
		 stem);
	n = strlen(whole);
	if (n > FS_NAME_MAX) {
		/* Between characters, so that the name stays UTF-8. */
		n = FS_NAME_MAX;
		while (n > 0 && ((uint8_t)whole[n] & 0xC0) == 0x80)
			n--;
	}
	memcpy(ret, whole, n);
	ret[n] = '\0';
	return n;
}

static const char *
skip_set(const char *p, const char *set, size_t min, size_t max)
{
	size_t n = strspn(p, set);

	return n < min || n > max ? NULL : p + n;
}

bool
near_name_parse(const char *name, struct id_key *ret)
{
	const char *p = skip_set(name, "0123456789", 3, 8);
	size_t n;

	if (p == NULL || *p++ != '_')
		return false;
	p = skip_set(p, "-+.0123456789infa", 1, 64);
	if (p == NULL || *p++ != '_')
		return false;
	n = strlen(p);
	return ends_with(p, n, ".json") &&
	       id_from_name(p, n - 5, ret, NULL) == 0;
}
