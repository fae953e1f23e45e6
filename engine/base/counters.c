/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/counters.h"

#include "engine/base/check.h"

_Atomic uint64_t counters[COUNTER_NR];

static const char *const names[] = {
#define X(name, help) #name,
	COUNTER_LIST(X)
#undef X
};

static const char *const helps[] = {
#define X(name, help) help,
	COUNTER_LIST(X)
#undef X
};

const char *
counter_name(enum counter c)
{
	check(c < COUNTER_NR);
	return names[c];
}

const char *
counter_help(enum counter c)
{
	check(c < COUNTER_NR);
	return helps[c];
}
