/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount: from taking over what a dead daemon left behind to a clean end.
 */
#include "fs/session_impl.h"

#include "fs/node.h"

#include "engine/base/check.h"
#include "engine/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS_MAX  64
#define THREADS_IDLE 32 /* kept, so that none is made for every burst */
#define KICK_MS      20

extern char **environ;

/* --- signals --------------------------------------------------------- */

/*
 * The loop's main thread sleeps in sem_wait() and wakes for a signal only, but
 * a signal may reach any thread of the process, and may come just before the
 * sleep.  So the handler only writes into a pipe, and a thread behind the pipe
 * wakes the main thread until it has seen that it shall end.
 */
static struct {
	int pipe[2];
	pthread_t main, thread;
	struct fuse_session *se;
	_Atomic bool ended;
} stop;

static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP};

static void
on_signal(int sig)
{
	int e = errno;

	(void)sig;
	if (!stop.ended && write(stop.pipe[1], "", 1) < 0)
		errno = e; /* full: somebody said it before */
	errno = e;
}

static void
on_kick(int sig)
{
	(void)sig; /* only has to interrupt */
}

static void *
stop_wait(void *arg)
{
	struct pollfd p = {.fd = stop.pipe[0], .events = POLLIN};

	(void)arg;
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	while (!stop.ended) {
		fuse_session_exit(stop.se);
		pthread_kill(stop.main, SIGUSR2);
		poll(NULL, 0, KICK_MS);
	}
	return NULL;
}

static void
handler_set(int sig, void (*fn)(int))
{
	struct sigaction sa = {.sa_handler = fn};

	sigemptyset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

static int
stop_start(struct fuse_session *se, struct err *err)
{
	int e;

	if (pipe2(stop.pipe, O_CLOEXEC | O_NONBLOCK))
		return err_sys(err, errno, "a pipe");
	stop.main = pthread_self();
	stop.se = se;
	stop.ended = false;
	handler_set(SIGUSR2, on_kick);
	handler_set(SIGPIPE, SIG_IGN);
	e = pthread_create(&stop.thread, NULL, stop_wait, NULL);
	if (e) {
		close(stop.pipe[0]);
		close(stop.pipe[1]);
		return err_sys(err, e, "a thread");
	}
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
		handler_set(stop_signals[i], on_signal);
	return 0;
}

static void
stop_end(void)
{
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
		handler_set(stop_signals[i], SIG_IGN);
	stop.ended = true;
	if (write(stop.pipe[1], "", 1) < 0)
		errno = 0; /* full: it is awake */
	pthread_join(stop.thread, NULL);
	close(stop.pipe[0]);
	close(stop.pipe[1]);
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
		handler_set(stop_signals[i], SIG_DFL);
}

/* --- a dead mount ---------------------------------------------------- */

static int
run_fusermount(const char *dir)
{
	char *const argv[] = {"fusermount3", "-uz", "--", (char *)dir, NULL};
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ))
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* A daemon that was killed leaves its mount, on which nothing can be
 * mounted. */
static int
dead_mount_detach(const char *dir, struct err *err)
{
	struct statvfs v;

	/* Not stat(): attributes of the root outlive the daemon. */
	if (statvfs(dir, &v) == 0 ||
	    (errno != ENOTCONN && errno != ECONNABORTED))
		return 0;
	if (umount2(dir, MNT_DETACH) == 0 || run_fusermount(dir) == 0)
		return 0;
	return err_set(err, ERR_BUSY,
		       "'%s' is the mount of a daemon that died and cannot "
		       "be detached: fusermount3 -uz '%s'",
		       dir, dir);
}

static int
mountpoint_check(const char *dir, struct err *err)
{
	struct stat st;
	int rc = dead_mount_detach(dir, err);

	if (rc)
		return rc;
	if (stat(dir, &st))
		return err_sys(err, errno, "'%s'", dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_NOT_DIR, "'%s' is no directory", dir);
	return 0;
}

/* --- what the kernel must forget ------------------------------------- */

static void
inval_inode(void *arg, uint64_t ino)
{
	fuse_lowlevel_notify_inval_inode(arg, ino, 0, 0);
}

static void
inval_entry(void *arg, uint64_t dir, const char *name)
{
	fuse_lowlevel_notify_inval_entry(arg, dir, name, strlen(name));
}

/* --- the session ----------------------------------------------------- */

static int
args_make(const struct serve_opts *o, struct fuse_args *ret)
{
	CLEAN(buf_done) struct buf name = {0};
	char *opts = NULL;
	int bad = fuse_opt_add_arg(ret, "pointfs");

	/* The source that mount(8) and `pointfs umount` see; a comma in it
	 * would break the option. */
	bad |= buf_printf(&name, "fsname=%s", o->data_path) != 0;
	bad |= buf_put_u8(&name, 0) != 0;
	bad |= name.failed ||
	       fuse_opt_add_opt_escaped(&opts, (const char *)name.p);
	bad |= fuse_opt_add_opt(&opts, "subtype=pointfs,default_permissions");
	bad |= fuse_opt_add_arg(ret, "-o");
	bad |= fuse_opt_add_arg(ret, opts);
	free(opts);
	if (o->allow_other)
		bad |= fuse_opt_add_arg(ret, "-oallow_other");
	if (o->fuse_opts && o->fuse_opts[0]) {
		bad |= fuse_opt_add_arg(ret, "-o");
		bad |= fuse_opt_add_arg(ret, o->fuse_opts);
	}
	return bad;
}

