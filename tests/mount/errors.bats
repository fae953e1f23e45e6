#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Refusals: the right errno, the old value intact, one line in errors.jsonl,
# bounded memory.

load lib

setup() {
  scratch_make
  serve
}
teardown() { scratch_remove; }

corpus() { t python3 "$HERE/bad_input.py" "$M" "$1"; }

# VmHWM of the daemon in kB.
peak() { awk '/^VmHWM/ { print $2 }' "/proc/$PID/status"; }
peak_below() {
  sanitized && return 0
  [ "$(peak)" -lt "$1" ] || { echo "the daemon took $(peak) kB"; return 1; }
}

@test "wrong structure is refused" { corpus structure; }
@test "wrong numbers are refused" { corpus numbers; }
@test "wrong vectors are refused" { corpus vector; }
@test "wrong members are refused" { corpus keys; }
@test "deep documents are refused or kept" { corpus depth; }
@test "text that is not UTF-8 is refused" { corpus text; }
@test "ids in bodies are checked against the name" { corpus ids; }
@test "a document cut at any byte is refused" { corpus truncated; }

@test "a body of 100 MB is too big and costs less than 150 MB" {
  four_points c
  { printf '{"vector":[1,2,3],"payload":{"t":"'; head -c 100000000 /dev/zero | tr '\0' x; echo '"}}'; } >"$S/string"
  head -c 100000000 /dev/zero | tr '\0' ' ' >"$S/blanks"
  { printf '{"vector":['; yes '0.123456,' | head -c 100000000 | tr -d '\n'; echo '1]}'; } >"$S/numbers"
  old=$(t cat "$C/c/1.json")
  for f in string blanks; do
    refused EFBIG cp "$S/$f" "$C/c/1.json"
    peak_below 153600
    equal "$old" "$(t cat "$C/c/1.json")"
  done
  # Too long for the collection before it is too big.
  run t cp "$S/numbers" "$C/c/1.json"
  equal 1 "$status"
  equal "$old" "$(t cat "$C/c/1.json")"
  peak_below 153600
}

@test "100 MB by way of a scratch file or a control file cost no more" {
  four_points c
  { printf '{"vector":[1,2,3],"payload":{"t":"'; head -c 100000000 /dev/zero | tr '\0' x; echo '"}}'; } >"$S/doc"
  old=$(t cat "$C/c/1.json")
  t cp "$S/doc" "$C/c/.1.json.Xy12"
  refused EFBIG mv "$C/c/.1.json.Xy12" "$C/c/1.json"
  equal "$old" "$(t cat "$C/c/1.json")"
  t rm "$C/c/.1.json.Xy12"
  run t dd if="$S/doc" of="$C/c/.search" bs=1M conv=notrunc
  [ "$status" -ne 0 ]
  run t dd if="$S/doc" of="$C/c/.config.json" bs=1M conv=notrunc
  [ "$status" -ne 0 ]
  t dd if="$S/doc" of="$C/c/.import" bs=1M conv=notrunc status=none || true
  count_is "$C/c" 4
  peak_below 153600
}

@test "a body grown by seeking is refused" {
  four_points c
  old=$(t cat "$C/c/1.json")
  t python3 - "$C/c/1.json" <<'END'
import errno, os, sys

def end(offset, wanted):
    fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
    got = 0
    for call in (lambda: os.pwrite(fd, b'{"vector":[1,2,3]}', offset), lambda: os.close(fd)):
        try:
            call()
        except OSError as e:
            got = got or e.errno
    assert got == wanted, (offset, got)

end(1000, errno.EINVAL)
end(64 << 20, errno.EFBIG)
end(1 << 50, errno.EFBIG)
END
  equal "$old" "$(t cat "$C/c/1.json")"
  peak_below 153600
}

@test "a refusal is one line that names time, op, path, uid, errno, code and message" {
  four_points c
  before=$(errors_lines)
  sh_refused EINVAL "echo '{\"vector\": [1, 2]}' > '$C/c/1.json'"
  t tail -n +$((before + 1)) "$M/errors.jsonl" >"$S/new"
  jq -e '(keys - ["time", "op", "path", "uid", "errno", "code", "message"]) == [] and
    (.time | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$")) and
    .path == "/collections/c/1.json" and .uid == '"$(id -u)"' and
    .errno == "EINVAL" and .code == "ERR_DIM" and (.message | test("3.*2|2.*3"))' "$S/new" >"$S/yes"
  equal 1 "$(sort -u "$S/yes" | wc -l)"
}

@test "names in errors.jsonl stay one valid line of JSON" {
  mkdir "$C/c"
  sh_refused EINVAL "echo x > \"$C/c/\$(printf 'a\\nb\"\\\\c\\033')\".json"
  run t touch "$C/c/"$'\xff\xfe.json'
  [ "$status" -ne 0 ]
  t jq -e . "$M/errors.jsonl" >/dev/null
  equal "$(errors_lines)" "$(t jq -c . "$M/errors.jsonl" | wc -l)"
}

@test "errors.jsonl keeps the last thousand" {
  four_points c
  t python3 - "$C/c" <<'END'
import os, sys
for i in range(1100):
    fd = os.open('%s/bad%d.json' % (sys.argv[1], i), os.O_WRONLY | os.O_CREAT)
    try:
        os.write(fd, b'x')
        sys.exit('accepted')
    except OSError:
        pass
    os.close(fd)
END
  equal 1000 "$(errors_lines)"
  t tail -n 1 "$M/errors.jsonl" | grep -q bad1099
  t head -n 1 "$M/errors.jsonl" | grep -q bad100.json
  equal "$(t stat -c %s "$M/errors.jsonl")" "$(t cat "$M/errors.jsonl" | wc -c)"
}

@test "wrong questions fail the write and say where" {
  four_points c
  while IFS= read -r body; do
    sh_refused EINVAL "printf '%s\\n' '$body' > '$C/c/.search'" || { echo "$body"; return 1; }
  done <<'END'
[]
12
{"query": [1, 2, "x"]}
{"query": [1, 2, NaN]}
{"query": [1, 2, 3], "limit": -1}
{"query": [1, 2, 3], "limit": 0}
{"query": [1, 2, 3], "limit": "x"}
{"query": [1, 2, 3], "limt": 3}
{"query": [1, 2, 3], "filter": {"must": [{"key": "n"}]}}
{"query": [1, 2, 3], "filter": {"must": [{"key": "n", "match": {"value": 1.5}}]}}
{"query": [1, 2, 3], "filter": {"musst": []}}
{"query": [1, 2, 3]} x
{"searches": 1}
END
  last_error .path /collections/c/.search
  printf '{"query": [1, 2, 3]' >"$S/body"
  refused EINVAL dd if="$S/body" of="$C/c/.search" conv=notrunc
}

@test "an endless question is refused" {
  four_points c
  run t bash -c "yes '[' | tr -d '\n' | head -c 200000000 > '$C/c/.search'"
  [ "$status" -ne 0 ]
  [ "$status" -lt 124 ]
  peak_below 153600
  count_is "$C/c" 4
}
