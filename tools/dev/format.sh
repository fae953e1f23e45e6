#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Formats the C files, or with --check fails when one would change.
# CLANG_FORMAT names another program; versions differ in what they write.
set -eu
cd "$(dirname "$0")/../.."

case "${1-}" in
'') set -- -i ;;
--check) set -- --dry-run --Werror ;;
*) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

# Those that are new and not yet added, too; none that git ignores.
git ls-files -z --cached --others --exclude-standard -- '*.c' '*.h' |
  xargs -0 -r "${CLANG_FORMAT:-clang-format-14}" --style=file "$@"
