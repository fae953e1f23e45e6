/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the table of commands.
 */
#include "tools/args.h"

#include "engine/base/check.h"
#include "engine/base/fault.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
	{"mount", "DATA DIR [-f] [-o OPTS]",
	 "Serves the database DATA (made if absent) at DIR",
	 "  -f, --foreground     stay attached to the terminal\n"
	 "  -o, --options OPTS   comma-separated, may be repeated:\n"
	 "      ro               nothing can be changed\n"
	 "      allow_other      other users get in, by modes and owners\n"
	 "      show_control     list .search, .near and the other control "
	 "files\n"
	 "      scratch_only     every file is a scratch file, for measuring\n"
	 "      sync=close|fsync|interval, and any other name of config.json\n"
	 "Also as `mount -t fuse.pointfs DATA DIR` and in /etc/fstab.\n"
	 "Exit 4: the log is damaged and what precedes the damage is served "
	 "read-only.\n"
	 "Exit 6: another process serves DATA.\n",
	 cmd_mount},
	{"umount", "DIR [-t SECONDS]",
	 "Stops serving DIR, and waits until its data is let go",
	 "  -t, --timeout SECONDS   how long to wait (30)\n"
	 "Exit 5: nothing is mounted there.  Exit 6: files in it are open.\n",
	 cmd_umount},
	{"status", "[DIR] [--json]", "Tells what is mounted, and how it is",
	 "  --json   status.json of each mount, one a line\n"
	 "Without DIR: all mounts of this machine.\n",
	 cmd_status},
	{"search", "COLLECTION_DIR BODY", "Asks a query and prints the answer",
	 "BODY is the JSON of Qdrant's points/query, or - to read it from the "
	 "input.\n"
	 "COLLECTION_DIR is in a mount, or DATA/NAME of a DATA that nobody "
	 "serves.\n",
	 cmd_search},
	{"scroll", "COLLECTION_DIR BODY", "Reads points page by page",
	 "BODY is the JSON of Qdrant's points/scroll, or - for the input.\n",
	 cmd_scroll},
	{"count", "COLLECTION_DIR BODY", "Counts points",
	 "BODY is the JSON of Qdrant's points/count, or - for the input.\n",
	 cmd_count},
	{"import", "COLLECTION_DIR FILE... [--first-id N] [--payload FILE]",
	 "Puts many points into a collection, which is made when absent",
	 "  --first-id N     id of the first vector of .fvecs and .npy (0)\n"
	 "  --payload FILE   one JSON object a line for the vectors\n"
	 "  --json           print the result as JSON\n"
	 "FILE is JSON lines (- for the input), .fvecs or .npy.\n"
	 "COLLECTION_DIR is in a mount, or DATA/NAME of a DATA that nobody "
	 "serves.\n"
	 "Exit 1: some points were refused; the first 20 are shown.\n",
	 cmd_import},
	{"check", "DATA [--deep]", "Verifies a database that nobody serves",
	 "  --deep   also the SHA-256 of every file\n"
	 "Exit 4: something is damaged; each damaged file is named.\n",
	 cmd_check},
	{"dump", "FILE...", "Prints any file of a database as text", "",
	 cmd_dump},
	{"bench", "--data DIR [OPTIONS]",
	 "Measures recall and speed of the search in this process",
	 "  --data DIR       has base.fvecs, query.fvecs and gt.ivecs\n"
	 "  --distance NAME  Euclid, Cosine, Dot or Manhattan (Euclid)\n"
	 "  --ef LIST        values of ef, with commas "
	 "(16,32,64,128,256,512)\n"
	 "  --threads N      searching threads (1)\n"
	 "  --keep DATA      keep the database here, use it if it exists\n"
	 "  --json           one object a line\n",
	 cmd_bench},
};

static const struct command *
command_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void
help_print(FILE *out)
{
	size_t i;

	fprintf(out, "usage: pointfs COMMAND [ARGS]\n\n");
	for (i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
	fprintf(out,
		"\n`pointfs COMMAND --help` and `man pointfs` say more.\n");
}

static int
faults_print(void)
{
#ifdef POINTFS_FAULTS
	int i;

	for (i = 0; i < FAULT_NR; i++)
		puts(fault_name((enum fault)i));
	return EXIT_DONE;
#else
	fprintf(stderr, "pointfs: built without fault points\n");
	return EXIT_FAILED;
#endif
}

static bool
help_wanted(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 ||
		    strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int
command_run(const struct command *c, int argc, char **argv)
{
	if (help_wanted(argc, argv)) {
		command_usage(c, true);
		return EXIT_DONE;
	}
	return c->run(c, argc, argv);
}

/* mount(8) runs `pointfs DATA DIR -o opts`. */
static bool
mount_is_meant(int argc, char **argv)
{
	return argc >= 3 && argv[1][0] != '-' && argv[2][0] != '-' &&
	       (argc == 3 || argv[3][0] == '-') &&
	       (strchr(argv[1], '/') || argc > 3);
}

int
main(int argc, char **argv)
{
	const struct command *c;

	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		help_print(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    (strcmp(argv[1], "help") == 0 && argc == 2)) {
		help_print(stdout);
		return EXIT_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("pointfs " POINTFS_VERSION);
		return EXIT_DONE;
	}
	if (strcmp(argv[1], "--fault-points") == 0)
		return faults_print();
	c = command_find(argv[1]);
	if (c)
		return command_run(c, argc - 1, argv + 1);
	if (mount_is_meant(argc, argv))
		return command_run(command_find("mount"), argc, argv);
	fprintf(stderr, "pointfs: no command '%s'\n", argv[1]);
	help_print(stderr);
	return EXIT_USAGE;
}
