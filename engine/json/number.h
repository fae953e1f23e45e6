/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.h - floats as text: the shortest digits that round-trip, in the
 * spellings that the world's JSON writers use.
 *
 * Source of the algorithm: Giulietti, "The Schubfach way to render doubles"
 * (2020); the table of powers of ten is computed once at start.
 * shapes   Every print writes at most NUM_TEXT_MAX bytes, no NUL, and returns
 *          how many.
 */
#ifndef ENGINE_JSON_NUMBER_H
#define ENGINE_JSON_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define NUM_TEXT_MAX 32

/*
 * A style below NUM_FIXED is three choices; numbers reach the disk.
 *   digits   0: shortest for float32, 1: shortest for the double of that float
 *   whole    0: "1", 1: "1.0" for whole numbers (exponent forms as below)
 *   exponent bits 2 and 3:
 *     0: JavaScript, Go      1e-7     0.000001  100000000000000000000 1e+21
 *     1: Python, C++ (most)  1e-05    0.0001    1000000000000000      1e+16
 *     2: Rust                1e-6     0.00001   1000000000000000      1e16
 *        (with float32 digits already from 1e-7, and 1e13)
 *     3: Java                1.0E-4   0.001     1000000               1.0E7
 * NUM_FIXED + d, d 1 to 9, is C's "%.df" of the float; it is for magnitudes
 * below NUM_FIXED_LIMIT, others are printed in style 0.
 */
enum num_style {
	NUM_DIGITS_F64 = 1,
	NUM_WHOLE_POINT = 2,
	NUM_EXP_SHIFT = 2,
	NUM_EXP_JS = 0 << 2,
	NUM_EXP_PYTHON = 1 << 2,
	NUM_EXP_RUST = 2 << 2,
	NUM_EXP_JAVA = 3 << 2,
	NUM_FIXED = 16,
	NUM_STYLE_NR = 26,
};

#define NUM_FIXED_LIMIT 1e15f

/* An unknown style prints as style 0. */
size_t num_print_f32(float v, unsigned style, char *ret);
size_t num_print_f64(double v, char *ret); /* shortest, for scores and times */

/* Cheaper than printing and comparing: how many bytes the text at p takes if it
 * surely starts with what num_print_f32() prints for v, in every style with
 * float32 digits.  0: not sure.  The byte behind is not looked at. */
size_t num_match_f32(float v, const char *p, size_t room);

#endif
