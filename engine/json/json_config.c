/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/json/json_config.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/json/json_tree.h"
#include "engine/json/number.h"

#include <jansson.h>

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A configuration is merged in a tree: the effective one is printed, the body
 * is laid over it as PATCH says, and the result is checked by a table and read
 * out.  What the table has no place in struct coll_config for stays in the
 * tree and becomes `extra`.
 */

enum field_kind {
	FIELD_INT,   /* min to max; kept in the struct if there is a place */
	FIELD_SHARE, /* a number between 0 and 1 */
	FIELD_BOOL,
	FIELD_DISTANCE,
	FIELD_ENUM,   /* words: the allowed ones, each with a blank behind */
	FIELD_OBJECT, /* of the members in the table under this name */
	FIELD_ANY,    /* an object of anything */
	FIELD_SCHEMA, /* an object of type names or objects */
	FIELD_NOT_YET,
	FIELD_NONE,    /* {} and null only */
	FIELD_IGNORED, /* a parameter of Qdrant's URL */
};

struct field {
	const char *in; /* the object it is in, "" on top */
	const char *name;
	enum field_kind kind;
	json_int_t min, max;
	size_t at; /* into struct coll_config, or NOWHERE */
	const char *words;
};

#define NOWHERE     SIZE_MAX
#define PLACE(m)    offsetof(struct coll_config, m)
#define COUNT_MAX   UINT32_MAX
#define EXTRA_EMPTY ((struct slice){"{}", 2})

