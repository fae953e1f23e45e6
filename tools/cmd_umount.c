/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_umount.c - unmounts, and waits until the daemon has let go of its data,
 * so that what follows (a copy of DATA, another mount) can begin at once.
 */
#include "tools/args.h"
#include "tools/mounts.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* As an ordinary user: by the helper that may. */
static int
fusermount_run(const char *dir)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		execlp("fusermount3", "fusermount3", "-u", "-q", dir,
		       (char *)NULL);
		_exit(127);
	}
	if (child < 0)
		return errno;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
		return ENOENT;
	return WEXITSTATUS(status) ? EBUSY : 0;
}

static int
mount_detach(const char *dir)
{
	if (umount2(dir, UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EPERM ? fusermount_run(dir) : errno;
}

static void
nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* The daemon holds DATA/lock as long as it has anything open there.  A lock
 * file that we may not open is somebody else's to wait for. */
static bool
lock_wait(const char *data, uint64_t seconds)
{
	int64_t until = clock_mono_ns() + (int64_t)seconds * 1000000000;
	char path[PATH_MAX];
	bool free = false;
	int fd;

	if (snprintf(path, sizeof path, "%s/lock", data) >= PATH_MAX)
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	while (!(free = flock(fd, LOCK_SH | LOCK_NB) == 0) &&
	       clock_mono_ns() < until)
		nap();
	close(fd);
	return free;
}

int
cmd_umount(const struct command *c, int argc, char **argv)
{
	const char *timeout = "30";
	const struct arg_option options[] = {
		{.name = "timeout", .letter = 't', .value = &timeout},
		{0},
	};
	char real[PATH_MAX], source[PATH_MAX];
	uint64_t seconds;
	const char *dir;
	char **operands;
	int n, eno;

	if (!args_parse(c, argc, argv, options, 1, 1, &operands, &n))
		return EXIT_USAGE;
	if (!number_parse(timeout, 1000000, &seconds))
		return usage_error(c, "'%s' is no number of seconds", timeout);
	dir = realpath(operands[0], real) ? real : operands[0];
	if (!mount_find(dir, source)) {
		fprintf(stderr, "pointfs umount: %s: not a mounted PointFS\n",
			operands[0]);
		return EXIT_TARGET;
	}
	eno = mount_detach(dir);
	if (eno) {
		fprintf(stderr, "pointfs umount: %s: %s\n", operands[0],
			eno == EBUSY ? "in use: a file in it is open, or a "
				       "shell is inside (fuser -vm DIR tells)"
				     : strerror(eno));
		return exit_code_of_errno(eno);
	}
	if (lock_wait(source, seconds))
		return EXIT_DONE;
	fprintf(stderr,
		"pointfs umount: %s: unmounted, but its daemon is still "
		"writing to %s\n",
		operands[0], source);
	return EXIT_BUSY;
}
