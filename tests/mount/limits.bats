#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Many files, many openings.

load lib

setup() {
  scratch_make
  serve
}
teardown() { scratch_remove; }

ten_thousand() {
  mkdir "$C/c"
  awk 'BEGIN { for (i = 1; i <= 10000; i++)
    printf "{\"id\": %d, \"vector\": [%d, 1, %d], \"payload\": {\"n\": %d}}\n", i, i, i % 7, i }' >"$S/points"
  t cp "$S/points" "$C/c/.import"
}

@test "ten thousand points are listed once each" {
  ten_thousand
  equal 10000 "$(names "$C/c" | wc -l)"
  equal 10000 "$(names "$C/c" | sort -u | wc -l)"
  equal 10001 "$(t find "$C/c" -type f | wc -l)"
  equal 10003 "$(t ls -f "$C/c" | wc -l)"
  equal 10001 "$(t ls -lA "$C/c" | grep -c json)"
  equal 10000 "$(t find "$C/c" -name '*.json' ! -name '.*' -size -200c | wc -l)"
  equal 10000 "$(t bash -c 'cd "$1" && cat *.json | grep -o vector | wc -l' - "$C/c")"
  serve_end
  serve
  equal 10000 "$(names "$C/c" | sort -u | wc -l)"
  equal 50005000 "$(t bash -c 'cd "$1" && cat *.json | jq -s "map(.payload.n) | add"' - "$C/c")"
  equal 25 "$(t bash -c 'cd "$1" && cat 2[0-4].json 1[0-9].json 3[0-9].json | grep -o vector | wc -l' - "$C/c")"
}

@test "rm of every other point while the directory is read" {
  ten_thousand
  t python3 - "$C/c" <<'END'
import os, sys
c = sys.argv[1]
seen = []
with os.scandir(c) as entries:
    for e in entries:
        if e.name.startswith('.'):
            continue
        seen.append(e.name)
        if int(e.name[:-5]) % 2:
            os.unlink(c + '/' + e.name)
assert len(seen) == 10000 and len(set(seen)) == 10000, len(seen)
left = [n for n in os.listdir(c) if not n.startswith('.')]
assert len(left) == 5000 and all(int(n[:-5]) % 2 == 0 for n in left), len(left)
END
  count_is "$C/c" 5000
}

@test "points made while the directory is read are neither doubled nor lost" {
  ten_thousand
  t python3 - "$C/c" <<'END'
import os, sys, threading
c = sys.argv[1]

def write():
    for i in range(20000, 20300):
        with open('%s/%d.json' % (c, i), 'w') as f:
            f.write('{"vector": [1, 2, 3]}')

t = threading.Thread(target=write)
t.start()
for _ in range(10):
    names = os.listdir(c)
    assert len(names) == len(set(names))
    assert set('%d.json' % i for i in range(1, 10001)) <= set(names)
t.join()
assert len(os.listdir(c)) == 10301
END
}

@test "a directory can be read from a kept position" {
  ten_thousand
  t python3 - "$C/c" <<'END'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.opendir.restype = ctypes.c_void_p
libc.readdir.argtypes = libc.telldir.argtypes = libc.rewinddir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]

def name(d):
    p = libc.readdir(d)
    return ctypes.string_at(p + 19).decode() if p else None

d = libc.opendir(sys.argv[1].encode())
first = [name(d) for _ in range(3000)]
at = libc.telldir(d)
rest = [name(d) for _ in range(500)]
libc.seekdir(d, at)
assert [name(d) for _ in range(500)] == rest
libc.rewinddir(d)
assert [name(d) for _ in range(3000)] == first
libc.closedir(d)
END
}

@test "statfs tells of a file system that stores something" {
  four_points a
  t stat -f -c '%l %b %f %s' "$M" >"$S/statfs"
  read -r names blocks free size <"$S/statfs"
  equal 255 "$names"
  [ "$blocks" -gt 0 ]
  [ "$free" -gt 0 ]
  [ "$size" -gt 0 ]
  t df "$M" | grep -qF "$M"
  t df -i "$M" >/dev/null
}

@test "tail -f ends with its reader" {
  four_points a
  run timeout -k 2 1 tail -f "$C/a/1.json"
  equal 124 "$status"
  [[ $output == *London* ]]
}

@test "du and ls -s count what is stored" {
  four_points a
  [ "$(t du -b "$C/a/1.json" | cut -f1)" = "$(t stat -c %s "$C/a/1.json")" ]
  [ "$(t du -sb --apparent-size "$C/a" | cut -f1)" -gt 100 ]
}

@test "a thousand open files" {
  ten_thousand
  t python3 - "$C/c" <<'END'
import os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
n = 1000 if hard > 1100 or hard < 0 else hard - 100
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2000) if hard > 0 else 2000, hard))
files = [open('%s/%d.json' % (sys.argv[1], i)) for i in range(1, n)]
for i, f in enumerate(files, 1):
    assert '"n":%d' % i in f.read().replace(' ', ''), i
asked = [os.open(sys.argv[1] + '/.search', os.O_RDWR) for _ in range(200)]
for fd in asked:
    os.write(fd, b'{"query": [1, 2, 3], "limit": 1}\n')
for fd in asked:
    assert b'"points"' in os.read(fd, 10000)
END
}

@test "many readers and writers at once" {
  mkdir "$C/c"
  t python3 - "$C/c" <<'END'
import json, os, sys, threading
c, wrong = sys.argv[1], []

def work(k):
    try:
        for i in range(60):
            path = '%s/%d.json' % (c, i % 10)
            with open(path, 'w') as f:
                f.write('{"vector": [%d, %d], "payload": {"k": %d}}' % (k, k, k))
            doc = json.load(open(path))
            assert doc['vector'] == [doc['payload']['k']] * 2, doc
            fd = os.open(c + '/.search', os.O_RDWR)
            os.write(fd, b'{"query": [1, 1], "with_payload": true, "with_vector": true}\n')
            for p in json.loads(os.read(fd, 100000))['result']['points']:
                assert p['vector'] == [p['payload']['k']] * 2, p
            os.close(fd)
    except Exception as e:
        wrong.append(e)

threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 9)]
for t in threads:
    t.start()
for t in threads:
    t.join()
sys.exit(repr(wrong[0]) if wrong else 0)
END
  count_is "$C/c" 10
}

@test "create and remove, again and again, in one name" {
  mkdir "$C/c"
  t python3 - "$C/c/1.json" <<'END'
import os, sys
for i in range(500):
    with open(sys.argv[1], 'x') as f:
        f.write('{"vector": [%d, 1]}' % i)
    assert open(sys.argv[1]).read() == '{"vector": [%d, 1]}' % i
    os.unlink(sys.argv[1])
    assert not os.path.exists(sys.argv[1])
END
  count_is "$C/c" 0
}
