/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_filter.h - a filter object to struct filter.  Private to engine/json.
 */
#ifndef ENGINE_JSON_JSON_FILTER_H
#define ENGINE_JSON_JSON_FILTER_H

#include "engine/json/json_read.h"

struct filter;

#define FILTER_IDS_MAX    (1u << 18) /* of one has_id */
#define FILTER_VALUES_MAX (1u << 20) /* of one any or except */

/* arg is struct filter **: fits a table of members. */
int json_filter_read(struct rd *r, const struct json_tok *t, void *arg);

#endif
