/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_file.h - DATA/config.json while a process has the database open.
 *
 * What is stored is what the file says; what is in effect is that, with the
 * environment (POINTFS_SYNC) and then the options (-o sync=) laid over it.
 * Those are never written to the file.
 *
 * threads  config_print and config_merge: any.  The rest: one.
 */
#ifndef TOOLS_CONFIG_FILE_H
#define TOOLS_CONFIG_FILE_H

#include "engine/base/arena.h"
#include "engine/base/lock.h"
#include "engine/database.h"
#include "engine/settings.h"

#define OVERRIDES_MAX 32

struct override {
	const char *name;
	const char *value; /* borrowed for the life of the config_file */
};

struct config_file {
	struct mutex lock;
	struct arena arena; /* of the two below */
	struct settings stored;
	struct settings effective;
	struct override over[OVERRIDES_MAX];
	unsigned n_over;
	const char *data;
	struct db *db; /* NULL until config_attach() */
	bool absent;   /* there was no file */
	bool read_only;
};

/* Reads the file of DATA, or takes the defaults when there is none. */
int config_load(struct config_file *cf, const char *data,
		const struct override *options, unsigned n_options,
		struct err *err);
void config_done(struct config_file *cf);

/* The database is open and ours: writes a file that was absent. */
int config_attach(struct config_file *cf, struct db *db, bool read_only,
		  struct err *err);

/* What the engine wants to know of it. */
void config_to_db(const struct config_file *cf, struct db_settings *ret);

/* For the mount's config.json.  ret_note: what needs a remount, or empty. */
int config_print(void *cf, struct buf *ret);
int config_merge(void *cf, const void *text, size_t n, struct buf *ret_note,
		 struct err *err);

#endif
