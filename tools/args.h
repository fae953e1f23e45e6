/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args.h - the command line: options, operands, messages, exit codes.
 *
 * Each command is a row of the table in main.c and one cmd_*.c.  A command
 * returns an exit code, and is the one place that prints.
 */
#ifndef TOOLS_ARGS_H
#define TOOLS_ARGS_H

#include "engine/base/buf.h"

struct err;

enum exit_code { /* INTERFACE section 5 */
		 EXIT_DONE = 0,
		 EXIT_FAILED = 1,
		 EXIT_USAGE = 2,
		 EXIT_INCOMPLETE = 3,
		 EXIT_DAMAGED = 4,
		 EXIT_TARGET = 5,
		 EXIT_BUSY = 6,
		 EXIT_NO_SPACE = 7,
		 EXIT_NETWORK = 8,
		 EXIT_KEY = 9,
		 EXIT_OBJECTIVE = 10,
		 EXIT_INTERRUPTED = 130,
};

struct command {
	const char *name;
	const char *synopsis; /* behind the name */
	const char *what;     /* one line */
	const char *help;     /* options and remarks, lines */
	int (*run)(const struct command *c, int argc, char **argv);
};

/* One option; exactly one of flag, value and list is set. */
struct arg_option {
	const char *name; /* NULL ends the array; "" has only a letter */
	char letter;      /* 0: none */
	bool *flag;
	const char **value; /* the last one counts */
	struct buf *list;   /* all of them, joined by commas, terminated */
};

/* Sorts the operands to the end and gives their first.  False when it has
 * said what is wrong: return EXIT_USAGE.  max 0: any number. */
bool args_parse(const struct command *c, int argc, char **argv,
		const struct arg_option *options, int min, int max,
		char ***ret_operands, int *ret_n);

void command_usage(const struct command *c, bool whole);
int usage_error(const struct command *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3))); /* EXIT_USAGE */

/* Prints "pointfs NAME: text" and gives the exit code for rc. */
int command_fail(const struct command *c, int rc, const struct err *err);
int exit_code_of(int rc);        /* -ERR_* */
int exit_code_of_errno(int eno); /* what a mounted file answered */

/* A whole number in a range, or false. */
bool number_parse(const char *s, uint64_t max, uint64_t *ret);

int cmd_bench(const struct command *c, int argc, char **argv);
int cmd_check(const struct command *c, int argc, char **argv);
int cmd_count(const struct command *c, int argc, char **argv);
int cmd_dump(const struct command *c, int argc, char **argv);
int cmd_import(const struct command *c, int argc, char **argv);
int cmd_mount(const struct command *c, int argc, char **argv);
int cmd_scroll(const struct command *c, int argc, char **argv);
int cmd_search(const struct command *c, int argc, char **argv);
int cmd_status(const struct command *c, int argc, char **argv);
int cmd_umount(const struct command *c, int argc, char **argv);

#endif
