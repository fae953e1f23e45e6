#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# .search, .scroll, .count and .near.

load lib

setup() {
  scratch_make
  serve -o allow_other
  four_points a
  P=$C/a
}
teardown() { scratch_remove; }

ids='[.result.points[].id]'

# What a cat of its own reads after an echo of its own, in a session of its own.
echo_then_cat() {
  t setsid -w bash -c 'echo "$2" >"$1" && exec cat "$1"' - "$1" "$2"
}

@test "a question and its answer on one open file" {
  answered "$P/.search" '{"query": [1, 0, 0], "limit": 2}' "$ids" '[1,3]'
  answered "$P/.search" '{"query": [1, 0, 0]}' '[.status, (.time | type), (.result.points | length)]' '["ok","number",4]'
  answered "$P/.search" '{"query": [1, 0, 0], "limit": 1}' '.result.points[0] | keys' '["id","score","version"]'
}

@test "the shell's file position does not matter" {
  t bash -c 'exec 3<>"$1"; echo "{\"query\": [1, 0, 0], \"limit\": 2}" >&3; cat <&3' - "$P/.search" >"$S/answer"
  equal '[1,3]' "$(jq -c "$ids" "$S/answer")"
  equal 1 "$(wc -l <"$S/answer")"
}

@test "a separate cat reads what the same terminal asked" {
  equal '[1,3]' "$(echo_then_cat "$P/.search" '{"query": [1, 0, 0], "limit": 2}' | jq -c "$ids")"
  equal '{"count":4}' "$(echo_then_cat "$P/.count" '{}' | jq -c .result)"
  equal 4 "$(echo_then_cat "$P/.scroll" '{}' | jq '.result.points | length')"
}

@test "a cat that asked nothing reads nothing" {
  equal '' "$(t setsid -w cat "$P/.search")"
  t setsid -w bash -c "echo '{\"query\": 1}' > '$P/.search'"
  equal '' "$(t setsid -w cat "$P/.search")"
}

@test "one open file holds a conversation" {
  t python3 - "$P/.search" <<'END'
import json, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)

def ask(body, how=os.read):
    os.write(fd, body)
    text = b''
    while True:
        part = os.read(fd, 7)
        if not part:
            return [p['id'] for p in json.loads(text)['result']['points']]
        text += part

assert ask(b'{"query": [1, 0, 0], "limit": 1}\n') == [1]
assert ask(b'{"query": [0, 1, 0], "limit": 1}\n') == [2]
assert ask(b'{"query": [0, 0, 1], "limit": 1}') == ['four']
for part in (b'{"query": [1,', b' 0, \n', b'0], ', b'"limit": 2', b'}'):
    os.write(fd, part)
first = json.loads(os.pread(fd, 100000, 0))
assert [p['id'] for p in first['result']['points']] == [1, 3], first
# Two bodies: the second replaces the first.
os.write(fd, b'{"query": [1, 0, 0]}\n{"query": [0, 1, 0], "limit": 1}\n')
assert [p['id'] for p in json.loads(os.read(fd, 100000))['result']['points']] == [2]
os.close(fd)
END
}

@test "conversations of many open files do not mix" {
  t python3 - "$P/.search" <<'END'
import json, os, sys, threading
wrong = []

def talk(query, wanted):
    fd = os.open(sys.argv[1], os.O_RDWR)
    for _ in range(100):
        os.write(fd, json.dumps({'query': query, 'limit': 1}).encode() + b'\n')
        answer = json.loads(os.read(fd, 100000))
        if answer['result']['points'][0]['id'] != wanted:
            wrong.append(answer)
    os.close(fd)

asked = [([1, 0, 0], 1), ([0, 1, 0], 2), ([0.9, 0.1, 0], 3), ([0, 0, 1], 'four')] * 2
threads = [threading.Thread(target=talk, args=a) for a in asked]
for t in threads:
    t.start()
for t in threads:
    t.join()
sys.exit(repr(wrong[0]) if wrong else 0)
END
}

