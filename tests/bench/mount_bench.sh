#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mount_bench.sh [SECTION...] - a mount of pointfs beside a FUSE server that
# does almost nothing, in one run.  README.md beside this file says what each
# row means.  Sections: small sync tree list ask import disk pause memory; all
# of them when none is named.
#
#   POINTFS     the program (pointfs)
#   BENCH_FUSE  the folder with nullfs_ll.c (../shared/bench/fuse)
#   WORK        where the data goes; a real disk (a new folder in TMPDIR)
#   PASSES=3  SMALL=20000  TREE=20000  LIST=1000000  BULK=1000000  PINS="1 0"
#   JSON        this file gets one object a row
set -eu

here=$(cd "$(dirname "$0")" && pwd)
POINTFS=${POINTFS:-pointfs}
BENCH_FUSE=${BENCH_FUSE:-$here/../../../shared/bench/fuse}
PASSES=${PASSES:-3} PINS=${PINS:-1 0}
SMALL=${SMALL:-20000} TREE=${TREE:-20000}
LIST=${LIST:-1000000} BULK=${BULK:-1000000}
JSON=${JSON:-/dev/null}
WORK=${WORK:-$(mktemp -d "${TMPDIR:-/tmp}/mount_bench.XXXXXX")}
mkdir -p "$WORK" && cd "$WORK"
mkdir -p bin ours null
data=$WORK/data probe=$WORK/bin/mount_probe
pin=1 work='' pid=0

# --- servers ------------------------------------------------------------------

build() {
  cc -O2 -D_GNU_SOURCE "$here/mount_probe.c" -o bin/mount_probe -lpthread
  # shellcheck disable=SC2046
  cc -O2 -w "$BENCH_FUSE/nullfs_ll.c" -o bin/nullfs_ll \
    $(pkg-config --cflags --libs fuse3) -lpthread
}

# Client and server go through it, so that what it says holds for both.
on_cpu() {
  if [ "$pin" = 1 ]; then taskset -c 0 "$@"; else "$@"; fi
}

null_up() {
  on_cpu bin/nullfs_ll -o "$1,noxattr,default_permissions" null
}
null_down() { fusermount3 -u null; }

ours_up() {
  on_cpu "$POINTFS" mount "$data" ours -o "sync=$1"
  pid=$(pgrep -n -f "^$POINTFS mount $data ours" || true)
}
ours_down() {
  "$POINTFS" umount ours >/dev/null
  flock -w 60 -s "$data/lock" true # until the daemon has let go of it
}
ours_new() {
  rm -rf "$data"
  ours_up "$1"
}
# An empty cache of names and pages, in the kernel and in the server.
ours_again() {
  ours_down
  ours_up "$1"
}

clean() {
  cd /
  mountpoint -q "$WORK/ours" && "$POINTFS" umount "$WORK/ours"
  mountpoint -q "$WORK/null" && fusermount3 -u "$WORK/null"
  rm -rf "$WORK"
}
trap clean EXIT

# --- figures ------------------------------------------------------------------

# field NAME: of the probe's line.
field() { sed -E 's/.*"'"$1"'":([-0-9.e+]+).*/\1/'; }

note() { echo "$2" >>"$WORK/$1.$pin.$work"; } # ours|null FIGURE
median() { sort -g "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

# per_s WHOSE LABEL FIELD PROBE_ARGS...
probe_note() {
  local whose=$1 field=$2
  work=$3
  shift 3
  note "$whose" "$(on_cpu "$probe" "$@" | field "$field")"
}

# seconds_note WHOSE LABEL COMMAND...
seconds_note() {
  local whose=$1 start end
  work=$2
  shift 2
  start=$EPOCHREALTIME
  on_cpu "$@" >/dev/null
  end=$EPOCHREALTIME
  note "$whose" "$(echo "scale=4; $end - $start" | bc)"
}

# row LABEL UNIT GOAL: ours, the other and their ratio, for each way to pin.
row() {
  local a b
  work=$1
  for pin in $PINS; do
    [ -f "ours.$pin.$work" ] || continue
    a=$(median "ours.$pin.$work") b=$(median "null.$pin.$work")
    row_print "$1" "$2" "$3" "$a" "$b"
  done
}
row_print() {
  local where=free
  [ "$pin" = 1 ] && where=pinned
  awk -v w="$1" -v u="$2" -v g="$3" -v a="$4" -v b="$5" -v p="$where" \
    -v j="$JSON" 'BEGIN {
      r = b ? a / b : 0
      printf "%-30s %-6s %12.6g %12.6g %-8s %7.3f   %s\n", w, p, a, b, u, r, g
      printf "{\"work\":\"%s\",\"cpu\":\"%s\",\"ours\":%.6g,\"other\":%.6g," \
        "\"unit\":\"%s\",\"ratio\":%.4f,\"goal\":\"%s\"}\n", w, p, a, b, u, \
        r, g >>j
    }'
}
# single LABEL UNIT GOAL OURS OTHER: a row that nothing interleaves.
single() { row_print "$1" "$2" "$3" "$4" "$5"; }

