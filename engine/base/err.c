/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/err.h"

#include "engine/base/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct err_row {
	int code;
	int eno;
	const char *name;
	const char *text;
} rows[] = {
#define X(code, eno, text) {code, eno, #code, text},
	ERR_LIST(X)
#undef X
};

/* Takes a code with either sign; NULL if there is no such code. */
static const struct err_row *
err_row(int rc)
{
	unsigned code = rc < 0 ? 0u - (unsigned)rc : (unsigned)rc;

	if (code <= ERR_BEFORE_FIRST || code >= ERR_AFTER_LAST)
		return NULL;
	return &rows[code - ERR_BEFORE_FIRST - 1];
}

/* The length of the UTF-8 character at s, or 0 if the bytes there are none.
 * A byte behind the end is NUL, which ends no character. */
static size_t
utf8_len(const unsigned char *s)
{
	size_t n, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Copies s, cut at a character's end.  The texts quote names and values that
 * come from outside, and go into files of lines: control characters become
 * blanks and what is not UTF-8 becomes '?'. */
static void
text_set(struct err *err, const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t at = 0, n;

	while (*u) {
		n = utf8_len(u);
		if (at + MAX(n, 1u) >= sizeof err->text)
			break;
		if (n == 0)
			err->text[at] = '?';
		else if (n == 1 && (*u < 0x20 || *u == 0x7f))
			err->text[at] = ' ';
		else
			memcpy(err->text + at, u, n);
		at += MAX(n, 1u);
		u += MAX(n, 1u);
	}
	err->text[at] = '\0';
}

/* Through a second buffer, so that the arguments may point into err->text. */
__attribute__((format(printf, 2, 0))) static void
text_print(struct err *err, const char *fmt, va_list ap, const char *sep,
	   const char *tail)
{
	char s[sizeof err->text + 8];
	size_t n;

	if (vsnprintf(s, sizeof s, fmt, ap) < 0)
		s[0] = '\0';
	n = strlen(s);
	snprintf(s + n, sizeof s - n, "%s%s", sep, tail);
	text_set(err, s);
}

int
err_set(struct err *err, enum errcode code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		text_print(err, fmt, ap, "", "");
		va_end(ap);
		err->code = code;
	}
	return -(int)code;
}

static enum errcode
code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case ENOMEM:
		return ERR_NO_MEMORY;
	case EMFILE:
		return ERR_NO_FILES;
	case EROFS:
		return ERR_READ_ONLY;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	default:
		return ERR_IO;
	}
}

int
err_sys(struct err *err, int errnum, const char *fmt, ...)
{
	enum errcode code = code_of_errno(errnum);
	char room[128];
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		text_print(err, fmt, ap, ": ",
			   strerror_r(errnum, room, sizeof room));
		va_end(ap);
		err->code = code;
	}
	return -(int)code;
}

int
err_in(struct err *err, int rc, const char *fmt, ...)
{
	const struct err_row *row = err_row(rc);
	va_list ap;

	if (!err || rc == 0)
		return rc;
	if (err->code ==
	    0) { /* failed without a word: the phrase is the text */
		err->code = row ? row->code : ERR_IO;
		err->text[0] = '\0';
	}
	va_start(ap, fmt);
	text_print(err, fmt, ap, ": ", err_text(err));
	va_end(ap);
	return rc;
}

int
err_errno(int rc)
{
	const struct err_row *row = err_row(rc);

	if (rc == 0)
		return 0;
	return row ? row->eno : EIO;
}

const char *
err_name(int rc)
{
	const struct err_row *row = err_row(rc);

	if (rc == 0)
		return "OK";
	return row ? row->name : "ERR_IO";
}

const char *
err_text(const struct err *err)
{
	const struct err_row *row;

	if (!err)
		return "unknown error";
	if (err->text[0])
		return err->text;
	if (err->code == 0)
		return "no error";
	row = err_row(err->code);
	return row ? row->text : "unknown error";
}
