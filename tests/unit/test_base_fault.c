/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/check.h"
#include "engine/base/fault.h"
#include "tests/unit/in_child.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each case runs in a child, because the environment is read once. */

static void
test_every_fault_has_its_name(void **state)
{
	(void)state;
	assert_string_equal(fault_name(FAULT_wal_in_trim), "wal_in_trim");
	assert_string_equal(fault_name(FAULT_catalog_before_rename),
			    "catalog_before_rename");
}

#ifdef POINTFS_FAULTS
/* A digit a pass: the passes of wal_after_sync that were told to fail. */
static int
pass_thrice(void *arg)
{
	int bits = 0, i;

	if (arg)
		setenv("POINTFS_FAULT", arg, 1);
	else
		unsetenv("POINTFS_FAULT");
	for (i = 0; i < 3; i++) {
		if (fault_hit(FAULT_wal_before_write))
			return 64;
		bits |= fault_hit(FAULT_wal_after_sync) << i;
	}
	return bits;
}

static int
passes(const char *fault)
{
	int status = in_child(pass_thrice, (void *)(uintptr_t)fault);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void
test_fail_is_told_at_the_nth_pass_only(void **state)
{
	(void)state;
	assert_int_equal(passes("wal_after_sync:fail"), 1);
	assert_int_equal(passes("wal_after_sync:fail:1"), 1);
	assert_int_equal(passes("wal_after_sync:fail:2"), 2);
	assert_int_equal(passes("wal_after_sync:fail:3"), 4);
	assert_int_equal(passes("wal_after_sync:fail:4"), 0);
	assert_int_equal(passes("flush_after_files:fail"), 0);
	assert_int_equal(passes(""), 0);
	assert_int_equal(passes(NULL), 0);
}

static void
test_kill_kills_at_the_nth_pass(void **state)
{
	(void)state;
	assert_int_equal(passes("wal_after_sync:kill"), -SIGKILL);
	assert_int_equal(passes("wal_after_sync:kill:3"), -SIGKILL);
	assert_int_equal(passes("wal_after_sync:kill:4"), 0);
}

static void
test_misspelt_faults_abort(void **state)
{
	static const char *const bad[] = {
		"wal_after_syn:fail",
		"wal_after_sync",
		"wal_after_sync:",
		"wal_after_sync:explode",
		"wal_after_sync:fail:0",
		"wal_after_sync:fail:-1",
		"wal_after_sync:fail:1x",
		"wal_after_sync:fail: 1",
		"wal_after_sync:fail:1:2",
		"wal_after_sync:fail:99999999999999999999",
		":fail",
		"wal_after_sync:wait",
	};
	size_t i;

	(void)state;
	unsetenv("POINTFS_FAULT_GATE");
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(passes(bad[i]), -SIGABRT);
}

static char gate[64];

struct ends {
	int in;
	int out;
};

/* Says when it comes to the gate and when it has passed; the value tells
 * whether the gate was open then. */
static int
pass_the_gate(void *arg)
{
	struct ends *e = arg;

	setenv("POINTFS_FAULT", "wal_after_sync:wait:2", 1);
	if (fault_hit(FAULT_wal_after_sync) || write(e->out, "1", 1) != 1 ||
	    fault_hit(FAULT_wal_after_sync) || access(gate, F_OK) != 0 ||
	    write(e->out, "2", 1) != 1)
		return 1;
	return fault_hit(FAULT_wal_after_sync);
}

static void *
open_the_gate(void *arg)
{
	struct ends *e = arg;
	struct pollfd p = {.fd = e->in, .events = POLLIN};
	char c = 0;
	int fd;

	if (read(e->in, &c, 1) != 1 || c != '1' || poll(&p, 1, 20) != 0)
		return NULL; /* held until now */
	fd = open(gate, O_CREAT | O_WRONLY, 0600);
	close(fd);
	if (read(e->in, &c, 1) != 1 || c != '2')
		return NULL;
	return arg;
}

static void
test_wait_holds_until_the_gate_is_open(void **state)
{
	char dir[] = "/tmp/test_base_fault.XXXXXX";
	int fds[2], status;
	struct ends e;
	pthread_t t;
	void *opened;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(gate, sizeof gate, "%s/gate", dir);
	setenv("POINTFS_FAULT_GATE", gate, 1);
	assert_int_equal(pipe(fds), 0);
	e = (struct ends){.in = fds[0], .out = fds[1]};
	assert_int_equal(pthread_create(&t, NULL, open_the_gate, &e), 0);
	status = in_child(pass_the_gate, &e);
	close(fds[1]);
	pthread_join(t, &opened);
	close(fds[0]);
	unlink(gate);
	rmdir(dir);
	unsetenv("POINTFS_FAULT_GATE");
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_non_null(opened);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_fault_has_its_name),
#ifdef POINTFS_FAULTS
		cmocka_unit_test(test_fail_is_told_at_the_nth_pass_only),
		cmocka_unit_test(test_kill_kills_at_the_nth_pass),
		cmocka_unit_test(test_misspelt_faults_abort),
		cmocka_unit_test(test_wait_holds_until_the_gate_is_open),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
