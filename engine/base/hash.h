/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.h - checksums against accidents, and names by content.
 *
 * crc32c   Castagnoli, as in iSCSI (RFC 3720); hardware where there is one.
 * sha256   FIPS 180-4 by libcrypto; this is the one door to it.
 * hash64   FNV-1a over the bytes, then the finaliser of MurmurHash3.  Stable:
 *          it places points in shards, so it may never change.
 * threads  Any.
 */
#ifndef ENGINE_BASE_HASH_H
#define ENGINE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32
#define SHA256_HEX 64

uint32_t crc32c(uint32_t crc, const void *p, size_t n); /* start with 0 */
uint64_t hash64(const void *p, size_t n);

void sha256(const void *p, size_t n, uint8_t ret[SHA256_LEN]);
void sha256_hex(const uint8_t sum[SHA256_LEN], char ret[SHA256_HEX + 1]);
int sha256_unhex(const char *hex, uint8_t ret[SHA256_LEN]); /* 0 or -ERR_TYPE */

struct sha256_state;                   /* opaque; for streams */
struct sha256_state *sha256_new(void); /* NULL: out of memory */
void sha256_add(struct sha256_state *s, const void *p, size_t n);
void sha256_end(struct sha256_state *s, uint8_t ret[SHA256_LEN]); /* resets */
void sha256_free(struct sha256_state *s);

#endif
