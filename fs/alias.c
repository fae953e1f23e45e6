/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/alias.h"

#include "engine/base/arena.h"
#include "engine/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
alias_table_init(struct alias_table *t)
{
	memset(t, 0, sizeof *t);
	mutex_init(&t->lock, LOCK_LEAF);
}

void
alias_table_done(struct alias_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->a[i].name);
	for (size_t i = 0; i < ALIASES_REPLACED; i++)
		free(t->replaced[i].name);
	free(t->a);
	mutex_done(&t->lock);
}

static struct alias *
by_name(struct alias_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->a[i].name, name) == 0)
			return &t->a[i];
	return NULL;
}

static uint64_t
add(struct alias_table *t, const char *name)
{
	size_t cap = t->cap ? t->cap * 2 : 16;
	struct alias *a;
	char *copy;

	if (t->n == t->cap) {
		a = realloc(t->a, cap * sizeof(*a));
		if (a == NULL)
			return 0;
		t->a = a;
		t->cap = cap;
	}
	copy = strdup(name);
	if (copy == NULL)
		return 0;
	t->a[t->n++] = (struct alias){copy, ++t->last};
	return t->last;
}

uint64_t
alias_number(struct alias_table *t, const char *name)
{
	struct alias *a;
	uint64_t no;

	mutex_lock(&t->lock);
	a = by_name(t, name);
	no = a ? a->no : add(t, name);
	mutex_unlock(&t->lock);
	return no;
}

static bool
name_of(const struct alias *a, size_t n, uint64_t no, char *ret, size_t len)
{
	for (size_t i = 0; i < n; i++) {
		if (a[i].no == no && a[i].name) {
			snprintf(ret, len, "%s", a[i].name);
			return true;
		}
	}
	return false;
}

bool
alias_find(struct alias_table *t, uint64_t no, char *ret, size_t len)
{
	bool found;

	mutex_lock(&t->lock);
	found = name_of(t->a, t->n, no, ret, len) ||
		name_of(t->replaced, ALIASES_REPLACED, no, ret, len);
	mutex_unlock(&t->lock);
	return found;
}

static void
drop(struct alias_table *t, struct alias *a)
{
	size_t i = (size_t)(a - t->a);

	free(a->name);
	memmove(a, a + 1, (t->n - i - 1) * sizeof(*a));
	t->n--;
}

/* Renamed over. */
static void
replace(struct alias_table *t, struct alias *a)
{
	struct alias *r = &t->replaced[t->n_replaced++ % ALIASES_REPLACED];

	free(r->name);
	*r = (struct alias){strdup(a->name), a->no};
	drop(t, a);
}

void
alias_drop(struct alias_table *t, const char *name)
{
	struct alias *a;

	mutex_lock(&t->lock);
	a = by_name(t, name);
	if (a)
		drop(t, a);
	mutex_unlock(&t->lock);
}

void
alias_move(struct alias_table *t, const char *from, const char *to,
	   bool exchange)
{
	struct alias *a, *b;
	char *name;

	mutex_lock(&t->lock);
	b = by_name(t, to);
	if (b && !exchange)
		replace(t, b);
	a = by_name(t, from);
	name = a ? strdup(to) : NULL;
	if (exchange && b && (!a || name)) {
		char *back = strdup(from);

		if (back) {
			free(b->name);
			b->name = back;
		}
	}
	if (name) {
		free(a->name);
		a->name = name;
	}
	mutex_unlock(&t->lock);
}
