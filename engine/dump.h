/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump.h - any file of ours as text, for people.
 *
 * Log, manifest, catalog and .qv files are told apart by their first bytes.  A
 * damaged file is printed up to the damage, and then ERR_DAMAGED says where.
 */
#ifndef ENGINE_DUMP_H
#define ENGINE_DUMP_H

#include <stdio.h>

struct err;

int dump_file(const char *path, FILE *out, struct err *err);

#endif
