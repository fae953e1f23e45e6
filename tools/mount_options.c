/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/mount_options.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/json/json_settings.h"

#include <string.h>

/* Handed to libfuse. */
static const char *const fuse_flags[] = {
	"dev",    "nodev",   "suid",         "nosuid",   "exec",
	"noexec", "atime",   "noatime",      "diratime", "nodiratime",
	"async",  "dirsync", "auto_unmount",
};

static const char *const fuse_values[] = {
	"context",
	"fscontext",
	"defcontext",
	"rootcontext",
};

/* For mount(8), fstab and systemd, or what is so anyway; requests have the size
 * that the kernel and libfuse agree on. */
static const char *const ignored[] = {
	"defaults",   "auto",        "noauto",
	"user",       "nouser",      "users",
	"owner",      "group",       "_netdev",
	"nofail",     "relatime",    "norelatime",
	"rw",         "strictatime", "lazytime",
	"nolazytime", "comment",     "fsname",
	"subtype",    "blkdev",      "default_permissions",
	"max_read",
};

static bool
in_list(const char *const *list, size_t n, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static void
fuse_add(struct mount_options *o, const char *name, const char *value)
{
	if (o->fuse.n)
		o->fuse.p[o->fuse.n - 1] = ',';
	buf_puts(&o->fuse, name);
	if (value) {
		buf_puts(&o->fuse, "=");
		buf_puts(&o->fuse, value);
	}
	buf_put_u8(&o->fuse, 0);
}

static bool *
flag_find(struct mount_options *o, const char *name)
{
	if (strcmp(name, "ro") == 0)
		return &o->read_only;
	if (strcmp(name, "allow_other") == 0)
		return &o->allow_other;
	if (strcmp(name, "show_control") == 0)
		return &o->show_control;
	if (strcmp(name, "scratch_only") == 0)
		return &o->scratch_only;
	return NULL;
}

static int
option_take(struct mount_options *o, const char *name, const char *value,
	    struct err *err)
{
	bool *flag = value ? NULL : flag_find(o, name);

	if (flag) {
		*flag = true;
	} else if (value && settings_has_name(name)) {
		if (o->n_over == OVERRIDES_MAX)
			return err_set(err, ERR_CONFIG, "too many -o settings");
		o->over[o->n_over++] = (struct override){name, value};
	} else if (strcmp(name, "rw") == 0 && !value) {
		o->read_only = false;
	} else if (!value && in_list(fuse_flags, ARRAY_LEN(fuse_flags), name)) {
		fuse_add(o, name, NULL);
	} else if (value &&
		   in_list(fuse_values, ARRAY_LEN(fuse_values), name)) {
		fuse_add(o, name, value);
	} else if (strncmp(name, "x-", 2) != 0 && strncmp(name, "X-", 2) != 0 &&
		   !in_list(ignored, ARRAY_LEN(ignored), name)) {
		return err_set(err, ERR_CONFIG, "unknown option -o %s%s%s",
			       name, value ? "=" : "", value ? value : "");
	}
	return 0;
}

int
mount_options_parse(char *text, struct mount_options *ret, struct err *err)
{
	struct mount_options o = {0};
	char *save = NULL, *name, *value;
	int rc = 0;

	for (name = text ? strtok_r(text, ",", &save) : NULL; name && !rc;
	     name = strtok_r(NULL, ",", &save)) {
		value = strchr(name, '=');
		if (value)
			*value++ = '\0';
		rc = option_take(&o, name, value, err);
	}
	if (!rc && o.fuse.failed)
		rc = err_set(err, ERR_NO_MEMORY, "options");
	if (rc)
		mount_options_done(&o);
	else
		*ret = o;
	return rc;
}

void
mount_options_done(struct mount_options *o)
{
	buf_done(&o->fuse);
}
