#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Many points at once: .import and pointfs import.

load lib

setup() {
  scratch_make
  serve
  mkdir "$C/c"
  P=$C/c
}
teardown() { scratch_remove; }

# import_file FILE: through .import, the answer on stdout.  (The first cat says
# at its close that something was refused.)
import_file() {
  t bash -c 'exec 9<>"$1" && { cat "$2" >&9 2>/dev/null || :; } && cat <&9' - "$P/.import" "$1"
}

lines() { # lines FROM TO
  awk -v a="$1" -v b="$2" 'BEGIN { for (i = a; i <= b; i++)
    printf "{\"id\": %d, \"vector\": [%d, 1, 2], \"payload\": {\"n\": %d}}\n", i, i, i }'
}

@test "JSON lines become points" {
  lines 1 500 >"$S/points"
  import_file "$S/points" >"$S/answer"
  jq -e '.status == "ok"' "$S/answer"
  count_is "$P" 500
  equal 500 "$(names "$P" | wc -l)"
  equal '{"id":77,"vector":[77,1,2],"payload":{"n":77}}' "$(t jq -c . "$P/77.json")"
}

@test "cp into .import works" {
  lines 1 50 >"$S/points"
  t cp "$S/points" "$P/.import"
  count_is "$P" 50
}

@test "the last line needs no newline" {
  printf '{"id": 1, "vector": [1, 2, 3]}\n{"id": 2, "vector": [1, 2, 3]}' >"$S/points"
  t cp "$S/points" "$P/.import"
  count_is "$P" 2
}

@test "wrong lines are told by number and do not stop the rest" {
  {
    lines 1 3
    echo '{"id": 4, "vector": [1, 2]}'
    echo 'nonsense'
    echo
    echo '{"vector": [1, 2, 3]}'
    lines 8 10
    echo '{"id": 11, "vector": [1, 2, NaN]}'
    echo '{"id": "a/b", "vector": [1, 2, 3]}'
    lines 13 14
  } >"$S/points"
  import_file "$S/points" >"$S/answer"
  count_is "$P" 8
  equal '{"accepted":8,"refused":5}' "$(jq -c '.result | {accepted, refused}' "$S/answer")"
  for n in 4 5 7 11 12; do
    jq -e --argjson n $n '[.. | objects | select(.line? == $n)] | length == 1' "$S/answer"
  done
  equal 5 "$(jq '[.. | objects | select(has("line"))] | length' "$S/answer")"
  [ ! -e "$P/4.json" ]
  [ -e "$P/14.json" ]
}

@test "cp tells that lines were refused, and the others are points" {
  { lines 1 20000; echo nonsense; lines 20002 20010; } >"$S/points"
  before=$(errors_lines)
  refused EINVAL cp "$S/points" "$P/.import"
  count_is "$P" 20009
  t tail -n +$((before + 1)) "$M/errors.jsonl" | grep -q 'line 20001'
}

@test "upsert bodies, of rows and of columns" {
  echo '{"points": [{"id": 1, "vector": [1, 2, 3]}, {"id": "two", "vector": [3, 2, 1], "payload": {"x": 1}}]}' >"$S/body"
  import_file "$S/body" | jq -e '.status == "ok"'
  count_is "$P" 2
  echo '{"batch": {"ids": [3, 4], "vectors": [[1, 1, 1], [2, 2, 2]], "payloads": [{"a": 1}, null]}}' >"$S/body"
  import_file "$S/body" | jq -e '.status == "ok"'
  count_is "$P" 4
  equal '[1,1,1]' "$(t jq -c .vector "$P/3.json")"
}

@test "an import replaces points that exist" {
  echo '{"vector": [9,  9, 9]}' >"$P/2.json"
  lines 1 3 >"$S/points"
  t cp "$S/points" "$P/.import"
  equal '[2,1,2]' "$(t jq -c .vector "$P/2.json")"
  count_is "$P" 3
}

@test "imported points survive kill -9" {
  lines 1 2000 >"$S/points"
  import_file "$S/points" >"$S/answer"
  serve_kill
  serve
  count_is "$P" 2000
  equal 2000 "$(names "$P" | wc -l)"
}

@test "pieces of any size make the same points" {
  lines 1 300 >"$S/points"
  t dd if="$S/points" of="$P/.import" bs=7 conv=notrunc status=none
  count_is "$P" 300
}

@test "two imports at once" {
  lines 1 1000 >"$S/a"
  lines 1001 2000 >"$S/b"
  t cp "$S/a" "$P/.import" 3>&- &
  local job=$!
  t cp "$S/b" "$P/.import"
  wait $job
  count_is "$P" 2000
}

@test "pointfs import of a file and of its input" {
  lines 1 100 >"$S/points.jsonl"
  t "$POINTFS" import "$P" "$S/points.jsonl"
  lines 101 150 | t "$POINTFS" import "$P" -
  count_is "$P" 150
  echo 'nonsense' >>"$S/points.jsonl"
  run t "$POINTFS" import "$P" "$S/points.jsonl"
  equal 1 "$status"
  [[ $output == *:101:* ]]
  count_is "$P" 150
}

@test "pointfs import makes the collection" {
  lines 1 10 | t "$POINTFS" import "$C/new" -
  count_is "$C/new" 10
}

@test "pointfs import of .fvecs with payloads" {
  python3 - "$S" <<'END'
import struct, sys
with open(sys.argv[1] + '/v.fvecs', 'wb') as f:
    for i in range(20):
        f.write(struct.pack('<i4f', 4, i, 1, 2, 3))
with open(sys.argv[1] + '/p.jsonl', 'w') as f:
    for i in range(20):
        f.write('{"n": %d}\n' % i)
END
  t "$POINTFS" import "$P" "$S/v.fvecs" --first-id 100 --payload "$S/p.jsonl"
  count_is "$P" 20
  equal '[7,1,2,3]' "$(t jq -c .vector "$P/107.json")"
  equal 7 "$(t jq .payload.n "$P/107.json")"
  head -c 50 "$S/v.fvecs" >"$S/cut.fvecs"
  run t "$POINTFS" import "$P" "$S/cut.fvecs"
  [ "$status" -ne 0 ]
}

@test "pointfs import into a DATA that nobody serves" {
  serve_end
  lines 1 100 >"$S/points.jsonl"
  t "$POINTFS" import "$DATA/c" "$S/points.jsonl"
  serve
  count_is "$P" 100
  run t "$POINTFS" import "$DATA/c" "$S/points.jsonl"
  equal 6 "$status"
}

@test "what is read back can be imported again" {
  lines 1 40 | t "$POINTFS" import "$P" -
  t cat "$P"/[0-9]*.json >"$S/all"
  mkdir "$C/d"
  t "$POINTFS" import "$C/d" "$S/all"
  count_is "$C/d" 40
}
