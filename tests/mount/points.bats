#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Points under real tools.

load lib

A='{"vector": [1, 2, 3], "payload": {"t": "a"}}'
B='{"vector": [3, 2, 1], "payload": {"t": "b"}}'

setup() {
  scratch_make
  serve
  mkdir "$C/c"
  P=$C/c
}
teardown() { scratch_remove; }

# What is in a file counts as a point: the index knows it too.
is_point() { answered "$P/.count" "{\"filter\": {\"must\": {\"has_id\": [$1]}}}" .result.count 1; }
is_no_point() { answered "$P/.count" "{\"filter\": {\"must\": {\"has_id\": [$1]}}}" .result.count 0; }

@test "echo and cat give back every byte" {
  printf '  { "vector":[ 1.50,2e0,\t-0.25 ] ,\r\n"payload":{"z":1,"a":"\\u00e9\xc3\xa9","z2":null} } \n\n' >"$S/doc"
  t cp "$S/doc" "$P/1.json"
  t cmp "$S/doc" "$P/1.json"
  echo "$A" >"$P/2.json"
  equal "$A" "$(t cat "$P/2.json")"
  printf '%s' "$A" >"$P/3.json"
  printf '%s' "$A" | t cmp - "$P/3.json"
  t dd if="$P/1.json" bs=1 status=none | cmp - "$S/doc"
  t dd if="$P/1.json" bs=7 skip=1 status=none | cmp - <(tail -c +8 "$S/doc")
  count_is "$P" 3
}

@test "bytes, sizes and times are the same after a remount" {
  printf '{"vector":[0.1,0.20,3e-1],\n "payload":{"s":"x"}}\n\n' >"$S/doc"
  touch -d '2001-02-03 04:05:06.123456789Z' "$S/doc"
  t cp -p "$S/doc" "$P/1.json"
  serve_end
  serve
  t cmp "$S/doc" "$P/1.json"
  equal "$(stat -c '%s %.9Y %.9y' "$S/doc")" "$(t stat -c '%s %.9Y %.9y' "$P/1.json")"
}

@test "cp -a and cp -p keep times to the nanosecond" {
  echo "$A" >"$S/1.json"
  touch -d '1999-12-31 23:59:59.987654321Z' "$S/1.json"
  t cp -a "$S/1.json" "$P/1.json"
  t cp -p "$S/1.json" "$P/2.json"
  equal 946684799.987654321 "$(t stat -c %.9Y "$P/1.json")"
  equal 946684799.987654321 "$(t stat -c %.9Y "$P/2.json")"
  equal "$(stat -c %s "$S/1.json")" "$(t stat -c %s "$P/2.json")"
}

@test "touch -d sets the time of a point" {
  echo "$A" >"$P/1.json"
  t touch -d '2011-11-11 11:11:11.111111111Z' "$P/1.json"
  equal 1321009871.111111111 "$(t stat -c %.9Y "$P/1.json")"
  equal "$A" "$(t cat "$P/1.json")"
}

@test "mv changes the id, in the member too and nowhere else" {
  printf '{ "payload": {"id": 1},  "id" : 1 ,"vector":[1,2,3]}\n' >"$P/1.json"
  t mv "$P/1.json" "$P/22.json"
  equal '{ "payload": {"id": 1},  "id" : 22 ,"vector":[1,2,3]}' "$(t cat "$P/22.json")"
  is_point 22
  is_no_point 1
  t mv "$P/22.json" "$P/a name.json"
  equal '{ "payload": {"id": 1},  "id" : "a name" ,"vector":[1,2,3]}' "$(t cat "$P/a name.json")"
  is_point '"a name"'
  t mv "$P/a name.json" "$P/7.json"
  equal '{ "payload": {"id": 1},  "id" : 7 ,"vector":[1,2,3]}' "$(t cat "$P/7.json")"
  equal "$(t cat "$P/7.json" | wc -c)" "$(t stat -c %s "$P/7.json")"
  equal 7.json "$(names "$P")"
}

@test "mv without an id member changes no byte" {
  echo "$A" >"$P/1.json"
  t mv "$P/1.json" "$P/2.json"
  equal "$A" "$(t cat "$P/2.json")"
  [ ! -e "$P/1.json" ]
}

