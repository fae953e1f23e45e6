/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_impl.h - between session.c and ops.c, the two files that know
 * libfuse.
 */
#ifndef FS_SESSION_IMPL_H
#define FS_SESSION_IMPL_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

/* Requests carry a struct fs as their user data. */
extern const struct fuse_lowlevel_ops session_ops;

int ops_start(void); /* 0 or an errno */

#endif
