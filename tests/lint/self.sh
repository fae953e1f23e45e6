#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each lint finds what it is there to find: it passes a small clean tree and
# fails the same tree with one fault in it.  Usage: self.sh ROOT
set -eu
lint=$1/tests/lint
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
spdx='/* SPDX-License-Identifier: Apache-2.0 */'

clean_tree() {
  rm -rf "$dir/t"
  for d in engine/base engine/index engine/store engine/json \
      engine/payload snapshots fs tools tests build-x; do
    mkdir -p "$dir/t/$d"
  done
  cd "$dir/t"
  echo 'no licence here' > build-x/a.c
  printf '%s\n\tX(b_before) \\\n\tX(b_after)\n' "$spdx" > engine/base/fault.h
  printf '%s\n\tX(a, "A") \\\n\tX(b, "B")\n' "$spdx" > engine/base/counters.h
  put engine/base/zip.c '#include <zstd.h>'
  put engine/store/seg.c '#include "engine/base/fault.h"'
  put engine/use.c 'FAULT_b_before FAULT_b_after COUNTER_a COUNTER_b'
  put fs/ops.c '#include <fuse_lowlevel.h>'
  put fs/node.c '#include "engine/base/fault.h"'
  put tests/t.c '#include <jansson.h>'
  put snapshots/put.c 'strtok_r(s); snprintf(s); mkstemp("XXXXXX");'
}

put() {
  printf '%s\n%s\n' "$spdx" "$2" > "$1"
}

# finds LINT FILE TEXT: with this line in this file, the lint fails.
finds() {
  clean_tree
  sh "$lint/$1.sh" . > /dev/null 2>&1 ||
    { echo "$1 refuses a clean tree"; bad=1; }
  put "$2" "$3"
  if sh "$lint/$1.sh" . > /dev/null 2>&1; then
    echo "$1 does not find '$3' in $2"
    bad=1
  fi
}

finds layers engine/base/x.c '#include "engine/id.h"'
finds layers engine/index/x.c '#include "engine/payload/filter.h"'
finds layers engine/store/x.c '#include "engine/json/json_point.h"'
finds layers engine/store/x.c '#include "engine/query.h"'
finds layers engine/json/x.c '#include "engine/store/seg.h"'
finds layers engine/payload/x.c '#include "engine/store/seg.h"'
finds layers engine/x.h ' # include "fs/node.h"'
finds layers engine/x.c '#include "snapshots/snapshot.h"'
finds layers snapshots/x.c '#include "fs/node.h"'
finds layers fs/x.c '#include "tools/x.h"'
finds layers engine/store/x.c '#include "seg.h"'
finds doors fs/node.c '#include <fuse3/fuse_lowlevel.h>'
finds doors engine/store/seg.c '#include <zstd.h>'
finds doors engine/x.c '#include <jansson.h>'
finds doors engine/base/file.c '#include <openssl/evp.h>'
finds doors engine/x.c '#include <archive_entry.h>'
finds doors fs/x.c '#include <curl/curl.h>'
finds doors fs/x.c '#include <nats/nats.h>'
finds banned engine/x.c 'strcpy(a, b);'
finds banned fs/x.c 'vsprintf (a, b, c);'
finds banned tools/x.sh '# TO''DO later'
finds banned engine/x.h '/* X''XX */'
finds magic engine/use.c 'FAULT_b_before COUNTER_a COUNTER_b'
finds magic engine/use.c 'FAULT_b_before FAULT_b_after COUNTER_a COUNTER_bb'
finds magic engine/base/counters.h "$(printf '\tX(b, "B")\n\tX(a, "A")')"
finds magic engine/base/fault.h "$(printf '\tX(b_before)\n\tX(a_x)')"

spdx='/* nothing */'
clean_tree
if sh "$lint/spdx.sh" . > /dev/null; then
  echo 'spdx does not find a missing line'
  bad=1
fi
spdx='/* SPDX-License-Identifier: Apache-2.0 */'
clean_tree
sh "$lint/spdx.sh" . || bad=1
exit $bad
