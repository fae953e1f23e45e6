/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h - wall time for people, monotonic time for durations.
 */
#ifndef ENGINE_BASE_CLOCK_H
#define ENGINE_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ns(void); /* since 1970, UTC */
int64_t clock_mono_ns(void);
int64_t clock_thread_ns(void); /* CPU time of this thread */

void clock_sleep_ms(unsigned ms);

/* "2026-11-20T08:00:00.123456Z"; ret has room for 40 bytes. */
void clock_print(int64_t wall_ns, char *ret);

#endif
