/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - a bar on the terminal for what takes over a second; nothing
 * when the messages go elsewhere.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what;
	uint64_t total; /* 0: not known */
	uint64_t done;
	int64_t since, shown; /* clock_mono_ns() */
	bool on, drawn;
};

void progress_start(struct progress *p, const char *what, uint64_t total);
void progress_add(struct progress *p, uint64_t more);
void progress_end(struct progress *p); /* wipes the line */

#endif
