/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c - runs a fuzz target over the files of a folder, for compilers
 * without a fuzzer.  Every file is also cut in half and has its bytes turned,
 * so that a small corpus goes a little further.
 */
#include "tests/fuzz/fuzz.h"

#include "engine/base/check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20)
#define TURNS    64

/* In memory of exactly its size, so that reading past the end is seen. */
static void
run(const uint8_t *p, size_t n)
{
	uint8_t *exact = malloc(n + (n == 0));

	check(exact != NULL);
	memcpy(exact, p, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

static void
run_turned(uint8_t *p, size_t n)
{
	size_t i, at;
	uint8_t old;

	for (i = 0; i < TURNS && n > 0; i++) {
		at = i * 2654435761u % n;
		old = p[at];
		p[at] = (uint8_t)(old ^ (1u << i % 8));
		run(p, n);
		p[at] = old;
	}
}

static int
run_file(const char *folder, const char *name)
{
	static uint8_t text[FILE_MAX];
	char path[1024];
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		return 1;
	}
	n = fread(text, 1, sizeof text, f);
	fclose(f);
	run(text, n);
	run(text, n / 2);
	run_turned(text, n);
	return 0;
}

int
main(int argc, char **argv)
{
	struct dirent *e;
	unsigned n = 0;
	int failed = 0;
	DIR *d;

	d = argc == 2 ? opendir(argv[1]) : NULL;
	if (d == NULL) {
		fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
		return 2;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		failed |= run_file(argv[1], e->d_name);
		n++;
	}
	closedir(d);
	printf("%u files\n", n);
	return failed || n == 0;
}
