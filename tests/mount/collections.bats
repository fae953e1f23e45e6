#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Collections, their configuration, and aliases.

load lib

setup() {
  scratch_make
  serve
}
teardown() { scratch_remove; }

config() { t jq -c "$2" "$C/$1/.config.json"; }
configure() { echo "$2" >"$C/$1/.config.json"; }
# Configures, or skips what the program says it cannot do yet.
configure_or_skip() {
  t tee "$C/$1/.config.json" <<<"$2" >/dev/null 2>"$S/said" && return 0
  grep -q 'not supported' "$S/said" || { cat "$S/said"; return 1; }
  skip "$(t tail -n 1 "$M/errors.jsonl" | jq -r .message)"
}

@test "mkdir makes a collection and rmdir removes it when empty" {
  mkdir "$C/a"
  [ -d "$C/a" ]
  refused EEXIST mkdir "$C/a"
  equal a "$(names "$C")"
  echo '{"vector": [1]}' >"$C/a/1.json"
  refused ENOTEMPTY rmdir "$C/a"
  t rm "$C/a/1.json"
  t rmdir "$C/a"
  [ ! -e "$C/a" ]
  refused ENOENT rmdir "$C/a"
}

@test "rm -r removes a collection with all it has" {
  four_points a
  t rm -r "$C/a"
  equal '' "$(names "$C")"
  mkdir "$C/a"
  equal '' "$(names "$C/a")"
  count_is "$C/a" 0
}

@test "unlinking .config.json does nothing" {
  four_points a
  t rm "$C/a/.config.json"
  equal '{"size":3,"distance":"Cosine"}' "$(config a .vectors)"
  echo '{"vector": [1, 2, 3]}' >"$C/a/9.json"
}

@test "mv renames a collection" {
  four_points a
  t cp -r "$C/a" "$S/before"
  t mv "$C/a" "$C/b"
  t diff -r "$S/before" "$C/b"
  [ ! -e "$C/a" ]
  count_is "$C/b" 4
  serve_end
  serve
  t diff -r "$S/before" "$C/b"
  equal b "$(names "$C")"
}

@test "mv onto an empty collection replaces it, onto a full one is refused" {
  four_points a
  mkdir "$C/b" "$C/full"
  echo '{"vector": [1, 2, 3]}' >"$C/full/1.json"
  t mv -T "$C/a" "$C/b"
  count_is "$C/b" 4
  equal 'b full' "$(names "$C" | xargs)"
  refused ENOTEMPTY mv -T "$C/b" "$C/full"
  count_is "$C/b" 4
  count_is "$C/full" 1
}

@test "names that are not allowed are refused" {
  for name in .hidden 'a:b' 'a<b' 'a>b' 'a"b' 'a\b' 'a|b' 'a?b' 'a*b' $'a\nb' $'a\x01b' $'a\x7fb' $'a\xffb'; do
    refused EINVAL mkdir "$C/$name" || { printf '%q\n' "$name"; return 1; }
  done
  refused ENAMETOOLONG mkdir "$C/$(printf 'x%.0s' {1..201})"
  mkdir "$C/$(printf 'x%.0s' {1..200})" "$C/Zürich 東京" "$C/-a" "$C/a.b"
  equal 4 "$(names "$C" | wc -l)"
  mkdir "$C/a"
  refused EINVAL mv "$C/a" "$C/a:b"
}

@test "files beside the collections are refused" {
  run t touch "$C/file"
  [ "$status" -ne 0 ]
  run t touch "$M/file"
  [ "$status" -ne 0 ]
  run t mkdir "$M/dir"
  [ "$status" -ne 0 ]
  equal '' "$(names "$C")"
}

@test "an alias is a symlink with a bare name" {
  four_points a
  t ln -s a "$C/alias"
  equal a "$(t readlink "$C/alias")"
  t cmp "$C/a/1.json" "$C/alias/1.json"
  count_is "$C/alias" 4
  echo '{"vector": [0, 0, 1]}' >"$C/alias/5.json"
  count_is "$C/a" 5
  serve_end
  serve
  equal a "$(t readlink "$C/alias")"
  count_is "$C/alias" 5
  t rm "$C/alias"
  count_is "$C/a" 5
}

@test "ln -sfn and mv -T switch an alias" {
  four_points a
  mkdir "$C/b"
  t ln -s a "$C/live"
  t ln -sfn b "$C/live"
  equal b "$(t readlink "$C/live")"
  count_is "$C/live" 0
  t ln -s a "$C/next"
  t mv -T "$C/next" "$C/live"
  equal a "$(t readlink "$C/live")"
  count_is "$C/live" 4
  equal 'a b live' "$(names "$C" | xargs)"
}

@test "an alias may dangle and lives again with the name" {
  t ln -s later "$C/alias"
  equal later "$(t readlink "$C/alias")"
  refused ENOENT ls "$C/alias/"
  four_points later
  count_is "$C/alias" 4
  t rm -r "$C/later"
  refused ENOENT cat "$C/alias/1.json"
  equal later "$(t readlink "$C/alias")"
}

