#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Names in lists that nobody uses tell lies: a test that arms a fault point
# which no code passes, a counter that stays at zero.  Usage: magic.sh ROOT
set -eu
cd "$1"
export LC_ALL=C
bad=0

# The names that the X() rows of a header hold.
names() {
  sed -nE 's/^[[:space:]]*X\(([a-z0-9_]+)[,)].*/\1/p' "$1"
}

used=$(find engine fs snapshots tools -name '*.[ch]' -exec \
  grep -ohwE '(FAULT|COUNTER)_[a-z0-9_]+' {} + | sort -u) || true

# each_used PREFIX HEADER
each_used() {
  list=$(names "$2")
  [ -n "$list" ] || { echo "$2: no list found"; bad=1; }
  for name in $list; do
    echo "$used" | grep -qx "$1_$name" ||
      { echo "$2: $1_$name is not used"; bad=1; }
  done
}

each_used FAULT engine/base/fault.h
each_used COUNTER engine/base/counters.h

names engine/base/counters.h | sort -c ||
  { echo 'engine/base/counters.h: the list is not sorted'; bad=1; }
# Fault points by module; those of one module stand in the order of time.
names engine/base/fault.h | sed 's/_.*//' | sort -c ||
  { echo 'engine/base/fault.h: the modules are not sorted'; bad=1; }
exit $bad
