/* SPDX-License-Identifier: Apache-2.0 */
/*
 * id.h - point ids: a u64, a UUID or a string, as one key of bytes.
 *
 * A key is a kind byte and the id: a number as 8 bytes big endian, a UUID as
 * its 16 bytes, a string as it is.  memcmp() of keys is therefore the order of
 * scroll: numbers rising, then UUIDs, then strings.  One point has one key and
 * one name (the stem of its file), so keys and names can be compared as bytes.
 *
 * errors   ERR_ID and ERR_NAME_LONG, with what is wrong and the right spelling.
 */
#ifndef ENGINE_ID_H
#define ENGINE_ID_H

#include "engine/base/buf.h"

struct err;

#define ID_KEY_MAX  251 /* kind byte and 250 bytes */
#define ID_TEXT_MAX 250 /* longest stem */

enum id_kind { ID_NUM = 1, ID_UUID = 2, ID_STR = 3 }; /* reach the disk */

struct id_key {
	uint16_t n; /* 0: no id */
	uint8_t b[ID_KEY_MAX];
};

/* From a file's stem.  `007`, a number above u64 is a string, a UUID in upper
 * case, braces or urn spelling: see INTERFACE section 1, "Names". */
int id_from_name(const char *stem, size_t n, struct id_key *ret,
		 struct err *err);

/* From a JSON string (decoded); other UUID spellings are made canonical,
 * digits are ERR_ID only where the name rules refuse them (`007`); a canonical
 * number as a string is that number, since its file name would be the same. */
int id_from_string(const char *s, size_t n, struct id_key *ret,
		   struct err *err);
void id_from_num(uint64_t num, struct id_key *ret);
int id_from_bytes(const void *p, size_t n, struct id_key *ret,
		  struct err *err); /* a key from the disk: checked */

/* The stem, without NUL; ret has room for ID_TEXT_MAX + 1 and is terminated. */
size_t id_print(const void *key, size_t n, char *ret);
/* As JSON: 42, "uuid", "string" (escaped). */
int id_print_json(const void *key, size_t n, struct buf *ret);

int id_cmp(const void *a, size_t an, const void *b, size_t bn);

#endif