@test "an alias points to nothing but a collection's name" {
  mkdir "$C/a"
  for target in ../a /etc a/1.json ./a .. . '' 'a:b'; do
    run t ln -s "$target" "$C/x"
    [ "$status" -ne 0 ] || { echo "alias to $target"; return 1; }
  done
  refused EEXIST ln -s -T a "$C/a"
  equal a "$(names "$C")"
}

@test "a switch under readers always shows one of the two" {
  mkdir "$C/a" "$C/b"
  echo '{"vector": [1], "payload": {"c": "a"}}' >"$C/a/1.json"
  echo '{"vector": [1], "payload": {"c": "b"}}' >"$C/b/1.json"
  t ln -s a "$C/live"
  t python3 - "$C" <<'END'
import os, sys, threading
c = sys.argv[1]
wrong = []
stop = threading.Event()

def read():
    while not stop.is_set():
        try:
            text = open(c + '/live/1.json').read()
            if '"c": "a"' not in text and '"c": "b"' not in text:
                wrong.append(text)
        except OSError as e:
            wrong.append(e)

threads = [threading.Thread(target=read) for _ in range(3)]
for t in threads:
    t.start()
for i in range(200):
    os.symlink('ab'[i % 2], c + '/next')
    os.rename(c + '/next', c + '/live')
stop.set()
for t in threads:
    t.join()
sys.exit(wrong[:1] and repr(wrong[0]) or 0)
END
}

@test "the first point fixes the size, Cosine" {
  four_points a
  equal '{"size":3,"distance":"Cosine"}' "$(config a .vectors)"
  sh_refused EINVAL "echo '{\"vector\": [1, 2]}' > '$C/a/x.json'"
}

@test "a configuration written before the points holds" {
  mkdir "$C/a"
  configure a '{"vectors": {"size": 2, "distance": "Euclid"}, "shard_number": 3}'
  equal '{"size":2,"distance":"Euclid"}' "$(config a .vectors)"
  equal 3 "$(config a .shard_number)"
  sh_refused EINVAL "echo '{\"vector\": [1, 2, 3]}' > '$C/a/1.json'"
  for i in {1..30}; do echo "{\"vector\": [$i, 0]}" >"$C/a/$i.json"; done
  count_is "$C/a" 30
  equal 30 "$(names "$C/a" | wc -l)"
  answered "$C/a/.search" '{"query": [7.2, 0], "limit": 3}' '[.result.points[].id]' '[7,8,6]'
  serve_end
  serve
  equal 3 "$(config a .shard_number)"
  count_is "$C/a" 30
}

@test "writing the configuration merges, null resets" {
  mkdir "$C/a"
  configure a '{"vectors": {"size": 3, "distance": "Dot"}, "hnsw_config": {"m": 24, "ef_construct": 200}}'
  configure a '{"hnsw_config": {"m": 32}}'
  equal '[32,200]' "$(config a '[.hnsw_config.m, .hnsw_config.ef_construct]')"
  configure a '{"hnsw_config": {"m": null}}'
  equal '[16,200]' "$(config a '[.hnsw_config.m, .hnsw_config.ef_construct]')"
  equal '{"size":3,"distance":"Dot"}' "$(config a .vectors)"
}

@test "the size cannot change while there are points" {
  four_points a
  sh_refused EINVAL "echo '{\"vectors\": {\"size\": 4}}' > '$C/a/.config.json'"
  equal 3 "$(config a .vectors.size)"
}

@test "the distance can change while there are points" {
  four_points a
  configure_or_skip a '{"vectors": {"distance": "Euclid"}}'
  equal '{"size":3,"distance":"Euclid"}' "$(config a .vectors)"
  answered "$C/a/.search" '{"query": [1, 0, 0], "limit": 1}' '.result.points[0] | [.id, .score]' '[1,0]'
}

@test "the configuration of a copy may come after its points" {
  mkdir "$C/a"
  configure a '{"vectors": {"size": 3, "distance": "Dot"}, "hnsw_config": {"m": 24}}'
  t cp "$C/a/.config.json" "$S/config"
  mkdir "$C/b"
  echo '{"vector": [1, 2, 3]}' >"$C/b/1.json"
  configure_or_skip b "$(cat "$S/config")"
  t cmp "$S/config" "$C/b/.config.json"
}

@test "wrong configurations are refused and change nothing" {
  mkdir "$C/a"
  configure a '{"vectors": {"size": 3, "distance": "Dot"}}'
  t cp "$C/a/.config.json" "$S/before"
  while IFS= read -r body; do
    sh_refused EINVAL "printf '%s\\n' '$body' > '$C/a/.config.json'" || { echo "$body"; return 1; }
    t cmp "$S/before" "$C/a/.config.json"
  done <<'END'
{"vectors": {"size": 0}}
{"vectors": {"size": -1}}
{"vectors": {"size": 1.5}}
{"vectors": {"size": "3"}}
{"vectors": {"distance": "Chebyshev"}}
{"shard_number": 0}
{"unknown": 1}
{"hnsw_config": {"mm": 1}}
{"hnsw_config": 5}
[]
nonsense
END
}

