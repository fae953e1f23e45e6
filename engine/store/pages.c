/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/pages.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/store/pages_format.h"

#include <stdlib.h>

void
pages_list_done(struct pages_list *l)
{
	if (!l)
		return;
	free(l->files);
	*l = (struct pages_list){0};
}

int
pages_list_copy(const struct pages_list *l, struct pages_list *ret,
		struct err *err)
{
	struct pages_list c = *l;

	c.files = NULL;
	if (l->n) {
		c.files = malloc(l->n * sizeof *c.files);
		if (!c.files)
			return err_set(err, ERR_NO_MEMORY, "list of files");
		memcpy(c.files, l->files, l->n * sizeof *c.files);
	}
	*ret = c;
	return 0;
}

/* Only the length and the sums are written: all else follows from them. */
int
pages_list_encode(const struct pages_list *l, struct buf *ret)
{
	buf_put_varint(ret, l->len);
	for (uint32_t i = 0; i < l->n; i++)
		buf_put(ret, l->files[i].sum, SHA256_LEN);
	return ret->failed ? -ERR_NO_MEMORY : 0;
}

int
pages_list_decode(struct reader *r, struct pages_list *ret, struct err *err)
{
	struct pages_list l = {.len = reader_varint(r)};

	if (r->failed || l.len > PAGES_LEN_MAX)
		return err_set(err, ERR_DAMAGED, "list of files: bad length");
	l.n = (uint32_t)((l.len + PAGES_PAYLOAD_MAX - 1) / PAGES_PAYLOAD_MAX);
	if ((r->n - r->at) / SHA256_LEN < l.n)
		return err_set(err, ERR_DAMAGED, "list of files: cut short");
	if (l.n) {
		l.files = calloc(l.n, sizeof *l.files);
		if (!l.files)
			return err_set(err, ERR_NO_MEMORY, "list of files");
	}
	for (uint32_t i = 0; i < l.n; i++) {
		struct pages_file *f = &l.files[i];
		uint64_t left = l.len - (uint64_t)i * PAGES_PAYLOAD_MAX;

		memcpy(f->sum, reader_bytes(r, SHA256_LEN).p, SHA256_LEN);
		f->payload = (uint32_t)MIN(left, PAGES_PAYLOAD_MAX);
		f->len = pages_file_len(f->payload);
	}
	*ret = l;
	return 0;
}

void
pages_name(const struct pages_file *f, char ret[PAGES_NAME_LEN + 1])
{
	sha256_hex(f->sum, ret);
	memcpy(ret + SHA256_HEX, ".qv", 4);
}

static bool
is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static bool
header_fits(const struct pages_header_disk *d, const struct pages_header *h)
{
	return d->zero == 0 && get_u32(d->page_len) == PAGE_LEN &&
	       is_zero(d->reserved, sizeof d->reserved) && h->payload > 0 &&
	       h->payload <= PAGES_PAYLOAD_MAX &&
	       h->len == pages_file_len(h->payload) &&
	       h->at % PAGES_PAYLOAD_MAX == 0 && h->at < PAGES_LEN_MAX &&
	       h->kind >= STREAM_SEGMENT && h->kind <= STREAM_DELETED;
}

/* The checksum comes before the version: a flipped bit in the version is
 * damage, not the future. */
int
pages_header_read(const void *p, size_t n, struct pages_header *ret,
		  struct err *err)
{
	const struct pages_header_disk *d = p;
	struct pages_header h;

	if (n < sizeof *d)
		return err_set(err, ERR_DAMAGED, "offset 0: no whole header");
	if (memcmp(d->magic, PAGES_MAGIC, sizeof d->magic) != 0)
		return err_set(err, ERR_DAMAGED, "offset 0: wrong magic");
	if (crc32c(0, d, sizeof *d - 4) != get_u32(d->crc))
		return err_set(err, ERR_DAMAGED,
			       "offset 0: the header's checksum differs");
	h.version = get_u16(d->version);
	h.kind = d->kind;
	h.len = get_u32(d->len);
	h.payload = get_u32(d->payload);
	h.at = get_u64(d->at);
	if (h.version != PAGES_VERSION)
		return err_set(err, ERR_VERSION,
			       "file format %u, this program knows %u",
			       h.version, PAGES_VERSION);
	if (!header_fits(d, &h))
		return err_set(err, ERR_DAMAGED,
			       "offset 0: the header contradicts itself");
	*ret = h;
	return 0;
}