@test "two users never see each other's answers" {
  need_root
  # The same session, told apart by the user alone.
  t setsid -w bash -c '
    echo "{\"query\": [1, 0, 0], \"limit\": 1}" >"$1"
    runuser -u nobody -- cat "$1" >"$2/nobody"
    cat "$1" >"$2/root"' - "$P/.search" "$S"
  equal '' "$(cat "$S/nobody")"
  equal '[1]' "$(jq -c "$ids" "$S/root")"
  t setsid -w bash -c '
    runuser -u nobody -- sh -c "echo {\\\"query\\\": 2} >$1"
    cat "$1" >"$2/root"
    runuser -u nobody -- cat "$1" >"$2/nobody"' - "$P/.search" "$S"
  equal '' "$(cat "$S/root")"
  equal 3 "$(jq "$ids | length" "$S/nobody")"
}

@test "who may read a collection may ask it" {
  need_root
  equal '[1,3]' "$(as_nobody bash -c 'exec 9<>"$1"; echo "{\"query\": [1, 0, 0], \"limit\": 2}" >&9; cat <&9' - "$P/.search" | jq -c "$ids")"
}

@test "by id: the vector of a point, without the point" {
  answered "$P/.search" '{"query": 1}' "$ids" '[3,2,"four"]'
  answered "$P/.search" '{"query": "four", "limit": 1}' "$ids" '[2]'
  answered "$P/.search" '{"query": 99}' '[.result, (.status.error | type)]' '[null,"string"]'
}

@test "payload and vector when they are asked for" {
  answered "$P/.search" '{"query": [1, 0, 0], "limit": 1, "with_payload": true}' \
    '.result.points[0].payload' '{"city":"London","n":1}'
  answered "$P/.search" '{"query": [1, 0, 0], "limit": 1, "with_payload": ["n"]}' \
    '.result.points[0].payload' '{"n":1}'
  answered "$P/.search" '{"query": [1, 0, 0], "limit": 1, "with_payload": {"exclude": ["n"]}}' \
    '.result.points[0].payload' '{"city":"London"}'
  answered "$P/.search" '{"query": [0.9, 0.1, 0], "limit": 1, "with_vector": true}' \
    '.result.points[0].vector' '[0.9,0.1,0]'
  answered "$P/.search" '{"query": [1, 0, 0], "limit": 1}' \
    '.result.points[0] | [has("payload"), has("vector")]' '[false,false]'
}

@test "limit, offset and threshold" {
  answered "$P/.search" '{"query": [1, 0, 0], "limit": 1, "offset": 1}' "$ids" '[3]'
  answered "$P/.search" '{"query": [1, 0, 0], "offset": 100}' "$ids" '[]'
  answered "$P/.search" '{"query": [1, 0, 0], "score_threshold": 0.5}' "$ids" '[1,3]'
  answered "$P/.search" '{"query": [1, 0, 0], "limit": 100}' "$ids | length" 4
}

@test "filters" {
  local q='"query": [1, 0, 0]'
  answered "$P/.search" "{$q, \"filter\": {\"must\": [{\"key\": \"city\", \"match\": {\"value\": \"London\"}}]}}" "$ids" '[1,3]'
  answered "$P/.search" "{$q, \"filter\": {\"must_not\": [{\"key\": \"city\", \"match\": {\"value\": \"London\"}}]}}" "$ids" '[2,"four"]'
  answered "$P/.search" "{$q, \"filter\": {\"should\": [{\"has_id\": [2]}, {\"key\": \"n\", \"range\": {\"gte\": 4}}]}}" "$ids" '[2,"four"]'
  answered "$P/.search" "{$q, \"filter\": {\"must\": [{\"key\": \"n\", \"range\": {\"gt\": 1, \"lt\": 4}}], \"must_not\": [{\"has_id\": [2]}]}}" "$ids" '[3]'
  answered "$P/.search" "{$q, \"filter\": {\"must\": [{\"key\": \"city\", \"match\": {\"any\": [\"Oslo\", \"Pune\"]}}]}}" "$ids" '[2,"four"]'
  answered "$P/.count" '{"filter": {"must": [{"key": "city", "match": {"value": "London"}}]}}' .result.count 2
  answered "$P/.scroll" '{"filter": {"must": [{"key": "n", "range": {"lte": 2}}]}}' "$ids" '[1,2]'
}

@test "a batch of searches" {
  answered "$P/.search" '{"searches": [{"query": [1, 0, 0], "limit": 1}, {"query": 1, "limit": 1}, {"query": [0, 0, 1], "limit": 1, "with_payload": ["n"]}]}' \
    '[.result[].points[].id]' '[1,3,"four"]'
}

@test "the older search body answers a bare list" {
  answered "$P/.search" '{"vector": [1, 0, 0], "limit": 2}' '[.result[].id]' '[1,3]'
}

@test "a wrong body can be read about" {
  t python3 - "$P/.search" <<'END'
import errno, json, os, sys
for body, where in ((b'{"query": [1, 0, 0], "limit": "x"}\n', 'limit'), (b'{"query": [1, 0, 0], "lmit": 1}\n', 'lmit'),
                    (b'{"query": nonsense}\n', 'byte')):
    fd = os.open(sys.argv[1], os.O_RDWR)
    try:
        os.write(fd, body)
        sys.exit('accepted')
    except OSError as e:
        assert e.errno == errno.EINVAL, e
    answer = json.loads(os.read(fd, 100000))
    assert answer['result'] is None and where in answer['status']['error'], answer
    # The conversation goes on.
    os.write(fd, b'{"query": [1, 0, 0]}\n')
    assert len(json.loads(os.read(fd, 100000))['result']['points']) == 4
    os.close(fd)
END
}

@test "a vector of the wrong length is an error, at once or in the answer" {
  t python3 - "$P/.search" <<'END'
import errno, json, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    os.write(fd, b'{"query": [1, 0]}\n')
except OSError as e:
    assert e.errno == errno.EINVAL, e
answer = json.loads(os.read(fd, 100000))
assert answer['result'] is None and '3' in answer['status']['error'], answer
END
}

@test "an incomplete body fails the close" {
  printf '{"query": [1, 0, 0]' >"$S/body"
  refused EINVAL dd if="$S/body" of="$P/.search" conv=notrunc
  answered "$P/.search" '{"query": [1, 0, 0], "limit": 1}' "$ids" '[1]'
}

@test "a search sees what was just written and not what was just removed" {
  for i in {1..50}; do
    echo "{\"vector\": [0, $i, 1000]}" >"$P/x$i.json"
    answered "$P/.search" "{\"query\": [0, $i, 1000], \"limit\": 1}" "$ids" "[\"x$i\"]"
    t rm "$P/x$i.json"
  done
  answered "$P/.search" '{"query": [0, 1, 1000], "limit": 1}' "$ids" '["four"]'
}

@test "scrolling in pages meets every point once" {
  t python3 - "$P" <<'END'
import json, os, sys
p = sys.argv[1]
for i in range(100, 237):
    open('%s/%d.json' % (p, i), 'w').write('{"vector": [%d, 1, 1]}' % i)

def ask(body):
    fd = os.open(p + '/.scroll', os.O_RDWR)
    os.write(fd, json.dumps(body).encode() + b'\n')
    answer = json.loads(os.read(fd, 1 << 20))
    os.close(fd)
    return answer['result']

seen, offset, pages = [], None, 0
while True:
    body = {'limit': 10}
    if offset is not None:
        body['offset'] = offset
    page = ask(body)
    assert len(page['points']) <= 10
    seen += [x['id'] for x in page['points']]
    pages += 1
    offset = page['next_page_offset']
    if offset is None:
        break
assert seen == [1, 2, 3] + list(range(100, 237)) + ['four'], seen
assert pages == 15, pages
# A page takes 10 when nothing is said, with payloads and without vectors.
first = ask({})
assert len(first['points']) == 10
assert first['points'][0] == {'id': 1, 'payload': {'city': 'London', 'n': 1}}, first['points'][0]
assert ask({'limit': 1, 'with_payload': False, 'with_vector': True})['points'][0]['vector'] == [1, 0, 0]
END
}

@test "count" {
  count_is "$P" 4
  answered "$P/.count" '{"exact": true}' .result '{"count":4}'
  t rm "$P/1.json"
  count_is "$P" 3
}

@test ".near lists neighbours as links, best first" {
  t ls "$P/.near/1" >"$S/near"
  equal 3 "$(wc -l <"$S/near")"
  sed -n 1p "$S/near" | grep -qE '^001_0\.99[0-9]*_3\.json$'
  grep -qE '^003_.*_four\.json$' "$S/near"
  first=$(head -n 1 "$S/near")
  equal ../../3.json "$(t readlink "$P/.near/1/$first")"
  t cmp "$P/3.json" "$P/.near/1/$first"
  t ls "$P/.near/four/" | head -n 1 | grep -q '_2\.json$'
  refused ENOENT ls "$P/.near/99"
  refused EROFS touch "$P/.near/1/x" || refused EPERM touch "$P/.near/1/x" || refused EACCES touch "$P/.near/1/x"
}

@test "the control files are not listed but can be reached" {
  equal '. .. .config.json 1.json 2.json 3.json four.json' "$(t ls -a "$P" | xargs)"
  for f in .search .scroll .count .status.json .near; do [ -e "$P/$f" ]; done
  equal '' "$(t cat "$P/.search" "$P/.scroll" "$P/.count")"
}

@test "the commands search, scroll and count" {
  equal '[1,3]' "$(t "$POINTFS" search "$P" '{"query": [1, 0, 0], "limit": 2}' | jq -c "$ids")"
  equal '[1,2]' "$(echo '{"limit": 2}' | t "$POINTFS" scroll "$P" - | jq -c "$ids")"
  equal 4 "$(t "$POINTFS" count "$P" '{}' | jq .result.count)"
  run t "$POINTFS" search "$P" '{"query": }'
  equal 1 "$status"
  run t "$POINTFS" search "$C/none" '{"query": [1]}'
  [ "$status" -ne 0 ]
  serve_end
  equal '[1,3]' "$(t "$POINTFS" search "$DATA/a" '{"query": [1, 0, 0], "limit": 2}' | jq -c "$ids")"
}

@test "scores and order are those of exact arithmetic" {
  for d in Cosine Dot Euclid Manhattan; do
    mkdir "$C/$d"
    t python3 "$HERE/oracle.py" "$C/$d" $d 600 24
  done
}

@test "scores are the same from segments and their graphs" {
  mkdir "$C/big"
  t python3 "$HERE/oracle.py" "$C/big" Euclid 3000 16
  ask "$C/big/.search" '{"query": 17, "limit": 20, "params": {"exact": true}}' | jq -c "$ids" >"$S/before"
  serve_end
  serve -o allow_other
  ask "$C/big/.search" '{"query": 17, "limit": 20, "params": {"exact": true}}' | jq -c "$ids" >"$S/after"
  cmp "$S/before" "$S/after"
  t jq -e '.points_count == 3000' "$C/big/.status.json"
}

@test "an answer of a megabyte is read whole" {
  t python3 - "$P" <<'END'
import json, os, sys
p = sys.argv[1]
for i in range(100, 400):
    open('%s/%d.json' % (p, i), 'w').write('{"vector": [1, 1, 1], "payload": {"t": "%s"}}' % ('y' * 5000))
fd = os.open(p + '/.search', os.O_RDWR)
os.write(fd, b'{"query": [1, 1, 1], "limit": 300, "with_payload": true}\n')
text = b''
while True:
    part = os.read(fd, 4096)
    if not part:
        break
    text += part
answer = json.loads(text)
assert len(answer['result']['points']) == 300 and len(text) > 1500000
END
}

@test "a query of the wrong length is refused by the write" {
  t python3 - "$P/.search" <<'END'
import errno, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    os.write(fd, b'{"query": [1]}\n')
    sys.exit('accepted')
except OSError as e:
    assert e.errno == errno.EINVAL, e
assert b'expected 3 numbers, got 1' in os.read(fd, 1000)
END
}