@test "mv onto an existing point replaces it" {
  echo "$A" >"$P/1.json"
  echo "$B" >"$P/2.json"
  t mv "$P/1.json" "$P/2.json"
  equal "$A" "$(t cat "$P/2.json")"
  equal 2.json "$(names "$P")"
  count_is "$P" 1
}

@test "mv -n leaves an existing point alone" {
  echo "$A" >"$P/1.json"
  echo "$B" >"$P/2.json"
  t mv -n "$P/1.json" "$P/2.json" || true
  equal "$A" "$(t cat "$P/1.json")"
  equal "$B" "$(t cat "$P/2.json")"
}

@test "overwriting is seen by reads and by searches" {
  echo "$A" >"$P/1.json"
  echo "$B" >"$P/1.json"
  equal "$B" "$(t cat "$P/1.json")"
  answered "$P/.search" '{"query": [3, 2, 1], "with_payload": true}' \
    '[.result.points[].payload.t]' '["b"]'
}

@test "rm removes from reads, listings and searches" {
  echo "$A" >"$P/1.json"
  echo "$B" >"$P/2.json"
  t rm "$P/1.json"
  [ ! -e "$P/1.json" ]
  equal 2.json "$(names "$P")"
  answered "$P/.search" '{"query": [1, 2, 3]}' '[.result.points[].id]' '[2]'
  refused ENOENT rm "$P/1.json"
  refused ENOENT cat "$P/1.json"
}

@test "exclusive creation inserts only" {
  echo "$A" >"$P/1.json"
  run t bash -c "set -o noclobber; echo '$B' > '$P/1.json'"
  [ "$status" -ne 0 ]
  run t python3 - "$P/1.json" <<'END'
import os, sys
try:
    os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY)
except FileExistsError:
    sys.exit(0)
sys.exit('created')
END
  equal 0 "$status"
  equal "$A" "$(t cat "$P/1.json")"
  t bash -c "set -o noclobber; echo '$B' > '$P/2.json'"
  equal "$B" "$(t cat "$P/2.json")"
}

@test "touch makes a draft that is no point" {
  t touch "$P/42.json"
  equal 0 "$(t stat -c %s "$P/42.json")"
  count_is "$P" 0
  echo "$A" >"$P/42.json"
  count_is "$P" 1
  t touch "$P/43.json"
  t rm "$P/43.json"
  [ ! -e "$P/43.json" ]
}

@test "truncating and closing without bytes keeps the point" {
  echo "$A" >"$P/1.json"
  : >"$P/1.json"
  equal "$A" "$(t cat "$P/1.json")"
  t truncate -s 0 "$P/1.json"
  equal "$A" "$(t cat "$P/1.json")"
  is_point 1
  equal "${#A}" "$(($(t stat -c %s "$P/1.json") - 1))"
}

@test "sed -i edits in place" {
  echo "$A" >"$P/1.json"
  t sed -i 's/"a"/"edited"/' "$P/1.json"
  equal '{"vector": [1, 2, 3], "payload": {"t": "edited"}}' "$(t cat "$P/1.json")"
  answered "$P/.scroll" '{}' '[.result.points[].payload.t]' '["edited"]'
  equal 1.json "$(names "$P")"
  refused EINVAL sed -i 's/{//' "$P/1.json"
  equal '{"vector": [1, 2, 3], "payload": {"t": "edited"}}' "$(t cat "$P/1.json")"
  equal 1 "$(t ls "$P" | grep -c '\.json$')"
}

@test "vim saves in place" {
  echo "$A" >"$P/1.json"
  t vim -Nu NONE -es -c '%s/"a"/"vim"/' -c wq "$P/1.json" </dev/null
  equal '{"vector": [1, 2, 3], "payload": {"t": "vim"}}' "$(t cat "$P/1.json")"
  equal 1.json "$(t ls -A "$P" | grep -v config)"
}

@test "vim saves by renaming with a backup file" {
  echo "$A" >"$P/1.json"
  t vim -Nu NONE -es -c 'set backup backupcopy=no backupdir=.' -c '%s/"a"/"vim"/' -c wq \
    "$P/1.json" </dev/null
  equal '{"vector": [1, 2, 3], "payload": {"t": "vim"}}' "$(t cat "$P/1.json")"
  count_is "$P" 1
}

