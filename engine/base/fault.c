/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/fault.h"

#include "engine/base/check.h"

static const char *const names[] = {
#define X(name) #name,
	FAULT_LIST(X)
#undef X
};

const char *
fault_name(enum fault f)
{
	check(f < FAULT_NR);
	return names[f];
}

#ifdef POINTFS_FAULTS
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum fault_action { FAULT_NONE, FAULT_KILL, FAULT_FAIL, FAULT_WAIT };

static pthread_once_t fault_once = PTHREAD_ONCE_INIT;
static enum fault_action action;
static enum fault place;
static unsigned long at_pass;
static const char *gate;
static atomic_ulong passes;

/* Whether s begins with word and then ends or has a colon; s moves on. */
static bool
word_take(const char **s, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*s, word, n) != 0 || ((*s)[n] != ':' && (*s)[n] != '\0'))
		return false;
	*s += (*s)[n] == ':' ? n + 1 : n;
	return true;
}

static bool
fault_parse(const char *s)
{
	static const char *const actions[] = {
		[FAULT_KILL] = "kill",
		[FAULT_FAIL] = "fail",
		[FAULT_WAIT] = "wait",
	};
	enum fault_action a = FAULT_KILL;
	char *end;

	while (place < FAULT_NR && !word_take(&s, names[place]))
		place++;
	while (a <= FAULT_WAIT && !word_take(&s, actions[a]))
		a++;
	if (place == FAULT_NR || a > FAULT_WAIT)
		return false;
	at_pass = 1;
	if (*s) {
		errno = 0;
		at_pass = strtoul(s, &end, 10);
		if (*s < '0' || *s > '9' || *end || errno || at_pass == 0)
			return false;
	}
	action = a;
	return action != FAULT_WAIT || gate;
}

/* A fault that is misspelt would make a test pass that tests nothing. */
static void
fault_setup(void)
{
	const char *s = getenv("POINTFS_FAULT");

	gate = getenv("POINTFS_FAULT_GATE");
	if (!s || !*s)
		return;
	if (!fault_parse(s)) {
		fprintf(stderr, "POINTFS_FAULT=%s is not understood\n", s);
		abort();
	}
}

static void
gate_wait(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	while (access(gate, F_OK) != 0)
		nanosleep(&ms, NULL);
}

bool
fault_hit(enum fault f)
{
	pthread_once(&fault_once, fault_setup);
	if (action == FAULT_NONE || f != place ||
	    atomic_fetch_add(&passes, 1) + 1 != at_pass)
		return false;
	switch (action) {
	case FAULT_KILL:
		kill(getpid(), SIGKILL);
		pause(); /* not one step further */
		break;
	case FAULT_WAIT:
		gate_wait();
		return false;
	default:
		break;
	}
	return true;
}
#endif
