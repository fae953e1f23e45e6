/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_options.h - what `-o` may say: ours, settings by name, what the kernel
 * and libfuse know, and what only fstab and systemd read.
 */
#ifndef TOOLS_MOUNT_OPTIONS_H
#define TOOLS_MOUNT_OPTIONS_H

#include "tools/config_file.h"

struct mount_options {
	bool read_only, allow_other, show_control, scratch_only;
	struct override over[OVERRIDES_MAX]; /* into the text given */
	unsigned n_over;
	struct buf
		fuse; /* "max_read=131072,noatime", terminated; may be empty */
};

/* Cuts text (comma-separated, may be NULL) up in place. */
int mount_options_parse(char *text, struct mount_options *ret, struct err *err);
void mount_options_done(struct mount_options *o);

#endif
