/* SPDX-License-Identifier: Apache-2.0 */
/*
 * in_child.h - runs what may abort or be killed in a process of its own.
 */
#ifndef TESTS_UNIT_IN_CHILD_H
#define TESTS_UNIT_IN_CHILD_H

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The status for WIFEXITED and the like; fn's value is the exit code.  What
 * the child says on its way out is not part of the test's output. */
static inline int
in_child(int (*fn)(void *arg), void *arg)
{
	int status = -1, null;
	pid_t pid = fork();

	if (pid == 0) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		_exit(fn(arg));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

static inline int
died_of(int status, int sig)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == sig;
}

#endif
