/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h - what every fuzz target defines.  A property that does not hold is a
 * check() that fails.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#endif
