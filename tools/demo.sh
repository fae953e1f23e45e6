#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tour: builds PointFS, mounts a database, puts every package of this
# Debian's archive into it, and uses it with ordinary tools.
#
#   tools/demo.sh           about two minutes; may be run again
#   tools/demo.sh stop      unmounts and removes what it made
#
# Everything but missing Debian packages stays in one scratch directory
# (POINTFS_DEMO, by default ~/.cache/pointfs-demo) and in build-demo/.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(realpath -m "${POINTFS_DEMO:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/pointfs-demo}")
data=$work/data
mnt=$work/mnt
build=$root/build-demo
pointfs=$build/tools/pointfs
began=$SECONDS

say() { printf '\n\033[1m== %s\033[0m  (%d s)\n' "$*" $((SECONDS - began)); }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }
# Shows a command as one would type it in the mount, and runs it there.
show() { printf '\033[32m$ %s\033[0m\n' "$1"; (cd "$mnt" && bash -c "$1"); }

is_mounted() { grep -q " $mnt fuse\.pointfs " /proc/self/mounts; }

# Unmounts what an earlier run has left, also when its daemon is dead.
unmount() {
  is_mounted || return 0
  [ -x "$pointfs" ] && "$pointfs" umount "$mnt" 2>/dev/null && return 0
  fusermount3 -uz "$mnt" 2>/dev/null || umount -l "$mnt"
}

need_fuse() {
  { [ -e /dev/fuse ] && (exec 9<>/dev/fuse) 2>/dev/null; } || fuse_missing
}

fuse_missing() {
  cat >&2 <<END
demo: nothing can be mounted here: /dev/fuse is missing, or may not be used.
In a container, start it like this:

  docker run --rm -it --device /dev/fuse --cap-add SYS_ADMIN --security-opt apparmor=unconfined -v "$root":/pointfs -w /pointfs debian:12 tools/demo.sh

On a machine: sudo modprobe fuse
END
  exit 1
}

# --- what is missing ----------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "as root, please: $*"
  fi
}

install_missing() {
  local missing=() p
  for p in gcc meson ninja-build pkg-config fuse3 libfuse3-dev libjansson-dev \
      libzstd-dev libssl-dev libcmocka-dev python3-sklearn python3-scipy \
      python3-numpy jq; do
    dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null |
      grep -qx installed || missing+=("$p")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing ${missing[*]}"
  as_root apt-get -q update >/dev/null
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y --no-install-recommends install "${missing[@]}" >/dev/null
}

compile() {
  say 'building (release)'
  [ -f "$build/build.ninja" ] ||
    meson setup --buildtype=release "$build" "$root" >"$work/build.log" ||
    { cat "$work/build.log"; die 'meson failed'; }
  ninja -C "$build" tools/pointfs >"$work/build.log" ||
    { tail -40 "$work/build.log"; die 'the build failed'; }
  "$pointfs" --version
}

# --- the packages ---------------------------------------------------------------