/* clang-format off */
static const struct field fields[] = {
	{"", "vectors", FIELD_OBJECT, 0, 0, NOWHERE, NULL},
	{"vectors", "size", FIELD_INT, 1, DIM_MAX, PLACE(size), NULL},
	{"vectors", "distance", FIELD_DISTANCE, 0, 0, PLACE(distance), NULL},
	{"vectors", "hnsw_config", FIELD_OBJECT, 0, 0, NOWHERE, NULL},
	{"vectors", "quantization_config", FIELD_NOT_YET, 0, 0, NOWHERE, NULL},
	{"vectors", "on_disk", FIELD_BOOL, 0, 0, NOWHERE, NULL},
	{"vectors", "memory", FIELD_ENUM, 0, 0, NOWHERE, "cold cached "},
	{"vectors", "datatype", FIELD_ENUM, 0, 0, NOWHERE, "float32 "},
	{"vectors", "multivector_config", FIELD_NOT_YET, 0, 0, NOWHERE, NULL},
	{"", "sparse_vectors", FIELD_NONE, 0, 0, NOWHERE, NULL},
	{"", "shard_number", FIELD_INT, 1, SHARDS_MAX, PLACE(shard_number),
	 NULL},
	{"", "sharding_method", FIELD_ENUM, 0, 0, NOWHERE, "auto "},
	{"", "replication_factor", FIELD_INT, 1, 1, NOWHERE, NULL},
	{"", "write_consistency_factor", FIELD_INT, 1, 1, NOWHERE, NULL},
	{"", "on_disk_payload", FIELD_BOOL, 0, 0, NOWHERE, NULL},
	{"", "payload", FIELD_OBJECT, 0, 0, NOWHERE, NULL},
	{"payload", "memory", FIELD_ENUM, 0, 0, NOWHERE, "cold cached "},
	{"", "hnsw_config", FIELD_OBJECT, 0, 0, NOWHERE, NULL},
	{"hnsw_config", "m", FIELD_INT, 2, 512, PLACE(hnsw_m), NULL},
	{"hnsw_config", "ef_construct", FIELD_INT, 4, 100000,
	 PLACE(hnsw_ef_construct), NULL},
	{"hnsw_config", "full_scan_threshold", FIELD_INT, 0, COUNT_MAX,
	 PLACE(full_scan_threshold_kb), NULL},
	{"hnsw_config", "max_indexing_threads", FIELD_INT, 0, 65536, NOWHERE,
	 NULL},
	{"hnsw_config", "on_disk", FIELD_BOOL, 0, 0, NOWHERE, NULL},
	{"hnsw_config", "memory", FIELD_ENUM, 0, 0, NOWHERE, "cold cached "},
	{"hnsw_config", "payload_m", FIELD_INT, 0, 512, NOWHERE, NULL},
	{"hnsw_config", "inline_storage", FIELD_BOOL, 0, 0, NOWHERE, NULL},
	{"", "optimizers_config", FIELD_OBJECT, 0, 0, NOWHERE, NULL},
	{"optimizers_config", "deleted_threshold", FIELD_SHARE, 0, 0,
	 PLACE(deleted_threshold), NULL},
	{"optimizers_config", "vacuum_min_vector_number", FIELD_INT, 0,
	 LLONG_MAX, NOWHERE, NULL},
	{"optimizers_config", "default_segment_number", FIELD_INT, 0,
	 COUNT_MAX, NOWHERE, NULL},
	{"optimizers_config", "max_segment_size", FIELD_INT, 1, LLONG_MAX,
	 NOWHERE, NULL},
	{"optimizers_config", "memmap_threshold", FIELD_INT, 0, LLONG_MAX,
	 NOWHERE, NULL},
	{"optimizers_config", "indexing_threshold", FIELD_INT, 0, COUNT_MAX,
	 PLACE(indexing_threshold_kb), NULL},
	{"optimizers_config", "flush_interval_sec", FIELD_INT, 0, COUNT_MAX,
	 NOWHERE, NULL},
	{"optimizers_config", "max_optimization_threads", FIELD_INT, 0, 65536,
	 NOWHERE, "auto "},
	{"optimizers_config", "prevent_unoptimized", FIELD_BOOL, 0, 0, NOWHERE,
	 NULL},
	{"", "wal_config", FIELD_OBJECT, 0, 0, NOWHERE, NULL},
	{"wal_config", "wal_capacity_mb", FIELD_INT, 1, COUNT_MAX, NOWHERE,
	 NULL},
	{"wal_config", "wal_segments_ahead", FIELD_INT, 0, COUNT_MAX, NOWHERE,
	 NULL},
	{"wal_config", "wal_retain_closed", FIELD_INT, 1, COUNT_MAX, NOWHERE,
	 NULL},
	{"", "quantization_config", FIELD_NOT_YET, 0, 0, NOWHERE, NULL},
	{"", "strict_mode_config", FIELD_ANY, 0, 0, NOWHERE, NULL},
	{"", "metadata", FIELD_ANY, 0, 0, NOWHERE, NULL},
	{"", "payload_schema", FIELD_SCHEMA, 0, 0, NOWHERE, NULL},
	{"", "init_from", FIELD_NOT_YET, 0, 0, NOWHERE, NULL},
	{"", "wait", FIELD_IGNORED, 0, 0, NOWHERE, NULL},
	{"", "timeout", FIELD_IGNORED, 0, 0, NOWHERE, NULL},
};
/* clang-format on */

static const char *const distances[] = {
	[DISTANCE_COSINE] = "Cosine",
	[DISTANCE_DOT] = "Dot",
	[DISTANCE_EUCLID] = "Euclid",
	[DISTANCE_MANHATTAN] = "Manhattan",
};

void
config_defaults(struct coll_config *ret)
{
	*ret = (struct coll_config){
		.shard_number = 1,
		.hnsw_m = 16,
		.hnsw_ef_construct = 100,
		.full_scan_threshold_kb = 10000,
		.indexing_threshold_kb = 10000,
		.deleted_threshold = 0.2f,
		.extra = EXTRA_EMPTY,
	};
}

/* --- struct to tree -------------------------------------------------- */

static void
tree_drop(json_t **t)
{
	json_decref(*t);
}

#define TREE CLEAN(tree_drop) json_t