rss_kb() { awk '/^VmRSS/ {print $2}' "/proc/$pid/status"; }
anon_kb() { awk '/^RssAnon/ {print $2}' "/proc/$pid/status"; }
ours_is() { jq -r "$1" "ours/collections/$2/.status.json"; }

# --- sections -----------------------------------------------------------------

# One file at a time, nothing in the kernel's caches.
small_pass() {
  local quick="n=$SMALL,size=4096,to=60,eto=60,keep,noflush"
  null_up "$quick"
  probe_note null per_s stat stat null/col/points '' "$SMALL"
  null_down
  null_up "$quick"
  probe_note null per_s open_read_close orc null/col/points '' "$SMALL"
  null_down
  null_up "to=60,eto=60"
  mkdir null/w/s
  probe_note null per_s create create null/w/s p "$SMALL" doc/p0000000.json 1
  null_down
  ours_new fsync
  mkdir ours/collections/s
  probe_note ours per_s create create ours/collections/s p "$SMALL" \
    doc/p0000000.json 1
  ours_again fsync
  probe_note ours per_s stat stat ours/collections/s p "$SMALL"
  ours_again fsync
  probe_note ours per_s open_read_close orc ours/collections/s p "$SMALL"
  ours_down
}
section_small() {
  local i
  for pin in $PINS; do
    for ((i = 0; i < PASSES; i++)); do small_pass; done
  done
  row stat /s '>= 0.8'
  row open_read_close /s '>= 0.75'
  row create /s '>= 0.6'
}

# Beside a bare pwrite and fdatasync of as many bytes into the same disk.
sync_pass() {
  local c=ours/collections/y$1
  mkdir "$c"
  probe_note null per_s create_close_1 sync "$data/bare" 1000 4096
  probe_note ours per_s create_close_1 create "$c" p 1000 doc/p0000000.json 1
  work=create_close_16
  cp "null.$pin.create_close_1" "null.$pin.$work"
  probe_note ours per_s create_close_16 create "$c" q 8000 doc/p0000000.json 16
}
section_sync() {
  local i
  for pin in $PINS; do
    ours_new close
    for ((i = 0; i < PASSES; i++)); do sync_pass "$i"; done
    ours_down
  done
  row create_close_1 /s '>= 0.8'
  row create_close_16 /s '>= 4'
}

# The tools of a backup, over a folder of documents.
tree_tools() {
  local whose=$1 d=$2
  seconds_note "$whose" cp_r cp -r tree "$d/b"
  seconds_note "$whose" rsync_first rsync -a tree/ "$d/c/"
  seconds_note "$whose" rsync_again rsync -a tree/ "$d/c/"
  seconds_note "$whose" tar_c sh -c "tar c '$d/b' 2>/dev/null | cat"
  seconds_note "$whose" grep_r sh -c "grep -r nosuchword '$d/b' || true"
}
section_tree() {
  local i
  mkdir -p tree
  [ -e tree/p0000000.json ] || "$probe" docs tree "$TREE" 128 4096
  for pin in $PINS; do
    for ((i = 0; i < PASSES; i++)); do
      null_up "to=60,eto=60,keep"
      tree_tools null null/w
      null_down
      ours_new fsync
      tree_tools ours ours/collections
      ours_down
    done
  done
  row cp_r s '<= 1.75'
  row rsync_first s '<= 1.4'
  row rsync_again s '<= 1.35'
  row tar_c s '<= 1.3'
  row grep_r s '<= 1.5'
}

list_tools() {
  seconds_note "$1" ls env LC_ALL=C ls "$2"
  seconds_note "$1" find find "$2" -name '*7.json'
  seconds_note "$1" ls_l env LC_ALL=C ls -l "$2"
}
section_list() {
  local i before
  pin=0 # the index is built by all processors
  ours_new interval
  "$probe" fvecs "$LIST" 4 >list.fvecs
  "$POINTFS" import ours/collections/big list.fvecs >/dev/null
  rm list.fvecs
  until [ "$(ours_is .status big)" = green ]; do sleep 1; done
  for pin in $PINS; do
    for ((i = 0; i < PASSES; i++)); do
      null_up "n=$LIST,size=4096,to=60,eto=60,keep,noflush"
      list_tools null null/col/points
      null_down
      ours_again interval
      before=$(anon_kb)
      list_tools ours ours/collections/big
      work=listing_grows note ours $(($(anon_kb) - before))
      work=listing_grows note null 8192
    done
  done
  ours_down
  row ls s '<= 1.4'
  row find s '<= 1.4'
  row ls_l s '<= 1.4'
  row listing_grows kB '<= 1 (8 MB)'
}