# The archive's lists into a directory of ours: container images drop the
# descriptions, and this needs no root.
lists_fetch() { # LISTS_DIR [SOURCES]
  local conf=$work/apt.conf
  mkdir -p "$1/partial" "$work/apt/state" "$work/apt/cache/archives/partial"
  cat >"$conf" <<END
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "$work/apt/state";
Dir::State::lists "$1";
Dir::Cache "$work/apt/cache";
#clear Acquire::Languages;
Acquire::Languages "en";
Acquire::GzipIndexes "false";
APT::Sandbox::User "";
END
  if [ $# = 2 ]; then
    cat >>"$conf" <<END
Dir::Etc::sourcelist "$2";
Dir::Etc::sourceparts "-";
END
  fi
  apt-get -q -c "$conf" update >"$work/apt.log" 2>&1 ||
    { tail -5 "$work/apt.log" >&2; return 1; }
}

packages_in() {
  cat "$1"/*_Packages 2>/dev/null | grep -c '^Package: ' || true
}

points_make() {
  local points=$work/points.jsonl sources=$work/debian.list
  if [ -s "$points" ]; then
    say "points of an earlier run: $points"
    return 0
  fi
  say 'fetching the package lists'
  lists_fetch "$work/lists" || true
  if [ "$(packages_in "$work/lists")" -lt 50000 ]; then
    printf 'deb http://deb.debian.org/debian %s main\n' \
      "$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")" >"$sources"
    rm -rf "$work/lists"
    lists_fetch "$work/lists" "$sources" || die 'no package lists to be had'
  fi
  say 'latent semantic analysis of the descriptions (256 dimensions)'
  /usr/bin/python3 "$root/tools/demo_lsa.py" "$work/lists" "$points.part"
  mv "$points.part" "$points"
}

# --- the tour ----------------------------------------------------------------------

database_mount() {
  mkdir -p "$mnt"
  "$pointfs" mount "$data" "$mnt"
}

count_points() {
  "$pointfs" count "$mnt/collections/packages" '{"exact": true}' |
    jq .result.count
}

tour() {
  say 'a collection is a directory, a point is a file'
  show 'ls -F'
  show 'ls collections/packages | wc -l'
  show 'ls -l collections/packages/restic.json'
  show 'cut -c 1-72 collections/packages/restic.json'
  show "jq -c .payload collections/packages/restic.json | cut -c 1-160"

  say 'what is like restic?  As a query, and as a directory'
  show "pointfs search collections/packages '{\"query\": \"restic\", \"limit\": 5, \"with_payload\": [\"summary\"]}' | jq -r '.result.points[] | \"\\(.score)  \\(.id): \\(.payload.summary)\"'"
  show 'ls collections/packages/.near/restic/'
  show "echo '{\"query\": \"restic\", \"limit\": 3}' > collections/packages/.search; cat collections/packages/.search"

  say 'only games that are like supertux'
  show "pointfs search collections/packages '{\"query\": \"supertux\", \"limit\": 5, \"with_payload\": [\"summary\"], \"filter\": {\"must\": [{\"key\": \"section\", \"match\": {\"value\": \"games\"}}]}}' | jq -r '.result.points[] | \"\\(.score)  \\(.id): \\(.payload.summary)\"'"

  say 'an edit with an ordinary tool'
  show "sed -i 's/\"section\":\"[^\"]*\"/\"section\":\"backup\"/' collections/packages/restic.json"
  show 'jq -r .payload.section collections/packages/restic.json'
  show "pointfs count collections/packages '{\"filter\": {\"must\": [{\"key\": \"section\", \"match\": {\"value\": \"backup\"}}]}}'"
}

daemon_pid() {
  local pid args
  for pid in /proc/[0-9]*; do
    args=$(tr '\0' ' ' 2>/dev/null <"$pid/cmdline") || continue
    case $args in
    "pointfs mount $data $mnt " | "$pointfs mount $data $mnt ")
      echo "${pid#/proc/}"
      return 0
      ;;
    esac
  done
  return 1
}

crash() {
  local before after sum pid
  say 'kill -9, and nothing is lost'
  before=$(count_points)
  sum=$(sha256sum <"$mnt/collections/packages/restic.json")
  pid=$(daemon_pid) || die 'the daemon is not to be found'
  printf '\033[32m$ kill -9 %s    # while %s points are served\033[0m\n' \
    "$pid" "$before"
  kill -9 "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  printf '\033[32m$ pointfs mount %s %s\033[0m\n' "$data" "$mnt"
  database_mount
  after=$(count_points)
  [ "$before" = "$after" ] || die "$before points before, $after after"
  [ "$sum" = "$(sha256sum <"$mnt/collections/packages/restic.json")" ] ||
    die 'restic.json has changed'
  echo "$after points again, and the edited one is the same to the byte:"
  show 'jq -r .payload.section collections/packages/restic.json'
}

case ${1:-} in
stop)
  unmount
  rm -rf "$work"
  exit 0
  ;;
'') ;;
*) die 'usage: tools/demo.sh [stop]' ;;
esac

[ -r /etc/debian_version ] || die 'this wants Debian (or a relative of it)'
need_fuse
mkdir -p "$work"
install_missing
compile
PATH=$build/tools:$PATH
export PATH
points_make

say "a new database in $data"
unmount
rm -rf "$data"
database_mount || fuse_missing
pointfs import "$mnt/collections/packages" "$work/points.jsonl"

tour
crash

say 'done'
cat <<END
It stays mounted:      cd $mnt && cat README.md
The program:           export PATH=$build/tools:\$PATH
Stop it:               pointfs umount $mnt
Stop, remove all:      tools/demo.sh stop
END
