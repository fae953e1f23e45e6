/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/args.h"
#include "tools/config_file.h"

#include "engine/base/err.h"
#include "engine/check.h"
#include "engine/database.h"

#include <stdio.h>

static void
line_show(void *arg, const char *line)
{
	(void)arg;
	puts(line);
}

static int
check_open(const struct command *c, struct db *db, const char *data, bool deep)
{
	struct err err = {0};
	struct db_status st;
	int rc;

	db_status(db, &st);
	rc = db_check(db, deep, line_show, NULL, &err);
	if (rc)
		return command_fail(c, rc, &err);
	printf("%s: %u collections, log position %llu: no damage\n", data,
	       st.n_collections, (unsigned long long)st.last);
	return EXIT_DONE;
}

int
cmd_check(const struct command *c, int argc, char **argv)
{
	bool deep = false;
	const struct arg_option options[] = {
		{.name = "deep", .flag = &deep},
		{0},
	};
	struct config_file cf;
	struct db_settings s;
	struct err err = {0};
	struct db *db;
	char **operands;
	int n, rc, code;

	if (!args_parse(c, argc, argv, options, 1, 1, &operands, &n))
		return EXIT_USAGE;
	rc = config_load(&cf, operands[0], NULL, 0, &err);
	if (rc)
		return command_fail(c, rc, &err);
	config_to_db(&cf, &s);
	rc = db_open(operands[0], &s, DB_READ_ONLY, &db, &err);
	if (rc) {
		code = command_fail(c, rc, &err);
	} else {
		code = check_open(c, db, operands[0], deep);
		db_close(db);
	}
	config_done(&cf);
	return code;
}
