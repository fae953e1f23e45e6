/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/args.h"

#include "engine/base/check.h"
#include "engine/base/err.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 24

/* --- exit codes ------------------------------------------------------ */

static const struct {
	int code; /* enum errcode */
	int exit;
} exits[] = {
	{ERR_DAMAGED, EXIT_DAMAGED}, {ERR_LOCKED, EXIT_BUSY},
	{ERR_BUSY, EXIT_BUSY},       {ERR_AGAIN, EXIT_BUSY},
	{ERR_TIMEOUT, EXIT_BUSY},    {ERR_NO_SPACE, EXIT_NO_SPACE},
	{ERR_NOT_DIR, EXIT_TARGET},  {ERR_STOPPED, EXIT_TARGET},
};

int
exit_code_of(int rc)
{
	size_t i;

	if (rc == 0)
		return EXIT_DONE;
	for (i = 0; i < ARRAY_LEN(exits); i++)
		if (exits[i].code == -rc)
			return exits[i].exit;
	return EXIT_FAILED;
}

int
exit_code_of_errno(int eno)
{
	switch (eno) {
	case 0:
		return EXIT_DONE;
	case EBADMSG:
		return EXIT_DAMAGED;
	case EBUSY:
	case EAGAIN:
	case ETIMEDOUT:
		return EXIT_BUSY;
	case ENOSPC:
	case EDQUOT:
		return EXIT_NO_SPACE;
	case ENOTCONN:
	case ECONNABORTED:
	case ENOTDIR:
		return EXIT_TARGET;
	default:
		return EXIT_FAILED;
	}
}

/* --- messages -------------------------------------------------------- */

void
command_usage(const struct command *c, bool whole)
{
	FILE *out = whole ? stdout : stderr;

	fprintf(out, "usage: pointfs %s %s\n", c->name, c->synopsis);
	if (whole)
		fprintf(out, "\n%s.\n%s%s", c->what, c->help[0] ? "\n" : "",
			c->help);
}

int
usage_error(const struct command *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "pointfs %s: ", c->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	command_usage(c, false);
	return EXIT_USAGE;
}

int
command_fail(const struct command *c, int rc, const struct err *err)
{
	fprintf(stderr, "pointfs %s: %s\n", c->name, err_text(err));
	return exit_code_of(rc);
}

bool
number_parse(const char *s, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || *end || v > max)
		return false;
	*ret = v;
	return true;
}

/* --- options --------------------------------------------------------- */

static void
option_take(const struct arg_option *o, const char *value)
{
	if (o->flag)
		*o->flag = true;
	if (o->value)
		*o->value = value;
	if (!o->list)
		return;
	if (o->list->n)
		o->list->p[o->list->n - 1] = ',';
	buf_put(o->list, value, strlen(value) + 1);
}

bool
args_parse(const struct command *c, int argc, char **argv,
	   const struct arg_option *options, int min, int max,
	   char ***ret_operands, int *ret_n)
{
	struct option longs[OPTIONS_MAX + 1] = {{0}};
	char shorts[2 * OPTIONS_MAX + 2] = ":";
	char *at = shorts + 1;
	int i, n_longs = 0, got;

	for (i = 0; options[i].name; i++) {
		const struct arg_option *o = &options[i];

		check(i < OPTIONS_MAX);
		if (o->letter) {
			*at++ = o->letter;
			if (!o->flag)
				*at++ = ':';
		}
		if (o->name[0])
			longs[n_longs++] = (struct option){
				.name = o->name,
				.has_arg = o->flag ? no_argument
						   : required_argument,
				.val = 256 + i};
	}
	optind = 0; /* starts glibc's getopt anew */
	while ((got = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (got == ':' || got == '?') {
			usage_error(c,
				    got == ':' ? "option %s needs a value"
					       : "unknown option %s",
				    argv[optind - 1]);
			return false;
		}
		for (i = 0; options[i].name; i++)
			if (got == 256 + i || got == options[i].letter)
				break;
		option_take(&options[i], optarg);
	}
	*ret_operands = argv + optind;
	*ret_n = argc - optind;
	if (*ret_n >= min && (max == 0 || *ret_n <= max))
		return true;
	usage_error(c, *ret_n < min ? "operands are missing"
				    : "too many operands");
	return false;
}
