#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Functions that write past an end or keep state, and work put off.
# Usage: banned.sh ROOT
set -eu
cd "$1"
bad=0

# Prints where the pattern is found; fails if nowhere.
found() {
  find . -name .git -prune -o -path './build*' -prune -o -type f \
    \( "$@" \) -exec grep -nE "$pattern" /dev/null {} + | grep .
}

pattern='\<(strcpy|strcat|v?sprintf|gets|strtok)[[:space:]]*\('
if found -name '*.[ch]'; then
  echo 'banned functions: use snprintf, struct buf, or an arena'
  bad=1
fi

# In pieces, so as not to find themselves.
pattern='\<(TO''DO|FIX''ME|X''XX)\>'
if found -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \
    -o -name '*.bats' -o -name meson.build; then
  echo 'work put off: do it, or write it down outside the sources'
  bad=1
fi
exit $bad
