#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An include may look down and never up: fs -> snapshots -> engine, and inside
# the engine the same from folder to folder.  Usage: layers.sh ROOT
set -eu
cd "$1"

# One rule a line: the folder, then what its files may include, as prefixes of
# paths from the root.  The longest folder that fits a file counts; tools and
# tests have no rule.
rules='
engine/base      engine/base/
engine/kernels   engine/base/ engine/kernels/
engine/index     engine/base/ engine/kernels/ engine/index/
engine/payload   engine/base/ engine/payload/ engine/types.h engine/id.h
engine/store     engine/base/ engine/kernels/ engine/index/ engine/payload/ engine/store/ engine/types.h engine/id.h
engine/json      engine/base/ engine/kernels/ engine/payload/ engine/json/ engine/types.h engine/id.h engine/config.h engine/settings.h
engine           engine/
snapshots        engine/ snapshots/
fs               engine/ snapshots/ fs/
'

find engine snapshots fs -name '*.[ch]' -print | LC_ALL=C sort |
  RULES="$rules" awk '
    function rule_of(file,    dir) {
      dir = file
      while (sub(/\/[^\/]*$/, "", dir))
        if (dir in allowed)
          return dir
      return ""
    }
    function is_allowed(path, list,    n, i, prefix) {
      n = split(list, prefix, " ")
      for (i = 1; i <= n; i++)
        if (index(path, prefix[i]) == 1)
          return 1
      return 0
    }
    function check(file,    rule, line, n, path) {
      rule = rule_of(file)
      for (n = 1; (getline line < file) > 0; n++) {
        if (line !~ /^[ \t]*#[ \t]*include[ \t]*"/)
          continue
        path = line
        sub(/^[^"]*"/, "", path)
        sub(/".*/, "", path)
        if (!is_allowed(path, allowed[rule])) {
          printf "%s:%d: %s may not include \"%s\"\n", file, n, rule, path
          bad = 1
        }
      }
      close(file)
    }
    BEGIN {
      n = split(ENVIRON["RULES"], lines, "\n")
      for (i = 1; i <= n; i++) {
        folder = lines[i]
        sub(/ .*/, "", folder)
        if (folder == "")
          continue
        list = lines[i]
        sub(/^[^ ]+ +/, "", list)
        allowed[folder] = list
      }
    }
    { check($0) }
    END { exit bad }'
