#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The daemon: mounting, stopping, dying, and the files it generates.

load lib

setup() { scratch_make; }
teardown() { scratch_remove; }

# exits CODE COMMAND...
exits() {
  local code=$1 rc=0
  shift
  t "$@" >"$S/said" 2>&1 3>&- || rc=$?
  [ $rc = "$code" ] || { echo "exit $rc: $(cat "$S/said")"; return 1; }
}
mounted() { mountpoint -q "$M"; }
not_mounted() { ! grep -q " $M " /proc/mounts; }

@test "mount makes DATA, private to its owner" {
  serve
  mounted
  equal 700 "$(stat -c %a "$DATA")"
  equal '' "$(find "$DATA" -perm /077 ! -type l)"
  equal 'README.md cluster collections config.json errors.jsonl history metrics.prom snapshots status.json' \
    "$(t ls -A "$M" | LC_ALL=C sort | xargs)"
}

@test "umount stops the daemon before it returns" {
  serve
  four_points a
  exits 0 "$POINTFS" umount "$M"
  not_mounted
  for _ in 1 2 3 4 5; do
    serve
    equal 4 "$(names "$C/a" | wc -l)"
    exits 0 "$POINTFS" umount "$M"
  done
  wait_until daemon_gone "$PID"
}

@test "umount of what is no mount and of a busy one" {
  exits 5 "$POINTFS" umount "$M"
  serve
  four_points a
  exec 9<"$C/a/1.json"
  exits 6 "$POINTFS" umount "$M"
  mounted
  equal 4 "$(names "$C/a" | wc -l)"
  exec 9<&-
  exits 0 "$POINTFS" umount "$M"
}

@test "fusermount3 -u is a clean stop too" {
  serve
  four_points a
  t fusermount3 -u "$M"
  wait_until daemon_gone "$PID"
  exits 0 "$POINTFS" check "$DATA"
}

@test "SIGTERM is a clean stop" {
  serve
  four_points a
  kill -TERM "$PID"
  wait_until daemon_gone "$PID"
  not_mounted
  exits 0 "$POINTFS" check "$DATA"
  serve
  count_is "$C/a" 4
}

@test "a daemon in the foreground ends with 0" {
  for signal in TERM INT; do
    env timeout 60 "$POINTFS" mount -f "$DATA" "$M" 3>&- &
    job=$!
    wait_until mounted
    PID=$(daemon_pids | head -n 1)
    [ -e "$C/a" ] || mkdir "$C/a"
    kill -$signal "$(daemon_pids | tail -n 1)"
    rc=0
    wait $job || rc=$?
    equal 0 $rc
    not_mounted
  done
}

@test "a second daemon on the same DATA is refused with 6" {
  serve
  mkdir "$S/other"
  exits 6 "$POINTFS" mount "$DATA" "$S/other"
  grep -qi 'another process' "$S/said"
  mounted
  exits 6 "$POINTFS" check "$DATA"
  mkdir "$C/still"
}

@test "a mount after kill -9 takes over the dead one and has everything" {
  serve
  for round in 1 2 3; do
    mkdir "$C/r$round"
    for i in {1..20}; do echo "{\"vector\": [$round, $i], \"payload\": {\"i\": $i}}" >"$C/r$round/$i.json"; done
    t rm "$C/r$round/7.json"
    t mv "$C/r$round/8.json" "$C/r$round/eight.json"
    serve_kill
    run t ls "$M"
    [ "$status" -ne 0 ]
    serve
    for r in $(seq $round); do
      equal 19 "$(names "$C/r$r" | wc -l)"
      equal "{\"vector\": [$r, 8], \"payload\": {\"i\": 8}}" "$(t cat "$C/r$r/eight.json")"
      count_is "$C/r$r" 19
    done
  done
  serve_end
  exits 0 "$POINTFS" check --deep "$DATA"
}

