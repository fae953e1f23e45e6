#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Damage on disk, and no room on it.

load lib

setup() { scratch_make; }
teardown() {
  umount -l "$S/small" 2>/dev/null || true
  scratch_remove
}

flip() { # flip FILE OFFSET: one bit
  python3 - "$1" "$2" <<'END'
import sys
with open(sys.argv[1], 'r+b') as f:
    f.seek(int(sys.argv[2]))
    b = f.read(1)
    f.seek(int(sys.argv[2]))
    f.write(bytes([b[0] ^ 16]))
END
}

# The place of a text in a file.
place() { grep -obaF -- "$2" "$1" | head -n 1 | cut -d: -f1; }

checks() { # checks CODE DATA [deep]
  local rc=0
  t "$POINTFS" check ${3:+--deep} "$2" >"$S/said" 2>&1 || rc=$?
  equal "$1" $rc || { cat "$S/said"; return 1; }
}

# Nothing but the log has these points.
logged() {
  serve
  mkdir "$C/a"
  for i in {1..30}; do echo "{\"vector\": [$i, 1], \"payload\": {\"mark\": \"needle-$i-\"}}" >"$C/a/$i.json"; done
  serve_kill
  fusermount3 -uz "$M"
  LOG=$(grep -lF needle-15- "$DATA"/log/*.log)
}

@test "a log damaged in front of promised records is served up to there, read-only" {
  logged
  flip "$LOG" "$(place "$LOG" needle-15-)"
  rc=0
  t "$POINTFS" mount "$DATA" "$M" 3>&- 2>"$S/said" || rc=$?
  equal 4 $rc
  PID=$(daemon_pids)
  [ -s "$S/said" ]
  for i in {1..14}; do
    equal "{\"vector\": [$i, 1], \"payload\": {\"mark\": \"needle-$i-\"}}" "$(t cat "$C/a/$i.json")"
  done
  equal 14 "$(names "$C/a" | wc -l)"
  count_is "$C/a" 14
  answered "$C/a/.search" '{"query": 3, "limit": 2}' '.result.points | length' 2
  refused EROFS tee "$C/a/1.json" <<<'{"vector": [1, 2]}'
  refused EROFS rm "$C/a/1.json"
  refused EROFS mkdir "$C/b"
  t jq -e '.read_only and (.warnings | length > 0) and (.log_lost | length == 2 and .[0] <= .[1])' "$M/status.json"
  lost=$(t jq -c .log_lost "$M/status.json")
  serve_end
  # Nothing was repaired by guessing: the next mount says the same.
  rc=0
  t "$POINTFS" mount "$DATA" "$M" 3>&- 2>/dev/null || rc=$?
  equal 4 $rc
  equal "$lost" "$(t jq -c .log_lost "$M/status.json")"
}

@test "check names a damaged log" {
  logged
  checks 0 "$DATA"
  flip "$LOG" "$(place "$LOG" needle-20-)"
  checks 4 "$DATA"
  grep -qF "${LOG##*/}" "$S/said"
}

@test "a torn end of the log is no damage" {
  logged
  at=$(place "$LOG" needle-30-)
  truncate -s $((at + 3)) "$LOG"
  serve
  equal 29 "$(names "$C/a" | wc -l)"
  jq -e '.read_only == false' "$M/status.json"
  echo '{"vector": [9, 9]}' >"$C/a/again.json"
  serve_kill
  serve
  equal 30 "$(names "$C/a" | wc -l)"
}

# A collection in segments, and the log behind it.
sealed() {
  serve
  mkdir "$C/a" "$C/b"
  awk 'BEGIN { for (i = 1; i <= 3000; i++)
    printf "{\"id\": %d, \"vector\": [%d, 1, 2], \"payload\": {\"mark\": \"m%d\"}}\n", i, i, i }' >"$S/points"
  t cp "$S/points" "$C/a/.import"
  t cp "$S/points" "$C/b/.import"
  serve_end
  serve
  t cat "$C/a/1.json" >/dev/null
  serve_end
  SEGMENT=$(find "$DATA/collections" -type f -size +20k -name '*.qv' | sort | head -n 1)
  [ -n "$SEGMENT" ] || SEGMENT=$(find "$DATA/collections" -type f -size +20k ! -name '.*' | sort | head -n 1)
}

