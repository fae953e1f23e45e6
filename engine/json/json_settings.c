/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_settings.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* --- units ----------------------------------------------------------- */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"B", 1},
	{"KiB", 1ull << 10},
	{"MiB", 1ull << 20},
	{"GiB", 1ull << 30},
	{"TiB", 1ull << 40},
	{NULL, 0},
};

static const struct unit duration_units[] = {
	{"ms", 1},      {"s", 1000},     {"min", 60000},
	{"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

static bool
unit_parse(const char *s, const struct unit *units, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return false;
	for (; units->name; units++)
		if (strcmp(end, units->name) == 0)
			return !__builtin_mul_overflow(v, units->factor, ret);
	return false;
}

int
size_parse(const char *s, uint64_t *ret_bytes, struct err *err)
{
	if (unit_parse(s, size_units, ret_bytes))
		return 0;
	return err_set(err, ERR_CONFIG,
		       "'%s' is no size such as \"64MiB\" "
		       "(B, KiB, MiB, GiB, TiB)",
		       s);
}

int
duration_parse(const char *s, uint64_t *ret_ms, struct err *err)
{
	if (unit_parse(s, duration_units, ret_ms))
		return 0;
	return err_set(err, ERR_CONFIG,
		       "'%s' is no duration such as \"15min\" "
		       "(ms, s, min, h, d)",
		       s);
}

/* --- the members ----------------------------------------------------- */

enum kind {
	KIND_UINT,   /* min..max */
	KIND_NUMBER, /* 0..1 */
	KIND_BOOL,
	KIND_SIZE, /* min..max bytes */
	KIND_DURATION,
	KIND_EVERY,  /* a duration, or "daily at 02:00" */
	KIND_CHOICE, /* one of the words in `words` */
	KIND_STRING,
	KIND_URL,
	KIND_PATH,    /* absolute */
	KIND_OBJECT,  /* with the members in `sub` */
	KIND_MAP,     /* names of the user's, each an object as in `sub` */
	KIND_LIST,    /* of objects as in `sub` */
	KIND_CHOICES, /* a list of words */
	KIND_STRINGS, /* a list of strings */
	KIND_PATHS,
};

struct member {
	const char *name;
	enum kind kind;
	bool required; /* in elements of maps and lists */
	uint64_t min, max;
	const char *words; /* " a b c " */
	const struct member *sub;
};

/* clang-format off */
static const struct member wal_members[] = {
	{.name = "wal_capacity_mb", .kind = KIND_UINT, .min = 1, .max = 1024},
	{.name = "wal_segments_ahead", .kind = KIND_UINT, .min = 0, .max = 64},
	{0},
};

static const struct member storage_members[] = {
	{.name = "snapshots_path", .kind = KIND_PATH},
	{.name = "temp_path", .kind = KIND_PATH},
	{.name = "wal_path", .kind = KIND_PATH},
	{.name = "wal", .kind = KIND_OBJECT, .sub = wal_members},
	{0},
};

static const struct member credentials_members[] = {
	{.name = "file", .kind = KIND_PATH},
	{.name = "profile", .kind = KIND_STRING},
	{0},
};

static const struct member remote_members[] = {
	{.name = "url", .kind = KIND_URL, .required = true},
	{.name = "endpoint", .kind = KIND_URL},
	{.name = "region", .kind = KIND_STRING},
	{.name = "path_style", .kind = KIND_BOOL},
	{.name = "credentials", .kind = KIND_OBJECT, .sub = credentials_members},
	{.name = "mode", .kind = KIND_CHOICE, .words = " repo export "},
	{.name = "compress", .kind = KIND_BOOL},
	{.name = "encrypt_to", .kind = KIND_STRINGS},
	{.name = "sse", .kind = KIND_STRING},
	{.name = "ship_log", .kind = KIND_BOOL},
	{0},
};

static const struct member schedule_members[] = {
	{.name = "every", .kind = KIND_EVERY, .required = true},
	{.name = "of", .kind = KIND_STRING, .required = true},
	{.name = "keep", .kind = KIND_UINT, .min = 1, .max = 1000000},
	{.name = "remote", .kind = KIND_STRING},
	{0},
};

static const struct member objective_members[] = {
	{.name = "rpo", .kind = KIND_DURATION},
	{.name = "rto", .kind = KIND_DURATION},
	{.name = "recall_delta", .kind = KIND_NUMBER},
	{0},
};

static const struct member recover_members[] = {
	{.name = "allow", .kind = KIND_CHOICES, .words = " file http https s3 "},
	{.name = "roots", .kind = KIND_PATHS},
	{0},
};

static const struct member root_members[] = {
	{.name = "sync", .kind = KIND_CHOICE, .words = " close fsync interval "},
	{.name = "sync_interval_ms", .kind = KIND_UINT, .min = 1, .max = 60000},
	{.name = "max_point_bytes", .kind = KIND_SIZE, .min = 1024, .max = 64ull << 20},
	{.name = "scratch_max_bytes", .kind = KIND_SIZE, .min = 0, .max = 1ull << 50},
	{.name = "storage", .kind = KIND_OBJECT, .sub = storage_members},
	{.name = "history_window", .kind = KIND_DURATION},
	{.name = "history_max_bytes", .kind = KIND_SIZE, .min = 1, .max = 1ull << 60},
	{.name = "remotes", .kind = KIND_MAP, .sub = remote_members},
	{.name = "schedule", .kind = KIND_LIST, .sub = schedule_members},
	{.name = "objectives", .kind = KIND_OBJECT, .sub = objective_members},
	{.name = "recover", .kind = KIND_OBJECT, .sub = recover_members},
	{.name = "post_snapshot", .kind = KIND_STRING},
	{0},
};
/* clang-format on */

static const char defaults[] =
	"{\"sync\":\"close\",\"sync_interval_ms\":50,"
	"\"max_point_bytes\":\"32MiB\",\"scratch_max_bytes\":\"1GiB\","
	"\"storage\":{\"snapshots_path\":null,\"temp_path\":null,"
	"\"wal_path\":null,"
	"\"wal\":{\"wal_capacity_mb\":32,\"wal_segments_ahead\":0}},"
	"\"history_window\":\"24h\",\"history_max_bytes\":null,"
	"\"remotes\":{},\"schedule\":[],"
	"\"objectives\":{\"rpo\":null,\"rto\":null,\"recall_delta\":null},"
	"\"recover\":{\"allow\":[\"file\",\"https\",\"s3\"],\"roots\":[]},"
	"\"post_snapshot\":null}";

static const struct member *
member_find(const struct member *list, const char *name)
{
	for (; list->name; list++)
		if (strcmp(list->name, name) == 0)
			return list;
	return NULL;
}

/* --- checking -------------------------------------------------------- */

/* What a check needs besides the value: where it is, for the message. */
struct place {
	const struct place *in;
	const char *name; /* NULL: an element, number at */
	size_t at;
};

static void
place_print(const struct place *p, struct buf *ret)
{
	if (p->in) {
		place_print(p->in, ret);
		if (p->name && p->in->in)
			buf_puts(ret, ".");
	}
	if (p->name)
		buf_puts(ret, p->name);
	else
		buf_printf(ret, "[%zu]", p->at);
}

/* Puts the place in front of the message of *err. */
static int
place_err(const struct place *p, int rc, struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};

	place_print(p, &b);
	return err_in(err, rc, "%.*s", (int)b.n, b.p ? (char *)b.p : "");
}

static bool
word_in(const char *words, const char *word)
{
	size_t n = strlen(word);
	const char *at = words;

	if (n == 0 || strchr(word, ' '))
		return false;
	while ((at = strstr(at, word)) != NULL) {
		if (at[-1] == ' ' && at[n] == ' ')
			return true;
		at += n;
	}
	return false;
}

static int
range_check(const struct member *m, uint64_t v, struct err *err)
{
	if (v >= m->min && v <= m->max)
		return 0;
	return err_set(err, ERR_CONFIG, "must be %llu to %llu",
		       (unsigned long long)m->min, (unsigned long long)m->max);
}

/* "daily at 02:00" */
static bool
daily_is(const char *s)
{
	static const char form[] = "daily at 00:00";
	size_t i;

	for (i = 0; form[i]; i++)
		if (form[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return false;
	return !s[i] && atoi(s + 9) < 24 && atoi(s + 12) < 60;
}

static int
url_check(const char *s, struct err *err)
{
	const char *host = strstr(s, "://");

	if (!host || host == s)
		return err_set(err, ERR_CONFIG, "must be a URL");
	if (memchr(host + 3, '@', strcspn(host + 3, "/")))
		return err_set(err, ERR_CONFIG,
			       "a URL here holds no user name or password; "
			       "see \"credentials\"");
	return 0;
}

static int
string_check(const struct member *m, const char *s, struct err *err)
{
	uint64_t v;
	int rc;

	switch (m->kind) {
	case KIND_SIZE:
		rc = size_parse(s, &v, err);
		return rc ? rc : range_check(m, v, err);
	case KIND_EVERY:
		if (daily_is(s))
			return 0;
		/* fallthrough */
	case KIND_DURATION:
		return duration_parse(s, &v, err);
	case KIND_CHOICE:
	case KIND_CHOICES:
		if (word_in(m->words, s))
			return 0;
		return err_set(err, ERR_CONFIG, "'%.40s' is not one of%s", s,
			       m->words);
	case KIND_URL:
		return url_check(s, err);
	case KIND_PATH:
	case KIND_PATHS:
		if (s[0] == '/' && strlen(s) < 4000)
			return 0;
		return err_set(err, ERR_CONFIG, "must be an absolute path");
	default:
		if (s[0])
			return 0;
		return err_set(err, ERR_CONFIG, "must not be empty");
	}
}

static const char *
kind_text(enum kind k)
{
	switch (k) {
	case KIND_UINT:
		return "a whole number";
	case KIND_NUMBER:
		return "a number from 0 to 1";
	case KIND_BOOL:
		return "true or false";
	case KIND_SIZE:
		return "a size such as \"64MiB\"";
	case KIND_DURATION:
	case KIND_EVERY:
		return "a duration such as \"15min\"";
	case KIND_OBJECT:
	case KIND_MAP:
		return "an object";
	case KIND_LIST:
		return "a list of objects";
	case KIND_CHOICES:
	case KIND_STRINGS:
	case KIND_PATHS:
		return "a list of strings";
	default:
		return "a string";
	}
}

static int
kind_wrong(const struct member *m, struct err *err)
{
	return err_set(err, ERR_TYPE, "must be %s", kind_text(m->kind));
}

static int object_check(const struct member *list, const json_t *j, bool whole,
			const struct place *in, struct err *err);

static int
strings_check(const struct member *m, const json_t *j, struct err *err)
{
	size_t i;
	int rc;

	if (!json_is_array(j))
		return kind_wrong(m, err);
	for (i = 0; i < json_array_size(j); i++) {
		const char *s = json_string_value(json_array_get(j, i));

		if (!s)
			return kind_wrong(m, err);
		rc = string_check(m, s, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int
scalar_check(const struct member *m, const json_t *j, struct err *err)
{
	switch (m->kind) {
	case KIND_BOOL:
		return json_is_boolean(j) ? 0 : kind_wrong(m, err);
	case KIND_NUMBER:
		if (json_is_number(j) && json_number_value(j) >= 0 &&
		    json_number_value(j) <= 1)
			return 0;
		return kind_wrong(m, err);
	case KIND_CHOICES:
	case KIND_STRINGS:
	case KIND_PATHS:
		return strings_check(m, j, err);
	case KIND_UINT:
	case KIND_SIZE:
		if (json_is_integer(j) && json_integer_value(j) >= 0)
			return range_check(m, (uint64_t)json_integer_value(j),
					   err);
		if (m->kind == KIND_UINT)
			return kind_wrong(m, err);
		/* fallthrough */
	default:
		if (!json_is_string(j))
			return kind_wrong(m, err);
		return string_check(m, json_string_value(j), err);
	}
}

static int
map_check(const struct member *m, json_t *j, bool whole, const struct place *at,
	  struct err *err)
{
	const char *key;
	json_t *value;
	int rc = 0;

	json_object_foreach(j, key, value)
	{
		struct place p = {.in = at, .name = key};

		if (!key[0] || strchr(key, '/'))
			rc = err_set(err, ERR_CONFIG,
				     "a name must not be empty or have a '/'");
		else if (json_is_null(value) && !whole)
			continue; /* taken out by the merge */
		else if (json_is_object(value)) {
			rc = object_check(m->sub, value, whole, &p, err);
			if (rc)
				return rc;
			continue;
		} else
			rc = err_set(err, ERR_TYPE, "must be an object");
		return place_err(&p, rc, err);
	}
	return rc;
}

/* Lists are replaced whole, so that their elements are always complete. */
static int
list_check(const struct member *m, const json_t *j, const struct place *at,
	   struct err *err)
{
	size_t i;
	int rc;

	for (i = 0; i < json_array_size(j); i++) {
		struct place p = {.in = at, .at = i};
		const json_t *value = json_array_get(j, i);

		if (!json_is_object(value))
			return place_err(
				&p, err_set(err, ERR_TYPE, "must be an object"),
				err);
		rc = object_check(m->sub, value, true, &p, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int
member_check(const struct member *m, json_t *j, bool whole,
	     const struct place *at, struct err *err)
{
	if (json_is_null(j))
		return 0;
	if (m->kind == KIND_OBJECT && json_is_object(j))
		return object_check(m->sub, j, whole, at, err);
	if (m->kind == KIND_MAP && json_is_object(j))
		return map_check(m, j, whole, at, err);
	if (m->kind == KIND_LIST && json_is_array(j))
		return list_check(m, j, at, err);
	if (m->kind == KIND_OBJECT || m->kind == KIND_MAP ||
	    m->kind == KIND_LIST)
		return place_err(at, kind_wrong(m, err), err);
	return place_err(at, scalar_check(m, j, err), err);
}

/* whole: required members must be there; otherwise it is a change. */
static int
object_check(const struct member *list, const json_t *j, bool whole,
	     const struct place *in, struct err *err)
{
	const struct member *m;
	const char *key;
	json_t *value;
	int rc;

	json_object_foreach((json_t *)j, key, value)
	{
		struct place p = {.in = in, .name = key};

		m = member_find(list, key);
		if (!m) {
			rc = err_set(err, ERR_KEY, "unknown setting");
			return place_err(&p, rc, err);
		}
		rc = member_check(m, value, whole, &p, err);
		if (rc)
			return rc;
	}
	for (m = list; whole && m->name; m++)
		if (m->required && !json_is_string(json_object_get(j, m->name)))
			return place_err(in,
					 err_set(err, ERR_CONFIG,
						 "\"%s\" is missing", m->name),
					 err);
	return 0;
}

/* --- merging --------------------------------------------------------- */

static void
json_unref(json_t **j)
{
	json_decref(*j);
}

/* base may be NULL: what null resets to is then absence. */
static int
object_merge(json_t *into, const json_t *patch, const json_t *base)
{
	const char *key;
	json_t *value, *old, *reset;
	int bad = 0;

	json_object_foreach((json_t *)patch, key, value)
	{
		old = json_object_get(into, key);
		reset = json_object_get(base, key);
		if (json_is_null(value) && !reset) {
			json_object_del(into, key);
		} else if (json_is_null(value)) {
			bad |= json_object_set_new(into, key,
						   json_deep_copy(reset));
		} else if (json_is_object(value)) {
			if (!json_is_object(old)) {
				old = json_object();
				bad |= json_object_set_new(into, key, old);
			}
			bad |= old ? object_merge(old, value, reset) : -1;
		} else {
			bad |= json_object_set_new(into, key,
						   json_deep_copy(value));
		}
	}
	return bad;
}

static int
json_load(const void *text, size_t n, json_t **ret, struct err *err)
{
	json_error_t why;

	if (n > SETTINGS_TEXT_MAX)
		return err_set(err, ERR_TOO_BIG, "settings over 1 MiB");
	*ret = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	if (!*ret)
		return err_set(err, ERR_JSON, "line %d, column %d: %s",
			       why.line, why.column, why.text);
	if (json_is_object(*ret))
		return 0;
	json_decref(*ret);
	*ret = NULL;
	return err_set(err, ERR_TYPE, "settings are one object");
}

/* --- to the struct --------------------------------------------------- */

static uint64_t
size_of(const json_t *j)
{
	uint64_t v = 0;

	if (json_is_integer(j))
		return (uint64_t)json_integer_value(j);
	if (json_is_string(j))
		unit_parse(json_string_value(j), size_units, &v);
	return v;
}

static uint64_t
duration_of(const json_t *j)
{
	uint64_t v = 0;

	if (json_is_string(j))
		unit_parse(json_string_value(j), duration_units, &v);
	return v;
}

static uint32_t
uint_of(const json_t *j)
{
	return (uint32_t)json_integer_value(j);
}

static const char *
path_of(const json_t *storage, const char *name, struct arena *a, bool *failed)
{
	const char *s = json_string_value(json_object_get(storage, name));
	const char *copy = s ? arena_strndup(a, s, strlen(s)) : NULL;

	*failed |= s && !copy;
	return copy;
}

static enum sync_policy
sync_of(const json_t *j)
{
	const char *s = json_string_value(j);

	if (s && strcmp(s, "fsync") == 0)
		return SYNC_FSYNC;
	if (s && strcmp(s, "interval") == 0)
		return SYNC_INTERVAL;
	return SYNC_CLOSE;
}

/* root has been checked.  The compact text is made here too. */
static int
settings_read(const json_t *root, struct arena *a, struct settings *ret,
	      struct err *err)
{
	const json_t *storage = json_object_get(root, "storage");
	const json_t *wal = json_object_get(storage, "wal");
	char *text = json_dumps(root, JSON_COMPACT);
	bool failed = !text;

	*ret = (struct settings){
		.sync = sync_of(json_object_get(root, "sync")),
		.sync_interval_ms =
			uint_of(json_object_get(root, "sync_interval_ms")),
		.max_point_bytes =
			size_of(json_object_get(root, "max_point_bytes")),
		.scratch_max_bytes =
			size_of(json_object_get(root, "scratch_max_bytes")),
		.snapshots_path =
			path_of(storage, "snapshots_path", a, &failed),
		.temp_path = path_of(storage, "temp_path", a, &failed),
		.wal_path = path_of(storage, "wal_path", a, &failed),
		.wal_capacity_mb =
			uint_of(json_object_get(wal, "wal_capacity_mb")),
		.wal_segments_ahead =
			uint_of(json_object_get(wal, "wal_segments_ahead")),
		.history_window_ms =
			duration_of(json_object_get(root, "history_window")),
		.history_max_bytes =
			size_of(json_object_get(root, "history_max_bytes")),
		.text = text ? arena_strndup(a, text, strlen(text)) : NULL,
	};
	free(text);
	if (failed || !ret->text)
		return err_set(err, ERR_NO_MEMORY, "settings");
	return 0;
}

int
settings_defaults(struct arena *a, struct settings *ret, struct err *err)
{
	CLEAN(json_unref) json_t *root = NULL;
	int rc;

	rc = json_load(defaults, sizeof defaults - 1, &root, err);
	return rc ? rc : settings_read(root, a, ret, err);
}

int
json_settings_merge(const struct settings *old, const void *text, size_t n,
		    struct arena *a, struct settings *ret, struct err *err)
{
	CLEAN(json_unref) json_t *root = NULL;
	CLEAN(json_unref) json_t *patch = NULL;
	CLEAN(json_unref) json_t *base = NULL;
	struct place top = {.name = ""};
	int rc;

	rc = json_load(text, n, &patch, err);
	if (!rc)
		rc = object_check(root_members, patch, false, &top, err);
	if (!rc)
		rc = json_load(old->text, strlen(old->text), &root, err);
	if (!rc)
		rc = json_load(defaults, sizeof defaults - 1, &base, err);
	if (rc)
		return rc;
	if (object_merge(root, patch, base))
		return err_set(err, ERR_NO_MEMORY, "settings");
	rc = object_check(root_members, root, true, &top, err);
	return rc ? rc : settings_read(root, a, ret, err);
}

int
json_settings_print(const struct settings *s, struct buf *ret)
{
	CLEAN(json_unref) json_t *root = NULL;
	struct err err;
	char *text;

	if (json_load(s->text, strlen(s->text), &root, &err))
		return -ERR_NO_MEMORY; /* it was ours, so it is not the text */
	text = json_dumps(root, JSON_INDENT(2));
	if (!text)
		return -ERR_NO_MEMORY;
	buf_puts(ret, text);
	free(text);
	buf_puts(ret, "\n");
	return ret->failed ? -ERR_NO_MEMORY : 0;
}

/* --- single members -------------------------------------------------- */

struct setting {
	const char *name;
	const struct member *in;
	const char *before, *after; /* the objects around it */
};

static const struct setting singles[] = {
	{"sync", root_members, "{", "}"},
	{"sync_interval_ms", root_members, "{", "}"},
	{"max_point_bytes", root_members, "{", "}"},
	{"scratch_max_bytes", root_members, "{", "}"},
	{"snapshots_path", storage_members, "{\"storage\":{", "}}"},
	{"temp_path", storage_members, "{\"storage\":{", "}}"},
	{"wal_path", storage_members, "{\"storage\":{", "}}"},
	{"wal_capacity_mb", wal_members, "{\"storage\":{\"wal\":{", "}}}"},
	{"wal_segments_ahead", wal_members, "{\"storage\":{\"wal\":{", "}}}"},
	{"history_window", root_members, "{", "}"},
	{"history_max_bytes", root_members, "{", "}"},
	{"post_snapshot", root_members, "{", "}"},
};

const char *
settings_name(unsigned i)
{
	return i < ARRAY_LEN(singles) ? singles[i].name : NULL;
}

static const struct setting *
setting_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(singles); i++)
		if (strcmp(singles[i].name, name) == 0)
			return &singles[i];
	return NULL;
}

bool
settings_has_name(const char *name)
{
	return setting_find(name) != NULL;
}

static bool
digits_only(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

int
settings_set(const struct settings *old, const char *name, const char *value,
	     struct arena *a, struct settings *ret, struct err *err)
{
	const struct setting *s = setting_find(name);
	CLEAN(buf_done) struct buf patch = {0};
	CLEAN(json_unref) json_t *string = NULL;
	enum kind kind;
	char *quoted;

	if (!s)
		return err_set(err, ERR_KEY, "%.60s: unknown setting", name);
	kind = member_find(s->in, name)->kind;
	buf_printf(&patch, "%s\"%s\":", s->before, name);
	if (strcmp(value, "null") == 0 ||
	    (digits_only(value) && (kind == KIND_UINT || kind == KIND_SIZE))) {
		/* a JSON number has no zeros in front */
		value += value[0] == '0' ? strspn(value, "0") : 0;
		buf_puts(&patch, *value ? value : "0");
	} else {
		string = json_string(value);
		quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
		if (!quoted)
			return err_set(err, ERR_CONFIG, "%s: not UTF-8", name);
		buf_puts(&patch, quoted);
		free(quoted);
	}
	buf_puts(&patch, s->after);
	if (patch.failed)
		return err_set(err, ERR_NO_MEMORY, "settings");
	return json_settings_merge(old, patch.p, patch.n, a, ret, err);
}