@test "kill -9 under a writer loses nothing that was acknowledged" {
  serve
  mkdir "$C/w"
  t bash -c 'for ((i = 1; i <= 100000; i++)); do
      echo "{\"vector\": [$i, 1]}" >"$1/$i.tmp" && mv "$1/$i.tmp" "$1/$i.json" || exit
      echo $i >>"$2"
    done' - "$C/w" "$S/ledger" 2>/dev/null 3>&- &
  job=$!
  enough() { [ "$(wc -l <"$S/ledger" 2>/dev/null || echo 0)" -ge 100 ]; }
  wait_until enough
  serve_kill
  wait $job || true
  serve
  acknowledged=$(wc -l <"$S/ledger")
  for i in $(seq "$acknowledged"); do echo "$i.json"; done | LC_ALL=C sort >"$S/wanted"
  (cd "$C/w" && t ls) | LC_ALL=C sort >"$S/got"
  equal '' "$(LC_ALL=C comm -23 "$S/wanted" "$S/got")"
  # At most the one that was on its way.
  [ "$(LC_ALL=C comm -13 "$S/wanted" "$S/got" | wc -l)" -le 1 ]
  equal "{\"vector\": [$acknowledged, 1]}" "$(t cat "$C/w/$acknowledged.json")"
}

@test "the other sync policies keep what was closed over kill -9" {
  for sync in fsync interval; do
    serve -o sync=$sync
    mkdir "$C/$sync"
    for i in {1..50}; do echo "{\"vector\": [$i, 1]}" >"$C/$sync/$i.json"; done
    t sync "$C/$sync/50.json"
    serve_kill
    serve
    equal 50 "$(names "$C/$sync" | wc -l)"
    serve_end
  done
}

@test "wrong options and wrong places" {
  exits 2 "$POINTFS" mount "$DATA" "$M" -o nonsense
  exits 2 "$POINTFS" mount "$DATA" "$M" -o nonsense=1
  exits 2 "$POINTFS" mount "$DATA"
  exits 2 "$POINTFS" mount
  exits 2 "$POINTFS" nonsense
  exits 5 "$POINTFS" mount "$DATA" "$S/none/deeper"
  not_mounted
  rc=0
  t "$POINTFS" mount "$DATA" "$M" -o sync=sometimes 3>&- >"$S/said" 2>&1 || rc=$?
  [ $rc -ne 0 ]
  not_mounted
  exits 2 "$POINTFS" mount "$M/data" "$M"
}

@test "mount(8) and its options" {
  need_root
  command -v mount.fuse3 >/dev/null || skip 'no mount.fuse3'
  # What -t fuse.pointfs does with the pointfs that is installed.
  t mount -t fuse "$(realpath "$POINTFS")#$DATA" "$M" -o noatime,allow_other 3>&-
  PID=$(daemon_pids)
  four_points a
  count_is "$C/a" 4
  awk -v m="$M" '$2 == m { print $3, $4 }' /proc/mounts | grep -q '^fuse.pointfs .*noatime'
  t umount "$M"
  not_mounted
}

@test "ro refuses every change and answers queries" {
  serve
  four_points a
  serve_end
  serve -o ro
  sh_refused EROFS "echo '{\"vector\": [1, 2, 3]}' > '$C/a/9.json'"
  sh_refused EROFS "echo x > '$C/a/scratch'"
  refused EROFS rm "$C/a/1.json"
  refused EROFS mv "$C/a/1.json" "$C/a/9.json"
  refused EROFS mkdir "$C/b"
  refused EROFS rmdir "$C/a"
  refused EROFS ln -s a "$C/alias"
  refused EROFS chmod 700 "$C/a"
  refused EROFS touch "$C/a/1.json"
  refused EROFS truncate -s 1 "$C/a/1.json"
  refused EROFS tee "$C/a/.config.json" <<<'{"hnsw_config": {"m": 8}}'
  refused EROFS tee "$M/config.json" <<<'{"history_window": "1h"}'
  refused EROFS dd if=/dev/null of="$C/a/9.json"
  answered "$C/a/.search" '{"query": [1, 0, 0], "limit": 2}' '[.result.points[].id]' '[1,3]'
  answered "$C/a/.scroll" '{"limit": 1}' '[.result.points[].id]' '[1]'
  count_is "$C/a" 4
  equal 3 "$(t ls "$C/a/.near/1" | wc -l)"
  equal 1 "$(t jq .payload.n "$C/a/1.json")"
}

@test "show_control lists the control files" {
  serve -o show_control
  four_points a
  listed=$(t ls -A "$C/a" | xargs)
  for f in .config.json .status.json .search .scroll .count .import .near; do
    [[ " $listed " == *" $f "* ]] || { echo "$f is not in $listed"; return 1; }
  done
}

