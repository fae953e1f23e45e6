/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dump.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/err.h"
#include "engine/base/file.h"
#include "engine/store/manifest.h"
#include "engine/store/pages.h"
#include "engine/store/wal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DUMP_MAX (1u << 30)

static void
print_slice(FILE *out, struct slice s)
{
	const unsigned char *p = s.p;

	for (size_t i = 0; i < s.n; i++)
		if (p[i] < 0x20 || p[i] == 0x7f || p[i] == '\\')
			fprintf(out, "\\x%02x", p[i]);
		else
			fputc(p[i], out);
}

static void
print_id(FILE *out, const struct id_key *id)
{
	char text[ID_TEXT_MAX + 1];
	size_t n = id_print(id->b, id->n, text);

	print_slice(out, (struct slice){text, n});
}

static void
print_entry(FILE *out, const struct op_entry *e)
{
	print_slice(out, e->name);
	if (e->target.n != 0) {
		fputs(" -> ", out);
		print_slice(out, e->target);
	} else {
		fprintf(out, " = collection %08x, mode %04o, owner %u:%u",
			e->coll, e->mode, e->uid, e->gid);
	}
}

static void
print_put(FILE *out, const struct op *op)
{
	static const char *const forms[] = {"?", "canonical", "template",
					    "verbatim"};
	const struct point *p = &op->point;

	fprintf(out, "put %08x ", op->coll);
	print_id(out, &p->id);
	fprintf(out, " no %" PRIu64 ", %u numbers, document of %u bytes (%s)",
		p->no, p->dim, p->doc.size, forms[p->doc.form & 3]);
}

static void
print_op(FILE *out, const struct op *op)
{
	fputs("  ", out);
	switch (op->kind) {
	case OP_PUT:
		print_put(out, op);
		break;
	case OP_DELETE:
		fprintf(out, "delete %08x ", op->coll);
		print_id(out, &op->id);
		break;
	case OP_COLL_CREATE:
		fprintf(out, "create %08x ", op->coll);
		print_slice(out, op->config);
		break;
	case OP_COLL_CONFIG:
		fprintf(out, "configure %08x%s ", op->coll,
			op->implied ? " (implied)" : "");
		print_slice(out, op->config);
		break;
	case OP_COLL_DROP:
		fprintf(out, "drop %08x", op->coll);
		break;
	case OP_ENTRY_SET:
		fputs("name ", out);
		print_entry(out, &op->entry);
		break;
	case OP_ENTRY_DROP:
		fputs("unname ", out);
		print_slice(out, op->entry.name);
		break;
	}
	fputc('\n', out);
}

static int
dump_record(const struct wal_record *r, FILE *out, struct err *err)
{
	struct reader body = {.p = r->body.p, .n = r->body.n};
	char when[40];
	struct op op;
	int rc;

	clock_print(r->time_us * 1000, when);
	fprintf(out, "%" PRIu64 " %s %zu bytes\n", r->lsn, when, r->body.n);
	while ((rc = op_next(&body, &op, err)) > 0)
		print_op(out, &op);
	return rc;
}

/* From the file's first record to the end of the log. */
static int
dump_log(const char *path, FILE *out, struct err *err)
{
	char *copy = strdup(path), *base = strdup(path);
	struct wal_reader *rd = NULL;
	struct wal_record r;
	struct wal_end end;
	lsn_t first = 0;
	int fd = -1, rc;

	if (copy == NULL || base == NULL)
		rc = err_set(err, ERR_NO_MEMORY, "no memory");
	else if (!wal_file_name(basename(base), &first))
		rc = err_set(err, ERR_NAME,
			     "a log file is named by its first position");
	else
		rc = dir_open_at(AT_FDCWD, dirname(copy), false, &fd, err);
	if (rc == 0)
		rc = wal_reader_open(fd, first, &rd, err);
	while (rc == 0 && (rc = wal_reader_next(rd, &r, err)) > 0)
		rc = dump_record(&r, out, err);
	if (rc == 0) {
		wal_reader_end(rd, &end);
		fprintf(out, "end at position %" PRIu64 "%s\n", end.last,
			end.kind == WAL_END_TORN ? ", torn" : "");
		if (end.kind == WAL_END_DAMAGED)
			rc = err_set(err, ERR_DAMAGED,
				     "%s, byte %" PRIu64 ": positions %" PRIu64
				     " to %" PRIu64 " are lost",
				     end.file, end.offset, end.lost_from,
				     end.lost_to);
	}
	wal_reader_close(rd);
	if (fd >= 0)
		close(fd);
	free(copy);
	free(base);
	return rc;
}

