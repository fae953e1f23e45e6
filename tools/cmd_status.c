/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_status.c - status.json of the mounts, as a table for people.
 */
#include "tools/answer.h"
#include "tools/args.h"
#include "tools/mounts.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct status_job {
	const struct command *c;
	bool json;
	unsigned n_mounts;
	int code;
};

static void
scalar_show(const char *label, struct slice text, const char *path)
{
	CLEAN(buf_done) struct buf s = {0};
	struct json_tok t;
	struct slice raw;

	if (!answer_find(text, path, &t, &raw) || t.type == JSON_NULL)
		return;
	if (!answer_string(text, path, &s))
		printf("  %-14s %.*s\n", label, (int)raw.n, (char *)raw.p);
	else if (((char *)s.p)[0])
		printf("  %-14s %s\n", label, (char *)s.p);
}

static void
uptime_show(struct slice text)
{
	struct json_tok t;
	unsigned long s;
	double uptime;

	if (!answer_find(text, "uptime", &t, NULL) || t.type != JSON_NUMBER ||
	    json_tok_f64(&t, &uptime, NULL))
		return;
	s = (unsigned long)uptime;
	printf("  %-14s %lu d %02lu:%02lu:%02lu\n", "uptime", s / 86400,
	       s / 3600 % 24, s / 60 % 60, s % 60);
}

/* What .status.json has, bare or in Qdrant's envelope. */
static int
collection_show(void *arg, const char *name, struct err *err)
{
	const char *dir = arg;
	char path[PATH_MAX];
	CLEAN(buf_done) struct buf text = {0};
	CLEAN(buf_done) struct buf state = {0};
	struct slice s;
	uint64_t points = 0;

	(void)err;
	if (snprintf(path, sizeof path, "%s/%s", dir, name) >= PATH_MAX ||
	    name[0] == '.')
		return 0;
	if (mount_file_load(path, ".status.json", &text, NULL)) {
		printf("    %-30s cannot be read\n", name);
		return 0;
	}
	s = (struct slice){text.p, text.n};
	if (!answer_number(s, "points_count", &points))
		answer_number(s, "result.points_count", &points);
	if (!answer_string(s, "status", &state))
		answer_string(s, "result.status", &state);
	printf("    %-30s %12llu points  %s\n", name,
	       (unsigned long long)points, state.n ? (char *)state.p : "");
	return 0;
}

static void
collections_show(const char *dir)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof path, "%s/collections", dir) >= PATH_MAX ||
	    dir_open_at(AT_FDCWD, path, false, &fd, NULL))
		return;
	dir_each(fd, collection_show, path, NULL);
	close(fd);
}

static bool
warning_show(void *arg, struct slice element)
{
	(void)arg;
	printf("  warning: %.*s\n", (int)element.n, (const char *)element.p);
	return true;
}

static void
table_show(const char *dir, const char *source, struct slice text)
{
	printf("%s\n", dir);
	if (source[0])
		printf("  %-14s %s\n", "data", source);
	scalar_show("version", text, "version");
	uptime_show(text);
	scalar_show("read-only", text, "read_only");
	scalar_show("log position", text, "log_position");
	scalar_show("settings", text, "settings");
	answer_each(text, "warnings", warning_show, NULL);
	scalar_show("collections", text, "collections");
	collections_show(dir);
}

static void
mount_show(void *arg, const char *dir, const char *source)
{
	struct status_job *job = arg;
	CLEAN(buf_done) struct buf text = {0};
	struct err err = {0};
	int rc;

	job->n_mounts++;
	rc = mount_file_load(dir, "status.json", &text, &err);
	if (rc) {
		command_fail(job->c, rc, &err);
		job->code = EXIT_TARGET;
		return;
	}
	if (!job->json) {
		table_show(dir, source, (struct slice){text.p, text.n});
		return;
	}
	fwrite(text.p, 1, text.n, stdout);
	if (text.n && text.p[text.n - 1] != '\n')
		putchar('\n');
}

int
cmd_status(const struct command *c, int argc, char **argv)
{
	struct status_job job = {.c = c};
	const struct arg_option options[] = {
		{.name = "json", .flag = &job.json},
		{0},
	};
	char source[PATH_MAX] = "";
	struct err err = {0};
	char **operands;
	int n, rc;

	if (!args_parse(c, argc, argv, options, 0, 1, &operands, &n))
		return EXIT_USAGE;
	if (n == 1) {
		if (mount_find(operands[0], source)) {
			mount_show(&job, operands[0], source);
			return job.code;
		}
		fprintf(stderr, "pointfs status: %s: not a mounted PointFS\n",
			operands[0]);
		return EXIT_TARGET;
	}
	rc = mounts_each(mount_show, &job, &err);
	if (rc)
		return command_fail(c, rc, &err);
	if (job.n_mounts == 0 && !job.json)
		puts("nothing is mounted");
	return job.code;
}