@test "status tells what is mounted" {
  serve
  four_points a
  t "$POINTFS" status "$M" --json >"$S/status"
  jq -e '.version and (.uptime | type == "number") and .collections == 1 and .log_position > 0 and .warnings == []' "$S/status"
  t "$POINTFS" status >"$S/said" || true # of all mounts, others' too
  grep -qF "$M" "$S/said"
  serve_end
  exits 5 "$POINTFS" status "$M"
}

@test "the generated files are what they say" {
  serve
  four_points a
  for f in README.md status.json metrics.prom errors.jsonl config.json cluster/status.json collections/a/.status.json collections/a/.config.json; do
    t cat "$M/$f" >"$S/text"
    # Of one opening: what it says may change between two.
    equal "$(t bash -c 'exec 9<"$1"; s=$(stat -L -c %s /proc/self/fd/9); n=$(wc -c <&9); [ $s = $n ] && echo same' - "$M/$f")" same
  done
  t jq -e . "$M/status.json" "$M/config.json" "$M/cluster/status.json" "$C/a/.status.json" >/dev/null
  t grep -q collections "$M/README.md"
  for word in config.json status.json errors.jsonl metrics.prom collections snapshots history cluster .search .scroll .count .import .near .config.json .status.json; do
    t grep -qF -- "$word" "$M/README.md" || { echo "README.md does not name $word"; return 1; }
  done
  for f in README.md status.json metrics.prom errors.jsonl; do
    run t bash -c "echo x > '$M/$f'"
    [ "$status" -ne 0 ]
    run t rm "$M/$f"
    [ "$status" -ne 0 ]
  done
}

@test "metrics.prom is in Prometheus' text format" {
  serve
  four_points a
  t cat "$M/metrics.prom" >"$S/metrics"
  python3 - "$S/metrics" <<'END'
import re, sys
types, seen = {}, set()
text = open(sys.argv[1]).read()
assert text.endswith('\n')
for line in text.splitlines():
    m = re.fullmatch(r'# (HELP|TYPE) (pointfs_[a-z0-9_]+) (.+)', line)
    if m:
        if m[1] == 'TYPE':
            assert m[3] in ('counter', 'gauge', 'histogram', 'summary'), line
            assert m[2] not in types, line
            types[m[2]] = m[3]
        continue
    m = re.fullmatch(r'(pointfs_[a-z0-9_]+)(\{[^}]*\})? (-?[0-9.eE+-]+|NaN|[+-]Inf)', line)
    assert m, line
    assert m[1] in types, line
    assert (m[1], m[2]) not in seen, line
    seen.add((m[1], m[2]))
    assert types[m[1]] != 'counter' or m[1].endswith('_total'), line
assert seen
END
  grep -q '^pointfs_points 4$' "$S/metrics"
  grep -q '^pointfs_collections 1$' "$S/metrics"
}

@test "config.json is read, merged and kept" {
  serve
  t jq -e '.sync == "close" and .max_point_bytes == "32MiB" and .storage.wal.wal_capacity_mb == 32' "$M/config.json"
  echo '{"max_point_bytes": "1MiB"}' >"$M/config.json"
  equal 1MiB "$(t jq -r .max_point_bytes "$M/config.json")"
  equal close "$(t jq -r .sync "$M/config.json")"
  serve_end
  equal 600 "$(stat -c %a "$DATA/config.json")"
  serve
  equal 1MiB "$(t jq -r .max_point_bytes "$M/config.json")"
  echo '{"max_point_bytes": null}' >"$M/config.json"
  equal 32MiB "$(t jq -r .max_point_bytes "$M/config.json")"
  t cp "$M/config.json" "$S/before"
  for body in '{"sync": "never"}' '{"max_point_bytes": "lots"}' '{"unknown": 1}' '[]' 'x'; do
    refused EINVAL tee "$M/config.json" <<<"$body"
    t cmp "$S/before" "$M/config.json"
  done
}

@test "settings come from options and the environment" {
  POINTFS_MAX_POINT_BYTES=2MiB serve
  mkdir "$C/a"
  { printf '{"vector":[1],"payload":{"t":"'; head -c 3000000 /dev/zero | tr '\0' x; echo '"}}'; } >"$S/doc"
  refused EFBIG cp "$S/doc" "$C/a/1.json"
  serve_end
  POINTFS_MAX_POINT_BYTES=2MiB serve -o max_point_bytes=4MiB
  t cp "$S/doc" "$C/a/1.json"
}