@test "cp -r of a collection and back makes the same collection" {
  four_points a
  configure a '{"hnsw_config": {"m": 20}}'
  printf '{"id":"odd one",   "vector":[1e0,2.50,-3],"payload":null}' >"$C/a/odd one.json"
  t cp -r "$C/a" "$S/out"
  equal 6 "$(find "$S/out" -type f | wc -l)"
  t cp -r "$S/out" "$C/b"
  t diff -r "$S/out" "$C/b"
  t diff -r "$C/a" "$C/b"
  ask "$C/a/.search" '{"query": [1, 1, 1], "with_payload": true}' | jq -c '[.result.points[] | [.id, .score, .payload]]' >"$S/qa"
  ask "$C/b/.search" '{"query": [1, 1, 1], "with_payload": true}' | jq -c '[.result.points[] | [.id, .score, .payload]]' >"$S/qb"
  cmp "$S/qa" "$S/qb"
  t cp -a "$C/a" "$C/c"
  t diff -r "$C/a" "$C/c"
}

@test "cp -r and find of the whole mount end" {
  four_points a
  t ln -s a "$C/alias"
  t find "$M" >"$S/found"
  grep -q 'collections/a/1.json$' "$S/found"
  t cp -r "$M" "$S/all"
  t diff -r "$C/a" "$S/all/collections/a"
}

@test "chmod and chown of a collection are kept" {
  four_points a
  equal 755 "$(t stat -c %a "$C/a")"
  t chmod 700 "$C/a"
  equal 700 "$(t stat -c %a "$C/a")"
  if [ "$(id -u)" = 0 ]; then t chown 65534:65534 "$C/a"; fi
  owner=$(t stat -c %u:%g "$C/a")
  serve_end
  serve
  equal "700 $owner" "$(t stat -c '%a %u:%g' "$C/a")"
  mkdir -m 750 "$C/b"
  equal 750 "$(t stat -c %a "$C/b")"
}

@test "a collection of mode 700 is closed to others" {
  need_root
  serve_end
  serve -o allow_other
  four_points a
  four_points open
  t chmod 700 "$C/a"
  refused EACCES runuser -u nobody -- ls "$C/a"
  refused EACCES runuser -u nobody -- cat "$C/a/1.json"
  refused EACCES runuser -u nobody -- cat "$C/a/.search"
  as_nobody cat "$C/open/1.json" >/dev/null
  refused EACCES runuser -u nobody -- rm "$C/open/1.json"
  refused EACCES runuser -u nobody -- cp "$C/open/1.json" "$C/open/9.json"
  refused EACCES runuser -u nobody -- mkdir "$C/mine"
  count_is "$C/open" 4
}

@test "nobody gets in without allow_other" {
  need_root
  four_points a
  refused EACCES runuser -u nobody -- ls "$M"
}

@test "times of a collection move with its points" {
  four_points a
  before=$(t stat -c %.9Y "$C/a")
  echo '{"vector": [0, 0, 1]}' >"$C/a/new.json"
  [ "$(t stat -c %.9Y "$C/a")" != "$before" ]
}

@test "a collection that is removed while open answers with an error" {
  four_points a
  exec 9<>"$C/a/.search"
  t rm -r "$C/a"
  echo '{"query": [1, 2, 3]}' >&9 || true
  t cat <&9 >"$S/answer" || true
  if [ -s "$S/answer" ]; then jq -e '.result == null or .result.points == []' "$S/answer"; fi
}

@test "a new collection under an old name is empty" {
  four_points a
  t ls "$C/a" >/dev/null
  t rm -r "$C/a"
  mkdir "$C/a"
  refused ENOENT cat "$C/a/1.json"
  echo '{"vector": [1, 2, 3, 4]}' >"$C/a/1.json"
  equal '{"vector": [1, 2, 3, 4]}' "$(t cat "$C/a/1.json")"
  equal 4 "$(config a .vectors.size)"
}

@test "two hundred collections" {
  for i in {1..200}; do mkdir "$C/c$i"; echo "{\"vector\": [$i]}" >"$C/c$i/1.json"; done
  equal 200 "$(names "$C" | wc -l)"
  serve_kill
  serve
  equal 200 "$(names "$C" | wc -l)"
  for i in 1 77 200; do equal "{\"vector\": [$i]}" "$(t cat "$C/c$i/1.json")"; done
}

@test "who makes a collection finds its configuration there" {
  t python3 - "$C/made" <<'END'
import json, os, sys
os.mkdir(sys.argv[1])
json.load(open(sys.argv[1] + '/.config.json'))
END
}

@test "the status of a collection shows its payload indexes" {
  mkdir "$C/a"
  echo '{"payload_schema": {"city": "keyword"}}' >"$C/a/.config.json"
  equal keyword "$(jq -r .payload_schema.city "$C/a/.status.json")"
}
