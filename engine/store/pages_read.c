/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages_read.c - a stream out of files: one range of addresses, checked page by
 * page.
 */
#include "engine/store/pages.h"

#include "engine/base/check.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/store/pages_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_PAGES 16u /* hashed while their bytes are still near */

/* The list may come from a manifest: sizes are made sure of before they are
 * used as such. */
static int
list_check(const struct pages_list *l, struct err *err)
{
	uint64_t left = l->len;

	if (l->len > PAGES_LEN_MAX)
		return err_set(err, ERR_DAMAGED, "stream too long");
	for (uint32_t i = 0; i < l->n; i++) {
		const struct pages_file *f = &l->files[i];
		uint64_t want = MIN(left, PAGES_PAYLOAD_MAX);

		if (want == 0 || f->payload != want ||
		    f->len != pages_file_len(f->payload))
			break;
		left -= want;
	}
	if (left)
		return err_set(err, ERR_DAMAGED,
			       "lengths of a stream's files contradict");
	return 0;
}

static int
file_fits(int fd, enum stream_kind kind, const struct pages_file *f,
	  uint64_t at, struct err *err)
{
	struct pages_header h = {0};
	uint8_t page[PAGE_LEN];
	struct stat st;
	size_t n = 0;
	int rc;

	if (fstat(fd, &st) != 0)
		return err_sys(err, errno, "fstat");
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)f->len)
		return err_set(err, ERR_DAMAGED,
			       "%lld bytes long instead of %u",
			       (long long)st.st_size, f->len);
	rc = file_read_all(fd, page, sizeof page, 0, &n, err);
	if (rc == 0)
		rc = pages_header_read(page, n, &h, err);
	if (rc != 0)
		return rc;
	if (h.kind != kind || h.payload != f->payload || h.at != at)
		return err_set(err, ERR_DAMAGED,
			       "offset 0: the header of another file");
	return 0;
}

static const uint8_t *
map_part(int fd, uint64_t at, uint64_t n, void *where)
{
	int flags = MAP_SHARED | (where ? MAP_FIXED : 0);
	void *p = mmap(where, n, PROT_READ, flags, fd, (off_t)at);

	return p == MAP_FAILED ? NULL : p;
}

static int
file_map(struct pages *pg, uint32_t i, int fd, struct err *err)
{
	uint64_t pages = pages_count(pg->list.files[i].payload);
	uint8_t *where = (uint8_t *)pg->p + (uint64_t)i * PAGES_PAYLOAD_MAX;

	if (!map_part(fd, PAGE_LEN, pages * PAGE_LEN, where))
		return err_sys(err, errno, "mmap");
	pg->headers[i] = map_part(fd, 0, PAGE_LEN, NULL);
	if (!pg->headers[i])
		return err_sys(err, errno, "mmap");
	pg->sums[i] = map_part(fd, PAGE_LEN * (1 + pages), 4 * pages, NULL);
	if (!pg->sums[i])
		return err_sys(err, errno, "mmap");
	return 0;
}

static int
file_open(struct pages *pg, int dirfd, enum stream_kind kind, uint32_t i,
	  struct err *err)
{
	const struct pages_file *f = &pg->list.files[i];
	char name[PAGES_NAME_LEN + 1];
	int fd, rc;

	pages_name(f, name);
	rc = file_open_at(dirfd, name, O_RDONLY | O_NOFOLLOW, &fd, err);
	if (rc == -ERR_NOT_FOUND) /* here it was promised to be */
		return err_set(err, ERR_DAMAGED, "%s: the file is missing",
			       name);
	if (rc != 0)
		return rc;
	rc = file_fits(fd, kind, f, (uint64_t)i * PAGES_PAYLOAD_MAX, err);
	if (rc == 0)
		rc = file_map(pg, i, fd, err);
	close(fd);
	return rc ? err_in(err, rc, "%s", name) : 0;
}