@test "check finds a flipped bit anywhere in a segment" {
  sealed
  [ -n "$SEGMENT" ]
  checks 0 "$DATA" deep
  size=$(stat -c %s "$SEGMENT")
  for at in 0 8 100 4096 $((size / 3)) $((size / 2)) $((size - 100)) $((size - 1)); do
    flip "$SEGMENT" "$at"
    checks 4 "$DATA" deep || { echo "bit at $at of $size"; return 1; }
    grep -qF "$(basename "$SEGMENT")" "$S/said"
    flip "$SEGMENT" "$at"
  done
  checks 0 "$DATA" deep
}

@test "one damaged collection does not stop the others" {
  sealed
  [ -n "$SEGMENT" ]
  truncate -s 100 "$SEGMENT"
  checks 4 "$DATA"
  rc=0
  t "$POINTFS" mount "$DATA" "$M" 3>&- 2>"$S/said" || rc=$?
  [ $rc = 0 ] || [ $rc = 4 ]
  PID=$(daemon_pids)
  whole=0
  for c in a b; do
    n=$(ask "$C/$c/.count" '{}' | jq -r '.result.count // 0') || n=0
    [ "$n" = 3000 ] && whole=$((whole + 1))
    t cat "$C/$c/17.json" >"$S/doc" 2>/dev/null && jq -e '.payload.mark == "m17"' "$S/doc"
  done
  [ $whole -ge 1 ]
  mkdir "$C/new"
  echo '{"vector": [1]}' >"$C/new/1.json"
}

@test "a foreign or newer DATA is refused without a change" {
  mkdir "$DATA"
  echo '{"nonsense": ' >"$DATA/config.json"
  rc=0
  t "$POINTFS" mount "$DATA" "$M" 3>&- 2>"$S/said" || rc=$?
  [ $rc -ne 0 ] && [ $rc -lt 124 ]
  grep -q config.json "$S/said"
  equal '{"nonsense": ' "$(cat "$DATA/config.json")"
}

@test "check of what is no database" {
  checks 5 "$S/none" || checks 1 "$S/none"
}

@test "a full disk refuses writes, and nothing else" {
  need_root
  mkdir "$S/small"
  mount -t tmpfs -o size=96m tmpfs "$S/small" || skip 'no tmpfs here'
  DATA=$S/small/data
  serve
  mkdir "$C/a"
  head -c 1500000 /dev/urandom | base64 -w 0 >"$S/noise"
  doc() { printf '{"vector":[%s,1],"payload":{"t":"' "$1"; cat "$S/noise"; echo '"}}'; }
  written=0
  for i in {1..100}; do
    doc "$i" >"$S/doc"
    t cp "$S/doc" "$C/a/$i.json" 2>"$S/said" || break
    written=$i
  done
  [ $written -ge 5 ] && [ $written -lt 100 ]
  grep -q 'No space left' "$S/said" || { cat "$S/said"; return 1; }
  [ ! -s "$C/a/$((written + 1)).json" ]
  # Reading, asking and removing go on.
  doc 3 | t cmp - "$C/a/3.json"
  count_is "$C/a" $written
  answered "$C/a/.search" '{"query": 3, "limit": 1}' '.result.points | length' 1
  t rm "$C/a/1.json"
  count_is "$C/a" $((written - 1))
  mount -o remount,size=512m "$S/small"
  writable() { echo '{"vector": [7, 1]}' 2>/dev/null >"$C/a/small.json"; }
  wait_until writable
  doc 1 >"$S/doc"
  t cp "$S/doc" "$C/a/new.json"
  serve_kill
  serve
  count_is "$C/a" $((written + 1))
  doc 1 | t cmp - "$C/a/new.json"
  doc "$written" | t cmp - "$C/a/$written.json"
  serve_end
  checks 0 "$DATA"
  umount "$S/small"
}