static int
no_memory(struct err *err)
{
	return err_set(err, ERR_NO_MEMORY, "out of memory");
}

/* As the float is spelled: 0.2, not 0.20000000298. */
static json_t *
share_out(float v)
{
	char text[NUM_TEXT_MAX + 1];

	text[num_print_f32(v, 0, text)] = 0;
	return json_loads(text, JSON_DECODE_ANY, NULL);
}

static json_t *
field_out(const struct field *f, const struct coll_config *c)
{
	const char *p = (const char *)c + f->at;
	uint32_t v;

	if (f->kind == FIELD_SHARE)
		return share_out(c->deleted_threshold);
	if (f->kind == FIELD_DISTANCE)
		return c->distance != 0 ? json_string(distances[c->distance])
					: NULL;
	memcpy(&v, p, sizeof v);
	if (f->at == PLACE(size) && v == 0)
		return NULL;
	return json_integer(v);
}

/* The object that the field is in, made if it is absent. */
static json_t *
field_home(json_t *top, const struct field *f)
{
	json_t *home;

	if (f->in[0] == 0)
		return top;
	home = json_object_get(top, f->in);
	if (home == NULL && json_object_set_new(top, f->in, json_object()) == 0)
		home = json_object_get(top, f->in);
	return home;
}

/* The same members in the order of the table, so that a configuration that was
 * merged prints as one that was written at once. */
static json_t *
tree_ordered(json_t *top)
{
	json_t *ret = json_object(), *home, *v;
	const struct field *f;
	int rc = 0;

	for (f = fields; f < fields + ARRAY_LEN(fields) && rc == 0; f++) {
		home = f->in[0] != 0 ? json_object_get(top, f->in) : top;
		v = json_object_get(home, f->name);
		if (v == NULL)
			continue;
		if (f->kind == FIELD_OBJECT && home == top)
			v = json_object(); /* its members follow */
		else
			v = json_incref(v);
		rc = json_object_set_new(field_home(ret, f), f->name, v);
	}
	if (rc == 0)
		return ret;
	json_decref(ret);
	return NULL;
}

/* Everything the configuration says, its own places and the rest. */
static json_t *
tree_of(const struct coll_config *c)
{
	TREE *top = json_loadb(c->extra.p, c->extra.n, 0, NULL);
	const struct field *f;
	json_t *v;

	if (top == NULL)
		top = json_object();
	for (f = fields; f < fields + ARRAY_LEN(fields); f++) {
		v = f->at != NOWHERE ? field_out(f, c) : NULL;
		if (v != NULL &&
		    json_object_set_new(field_home(top, f), f->name, v) < 0)
			return NULL;
	}
	return tree_ordered(top);
}

/* --- merging --------------------------------------------------------- */