@test "tee, dd and install write points" {
  echo "$A" | t tee "$P/1.json" >/dev/null
  echo "$A" | t dd of="$P/2.json" bs=1 status=none
  echo "$A" | t dd of="$P/3.json" bs=5 conv=fsync status=none
  echo "$A" >"$S/doc"
  t install -m 640 "$S/doc" "$P/4.json"
  for i in 1 2 3 4; do equal "$A" "$(t cat "$P/$i.json")"; done
  count_is "$P" 4
}

@test "dd of a wrong document fails and leaves the old one" {
  echo "$A" >"$P/1.json"
  for doc in '{"vector": [1, 2]}' '{"vector": [1, 2, 3]' '[1, 2, 3]'; do
    echo "$doc" >"$S/doc"
    refused EINVAL dd if="$S/doc" of="$P/1.json" bs=1
    refused EINVAL cp "$S/doc" "$P/1.json"
    refused EINVAL tee "$P/1.json" <"$S/doc"
    equal "$A" "$(t cat "$P/1.json")"
  done
}

@test "a document may be written in two appends when the first is whole" {
  echo "$A" >"$P/1.json"
  echo '   ' >>"$P/1.json"
  equal "$A"$'\n   ' "$(t cat "$P/1.json")"
  sh_refused EINVAL "echo '{}' >> '$P/1.json'"
  equal "$A"$'\n   ' "$(t cat "$P/1.json")"
}

@test "part of a document can be overwritten in place" {
  echo "$A" >"$P/1.json"
  t python3 - "$P/1.json" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
at = os.pread(fd, 1000, 0).index(b'1, 2')
os.pwrite(fd, b'7, 8', at)
os.close(fd)
END
  equal '{"vector": [7, 8, 3], "payload": {"t": "a"}}' "$(t cat "$P/1.json")"
  answered "$P/.scroll" '{"with_vector": true}' '.result.points[0].vector' '[7,8,3]'
}