@test "errors.jsonl shows everyone his own lines, and root all" {
  need_root
  serve -o allow_other
  four_points a
  mkdir -m 777 "$C/open"
  refused EINVAL tee "$C/a/1.json" <<<'{"vector": [1]}'
  refused EINVAL runuser -u nobody -- tee "$C/open/x.json" <<<'nonsense'
  uid=$(id -u nobody)
  equal "[$uid]" "$(as_nobody cat "$M/errors.jsonl" | jq -sc 'map(.uid) | unique')"
  equal "[0,$uid]" "$(t jq -sc 'map(.uid) | unique | sort' "$M/errors.jsonl")"
}

@test "a point belongs to who made it, and to the collection's group and mode" {
  need_root
  serve -o allow_other
  mkdir -m 777 "$C/open"
  as_nobody tee "$C/open/x.json" <<<'{"vector": [1]}' >/dev/null
  equal nobody "$(t stat -c %U "$C/open/x.json")"
  t chgrp 12345 "$C/open"
  group_is() { [ "$(t stat -c %g "$C/open/x.json")" = "$1" ]; }
  wait_until group_is 12345
  t chown 1234 "$C/open/x.json"
  equal 1234 "$(t stat -c %u "$C/open/x.json")"
}

@test "an ordinary user mounts where /dev/fuse lets him" {
  need_root
  as_nobody test -w /dev/fuse || skip '/dev/fuse is closed to ordinary users here'
  as_nobody test -x "$(realpath "$POINTFS")" || skip 'the program is out of reach of ordinary users'
  chown nobody "$M"
  mkdir "$S/home"
  chown nobody "$S/home"
  t runuser -u nobody -- "$POINTFS" mount "$S/home/data" "$M" 3>&-
  as_nobody mkdir "$C/a"
  as_nobody tee "$C/a/1.json" <<<'{"vector": [1]}' >/dev/null
  run t ls "$M"
  [ "$status" -ne 0 ]
  as_nobody "$POINTFS" umount "$M"
}

@test "what is not there yet says so" {
  serve
  four_points a
  equal 'collections full shards' "$(t ls "$M/snapshots" | xargs)"
  run t mkdir "$M/snapshots/collections/x"
  [ "$status" -ne 0 ]
  run t mkdir "$M/cluster/x"
  [ "$status" -ne 0 ]
  t jq -e . "$M/cluster/status.json"
  equal '' "$(t ls "$M/history")"
}

@test "every command has --help" {
  for c in mount umount status search scroll count import check dump bench; do
    exits 0 "$POINTFS" $c --help
    grep -q "$c" "$S/said"
  done
  exits 0 "$POINTFS" --version
  exits 0 "$POINTFS" --help
}

@test "dump prints every file of a database" {
  serve
  mkdir "$C/a"
  awk 'BEGIN { for (i = 1; i <= 2000; i++) printf "{\"id\": %d, \"vector\": [%d, 1, 2]}\n", i, i }' >"$S/points"
  t cp "$S/points" "$C/a/.import"
  t ln -s a "$C/alias"
  serve_end
  while read -r f; do
    case $f in */lock | */tmp/* | */spare.* | */config.json) continue ;; esac
    exits 0 "$POINTFS" dump "$f"
    [ -s "$S/said" ]
  done < <(find "$DATA" -type f)
}

@test "without /dev/fuse the demo says how to get it" {
  need_root
  command -v unshare >/dev/null || skip 'no unshare'
  # shellcheck disable=SC2016
  run t unshare -m bash -c 'mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && exec "$1"' - \
    "$HERE/../../tools/demo.sh"
  equal 1 "$status"
  [[ $output == *'docker run '*'--device /dev/fuse --cap-add SYS_ADMIN'* ]]
}

@test "a directory that holds something else is not taken for DATA" {
  mkdir "$S/home"
  echo mine >"$S/home/file"
  exits 1 "$POINTFS" mount "$S/home" "$M"
  equal file "$(ls "$S/home")"
}

@test "an empty directory becomes private when it becomes DATA" {
  mkdir -m 755 "$DATA"
  serve
  equal 700 "$(stat -c %a "$DATA")"
}