static void
print_list(FILE *out, const char *what, const struct pages_list *l)
{
	char name[PAGES_NAME_LEN + 1];

	for (uint32_t i = 0; i < l->n; i++) {
		pages_name(&l->files[i], name);
		fprintf(out, "    %s %s %u bytes\n", what, name,
			l->files[i].len);
	}
}

static int
dump_manifest(const struct buf *b, FILE *out, struct err *err)
{
	struct manifest m;
	char when[40];
	int rc = manifest_decode(b->p, b->n, &m, err);

	if (rc < 0)
		return rc;
	clock_print(m.time_us * 1000, when);
	fprintf(out,
		"manifest of collection %08x\nposition %" PRIu64
		"\nwritten %s\nnext point number %" PRIu64 "\n",
		m.coll, m.lsn, when, m.next_no);
	for (uint32_t s = 0; s < m.n_shards; s++)
		for (uint32_t i = 0; i < m.shards[s].n_segs; i++) {
			const struct seg_desc *d = &m.shards[s].segs[i];

			fprintf(out,
				"  shard %u segment %" PRIu64
				": %u rows, %u vectors of %u, %u deleted, "
				"positions %" PRIu64 " to %" PRIu64 "\n",
				s, d->id, d->n_rows, d->n_vecs, d->dim,
				d->n_deleted, d->min_lsn, d->max_lsn);
			print_list(out, "data", &d->data);
			print_list(out, "graph", &d->graph);
			print_list(out, "deleted", &d->deleted);
		}
	manifest_done(&m);
	return 0;
}

static int
dump_catalog(const struct buf *b, FILE *out, struct err *err)
{
	struct catalog c;
	int rc = catalog_decode(b->p, b->n, &c, err);

	if (rc < 0)
		return rc;
	fprintf(out,
		"catalog\nposition %" PRIu64 "\nreplay from %" PRIu64
		"\nnext collection %08x\n",
		c.lsn, c.checkpoint + 1, c.next_coll);
	for (uint32_t i = 0; i < c.n_colls; i++) {
		fprintf(out, "  collection %08x%s ", c.colls[i].id,
			c.colls[i].implied ? " (implied)" : "");
		if (c.colls[i].flushed != 0)
			fprintf(out, "saved up to %" PRIu64 " ",
				c.colls[i].flushed);
		print_slice(out, c.colls[i].config);
		fputc('\n', out);
	}
	for (uint32_t i = 0; i < c.n_entries; i++) {
		fputs("  name ", out);
		print_entry(out, &c.entries[i]);
		fputc('\n', out);
	}
	catalog_done(&c);
	return 0;
}

static int
dump_pages(const struct buf *b, FILE *out, struct err *err)
{
	static const char *const kinds[] = {"?", "segment", "graph",
					    "deleted rows"};
	struct pages_header h;
	int rc = pages_header_read(b->p, b->n, &h, err);

	if (rc < 0)
		return rc;
	fprintf(out,
		"%s, format %u\nbytes %" PRIu64 " to %" PRIu64
		" of its stream\nfile of %u bytes\n",
		kinds[h.kind < ARRAY_LEN(kinds) ? h.kind : 0], h.version, h.at,
		h.at + h.payload, h.len);
	return h.len == b->n ? 0
			     : err_set(err, ERR_DAMAGED,
				       "file has %zu bytes, its header says %u",
				       b->n, h.len);
}

int
dump_file(const char *path, FILE *out, struct err *err)
{
	CLEAN(buf_done) struct buf b = {0};
	int rc = file_load_at(AT_FDCWD, path, DUMP_MAX, &b, err);

	if (rc < 0)
		return rc;
	if (b.n >= 8 && memcmp(b.p, MANIFEST_MAGIC, 8) == 0)
		return dump_manifest(&b, out, err);
	if (b.n >= 8 && memcmp(b.p, CATALOG_MAGIC, 8) == 0)
		return dump_catalog(&b, out, err);
	if (b.n >= 6 && memcmp(b.p, "PFSWAL", 6) == 0)
		return dump_log(path, out, err);
	if (b.n >= 8 && memcmp(b.p, "PointFSq", 8) == 0)
		return dump_pages(&b, out, err);
	return err_set(err, ERR_TYPE, "%s is not a file of pointfs", path);
}