@test "rsync -a transfers nothing the second time" {
  mkdir "$S/src"
  for i in 1 2 3 name; do
    printf '{"vector":[%d, 2.5,1e1]}\n' ${#i} >"$S/src/$i.json"
    touch -d '2015-05-05 05:05:05.555555555Z' "$S/src/$i.json"
  done
  t rsync -a "$S/src/" "$P/"
  t diff -r -x .config.json "$S/src" "$P"
  t rsync -a --stats "$S/src/" "$P/" >"$S/stats"
  grep -q 'files transferred: 0$' "$S/stats"
  count_is "$P" 4
  equal '1.json 2.json 3.json name.json' "$(names "$P" | tr '\n' ' ' | sed 's/ $//')"
}

@test "rsync by checksum and in place" {
  mkdir "$S/src"
  echo "$A" >"$S/src/1.json"
  t rsync -a "$S/src/" "$P/"
  echo "$B" >"$S/src/1.json"
  t touch -r "$P/1.json" "$S/src/1.json"
  t rsync -a --checksum --inplace "$S/src/" "$P/"
  equal "$B" "$(t cat "$P/1.json")"
  t rsync -a --checksum --stats "$S/src/" "$P/" >"$S/stats"
  grep -q 'files transferred: 0$' "$S/stats"
}

@test "rsync -a --delete removes points that the source has not" {
  mkdir "$S/src"
  echo "$A" >"$S/src/1.json"
  echo "$B" >"$P/2.json"
  t rsync -a --delete --exclude=.config.json "$S/src/" "$P/"
  equal 1.json "$(names "$P")"
}

@test "tar takes a collection out and brings it back" {
  for i in 1 2 x; do echo "$A" >"$P/$i.json"; done
  t tar -C "$C" -cf "$S/c.tar" c
  equal 4 "$(tar tf "$S/c.tar" | grep -c json)"
  t cp -a "$P" "$S/before"
  t rm -r "$P"
  t tar -C "$C" -xf "$S/c.tar"
  t diff -r "$S/before" "$P"
  equal "$(stat -c %.9Y "$S/before/1.json" | cut -d. -f1)" "$(t stat -c %Y "$P/1.json")"
  count_is "$P" 3
}

@test "tar replaces points that exist" {
  mkdir "$S/src"
  echo "$B" >"$S/src/1.json"
  tar -C "$S/src" -cf "$S/c.tar" 1.json
  echo "$A" >"$P/1.json"
  t tar -C "$P" -xf "$S/c.tar"
  equal "$B" "$(t cat "$P/1.json")"
}

@test "git keeps a copy of a collection" {
  for i in 1 2; do echo "$A" >"$P/$i.json"; done
  t cp -r "$P" "$S/repo"
  cd "$S/repo"
  git -c init.defaultBranch=main init -q
  git add -A
  git -c user.name=t -c user.email=t@t commit -qm one
  t rm "$P/1.json"
  t git -C "$S/repo" checkout -q -- .
  t git --git-dir="$S/repo/.git" --work-tree="$P" checkout -f -- 1.json
  equal "$A" "$(t cat "$P/1.json")"
  equal '' "$(t git --git-dir="$S/repo/.git" --work-tree="$P" status --porcelain)"
}

@test "hard links and directories in a collection are refused" {
  echo "$A" >"$P/1.json"
  refused EPERM ln "$P/1.json" "$P/2.json"
  refused EPERM mkdir "$P/sub"
  t tail -n 1 "$M/errors.jsonl" | grep -q 'restore --force'
  refused EPERM ln -s 1.json "$P/3.json"
  refused EPERM mkfifo "$P/4.json"
  equal 1.json "$(names "$P")"
}

@test "a point can be read through a mapping" {
  echo "$A" >"$P/1.json"
  t python3 - "$P/1.json" <<'END' >"$S/got"
import mmap, sys
with open(sys.argv[1], 'rb') as f:
    with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        sys.stdout.buffer.write(m[:])
END
  echo "$A" | cmp - "$S/got"
}

@test "stores through a shared mapping take effect" {
  echo "$A" >"$P/1.json"
  t python3 - "$P/1.json" <<'END'
import mmap, sys
with open(sys.argv[1], 'r+b') as f:
    with mmap.mmap(f.fileno(), 0) as m:
        at = m.find(b'"a"')
        m[at:at + 3] = b'"m"'
        m.flush()
END
  equal '{"vector": [1, 2, 3], "payload": {"t": "m"}}' "$(t cat "$P/1.json")"
  answered "$P/.scroll" '{}' '[.result.points[].payload.t]' '["m"]'
}

@test "an open file outlives its removal and its replacement" {
  echo "$A" >"$P/1.json"
  exec 9<"$P/1.json"
  t rm "$P/1.json"
  equal "$A" "$(t cat <&9)"
  exec 9<&-
  echo "$A" >"$P/1.json"
  exec 9<"$P/1.json"
  echo "$B" >"$P/new"
  t mv "$P/new" "$P/1.json"
  equal "$A" "$(t cat <&9)"
  exec 9<&-
  equal "$B" "$(t cat "$P/1.json")"
}

@test "readers see the old point until a slow writer closes" {
  echo "$A" >"$P/1.json"
  exec 9>"$P/1.json"
  printf '{"vector": [3, 2, ' >&9
  equal "$A" "$(t cat "$P/1.json")"
  equal "$((${#A} + 1))" "$(t stat -c %s "$P/1.json")"
  answered "$P/.scroll" '{}' '[.result.points[].payload.t]' '["a"]'
  echo '1], "payload": {"t": "b"}}' >&9
  exec 9>&-
  equal "$B" "$(t cat "$P/1.json")"
}

@test "who reads while others overwrite sees one of the versions, whole" {
  t python3 - "$P/1.json" <<'END'
import os, sys, threading
docs = [b'{"vector": [%d, %d, 1], "payload": {"pad": "%s"}}' % (k, k, b'x' * (k * 400)) for k in range(1, 5)]
open(sys.argv[1], 'wb').write(docs[0])
stop, wrong = threading.Event(), []

def write(doc):
    while not stop.is_set():
        with open(sys.argv[1], 'wb') as f:
            f.write(doc)

def read():
    for _ in range(4000):
        fd = os.open(sys.argv[1], os.O_RDONLY)
        got = os.read(fd, 100000)
        os.close(fd)
        if got not in docs:
            wrong.append(got)

writers = [threading.Thread(target=write, args=(d,)) for d in docs[1:3]]
readers = [threading.Thread(target=read) for _ in range(2)]
for t in writers + readers:
    t.start()
for t in readers:
    t.join()
stop.set()
for t in writers:
    t.join()
sys.exit('%d wrong, the first has %d bytes' % (len(wrong), len(wrong[0])) if wrong else 0)
END
}

# replaced WAY: readers beside a writer that replaces the point in this way.
replaced() {
  t python3 - "$P" "$1" <<'END'
import json, os, sys, threading
d, way = sys.argv[1:]
path = d + '/1.json'
docs = ['{"vector": [%d, %d, 1], "payload": {"pad": "%s"}}' % (k, k, 'x' * (k * 400)) for k in range(1, 5)]
compact = [json.dumps({"id": 1, **json.loads(t)}, separators=(',', ':')) for t in docs]
open(path, 'w').write(docs[0])
stop, wrong = threading.Event(), []

def replace(i):
    if way == 'import':
        with open(d + '/.import', 'w') as f:
            f.write(docs[i].replace('{', '{"id": 1, ', 1) + '\n')
        return
    other = d + ('/2.json' if way == 'point' else '/.1.json.tmp')
    with open(other, 'w') as f:
        f.write(docs[i])
    os.rename(other, path)

def write():
    i = 0
    while not stop.is_set():
        i = (i + 1) % 4
        replace(i)

def read():
    for _ in range(4000):
        fd = os.open(path, os.O_RDONLY)
        got = os.read(fd, 100000).decode()
        os.close(fd)
        if got not in docs and got not in compact:
            wrong.append(got)

threads = [threading.Thread(target=read) for _ in range(2)]
writer = threading.Thread(target=write)
for t in threads + [writer]:
    t.start()
for t in threads:
    t.join()
stop.set()
writer.join()
sys.exit('%d wrong: %r' % (len(wrong), wrong[0][:80]) if wrong else 0)
END
}

@test "who reads while an import replaces the point sees one version, whole" {
  replaced import
}

@test "who reads while a scratch file is renamed over the point does, too" {
  replaced scratch
}

@test "who reads while another point is renamed over the point does, too" {
  replaced point
}

@test "O_TRUNC, ftruncate and truncate mean what they mean elsewhere" {
  t python3 - "$P/1.json" <<'END'
import os, sys
path = sys.argv[1]
long = b'{"vector": [1, 2, 3], "payload": {"t": "' + b'x' * 500 + b'"}}'
short = b'{"vector": [3, 2, 1]}'

def store(doc, flags, cut=None):
    fd = os.open(path, flags, 0o644)
    if cut is not None:
        os.ftruncate(fd, cut)
    os.write(fd, doc)
    os.close(fd)
    return open(path, 'rb').read()

W = os.O_WRONLY
assert store(long, W | os.O_CREAT) == long
assert store(short, W | os.O_TRUNC) == short
assert store(long, W | os.O_TRUNC | os.O_CREAT) == long
assert store(short, W, 0) == short
assert store(long, os.O_RDWR | os.O_TRUNC) == long
assert store(short, os.O_RDWR | os.O_TRUNC | os.O_APPEND) == short
# Two openings of one thread: the cut is the second one's.
first = os.open(path, W)
second = os.open(path, W | os.O_TRUNC)
os.write(second, long)
os.close(second)
assert open(path, 'rb').read() == long
os.close(first)
assert open(path, 'rb').read() == long
# Cut to nothing and left so: no change; and to a whole document.
os.close(os.open(path, W | os.O_TRUNC))
os.truncate(path, 0)
assert open(path, 'rb').read() == long and os.stat(path).st_size == len(long)
assert store(b'', W | os.O_TRUNC) == long
padded = short + b' ' * 50
assert store(padded, W | os.O_TRUNC) == padded
os.truncate(path, len(short))
assert open(path, 'rb').read() == short and os.stat(path).st_size == len(short)
END
}

@test "a refused close keeps the old point, and its bytes can be completed" {
  echo "$A" >"$P/1.json"
  t python3 - "$P/1.json" <<'END'
import errno, os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
os.write(fd, b'{"vector": [3, 2, 1], ')
twin = os.dup(fd)
try:
    os.close(twin)
    sys.exit('half a document was accepted')
except OSError as e:
    assert e.errno == errno.EINVAL, e
assert open(sys.argv[1]).read().startswith('{"vector": [1, 2, 3]')
os.write(fd, b'"payload": {"t": "b"}}\n')
os.close(fd)
END
  equal "$B" "$(t cat "$P/1.json")"
}

@test "a document of 5 MB is byte for byte the same" {
  t python3 - >"$S/doc" <<'END'
import random
random.seed(7)
words = ['alpha', 'beta ', 'gamma\\n', '\\u00e9', 'δ', ' ']
text = ''.join(random.choice(words) for _ in range(1200000))
print('{"vector": [1, 2, 3], "payload": {"text": "%s"}}' % text)
END
  [ "$(stat -c %s "$S/doc")" -gt 5000000 ]
  t cp "$S/doc" "$P/1.json"
  t cmp "$S/doc" "$P/1.json"
  serve_end
  serve
  t cmp "$S/doc" "$P/1.json"
}

@test "a document over max_point_bytes is too big" {
  serve_end
  serve -o max_point_bytes=1MiB
  echo "$A" >"$P/1.json"
  { printf '{"vector":[1,2,3],"payload":{"t":"'; head -c 2000000 /dev/zero | tr '\0' x; echo '"}}'; } >"$S/doc"
  refused EFBIG cp "$S/doc" "$P/1.json"
  equal "$A" "$(t cat "$P/1.json")"
  refused EFBIG truncate -s 2M "$P/1.json"
  t cp "$S/doc" "$P/scratch"
  refused EFBIG mv "$P/scratch" "$P/1.json"
  equal "$A" "$(t cat "$P/1.json")"
}

@test "an id member must be the name" {
  echo '{"id": 1, "vector": [1, 2, 3]}' >"$P/1.json"
  sh_refused EINVAL "echo '{\"id\": 2, \"vector\": [1, 2, 3]}' > '$P/1.json'"
  last_error .code ERR_ID_NAME
  sh_refused EINVAL "echo '{\"id\": \"1\", \"vector\": [1, 2, 3]}' > '$P/3.json'"
  equal '{"id": 1, "vector": [1, 2, 3]}' "$(t cat "$P/1.json")"
}

@test "names have one spelling" {
  local u=6fa459ea-ee8a-4ca4-894e-db77e160355e
  for name in 007 01 "${u^^}" "{$u}" "urn:uuid:$u"; do
    sh_refused EINVAL "echo '$A' > '$P/$name.json'"
  done
  for name in 0 7 18446744073709551615 18446744073709551616 -1 +1 1.5 1e3 "$u" "${u//-/}"; do
    echo "$A" >"$P/$name.json"
    equal "$A" "$(t cat "$P/$name.json")"
  done
  answered "$P/.scroll" '{"limit": 20}' '[.result.points[].id | type] | sort' \
    '["number","number","number","string","string","string","string","string","string","string"]'
  is_point "\"$u\""
  is_point 18446744073709551615
  is_point '"1.5"'
}

@test "string ids may have spaces, any UTF-8 and 250 bytes" {
  local long
  long=$(printf 'x%.0s' {1..250})
  for name in 'a b' 'Zürich 東京 😀' "it's \"quoted\"" '-rf' '*' '%s%n' "$long"; do
    echo "$A" >"$P/$name.json"
    equal "$A" "$(t cat "$P/$name.json")"
    [ -e "$P/$name.json" ]
  done
  count_is "$P" 7
  equal 7 "$(t ls "$P" | wc -l)"
  t rm "$P/$long.json" "$P/-rf.json"
  count_is "$P" 5
}

@test "names over the limits are refused" {
  local n251 n251t
  n251=$(printf 'x%.0s' {1..251})
  refused ENAMETOOLONG touch "$P/$n251.json"
  refused ENAMETOOLONG cat "$P/$n251.json"
  echo "$A" >"$P/1.json"
  refused ENAMETOOLONG mv "$P/1.json" "$P/$n251.json"
  n251t=$(printf 'x%.0s' {1..255})
  t touch "$P/$n251t"
  t rm "$P/$n251t"
}

@test "a name that is not UTF-8 is refused" {
  sh_refused EINVAL "echo '$A' > \"$P/\$(printf 'a\\xff').json\""
  count_is "$P" 0
}

@test "mv between collections moves the point" {
  mkdir "$C/d"
  printf '{"id": 5,  "vector": [1, 2, 3]}' >"$P/5.json"
  t mv "$P/5.json" "$C/d/5.json"
  equal '{"id": 5,  "vector": [1, 2, 3]}' "$(t cat "$C/d/5.json")"
  count_is "$P" 0
  count_is "$C/d" 1
  t mv "$C/d/5.json" "$P/6.json"
  equal '{"id": 6,  "vector": [1, 2, 3]}' "$(t cat "$P/6.json")"
  count_is "$C/d" 0
}

@test "a point does not move into a collection that it does not fit" {
  mkdir "$C/d"
  echo '{"vector": [1, 2]}' >"$C/d/1.json"
  echo "$A" >"$P/5.json"
  refused EINVAL mv "$P/5.json" "$C/d/5.json"
  equal "$A" "$(t cat "$P/5.json")"
  equal 1.json "$(names "$C/d")"
}

@test "scratch files are no points until they are renamed" {
  echo "$A" >"$P/.1.json.Xy12"
  echo 'any text' >"$P/notes.txt"
  count_is "$P" 0
  equal 'any text' "$(t cat "$P/notes.txt")"
  t mv "$P/.1.json.Xy12" "$P/1.json"
  count_is "$P" 1
  refused EINVAL mv "$P/notes.txt" "$P/2.json"
  last_error .op rename
  equal 'any text' "$(t cat "$P/notes.txt")"
  serve_end
  serve
  equal 1.json "$(names "$P")"
}

@test "a point may be renamed away to a backup name and back" {
  echo "$A" >"$P/1.json"
  t mv "$P/1.json" "$P/1.json~"
  count_is "$P" 0
  equal "$A" "$(t cat "$P/1.json~")"
  t mv "$P/1.json~" "$P/1.json"
  count_is "$P" 1
  equal "$A" "$(t cat "$P/1.json")"
}

@test "chmod and chgrp on a point succeed without effect" {
  echo "$A" >"$P/1.json"
  mode=$(t stat -c %a "$P/1.json")
  t chmod 600 "$P/1.json"
  t chgrp "$(id -g)" "$P/1.json"
  equal "$mode" "$(t stat -c %a "$P/1.json")"
}

@test "grep, wc, find and jq read points" {
  for i in {1..20}; do echo "{\"vector\": [1, 2, $i], \"payload\": {\"n\": $i}}" >"$P/$i.json"; done
  equal 20 "$(t find "$P" -name '*.json' ! -name '.*' -type f | wc -l)"
  equal "$P/7.json" "$(t grep -rl '"n": 7}' "$P")"
  equal 210 "$(t cat "$P"/[0-9]*.json | jq -s 'map(.payload.n) | add')"
  equal 1 "$(t find "$P" -name '1.json' -newermt '2020-01-01' | wc -l)"
}

@test "a point without a vector has only its payload" {
  echo '{"payload": {"only": true}}' >"$P/1.json"
  echo "$A" >"$P/2.json"
  equal '{"payload": {"only": true}}' "$(t cat "$P/1.json")"
  count_is "$P" 2
  answered "$P/.search" '{"query": [1, 2, 3]}' '[.result.points[].id]' '[2]'
}

@test "flock and fcntl locks work" {
  echo "$A" >"$P/1.json"
  t flock "$P/1.json" cat "$P/1.json" >/dev/null
  t python3 -c 'import fcntl, sys; f = open(sys.argv[1], "r+"); fcntl.lockf(f, fcntl.LOCK_EX)' "$P/1.json"
  equal "$A" "$(t cat "$P/1.json")"
}

@test "there are no extended attributes" {
  echo "$A" >"$P/1.json"
  run t setfattr -n user.x -v 1 "$P/1.json"
  [ "$status" -ne 0 ]
  equal '' "$(t getfattr -d "$P/1.json" 2>/dev/null)"
}

@test "many writers to one name leave one of their documents" {
  for i in {1..8}; do
    t bash -c "for k in {1..20}; do echo '{\"vector\": [$i, $i, $i], \"payload\": {\"w\": $i}}' > '$P/1.json'; done" 3>&- &
    pids[i]=$!
  done
  for i in {1..8}; do wait "${pids[i]}"; done
  t jq -e '.vector == [.payload.w, .payload.w, .payload.w]' "$P/1.json"
  count_is "$P" 1
}
