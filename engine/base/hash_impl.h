/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash_impl.h - the two ways to a CRC-32C, for tests to hold against each
 * other.  Both give what crc32c() gives.
 */
#ifndef ENGINE_BASE_HASH_IMPL_H
#define ENGINE_BASE_HASH_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c_soft(uint32_t crc, const void *p, size_t n);
uint32_t crc32c_hard(uint32_t crc, const void *p, size_t n);
bool crc32c_has_hard(void); /* else crc32c_hard() is the soft one */

#endif
