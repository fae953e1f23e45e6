/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shadow_disk.h - a disk that forgets what was not synced.
 *
 * It stands under file_hooks (engine/base/file.h) and knows for every file what
 * is in the page cache and what is on the platter, and for every directory
 * which names are.  fdatasync and fsync move pages from one to the other, fsync
 * of a directory moves names.  At a cut each dirty page is kept, lost or torn
 * at sector borders, each pending size and name is kept or lost, by the seed;
 * what is left is written out as real files in a new directory.
 *
 * Opening and making directories have no hooks: what was made so is noticed at
 * the next call that has to do with it, or when its directory is synced.
 */
#ifndef TESTS_CRASH_SHADOW_DISK_H
#define TESTS_CRASH_SHADOW_DISK_H

#include <stdbool.h>
#include <stdint.h>

void shadow_begin(const char *root, uint64_t seed); /* root is empty */
void shadow_end(void);

/* The power goes at the n-th call from now: that call and all later ones fail
 * with EIO, and nothing of them lasts for sure. */
void shadow_cut_after(uint32_t n_calls);
bool shadow_is_off(void);
void shadow_off(void); /* now */

/* Power is back: what lasted is in root, which is empty. */
void shadow_restore(const char *root);

#endif