static int
session_new(struct fs *fs, struct fuse_session **ret, struct err *err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

	if (args_make(fs->o, &args)) {
		fuse_opt_free_args(&args);
		return err_set(err, ERR_NO_MEMORY, "the mount's options");
	}
	*ret = fuse_session_new(&args, &session_ops, sizeof session_ops, fs);
	fuse_opt_free_args(&args);
	return *ret ? 0
		    : err_set(err, ERR_CONFIG,
			      "libfuse refuses the options "
			      "'%s'",
			      fs->o->fuse_opts ? fs->o->fuse_opts : "");
}

static int
loop(struct fs *fs, struct fuse_session *se, struct err *err)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	int rc;

	if (cfg == NULL)
		return err_set(err, ERR_NO_MEMORY, "the loop");
	fuse_loop_cfg_set_clone_fd(cfg, 0);
	fuse_loop_cfg_set_idle_threads(cfg, THREADS_IDLE);
	fuse_loop_cfg_set_max_threads(cfg, fs->o->threads ? fs->o->threads
							  : THREADS_MAX);
	rc = fuse_session_loop_mt(se, cfg);
	fuse_loop_cfg_destroy(cfg);
	if (rc < 0 && !stop.ended && rc != -EINTR)
		return err_sys(err, -rc, "the kernel's requests");
	return 0;
}

static void
tell_ready(const struct serve_opts *o)
{
	if (o->ready_fd >= 0 && write(o->ready_fd, "", 1) < 0)
		errno = 0; /* who waited is gone; serve all the same */
}

static int
serve_mounted(struct fs *fs, struct fuse_session *se, struct err *err)
{
	struct notify_hooks hooks = {inval_inode, inval_entry, se};
	int rc = notify_start(&fs->notify, &hooks, err);

	if (rc)
		return rc;
	rc = stop_start(se, err);
	if (rc == 0) {
		tell_ready(fs->o);
		rc = loop(fs, se, err);
		stop_end();
	}
	notify_stop(&fs->notify);
	return rc;
}

static int
serve(struct fs *fs, struct err *err)
{
	struct fuse_session *se;
	int rc = session_new(fs, &se, err);

	if (rc)
		return rc;
	if (fuse_session_mount(se, fs->o->mountpoint)) {
		rc = err_set(err, ERR_IO,
			     "cannot mount at '%s' (is /dev/fuse "
			     "there, and yours to open?)",
			     fs->o->mountpoint);
	} else {
		rc = serve_mounted(fs, se, err);
		fuse_session_unmount(se);
	}
	fuse_session_destroy(se);
	return rc;
}

static int
fs_init(struct fs *fs, struct db *db, const struct serve_opts *o,
	struct err *err)
{
	memset(fs, 0, sizeof *fs);
	fs->db = db;
	fs->o = o;
	fs->uid = getuid();
	fs->gid = getgid();
	fs->started_ns = clock_mono_ns();
	fs->names_ns = clock_wall_ns();
	fs->max_point_bytes =
		o->max_point_bytes ? o->max_point_bytes : 32u << 20;
	handle_table_init(&fs->handles);
	replaced_init(&fs->replaced);
	alias_table_init(&fs->aliases);
	asked_init(&fs->asked);
	errlog_init(&fs->errors);
	mutex_init(&fs->note_lock, LOCK_LEAF);
	mutex_init(&fs->renames, LOCK_FS_TREE);
	return scratch_tree_init(
		&fs->scratch, db_tmp_fd(db),
		o->scratch_max_bytes ? o->scratch_max_bytes : 1ull << 30, err);
}

static void
fs_done(struct fs *fs)
{
	scratch_tree_done(&fs->scratch);
	errlog_done(&fs->errors);
	asked_done(&fs->asked);
	alias_table_done(&fs->aliases);
	handle_table_done(&fs->handles);
	replaced_done(&fs->replaced);
	buf_done(&fs->note);
	mutex_done(&fs->note_lock);
	mutex_done(&fs->renames);
}

int
fs_serve(struct db *db, const struct serve_opts *o, struct err *err)
{
	struct fs *fs;
	int rc = mountpoint_check(o->mountpoint, err);

	if (rc)
		return rc;
	rc = ops_start();
	if (rc)
		return err_sys(err, rc, "a thread key");
	fs = malloc(sizeof(*fs));
	if (fs == NULL)
		return err_set(err, ERR_NO_MEMORY, "the mount");
	rc = fs_init(fs, db, o, err);
	if (rc == 0) {
		rc = serve(fs, err);
		fs_done(fs);
	}
	free(fs);
	return rc;
}