/* RFC 7396: absent stays, null removes, objects merge, the rest replaces. */
static int
tree_merge(json_t *into, const json_t *patch)
{
	const char *name;
	json_t *v, *old;
	int rc = 0;

	json_object_foreach((json_t *)(uintptr_t)patch, name, v)
	{
		old = json_object_get(into, name);
		if (json_is_null(v)) {
			json_object_del(into, name);
		} else if (!json_is_object(v)) {
			rc = json_object_set(into, name, v);
		} else {
			if (!json_is_object(old)) {
				rc = json_object_set_new(into, name,
							 json_object());
				old = json_object_get(into, name);
			}
			if (rc == 0)
				rc = tree_merge(old, v);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- checking -------------------------------------------------------- */

static const struct field *
field_find(const char *in, const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(fields); i++)
		if (strcmp(fields[i].in, in) == 0 &&
		    strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

/* "vectors.size" */
static int
field_fail(const struct field *f, enum errcode code, struct err *err,
	   const char *what)
{
	return err_set(err, code, "%s%s%s: %s", f->in, f->in[0] != 0 ? "." : "",
		       f->name, what);
}

static bool
word_in(const char *words, const char *word)
{
	const size_t n = strlen(word);
	const char *p;

	if (words == NULL || n == 0 || strchr(word, ' ') != NULL)
		return false;
	for (p = words; *p != 0; p = strchr(p, ' ') + 1)
		if (strncmp(p, word, n) == 0 && p[n] == ' ')
			return true;
	return false;
}

static int
check_int(const struct field *f, const json_t *v, struct err *err)
{
	char text[120];
	json_int_t i;

	if (json_is_string(v) && word_in(f->words, json_string_value(v)))
		return 0;
	if (!json_is_integer(v))
		return field_fail(f, ERR_TYPE, err, "an integer belongs here");
	i = json_integer_value(v);
	if (i >= f->min && i <= f->max)
		return 0;
	if (f->max == 1 && i > 1)
		return field_fail(f, ERR_NOT_YET, err,
				  "more than 1 is not supported yet");
	snprintf(text, sizeof text, "%lld is not between %lld and %lld",
		 (long long)i, (long long)f->min, (long long)f->max);
	return field_fail(f, ERR_CONFIG, err, text);
}

static int
check_enum(const struct field *f, const json_t *v, struct err *err)
{
	if (!json_is_string(v))
		return field_fail(f, ERR_TYPE, err, "a string belongs here");
	if (word_in(f->words, json_string_value(v)))
		return 0;
	if (word_in("custom float16 uint8 turbo4 ", json_string_value(v)))
		return err_set(err, ERR_NOT_YET, "%s %s is not supported yet",
			       f->name, json_string_value(v));
	return field_fail(f, ERR_CONFIG, err, "not one of the known values");
}

static enum distance
distance_find(const json_t *v)
{
	const char *s = json_string_value(v);
	size_t i;

	for (i = DISTANCE_COSINE; s != NULL && i < ARRAY_LEN(distances); i++)
		if (strcmp(s, distances[i]) == 0)
			return (enum distance)i;
	return 0;
}

static int
check_schema(const struct field *f, const json_t *v, struct err *err)
{
	static const char types[] = "keyword integer float bool datetime uuid "
				    "geo text ";
	const json_t *type;
	const char *key;
	json_t *schema;

	if (!json_is_object(v))
		return field_fail(f, ERR_TYPE, err, "an object belongs here");
	json_object_foreach((json_t *)(uintptr_t)v, key, schema)
	{
		type = json_is_object(schema) ? json_object_get(schema, "type")
					      : schema;
		if (!json_is_string(type))
			return field_fail(f, ERR_TYPE, err,
					  "a type's name, or an object with "
					  "a type, belongs to each key");
		if (!word_in(types, json_string_value(type)))
			return err_set(err, ERR_CONFIG,
				       "payload_schema.%.100s: the types are "
				       "%s",
				       key, types);
	}
	return 0;
}

static int check_object(const char *in, const json_t *v, struct err *err);

static int
check_field(const struct field *f, const json_t *v, struct err *err)
{
	const double share = json_number_value(v); /* 0 if it is none */

	switch (f->kind) {
	case FIELD_INT:
		return check_int(f, v, err);
	case FIELD_SHARE:
		if (json_is_number(v) && share >= 0 && share <= 1)
			return 0;
		return field_fail(f, json_is_number(v) ? ERR_CONFIG : ERR_TYPE,
				  err, "a number between 0 and 1 belongs here");
	case FIELD_BOOL:
		if (json_is_boolean(v))
			return 0;
		return field_fail(f, ERR_TYPE, err,
				  "true or false belongs here");
	case FIELD_DISTANCE:
		if (distance_find(v) != 0)
			return 0;
		return field_fail(f, json_is_string(v) ? ERR_CONFIG : ERR_TYPE,
				  err, "Cosine, Dot, Euclid or Manhattan");
	case FIELD_ENUM:
		return check_enum(f, v, err);
	case FIELD_OBJECT:
		if (!json_is_object(v))
			return field_fail(f, ERR_TYPE, err,
					  "an object belongs here");
		return check_object(f->name, v, err);
	case FIELD_ANY:
		if (json_is_object(v))
			return 0;
		return field_fail(f, ERR_TYPE, err, "an object belongs here");
	case FIELD_SCHEMA:
		return check_schema(f, v, err);
	case FIELD_NONE:
		if (json_is_object(v) && json_object_size(v) == 0)
			return 0;
		break;
	case FIELD_IGNORED:
		if (json_is_boolean(v) || json_is_integer(v))
			return 0;
		return field_fail(f, ERR_TYPE, err, "wrong type of value");
	case FIELD_NOT_YET:
		break;
	}
	return err_set(err, ERR_NOT_YET, "%s is not supported yet", f->name);
}

/* The merged tree: a null cannot be left in it, but for those inside of what
 * is kept as it is. */
static int
check_object(const char *in, const json_t *object, struct err *err)
{
	const struct field *f;
	const char *name;
	json_t *v;
	int rc;

	json_object_foreach((json_t *)(uintptr_t)object, name, v)
	{
		f = field_find(in, name);
		if (f == NULL && strcmp(in, "vectors") == 0 &&
		    json_is_object(v))
			return err_set(err, ERR_NOT_YET,
				       "vectors.%.100s: named vectors are not "
				       "supported yet",
				       name);
		if (f == NULL)
			return err_set(err, ERR_KEY,
				       "unknown member %s%s\"%.100s\"", in,
				       in[0] != 0 ? "." : "", name);
		rc = check_field(f, v, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- tree to struct -------------------------------------------------- */

/* Takes what has a place out of the tree; what is absent is the default's. */
static void
tree_take(json_t *top, struct coll_config *c)
{
	const struct field *f;
	json_t *home, *v;
	uint32_t n;

	for (f = fields; f < fields + ARRAY_LEN(fields); f++) {
		home = f->in[0] != 0 ? json_object_get(top, f->in) : top;
		v = json_object_get(home, f->name);
		if (v != NULL && f->kind == FIELD_IGNORED)
			json_object_del(home, f->name);
		if (v == NULL || f->at == NOWHERE)
			continue;
		n = (uint32_t)json_integer_value(v);
		if (f->kind == FIELD_INT)
			memcpy((char *)c + f->at, &n, sizeof n);
		else if (f->kind == FIELD_SHARE)
			c->deleted_threshold = (float)json_number_value(v);
		else
			c->distance = distance_find(v);
		json_object_del(home, f->name);
		if (home != top && json_object_size(home) == 0)
			json_object_del(top, f->in);
	}
}

/* --- tree to text ---------------------------------------------------- */

static void
line_print(int indent, struct buf *ret)
{
	int i;

	if (indent < 0)
		return;
	buf_puts(ret, "\n");
	for (i = 0; i < indent; i++)
		buf_puts(ret, "  ");
}

static void tree_print(const json_t *v, int indent, struct buf *ret);

static void
object_print(const json_t *v, int indent, struct buf *ret)
{
	const int inner = indent < 0 ? -1 : indent + 1;
	const char *name;
	bool first = true;
	json_t *e;

	buf_puts(ret, "{");
	json_object_foreach((json_t *)(uintptr_t)v, name, e)
	{
		buf_puts(ret, first ? "" : ",");
		line_print(inner, ret);
		tree_put_string(name, strlen(name), ret);
		buf_puts(ret, indent < 0 ? ":" : ": ");
		tree_print(e, inner, ret);
		first = false;
	}
	if (!first)
		line_print(indent, ret);
	buf_puts(ret, "}");
}

static void
array_print(const json_t *v, struct buf *ret)
{
	size_t i;

	buf_puts(ret, "[");
	for (i = 0; i < json_array_size(v); i++) {
		buf_puts(ret, i > 0 ? ", " : "");
		tree_print(json_array_get(v, i), -1, ret);
	}
	buf_puts(ret, "]");
}

/* jansson prints 0.2 as 0.20000000000000001.  indent < 0: on one line. */
static void
tree_print(const json_t *v, int indent, struct buf *ret)
{
	char text[NUM_TEXT_MAX];

	switch (json_typeof(v)) {
	case JSON_OBJECT:
		object_print(v, indent, ret);
		break;
	case JSON_ARRAY:
		array_print(v, ret);
		break;
	case JSON_STRING:
		tree_put_string(json_string_value(v), json_string_length(v),
				ret);
		break;
	case JSON_INTEGER:
		buf_printf(ret, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		buf_put(ret, text, num_print_f64(json_real_value(v), text));
		break;
	case JSON_TRUE:
		buf_puts(ret, "true");
		break;
	case JSON_FALSE:
		buf_puts(ret, "false");
		break;
	case JSON_NULL:
		buf_puts(ret, "null");
		break;
	}
}

static int
extra_keep(json_t *top, struct arena *a, struct slice *ret, struct err *err)
{
	CLEAN(buf_done) struct buf text = {0};
	TREE *ordered = tree_ordered(top);

	if (ordered != NULL)
		tree_print(ordered, -1, &text);
	if (ordered == NULL || text.failed)
		return no_memory(err);
	ret->n = text.n;
	ret->p = arena_dup(a, text.p, text.n);
	return ret->p != NULL ? 0 : no_memory(err);
}

/* --- public ---------------------------------------------------------- */

/* Our own reader first: its messages have the byte, and it knows the limits
 * and the duplicates at any depth. */
static int
body_load(const void *text, size_t n, struct arena *a, json_t **ret,
	  struct err *err)
{
	json_error_t why;
	int rc;

	if (n > BODY_MAX)
		return err_set(err, ERR_TOO_BIG,
			       "a configuration has at most %u bytes",
			       BODY_MAX);
	rc = tree_check_text(text, n, a, err);
	if (rc < 0)
		return rc;
	*ret = json_loadb(text, n, 0, &why);
	if (*ret == NULL)
		return err_set(err, ERR_JSON, "byte %d: %s", why.position,
			       why.text);
	return 0;
}

int
json_config_merge(const struct coll_config *old, const void *text, size_t n,
		  struct arena *a, struct coll_config *ret, struct err *err)
{
	TREE *body = NULL;
	TREE *top = NULL;
	struct coll_config c;
	json_t *vectors;
	int rc = body_load(text, n, a, &body, err);

	if (rc < 0)
		return rc;
	top = tree_of(old);
	if (top == NULL || tree_merge(top, body) < 0)
		return no_memory(err);
	rc = check_object("", top, err);
	if (rc < 0)
		return rc;
	config_defaults(&c);
	tree_take(top, &c);
	vectors = json_object_get(body, "vectors");
	c.implied = old->implied && json_object_size(vectors) == 0 &&
		    !json_is_null(vectors);
	rc = extra_keep(top, a, &c.extra, err);
	if (rc == 0)
		*ret = c;
	return rc;
}

int
json_config_schema(const struct coll_config *c, struct buf *ret)
{
	TREE *top = json_loadb(c->extra.p, c->extra.n, 0, NULL);
	char *text = json_dumps(json_object_get(top, "payload_schema"), 0);
	int rc = buf_puts(ret, text != NULL ? text : "{}");

	free(text);
	return rc;
}

int
json_config_print(const struct coll_config *c, struct buf *ret)
{
	const size_t from = ret->n;
	TREE *top = tree_of(c);

	if (top != NULL) {
		tree_print(top, 0, ret);
		if (buf_puts(ret, "\n") == 0)
			return 0;
	}
	ret->n = from;
	return -ERR_NO_MEMORY;
}
