#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every source file names its licence in its first three lines.
# Usage: spdx.sh ROOT
set -eu
cd "$1"

find . -name .git -prune -o -path './build*' -prune -o -type f \
  \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.bats' \
  -o -name meson.build \) -print | LC_ALL=C sort |
  {
    bad=0
    while IFS= read -r file; do
      head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2\.0' ||
        { echo "${file#./}: no SPDX line"; bad=1; }
    done
    exit $bad
  }
