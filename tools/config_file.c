/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/config_file.h"

#include "engine/base/buf.h"
#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/json/json_settings.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_NAME "config.json"

static void
fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* --- what lies over the file ----------------------------------------- */

static void
env_add(struct config_file *cf)
{
	char name[64];
	const char *s, *value;
	unsigned i, j;

	for (i = 0; (s = settings_name(i)) != NULL; i++) {
		j = (unsigned)snprintf(name, sizeof name, "POINTFS_%s", s);
		check(j < sizeof name);
		for (j = 0; name[j]; j++)
			name[j] = (char)toupper((unsigned char)name[j]);
		value = getenv(name);
		if (value && *value && cf->n_over < OVERRIDES_MAX)
			cf->over[cf->n_over++] = (struct override){s, value};
	}
}

static int
overrides_apply(const struct config_file *cf, const struct settings *stored,
		struct arena *a, struct settings *ret, struct err *err)
{
	struct settings s = *stored;
	unsigned i;
	int rc;

	for (i = 0; i < cf->n_over; i++) {
		rc = settings_set(&s, cf->over[i].name, cf->over[i].value, a,
				  &s, err);
		if (rc)
			return rc;
	}
	*ret = s;
	return 0;
}

/* --- the file -------------------------------------------------------- */

static int
stored_load(struct config_file *cf, const char *data, struct err *err)
{
	CLEAN(fd_close) int dir = -1;
	CLEAN(buf_done) struct buf text = {0};
	int rc;

	rc = settings_defaults(&cf->arena, &cf->stored, err);
	if (rc)
		return rc;
	rc = dir_open_at(AT_FDCWD, data, false, &dir, err);
	if (!rc)
		rc = file_load_at(dir, CONFIG_NAME, SETTINGS_TEXT_MAX, &text,
				  err);
	if (rc == -ERR_NOT_FOUND) {
		cf->absent = true;
		return 0;
	}
	if (rc)
		return rc;
	rc = json_settings_merge(&cf->stored, text.p, text.n, &cf->arena,
				 &cf->stored, err);
	return rc ? err_in(err, rc, "%s/%s", data, CONFIG_NAME) : 0;
}

static int
stored_write(const struct config_file *cf, const struct settings *s,
	     struct err *err)
{
	CLEAN(fd_close) int dir = -1;
	CLEAN(buf_done) struct buf text = {0};
	int rc;

	if (json_settings_print(s, &text))
		return err_set(err, ERR_NO_MEMORY, "%s", CONFIG_NAME);
	rc = dir_open_at(AT_FDCWD, cf->data, false, &dir, err);
	return rc ? rc : file_replace_at(dir, CONFIG_NAME, text.p, text.n, err);
}

int
config_load(struct config_file *cf, const char *data,
	    const struct override *options, unsigned n_options, struct err *err)
{
	unsigned i;
	int rc;

	*cf = (struct config_file){.data = data};
	mutex_init(&cf->lock, LOCK_CATALOG);
	env_add(cf);
	for (i = 0; i < n_options && cf->n_over < OVERRIDES_MAX; i++)
		cf->over[cf->n_over++] = options[i];
	rc = stored_load(cf, data, err);
	if (!rc)
		rc = overrides_apply(cf, &cf->stored, &cf->arena,
				     &cf->effective, err);
	if (rc)
		config_done(cf);
	return rc;
}

void
config_done(struct config_file *cf)
{
	arena_done(&cf->arena);
	mutex_done(&cf->lock);
}

int
config_attach(struct config_file *cf, struct db *db, bool read_only,
	      struct err *err)
{
	cf->db = db;
	cf->read_only = read_only;
	if (!cf->absent || read_only)
		return 0;
	return stored_write(cf, &cf->stored, err);
}

void
config_to_db(const struct config_file *cf, struct db_settings *ret)
{
	const struct settings *s = &cf->effective;

	db_settings_defaults(ret);
	ret->sync = s->sync;
	ret->sync_interval_ms = s->sync_interval_ms;
	ret->wal_file_bytes = (uint64_t)s->wal_capacity_mb << 20;
	ret->wal_ahead = s->wal_segments_ahead;
	ret->wal_path = s->wal_path;
	ret->temp_path = s->temp_path;
}

/* --- the mount's view ------------------------------------------------ */

int
config_print(void *arg, struct buf *ret)
{
	struct config_file *cf = arg;
	int rc;

	mutex_lock(&cf->lock);
	rc = json_settings_print(&cf->stored, ret);
	mutex_unlock(&cf->lock);
	return rc;
}

static bool
text_differs(const char *a, const char *b)
{
	return !a != !b || (a && strcmp(a, b) != 0);
}

/* Only the sync policy is looked at while the database is open. */
static void
note_make(const struct settings *was, const struct settings *is,
	  struct buf *ret)
{
	size_t from = ret->n;

	if (was->max_point_bytes != is->max_point_bytes)
		buf_puts(ret, " max_point_bytes");
	if (was->scratch_max_bytes != is->scratch_max_bytes)
		buf_puts(ret, " scratch_max_bytes");
	if (text_differs(was->snapshots_path, is->snapshots_path))
		buf_puts(ret, " snapshots_path");
	if (text_differs(was->temp_path, is->temp_path))
		buf_puts(ret, " temp_path");
	if (text_differs(was->wal_path, is->wal_path))
		buf_puts(ret, " wal_path");
	if (was->wal_capacity_mb != is->wal_capacity_mb)
		buf_puts(ret, " wal_capacity_mb");
	if (was->wal_segments_ahead != is->wal_segments_ahead)
		buf_puts(ret, " wal_segments_ahead");
	if (ret->n > from && ret->p)
		memmove(ret->p + from, ret->p + from + 1, --ret->n - from);
	if (ret->n > from)
		buf_puts(ret, ": in effect from the next mount on");
}

static int
merge_locked(struct config_file *cf, const void *text, size_t n,
	     struct buf *ret_note, struct err *err)
{
	struct arena fresh = {0};
	struct settings stored, effective;
	int rc;

	rc = json_settings_merge(&cf->stored, text, n, &fresh, &stored, err);
	if (!rc)
		rc = overrides_apply(cf, &stored, &fresh, &effective, err);
	/* settings without overrides share their strings with `stored` */
	if (!rc)
		rc = stored_write(cf, &stored, err);
	if (rc) {
		arena_done(&fresh);
		return rc;
	}
	note_make(&cf->effective, &effective, ret_note);
	db_set_sync(cf->db, effective.sync, effective.sync_interval_ms);
	arena_done(&cf->arena);
	cf->arena = fresh;
	cf->stored = stored;
	cf->effective = effective;
	return 0;
}

int
config_merge(void *arg, const void *text, size_t n, struct buf *ret_note,
	     struct err *err)
{
	struct config_file *cf = arg;
	int rc;

	if (cf->read_only)
		return err_set(err, ERR_READ_ONLY, "%s", CONFIG_NAME);
	mutex_lock(&cf->lock);
	rc = merge_locked(cf, text, n, ret_note, err);
	mutex_unlock(&cf->lock);
	return rc;
}
