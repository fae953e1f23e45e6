/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/args.h"

#include "engine/base/err.h"
#include "engine/dump.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
cmd_dump(const struct command *c, int argc, char **argv)
{
	const struct arg_option options[] = {{0}};
	struct err err = {0};
	char **operands;
	int n, i, rc, code = EXIT_DONE;

	if (!args_parse(c, argc, argv, options, 1, 0, &operands, &n))
		return EXIT_USAGE;
	for (i = 0; i < n; i++) {
		if (n > 1)
			printf("%s:\n", operands[i]);
		rc = dump_file(operands[i], stdout, &err);
		if (rc)
			code = command_fail(c, rc, &err);
	}
	if (fflush(stdout) == 0)
		return code;
	fprintf(stderr, "pointfs dump: output: %s\n", strerror(errno));
	return EXIT_FAILED;
}