static int
pages_reserve(struct pages *pg, struct err *err)
{
	uint64_t n = round_up(pg->len, PAGE_LEN);
	void *p;

	pg->sums = calloc(pg->list.n, sizeof *pg->sums);
	pg->headers = calloc(pg->list.n, sizeof *pg->headers);
	pg->checked = calloc(n / PAGE_LEN / 64 + 1, sizeof *pg->checked);
	if (!pg->sums || !pg->headers || !pg->checked)
		return err_set(err, ERR_NO_MEMORY, "mapping");
	p = mmap(NULL, n, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return err_sys(err, errno, "mmap");
	pg->p = p;
	pg->map_len = n;
	return 0;
}

int
pages_open(int dirfd, enum stream_kind kind, const struct pages_list *l,
	   struct pages **ret, struct err *err)
{
	struct pages *pg;
	int rc = list_check(l, err);

	if (rc != 0)
		return rc;
	pg = calloc(1, sizeof *pg);
	if (!pg)
		return err_set(err, ERR_NO_MEMORY, "mapping");
	pg->len = l->len;
	rc = pages_list_copy(l, &pg->list, err);
	if (rc == 0 && l->n)
		rc = pages_reserve(pg, err);
	for (uint32_t i = 0; rc == 0 && i < l->n; i++)
		rc = file_open(pg, dirfd, kind, i, err);
	if (rc != 0)
		pages_close(pg);
	else
		*ret = pg;
	return rc;
}

void
pages_close(struct pages *pg)
{
	if (!pg)
		return;
	for (uint32_t i = 0; pg->headers && pg->sums && i < pg->list.n; i++) {
		uint32_t n = pages_count(pg->list.files[i].payload);

		if (pg->headers[i])
			munmap((void *)pg->headers[i], PAGE_LEN);
		if (pg->sums[i])
			munmap((void *)pg->sums[i], 4 * n);
	}
	if (pg->map_len)
		munmap((void *)pg->p, pg->map_len);
	pages_list_done(&pg->list);
	free(pg->headers);
	free(pg->sums);
	free(pg->checked);
	free(pg);
}

static bool
page_is_good(const struct pages *pg, uint64_t page)
{
	uint32_t no = (uint32_t)(page % PAGES_PER_FILE);
	const uint8_t *sums = pg->sums[page / PAGES_PER_FILE];

	return pages_sum(no, pg->p + page * PAGE_LEN) ==
	       get_u32(sums + 4 * (size_t)no);
}

static int
page_damaged(struct pages *pg, uint64_t page, struct err *err)
{
	uint64_t at = page % PAGES_PER_FILE * PAGE_LEN + PAGE_LEN;
	char name[PAGES_NAME_LEN + 1];

	__atomic_fetch_add((uint32_t *)&pg->n_damaged, 1, __ATOMIC_RELAXED);
	pages_name(&pg->list.files[page / PAGES_PER_FILE], name);
	return err_set(err, ERR_DAMAGED,
		       "%s: offset %llu: the page's checksum differs", name,
		       (unsigned long long)at);
}

static inline bool
page_was_checked(const struct pages *pg, uint64_t page)
{
	const uint64_t *w = (const uint64_t *)&pg->checked[page / 64];

	return __atomic_load_n(w, __ATOMIC_RELAXED) >> (page % 64) & 1;
}

static int
page_check(struct pages *pg, uint64_t page, struct err *err)
{
	uint64_t *w = (uint64_t *)&pg->checked[page / 64];
	uint64_t bit = 1ull << (page % 64);

	if (!page_is_good(pg, page)) {
		__atomic_fetch_and(w, ~bit, __ATOMIC_RELAXED);
		return page_damaged(pg, page, err);
	}
	__atomic_fetch_or(w, bit, __ATOMIC_RELAXED);
	return 0;
}

int
pages_check(struct pages *pg, uint64_t at, uint64_t n, struct err *err)
{
	uint64_t page = at / PAGE_LEN, last;
	int rc;

	if (at > pg->len || n > pg->len - at)
		return err_set(err, ERR_DAMAGED,
			       "offset %llu lies behind the stream's end",
			       (unsigned long long)at);
	if (n == 0)
		return 0;
	for (last = (at + n - 1) / PAGE_LEN; page <= last; page++) {
		if (page_was_checked(pg, page))
			continue;
		rc = page_check(pg, page, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* --- verify ---------------------------------------------------------- */

static int
in_file(const struct pages *pg, uint32_t i, int rc, struct err *err)
{
	char name[PAGES_NAME_LEN + 1];

	pages_name(&pg->list.files[i], name);
	return rc ? err_in(err, rc, "%s", name) : 0;
}

static int
header_verify(const struct pages *pg, uint32_t i, struct err *err)
{
	const struct pages_file *f = &pg->list.files[i];
	struct pages_header h;
	int rc = pages_header_read(pg->headers[i], PAGE_LEN, &h, err);

	if (rc == 0 && (h.payload != f->payload ||
			h.at != (uint64_t)i * PAGES_PAYLOAD_MAX))
		rc = err_set(err, ERR_DAMAGED,
			     "offset 0: the header of another file");
	return in_file(pg, i, rc, err);
}

/* The first error is told; every page is looked at. */
static int
pages_verify_run(struct pages *pg, uint64_t page, uint32_t n, struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < n; i++) {
		int r = page_check(pg, page + i, rc ? NULL : err);

		if (rc == 0)
			rc = r;
	}
	return rc;
}

static int
payload_verify(struct pages *pg, uint32_t i, struct sha256_state *sha,
	       struct err *err)
{
	uint64_t page = (uint64_t)i * PAGES_PER_FILE;
	uint32_t left = pages_count(pg->list.files[i].payload);
	int rc = 0;

	while (left > 0) {
		uint32_t n = MIN(left, CHUNK_PAGES);
		int r = pages_verify_run(pg, page, n, rc ? NULL : err);

		if (rc == 0)
			rc = r;
		if (sha)
			sha256_add(sha, pg->p + page * PAGE_LEN,
				   (size_t)n * PAGE_LEN);
		page += n;
		left -= n;
	}
	return rc;
}

static int
file_verify(struct pages *pg, uint32_t i, struct sha256_state *sha,
	    struct err *err)
{
	const struct pages_file *f = &pg->list.files[i];
	uint8_t sum[SHA256_LEN];
	int rc = header_verify(pg, i, err), r;

	if (sha)
		sha256_add(sha, pg->headers[i], PAGE_LEN);
	r = payload_verify(pg, i, sha, rc ? NULL : err);
	if (rc == 0)
		rc = r;
	if (!sha)
		return rc;
	sha256_add(sha, pg->sums[i], 4 * (size_t)pages_count(f->payload));
	sha256_end(sha, sum);
	if (rc == 0 && memcmp(sum, f->sum, sizeof sum) != 0) {
		rc = err_set(err, ERR_DAMAGED,
			     "the content does not match the name");
		in_file(pg, i, rc, err);
	}
	return rc;
}

int
pages_verify(struct pages *pg, bool deep, struct err *err)
{
	struct sha256_state *sha = NULL;
	int rc = 0;

	if (deep && !(sha = sha256_new()))
		return err_set(err, ERR_NO_MEMORY, "hash");
	for (uint32_t i = 0; i < pg->list.n; i++) {
		int r = file_verify(pg, i, sha, rc ? NULL : err);

		if (rc == 0)
			rc = r;
	}
	sha256_free(sha);
	return rc;
}