# What the way through the mount adds to the search.
section_ask() {
  local i body=ask.json
  ours_new interval
  "$probe" lines 1000 32 f32 | "$POINTFS" import ours/collections/q - >/dev/null
  "$probe" lines 1 32 f32 |
    jq -c '{query: .vector, limit: 3, with_payload: false}' >"$body"
  ours_down
  for pin in $PINS; do
    for ((i = 0; i < PASSES; i++)); do
      null_up "n=10,answer=400"
      probe_note null p50_us ask_over_search ask null/col/.search 20000 1 $body
      probe_note null per_s ask_4_clients ask null/col/.search 20000 4 $body
      null_down
      ours_up interval
      probe_note ours over_p50_us ask_over_search ask \
        ours/collections/q/.search 20000 1 $body
      probe_note ours per_s ask_4_clients ask \
        ours/collections/q/.search 20000 4 $body
      ours_down
    done
  done
  row ask_over_search us '<= 1.5'
  row ask_4_clients /s ''
}

import_rate() { # LABEL SYNC TARGET
  local start end
  start=$EPOCHREALTIME
  "$POINTFS" import "$3" lines.json >/dev/null
  end=$EPOCHREALTIME
  single "$1" /s '>= 60000' \
    "$(echo "scale=4; $((BULK / 5)) / ($end - $start)" | bc)" 60000
}
section_import() {
  pin=0
  "$probe" lines $((BULK / 5)) 128 f32 >lines.json
  ours_new close
  import_rate import_mounted close ours/collections/m
  ours_down
  ours_new close # an empty DATA
  ours_down
  import_rate import_unmounted close "$data/m"
  rm lines.json
}

# disk_rate LABEL N DIM FORM: bytes of the data files by those of the vectors.
disk_rate() {
  local used
  ours_new interval
  "$probe" lines "$2" "$3" "$4" |
    "$POINTFS" import ours/collections/m - >/dev/null
  ours_down
  ours_up interval # after a clean end all is in segments
  used=$(find "$data" -name '*.qv' -printf '%s\n' |
    awk '{s += $1} END {print s + 0}')
  ours_down
  single "$1" B '<= 1.5' "$used" $(($2 * $3 * 4))
}
section_disk() {
  pin=0
  disk_rate disk_128_f32 100000 128 f32
  disk_rate disk_128_f64 100000 128 f64
  disk_rate disk_768_f32 20000 768 f32
  disk_rate disk_768_f64 20000 768 f64
}

# Single writes beside an import: the slowest of a thousand.
section_pause() {
  local import alone beside
  pin=0
  ours_new fsync
  mkdir ours/collections/one
  "$probe" fvecs "$BULK" 32 >pause.fvecs
  alone=$("$probe" sleep ours/collections/one p 2000 doc/p0000000.json 2000)
  "$POINTFS" import ours/collections/big pause.fvecs >/dev/null &
  import=$!
  beside=$("$probe" sleep ours/collections/one q 4000 doc/p0000000.json 2000)
  wait $import
  ours_down
  rm pause.fvecs
  single write_p999_beside_import us '' "$(field p999_us <<<"$beside")" \
    "$(field p999_us <<<"$alone")"
}

section_memory() {
  pin=0
  "$probe" fvecs "$BULK" 128 >memory.fvecs
  ours_new interval
  "$POINTFS" import ours/collections/m memory.fvecs >/dev/null
  rm memory.fvecs
  until [ "$(ours_is .status m)" = green ]; do sleep 1; done
  single memory_indexed kB '' "$(rss_kb)" $((BULK / 2))
  single heap_indexed kB '' "$(anon_kb)" $((BULK / 2))
  ours_again interval
  single heap_just_mounted kB '' "$(anon_kb)" $((BULK / 2))
  ours_down
}

build
mkdir -p doc
"$probe" docs doc 1 128 4096
printf '%-30s %-6s %12s %12s %-8s %7s   %s\n' work cpu ours other unit ratio \
  goal
[ $# -gt 0 ] || set -- small sync tree list ask import disk pause memory
for section in "$@"; do
  "section_$section"
done
