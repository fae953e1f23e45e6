#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds and tests everything.
#
#   tools/test.sh          what takes minutes; what CI runs
#   tools/test.sh long     the rest: long tests, all unit tests under TSan
#
# Each case of a TAP program or a bats file counts as one, a program without
# cases as one, in each build it runs in; so does a build that fails.
# Missing Debian packages are installed (sudo, unless root).  Without
# /dev/fuse the tests that mount are named and counted as skipped.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
top=$root/build-test
scratch=$(mktemp -d "${TMPDIR:-/tmp}/pointfs-test.XXXXXX")
passed=0 failed=0 skipped=0
began=$SECONDS
# Whose errors are races: run under TSan also when time is short.
concurrent='base_lock base_sched wal hnsw seg concurrency'

# A collection's stripes are more locks than TSan's deadlock detector can hold;
# debug builds check the order of locks themselves (engine/base/lock.h).
export TSAN_OPTIONS=detect_deadlocks=0

cleanup() { rm -rf "$scratch"; }
trap cleanup EXIT
trap 'exit 130' INT TERM

# --- counting -------------------------------------------------------------------

stage() { printf '\n== %s  (%d s)\n' "$*" $((SECONDS - began)); }

# Adds "passed failed skipped" of a line to the sums.
add() {
  printf '   %d passed, %d failed, %d skipped\n' "$1" "$2" "$3"
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# TAP on stdin; the exit code of its program is $1.
count_tap() {
  awk -v rc="$1" '
    /^not ok / && !/# *[Tt][Oo][Dd][Oo]/ { bad++; next }
    /^ok / && /# *[Ss][Kk][Ii][Pp]/ { skip++; next }
    /^ok / { good++ }
    END {
      if (rc != 0 && !bad) bad++
      print good + 0, bad + 0, skip + 0
    }'
}

# A meson testlog.json: cases where the program printed TAP, else programs.
count_meson() {
  python3 - "$1" <<'END'
import json, os, re, sys
good = bad = skip = 0
lines = open(sys.argv[1]) if os.path.exists(sys.argv[1]) else []
for line in lines:
    test = json.loads(line)
    cases = re.findall(r"^(ok|not ok)\b(.*)$", test.get("stdout") or "", re.M)
    failures = sum(1 for word, _ in cases if word == "not ok")
    skips = sum(1 for word, rest in cases
                if word == "ok" and re.search(r"#\s*skip", rest, re.I))
    fine = test["result"] in ("OK", "EXPECTEDFAIL")
    if not cases:
        good += fine
        skip += test["result"] == "SKIP"
        bad += not fine and test["result"] != "SKIP"
    else:
        good += len(cases) - failures - skips
        skip += skips
        bad += failures
        bad += test["result"] not in ("OK", "SKIP") and failures == 0
print(good, bad, skip)
END
}

# --- what is missing --------------------------------------------------------------

install_missing() {
  local missing=() p sudo=
  for p in gcc clang meson ninja-build pkg-config bats fuse3 libfuse3-dev \
      libjansson-dev libzstd-dev libssl-dev libcmocka-dev \
      libclang-rt-14-dev python3 jq rsync \
      vim git attr procps file; do
    dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null |
      grep -qx installed || missing+=("$p")
  done
  [ ${#missing[@]} = 0 ] && return 0
  stage "installing ${missing[*]}"
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get -q update >/dev/null
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
    --no-install-recommends install "${missing[@]}" >/dev/null ||
    { echo "test: could not install ${missing[*]}"; exit 1; }
}

# --- building ------------------------------------------------------------------------

# build NAME COMPILER [MESON OPTIONS...]; warnings are errors.
build() {
  local name=$1 compiler=$2 dir=$top/$1
  shift 2
  stage "build: $name ($compiler $*)"
  mkdir -p "$dir"
  if [ ! -f "$dir/build.ninja" ]; then
    CC=$compiler meson setup -Dwerror=true "$@" "$dir" "$root" \
      >"$dir/setup.log" 2>&1 ||
      { tail -20 "$dir/setup.log"; add 0 1 0; return 1; }
  fi
  if ninja -C "$dir" >"$dir/build.log" 2>&1; then
    add 1 0 0
  else
    grep -E -A6 'error|FAILED' "$dir/build.log" | head -60
    add 0 1 0
    return 1
  fi
}

# --- running -------------------------------------------------------------------------

# run_meson NAME ARGS...: the tests of a build that exist.
run_meson() {
  local dir=$top/$1
  shift
  stage "meson tests: ${dir##*/} $*"
  rm -f "$dir"/meson-logs/testlog*.json
  POINTFS=$dir/tools/pointfs TMPDIR=$scratch \
    meson test -C "$dir" --no-rebuild --print-errorlogs "$@" \
    >"$dir/test.log" 2>&1 ||
    grep -vE '^ *[0-9]+/[0-9]+ .* (OK|SKIP) ' "$dir/test.log" | tail -80
  # shellcheck disable=SC2046
  add $(count_meson "$dir/meson-logs/testlog.json")
}

# Those of the words that name a unit test of the build.
existing_tests() {
  local dir=$top/$1 word
  shift
  meson test -C "$dir" --list 2>/dev/null | sed 's/.* //' >"$scratch/list"
  for word; do
    grep -x -- "$word" "$scratch/list"
  done
}

have_fuse() { [ -e /dev/fuse ] && (exec 9<>/dev/fuse) 2>/dev/null; }

# run_bats NAME FILES...: real mounts with the program of a build.
run_bats() {
  local dir=$top/$1 rc n
  shift
  [ -e "$1" ] || return 0
  stage "mount tests: ${dir##*/}"
  if ! have_fuse; then
    echo '   skipped, for want of /dev/fuse:'
    sed -nE 's/^@test *["'\'']?(.*[^"'\'' {])["'\'']? *\{.*/     \1/p' "$@"
    n=$(cat "$@" | grep -c '^@test')
    add 0 0 "$n"
    return 0
  fi
  POINTFS=$dir/tools/pointfs TMPDIR=$scratch PATH=$dir/tools:$PATH \
    bats --formatter tap "$@" >"$dir/bats.log" 2>&1
  rc=$?
  [ $rc = 0 ] || awk '/^not ok/ { on = 1 } /^ok/ { on = 0 } on' "$dir/bats.log" |
    head -120
  # shellcheck disable=SC2046
  add $(count_tap $rc <"$dir/bats.log")
}

# Daemons in the background cannot fail a test by what they print, so the
# sanitizers write files, and every file is a failure.
run_bats_sanitized() {
  local logs=$scratch/reports n
  mkdir -p "$logs"
  ASAN_OPTIONS=log_path=$logs/asan UBSAN_OPTIONS=log_path=$logs/ubsan:print_stacktrace=1 \
    run_bats "$@"
  n=$(find "$logs" -type f -size +0 | wc -l)
  [ "$n" = 0 ] && return 0
  stage 'sanitizer reports of daemons'
  find "$logs" -type f -size +0 -exec head -40 {} +
  add 0 "$n" 0
}

finish() {
  printf '\n%d passed, %d failed' "$passed" "$failed"
  [ "$skipped" = 0 ] || printf ', %d skipped' "$skipped"
  printf '\n'
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

short_tests() {
  build gcc gcc --buildtype=debugoptimized && {
    run_meson gcc --no-suite long
    run_bats gcc "$root"/tests/mount/*.bats
    run_bats gcc "$root"/tests/crash/*.bats
  }
  build clang clang --buildtype=debug
  build release gcc --buildtype=release
  build asan gcc --buildtype=debugoptimized -Db_sanitize=address,undefined && {
    run_meson asan --suite unit -t 4
    run_bats_sanitized asan "$root"/tests/mount/*.bats
  }
  # shellcheck disable=SC2046,SC2086
  build tsan clang --buildtype=debugoptimized -Db_sanitize=thread \
    -Db_lundef=false &&
    run_meson tsan -t 6 $(existing_tests tsan $concurrent)
}

long_tests() {
  export POINTFS_LONG=1
  build gcc gcc --buildtype=debugoptimized && {
    run_meson gcc --suite long -t 20
    run_bats gcc "$root"/tests/long/*.bats
  }
  build asan gcc --buildtype=debugoptimized -Db_sanitize=address,undefined &&
    run_meson asan --suite long -t 40
  build tsan clang --buildtype=debugoptimized -Db_sanitize=thread \
    -Db_lundef=false &&
    run_meson tsan --suite unit -t 10
}

cd "$root" || exit 1
install_missing
case ${1:-} in
'') short_tests ;;
long) long_tests ;;
*)
  echo 'usage: tools/test.sh [long]' >&2
  exit 2
  ;;
esac
finish
