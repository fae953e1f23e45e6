/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/clock.h"

#include "engine/base/check.h"

#include <stdio.h>
#include <time.h>

#define NS_PER_S 1000000000

static int64_t
clock_ns(clockid_t id)
{
	struct timespec t;

	check(clock_gettime(id, &t) == 0);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t
clock_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int64_t
clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t
clock_thread_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void
clock_print(int64_t wall_ns, char *ret)
{
	int64_t ns = wall_ns % NS_PER_S;
	time_t s = wall_ns / NS_PER_S;
	struct tm tm;
	size_t n;

	if (ns < 0) { /* before 1970: the fraction still counts forward */
		ns += NS_PER_S;
		s--;
	}
	gmtime_r(&s, &tm);
	n = strftime(ret, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret + n, 40 - n, ".%06dZ", (int)(ns / 1000));
}

void
clock_sleep_ms(unsigned ms)
{
	const struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}
