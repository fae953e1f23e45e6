/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_mount.c - opens DATA and serves it at DIR, by default in the background.
 *
 * The background process is forked before there are threads.  Two pipes lead
 * back: one for its messages, which the parent passes on until the mount is
 * ready, and one for readiness (a 'D' says that the log is damaged, anything
 * else that the mount answers).  The exit code of the parent is then 0, 4, or
 * that of a child that gave up.
 */
#include "tools/args.h"
#include "tools/config_file.h"
#include "tools/mount_options.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/database.h"
#include "fs/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_DAMAGED 'D'

struct mount_job {
	const struct command *c;
	char data[PATH_MAX];
	char dir[PATH_MAX];
	bool foreground;
	struct mount_options o;
	int ready_fd; /* -1: nobody waits */
};

/* --- serving --------------------------------------------------------- */

/* Says what is wrong with the database.  True: part of the log is lost. */
static bool
damage_tell(const struct mount_job *job, struct db *db)
{
	struct db_status st;

	db_status(db, &st);
	if (st.warning[0])
		fprintf(stderr, "pointfs mount: %s: %s\n", job->data,
			st.warning);
	return st.lost_from != 0;
}

static int
session_run(const struct mount_job *job, struct config_file *cf, struct db *db,
	    bool read_only, struct err *err)
{
	struct serve_opts o = {
		.mountpoint = job->dir,
		.data_path = job->data,
		.foreground = job->foreground,
		.read_only = read_only,
		.allow_other = job->o.allow_other,
		.show_control = job->o.show_control,
		.scratch_only = job->o.scratch_only,
		.max_point_bytes = cf->effective.max_point_bytes,
		.scratch_max_bytes = cf->effective.scratch_max_bytes,
		.fuse_opts = job->o.fuse.n ? (char *)job->o.fuse.p : NULL,
		.ready_fd = job->ready_fd,
		.settings = {config_print, config_merge, cf},
	};

	return fs_serve(db, &o, err);
}

static int
database_serve(const struct mount_job *job, struct config_file *cf,
	       struct db *db, struct err *err)
{
	struct db_status st;
	bool read_only, damaged = damage_tell(job, db);
	char mark = READY_DAMAGED;
	int rc;

	db_status(db, &st);
	read_only = job->o.read_only || st.read_only;
	rc = config_attach(cf, db, read_only, err);
	if (rc)
		return command_fail(job->c, rc, err);
	if (damaged && job->ready_fd >= 0 &&
	    write(job->ready_fd, &mark, 1) != 1)
		return EXIT_FAILED; /* the parent is gone */
	rc = session_run(job, cf, db, read_only, err);
	if (!rc && !read_only)
		rc = db_flush(db, err);
	if (rc)
		return command_fail(job->c, rc, err);
	return damaged ? EXIT_DAMAGED : EXIT_DONE;
}

static int
job_serve(const struct mount_job *job)
{
	unsigned flags = job->o.read_only ? DB_READ_ONLY : DB_CREATE;
	struct config_file cf;
	struct db_settings s;
	struct db *db;
	struct err err = {0};
	int rc, code;

	rc = config_load(&cf, job->data, job->o.over, job->o.n_over, &err);
	if (rc)
		return command_fail(job->c, rc, &err);
	config_to_db(&cf, &s);
	rc = db_open(job->data, &s, flags, &db, &err);
	if (rc) {
		code = command_fail(job->c, rc, &err);
	} else {
		code = database_serve(job, &cf, db, &err);
		db_close(db);
	}
	config_done(&cf);
	return code;
}

/* --- in the background ----------------------------------------------- */

/* Passes on what there is; false at the end. */
static bool
messages_pass(int fd)
{
	char text[4096];
	ssize_t n = read(fd, text, sizeof text);

	if (n < 0)
		return errno == EINTR;
	return n > 0 && write(STDERR_FILENO, text, (size_t)n) >= 0;
}

static int
child_end(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILED;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "pointfs mount: ended by signal %d\n",
		WTERMSIG(status));
	return EXIT_FAILED;
}

