#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each outside library has one door, so that it can be replaced there.
# Usage: doors.sh ROOT
set -eu
cd "$1"
bad=0

# door HEADERS FILES: headers that match the one pattern are included only in
# files that match the other.  Tests may open any door.
door() {
  if find engine fs snapshots tools -name '*.[ch]' -exec \
      grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($1)" \
      /dev/null {} + | grep -vE "^($2)"; then
    echo "only in $2"
    bad=1
  fi
}

door 'fuse|linux/fuse' 'fs/(session\.c|session_impl\.h|ops\.c):'
door 'jansson' 'engine/json/'
door 'zstd' 'engine/base/zip\.c:'
door 'openssl/' 'engine/base/hash\.c:|snapshots/'
door 'archive(_entry)?\.h|curl/' 'snapshots/'
door 'nats' 'engine/cluster/'
exit $bad
