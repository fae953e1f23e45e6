/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/progress.h"

#include "engine/base/clock.h"

#include <stdio.h>
#include <unistd.h>

#define SECOND 1000000000ll
#define WIDTH  30

void
progress_start(struct progress *p, const char *what, uint64_t total)
{
	*p = (struct progress){.what = what, .total = total};
	p->on = isatty(STDERR_FILENO);
	p->since = clock_mono_ns();
}

static void
bar_draw(const struct progress *p, int64_t now)
{
	double part = (double)p->done / (double)p->total;
	int i, full;

	part = part > 1 ? 1 : part;
	full = (int)(part * WIDTH);
	fprintf(stderr, "\r%s [", p->what);
	for (i = 0; i < WIDTH; i++)
		fputc(i < full ? '#' : '.', stderr);
	fprintf(stderr, "] %3d %%, %.0f s left \033[K", (int)(part * 100),
		part > 0 ? (double)(now - p->since) / SECOND * (1 - part) / part
			 : 0);
}

void
progress_add(struct progress *p, uint64_t more)
{
	int64_t now;

	p->done += more;
	if (!p->on)
		return;
	now = clock_mono_ns();
	if (now - p->since < SECOND || now - p->shown < SECOND / 10)
		return;
	p->shown = now;
	p->drawn = true;
	if (p->total)
		bar_draw(p, now);
	else
		fprintf(stderr, "\r%s %.1f MB\033[K", p->what,
			(double)p->done / 1e6);
}

void
progress_end(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}