/* Until the child is ready or gone. */
static int
child_watch(pid_t child, int ready_fd, int message_fd)
{
	struct pollfd p[2] = {{.fd = ready_fd, .events = POLLIN},
			      {.fd = message_fd, .events = POLLIN}};
	bool damaged = false;
	char mark;
	ssize_t n;

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return EXIT_FAILED;
		if (p[1].revents && !messages_pass(message_fd))
			p[1].fd = -1;
		if (!p[0].revents)
			continue;
		n = read(ready_fd, &mark, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 1 && mark == READY_DAMAGED) {
			damaged = true;
			continue;
		}
		break;
	}
	if (n == 1) { /* ready: what it still has to say is there already */
		fcntl(message_fd, F_SETFL, O_NONBLOCK);
		while (messages_pass(message_fd))
			continue;
		return damaged ? EXIT_DAMAGED : EXIT_DONE;
	}
	while (p[1].fd >= 0 && messages_pass(message_fd))
		continue;
	return child_end(child);
}

static void
child_detach(int message_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	dup2(message_fd, STDERR_FILENO);
	if (chdir("/") < 0) /* so that it keeps no file system busy */
		perror("pointfs mount: /");
}

static int
job_background(struct mount_job *job)
{
	int ready[2], message[2];
	pid_t child;

	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(message, O_CLOEXEC) < 0) {
		perror("pointfs mount: pipe");
		return EXIT_FAILED;
	}
	child = fork();
	if (child < 0) {
		perror("pointfs mount: fork");
		return EXIT_FAILED;
	}
	if (child == 0) {
		close(ready[0]);
		close(message[0]);
		child_detach(message[1]);
		job->ready_fd = ready[1];
		return job_serve(job);
	}
	close(ready[1]);
	close(message[1]);
	return child_watch(child, ready[0], message[0]);
}

/* --- the command line ------------------------------------------------ */

/* The absolute path; its last part need not exist, and may be a mount whose
 * server has died. */
static bool
path_absolute(const char *path, char ret[PATH_MAX])
{
	char parent[PATH_MAX], cwd[PATH_MAX];
	const char *base;
	size_t n = strlen(path);

	if (realpath(path, ret))
		return true;
	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n == 0 || n >= sizeof parent)
		return false;
	memcpy(parent, path, n);
	parent[n] = '\0';
	base = strrchr(parent, '/');
	if (!base) {
		return getcwd(cwd, sizeof cwd) &&
		       snprintf(ret, PATH_MAX, "%s/%s", cwd, parent) < PATH_MAX;
	}
	parent[base - parent] = '\0';
	return realpath(parent[0] ? parent : "/", cwd) &&
	       snprintf(ret, PATH_MAX, "%s/%s", cwd[1] ? cwd : "", base + 1) <
		       PATH_MAX;
}

static bool
path_is_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 &&
	       (path[n] == '/' || path[n] == '\0');
}

static int
paths_take(struct mount_job *job, char **operands)
{
	if (!path_absolute(operands[0], job->data)) {
		fprintf(stderr, "pointfs mount: %s: %s\n", operands[0],
			strerror(errno));
		return EXIT_FAILED;
	}
	if (!path_absolute(operands[1], job->dir)) {
		fprintf(stderr, "pointfs mount: %s: %s\n", operands[1],
			strerror(errno));
		return EXIT_TARGET;
	}
	if (path_is_in(job->data, job->dir))
		return usage_error(job->c,
				   "DATA must not be DIR or inside of it");
	return EXIT_DONE;
}

int
cmd_mount(const struct command *c, int argc, char **argv)
{
	static struct mount_job job;
	CLEAN(buf_done) struct buf list = {0};
	const struct arg_option options[] = {
		{.name = "foreground", .letter = 'f', .flag = &job.foreground},
		{.name = "options", .letter = 'o', .list = &list},
		{0},
	};
	struct err err = {0};
	char **operands;
	int n, code;

	job = (struct mount_job){.c = c, .ready_fd = -1};
	if (!args_parse(c, argc, argv, options, 2, 2, &operands, &n))
		return EXIT_USAGE;
	if (mount_options_parse((char *)list.p, &job.o, &err))
		return usage_error(c, "%s", err_text(&err));
	code = paths_take(&job, operands);
	if (!code)
		code = job.foreground ? job_serve(&job) : job_background(&job);
	mount_options_done(&job.o);
	return code;
}
