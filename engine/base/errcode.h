/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errcode.h - every way to fail: a name, the errno it becomes, a sentence.
 *
 * The code is for programs, the sentence for people.  Codes start above every
 * errno, so that a bare -EIO that slips through is caught by err_errno().
 * INTERFACE section 6 fixes the errnos.
 */
#ifndef ENGINE_BASE_ERRCODE_H
#define ENGINE_BASE_ERRCODE_H

/* clang-format off */
#define ERR_LIST(X)                                                            \
	X(ERR_JSON,       EINVAL,       "not JSON")                            \
	X(ERR_TYPE,       EINVAL,       "wrong type of value")                 \
	X(ERR_DIM,        EINVAL,       "wrong vector length")                 \
	X(ERR_NUMBER,     EINVAL,       "number not allowed")                  \
	X(ERR_ID,         EINVAL,       "id not allowed")                      \
	X(ERR_ID_NAME,    EINVAL,       "id differs from the file name")       \
	X(ERR_KEY,        EINVAL,       "unknown or duplicate member")         \
	X(ERR_NAME,       EINVAL,       "name not allowed")                    \
	X(ERR_NAME_LONG,  ENAMETOOLONG, "name too long")                       \
	X(ERR_QUERY,      EINVAL,       "wrong request")                       \
	X(ERR_CONFIG,     EINVAL,       "wrong configuration")                 \
	X(ERR_NOT_YET,    EOPNOTSUPP,   "not supported yet")                   \
	X(ERR_NOT_FOUND,  ENOENT,       "not found")                           \
	X(ERR_EXISTS,     EEXIST,       "exists already")                      \
	X(ERR_NOT_EMPTY,  ENOTEMPTY,    "not empty")                           \
	X(ERR_TOO_BIG,    EFBIG,        "too big")                             \
	X(ERR_PERM,       EPERM,        "not permitted")                       \
	X(ERR_ACCESS,     EACCES,       "permission denied")                   \
	X(ERR_READ_ONLY,  EROFS,        "read-only")                           \
	X(ERR_DAMAGED,    EBADMSG,      "stored bytes fail their check")       \
	X(ERR_IO,         EIO,          "input/output error")                  \
	X(ERR_NO_SPACE,   ENOSPC,       "no space left")                       \
	X(ERR_NO_MEMORY,  ENOMEM,       "out of memory")                       \
	X(ERR_NO_FILES,   EMFILE,       "too many open files")                 \
	X(ERR_BUSY,       EBUSY,        "busy")                                \
	X(ERR_LOCKED,     EBUSY,        "in use by another process")           \
	X(ERR_AGAIN,      EAGAIN,       "try again")                           \
	X(ERR_TIMEOUT,    ETIMEDOUT,    "timed out")                           \
	X(ERR_CROSS,      EXDEV,        "across collections")                  \
	X(ERR_IS_DIR,     EISDIR,       "is a directory")                      \
	X(ERR_NOT_DIR,    ENOTDIR,      "not a directory")                     \
	X(ERR_VERSION,    EPROTO,       "format not known to this program")    \
	X(ERR_STOPPED,    ESHUTDOWN,    "stopping")
/* clang-format on */

enum errcode {
	ERR_BEFORE_FIRST = 10000,
#define X(code, eno, text) code,
	ERR_LIST(X)
#undef X
		ERR_AFTER_LAST
};

#endif
