# SPDX-License-Identifier: Apache-2.0
"""Writes documents of the bad-input corpus into a mount and checks what comes.

usage: bad_input.py MOUNT GROUP

Each case is tried in three ways: into a file that holds a good point, at once
and in pieces of seven bytes, and through a temporary name that is renamed onto it.  Wanted is a set of errnos, OK among
them where the document may be taken.  Refused: the old document is still there,
byte for byte, and the refused call left one line in errors.jsonl with its
errno.  Accepted: it reads back byte for byte.  In both cases the collection
still answers a search.
"""

import errno
import json
import os
import sys

OK = 0
EINVAL, EFBIG, NOT_YET = errno.EINVAL, errno.EFBIG, errno.EOPNOTSUPP
BAD, GOOD, EITHER = {EINVAL}, {OK}, {OK, EINVAL}
GOOD_DOC = b'{"vector": [1, 2, 3], "payload": {"old": true}}\n'
UUID = "6fa459ea-ee8a-4ca4-894e-db77e160355e"


def vec(numbers):
    return b'{"vector": [' + numbers + b"]}"


def payload(text):
    return b'{"vector": [1, 2, 3], "payload": ' + text + b"}"


def string(raw):
    return payload(b'{"t": "' + raw + b'"}')


def deep(n):
    return payload(b'{"a": ' + b"[" * n + b"]" * n + b"}")


STRUCTURE = [
    ("blank", b"  \n\t ", BAD),
    ("null", b"null", BAD),
    ("number", b"12", BAD),
    ("string", b'"x"', BAD),
    ("array", b"[1, 2, 3]", BAD),
    ("array of a point", b"[" + GOOD_DOC + b"]", BAD),
    ("empty object", b"{}", EITHER),
    ("trailing comma", b'{"vector": [1, 2, 3],}', BAD),
    ("comma in the array", b'{"vector": [1, 2, 3,]}', BAD),
    ("trailing text", GOOD_DOC + b"x", BAD),
    ("trailing brace", GOOD_DOC + b"}", BAD),
    ("two documents", GOOD_DOC + GOOD_DOC, BAD),
    ("line comment", b"// no\n" + GOOD_DOC, BAD),
    ("comment inside", b'{"vector": /* no */ [1, 2, 3]}', BAD),
    ("comment after", GOOD_DOC + b"# no\n", BAD),
    ("byte order mark", b"\xef\xbb\xbf" + GOOD_DOC, BAD),
    ("UTF-16", GOOD_DOC.decode().encode("utf-16"), BAD),
    ("UTF-16 without mark", GOOD_DOC.decode().encode("utf-16-le"), BAD),
    ("NUL after", GOOD_DOC + b"\0", BAD),
    ("NUL inside", b'{"vector"\0: [1, 2, 3]}', BAD),
    ("NUL in a string", string(b"a\0b"), BAD),
    ("single quotes", b"{'vector': [1, 2, 3]}", BAD),
    ("bare key", b"{vector: [1, 2, 3]}", BAD),
    ("missing colon", b'{"vector" [1, 2, 3]}', BAD),
    ("missing comma", b'{"vector": [1 2 3]}', BAD),
    ("wrong closing", b'{"vector": [1, 2, 3}]', BAD),
    ("form feed", b"\x0c" + GOOD_DOC, BAD),
    ("no-break space", b"\xc2\xa0" + GOOD_DOC, BAD),
]

NUMBERS = [
    ("NaN", vec(b"1, 2, NaN"), BAD),
    ("Infinity", vec(b"1, 2, Infinity"), BAD),
    ("-Infinity", vec(b"1, 2, -Infinity"), BAD),
    ("nan", vec(b"1, 2, nan"), BAD),
    ("1e999", vec(b"1, 2, 1e999"), BAD),
    ("-1e999", vec(b"1, 2, -1e999"), BAD),
    ("1e39", vec(b"1, 2, 1e39"), BAD),
    ("3.5e38", vec(b"1, 2, 3.5e38"), BAD),
    ("largest float32", vec(b"1, 2, 3.4028234e38"), GOOD),
    ("1e-999", vec(b"1, 2, 1e-999"), EITHER),
    ("denormal", vec(b"1, 2, 1e-45"), GOOD),
    ("-0", vec(b"1, 2, -0"), GOOD),
    ("-0.0", vec(b"1, 2, -0.0"), GOOD),
    ("hexadecimal", vec(b"1, 2, 0x10"), BAD),
    ("01", vec(b"1, 2, 01"), BAD),
    ("-01", vec(b"1, 2, -01"), BAD),
    ("+1", vec(b"1, 2, +1"), BAD),
    (".5", vec(b"1, 2, .5"), BAD),
    ("1.", vec(b"1, 2, 1."), BAD),
    ("1e", vec(b"1, 2, 1e"), BAD),
    ("1e+", vec(b"1, 2, 1e+"), BAD),
    ("lonely minus", vec(b"1, 2, -"), BAD),
    ("two points", vec(b"1, 2, 1.2.3"), BAD),
    ("underscore", vec(b"1, 2, 1_000"), BAD),
    ("decimal comma", vec(b"1, 2, 3,5"), BAD),
    ("400 digits", vec(b"1, 2, " + b"9" * 400), BAD),
    ("400 digits in the payload", payload(b'{"n": ' + b"9" * 400 + b"}"), EITHER),
    ("1e999 in the payload", payload(b'{"n": 1e999}'), EITHER),
    ("100000 decimals", vec(b"1, 2, 0." + b"3" * 100000), EITHER),
    ("100000 zeros", vec(b"1, 2, 1" + b"0" * 100000), BAD),
    ("100000 digits of exponent", vec(b"1, 2, 1e" + b"9" * 100000), BAD),
    ("zero vector", vec(b"0, 0, 0"), EITHER),
    ("NaN in the payload", payload(b'{"n": NaN}'), BAD),
    ("01 in the payload", payload(b'{"n": 01}'), BAD),
]

VECTOR = [
    ("missing", b'{"payload": {"x": 1}}', GOOD),
    ("null", b'{"vector": null}', EITHER),
    ("string", b'{"vector": "1, 2, 3"}', BAD),
    ("number", b'{"vector": 1}', BAD),
    ("true", b'{"vector": true}', BAD),
    ("strings", vec(b'"1", "2", "3"'), BAD),
    ("booleans", vec(b"true, false, true"), BAD),
    ("nulls", vec(b"null, null, null"), BAD),
    ("one null", vec(b"1, null, 3"), BAD),
    ("nested", vec(b"[1, 2, 3], [4, 5, 6]"), {EINVAL, NOT_YET}),
    ("ragged", vec(b"[1, 2, 3], [4, 5]"), {EINVAL, NOT_YET}),
    ("half nested", vec(b"1, [2], 3"), BAD),
    ("empty", vec(b""), BAD),
    ("short", vec(b"1, 2"), BAD),
    ("long", vec(b"1, 2, 3, 4"), BAD),
    ("a million numbers", vec(b"1," * 999999 + b"1"), BAD),
    ("object", b'{"vector": {"x": 1}}', {EINVAL, NOT_YET}),
    ("named", b'{"vector": {"x": [1, 2, 3]}}', {EINVAL, NOT_YET}),
    ("sparse", b'{"vector": {"indices": [1], "values": [1]}}', {EINVAL, NOT_YET}),
    ("empty object", b'{"vector": {}}', EITHER | {NOT_YET}),
]

KEYS = [
    ("unknown member", b'{"vector": [1, 2, 3], "vectr": 1}', BAD),
    ("wrong case", b'{"Vector": [1, 2, 3]}', BAD),
    ("two vectors", b'{"vector": [1, 2, 3], "vector": [3, 2, 1]}', BAD),
    ("two ids", b'{"id": 1, "id": 1, "vector": [1, 2, 3]}', BAD),
    ("two payloads", b'{"payload": {}, "payload": {}, "vector": [1, 2, 3]}', BAD),
    ("two of a payload key", payload(b'{"a": 1, "a": 2}'), EITHER),
    ("escaped twin", b'{"vector": [1, 2, 3], "v\\u0065ctor": [3, 2, 1]}', BAD),
    ("payload list", payload(b"[1]"), BAD),
    ("payload string", payload(b'"x"'), BAD),
    ("payload null", payload(b"null"), EITHER),
    ("100000 keys", payload(b"{" + b",".join(b'"k%d":%d' % (i, i) for i in range(100000)) + b"}"), GOOD),
    ("__proto__", payload(b'{"__proto__": {"a": 1}}'), GOOD),
    ("empty key", payload(b'{"": 1}'), GOOD),
    ("dotted key", payload(b'{"a.b": 1, "a": {"b": 2}}'), GOOD),
    ("slashed key", payload(b'{"../../etc": 1}'), GOOD),
    ("number key", payload(b"{1: 1}"), BAD),
    ("shard key here", b'{"vector": [1, 2, 3], "shard_key": "x"}', EITHER | {NOT_YET}),
]

DEPTH = [
    ("60 levels", deep(60), GOOD),
    ("2049 levels", deep(2049), EITHER),
    ("a million levels", deep(1000000), BAD),
    ("only openings", b"[" * 1000000, BAD),
    ("only objects", b'{"a":' * 300000, BAD),
    ("openings in the payload", b'{"payload": ' + b"[" * 1000000, BAD),
    ("openings in the vector", b'{"vector": ' + b"[" * 1000000, {EINVAL, NOT_YET}),
    ("string of 1 MiB", string(b"x" * (1 << 20)), GOOD),
    ("key of 1 MiB", payload(b'{"' + b"k" * (1 << 20) + b'": 1}'), EITHER),
]

TEXT = [
    ("lone continuation", string(b"\x80"), BAD),
    ("cut sequence", string(b"\xe6\x9d"), BAD),
    ("overlong slash", string(b"\xc0\xaf"), BAD),
    ("overlong NUL", string(b"\xc0\x80"), BAD),
    ("above U+10FFFF", string(b"\xf4\x90\x80\x80"), BAD),
    ("0xff", string(b"\xff"), BAD),
    ("raw surrogate", string(b"\xed\xa0\x80"), BAD),
    ("half surrogate", string(b"\\ud800"), BAD),
    ("low surrogate first", string(b"\\udc00\\ud800"), BAD),
    ("surrogate and text", string(b"\\ud83dx"), BAD),
    ("whole pair", string(b"\\ud83d\\ude00"), GOOD),
    ("raw newline", string(b"a\nb"), BAD),
    ("raw tab", string(b"a\tb"), BAD),
    ("raw escape", string(b"\x1b[2J"), BAD),
    ("delete", string(b"\x7f"), GOOD),
    ("escaped NUL", string(b"a\\u0000b"), EITHER),
    ("wrong escape", string(b"\\x41"), BAD),
    ("short escape", string(b"\\u00"), BAD),
    ("invalid in a key", payload(b'{"\xff": 1}'), BAD),
    ("invalid outside", b"\xff" + GOOD_DOC, BAD),
    ("every plane", string("aß東😀\U0010ffff".encode()), GOOD),
]


def with_id(text):
    return b'{"id": ' + text + b', "vector": [1, 2, 3]}'


# file name, case, document, wanted
IDS = [
    ("0", "0", with_id(b"0"), GOOD),
    ("1", "1", with_id(b"1"), GOOD),
    ("9223372036854775808", "2^63", with_id(b"9223372036854775808"), GOOD),
    ("18446744073709551615", "2^64-1", with_id(b"18446744073709551615"), GOOD),
    ("18446744073709551616", "2^64 as a number", with_id(b"18446744073709551616"), BAD),
    ("18446744073709551616", "2^64 as a string", with_id(b'"18446744073709551616"'), GOOD),
    ("1", "other number", with_id(b"2"), BAD),
    ("1", "-1", with_id(b"-1"), BAD),
    ("-1", "-1 in its own file", with_id(b"-1"), BAD),
    ("1", "1.5", with_id(b"1.5"), BAD),
    ("1", "1.0", with_id(b"1.0"), EITHER),
    ("1000", "1e3", with_id(b"1e3"), EITHER),
    ("1", "+1", with_id(b"+1"), BAD),
    ("1", "01", with_id(b"01"), BAD),
    ("1", "0x1", with_id(b"0x1"), BAD),
    ("1", "null", with_id(b"null"), BAD),
    ("1", "true", with_id(b"true"), BAD),
    ("1", "list", with_id(b"[1]"), BAD),
    ("1", "empty string", with_id(b'""'), BAD),
    ("x", "007", with_id(b'"007"'), BAD),
    ("a.b", "string", with_id(b'"a.b"'), GOOD),
    ("x", "dot first", with_id(b'".x"'), BAD),
    ("x", "slash", with_id(b'"a/x"'), BAD),
    ("x", "long", with_id(b'"' + b"x" * 251 + b'"'), {EINVAL, errno.ENAMETOOLONG}),
    (UUID, "UUID", with_id(b'"%s"' % UUID.encode()), GOOD),
    (UUID, "UUID in upper case", with_id(b'"%s"' % UUID.upper().encode()), GOOD),
    (UUID, "UUID in braces", with_id(b'"{%s}"' % UUID.encode()), GOOD),
    (UUID, "UUID as urn", with_id(b'"urn:uuid:%s"' % UUID.encode()), GOOD),
    (UUID, "UUID without hyphens", with_id(b'"%s"' % UUID.replace("-", "").encode()), BAD),
    (UUID, "wrong digit", with_id(b'"g%s"' % UUID[1:].encode()), BAD),
    ("00000000-0000-0000-0000-000000000000", "nil UUID",
     with_id(b'"00000000-0000-0000-0000-000000000000"'), GOOD),
]

GROUPS = {
    "structure": STRUCTURE, "numbers": NUMBERS, "vector": VECTOR, "keys": KEYS,
    "depth": DEPTH, "text": TEXT, "ids": IDS,
    "truncated": [("first %d bytes" % n, GOOD_DOC[:n], BAD)
                  for n in range(1, len(GOOD_DOC) - 1)],
}

# --- trying --------------------------------------------------------------------


def attempt(call):
    """The errno of a call, 0 when it succeeds."""
    try:
        call()
        return 0
    except OSError as e:
        return e.errno


def write_out(path, doc, chunk):
    """The errnos of the calls that failed: writes, then the close."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    failed = []
    for at in range(0, len(doc), chunk):
        e = attempt(lambda: os.write(fd, doc[at:at + chunk]))
        if e:
            failed.append(e)
            break
    e = attempt(lambda: os.close(fd))
    return failed + [e] if e else failed


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Mount:
    def __init__(self, path):
        self.errors = path + "/errors.jsonl"
        self.dir = path + "/collections/bad"
        os.makedirs(self.dir)
        self.wrong = 0

    def lines(self):
        return read(self.errors).splitlines()

    def say(self, name, how, text):
        print("%s (%s): %s" % (name, how, text))
        self.wrong += 1

    def answers(self):
        fd = os.open(self.dir + "/.search", os.O_RDWR)
        os.write(fd, b'{"query": [1, 2, 3], "limit": 1}\n')
        answer = json.loads(os.read(fd, 100000))
        os.close(fd)
        return len(answer["result"]["points"]) == 1

    def judge(self, name, how, path, doc, failed, wanted, before):
        names = ["EOPNOTSUPP" if e == NOT_YET else errno.errorcode.get(e, e)
                 for e in failed]
        if not ({failed[0]} if failed else {OK}) <= wanted:
            self.say(name, how, "errno %s" % (names or "none"))
        if read(path) != (GOOD_DOC if failed else doc):
            self.say(name, how, "not the bytes of the %s document" %
                     ("old" if failed else "new"))
        new = [json.loads(line) for line in self.lines()[before:]]
        logged = [(line["op"], line["errno"]) for line in new]
        # A close that repeats what a write said may leave a line of its own.
        if not min(len(names), 1) <= len(new) <= len(names) or \
                (new and logged[0][1] != names[0]):
            self.say(name, how, "refused %s, errors.jsonl says %s" % (names, logged))
        for line in new:
            if len(line["message"]) > 400 or not line["message"]:
                self.say(name, how, "message of %d bytes" % len(line["message"]))
        if not self.answers():
            self.say(name, how, "the search finds nothing")

    def try_case(self, stem, name, doc, wanted):
        path = "%s/%s.json" % (self.dir, stem)
        for how, chunk in (("write", 1 << 17), ("small writes", 7), ("rename", 1 << 20)):
            if how == "small writes" and len(doc) > 1000:
                continue
            os.path.exists(path) and os.unlink(path)
            assert not write_out(path, GOOD_DOC, 1000)
            before = len(self.lines())
            if how == "rename":
                assert not write_out(self.dir + "/.tmp.Xy12", doc, chunk)
                e = attempt(lambda: os.rename(self.dir + "/.tmp.Xy12", path))
                failed = [e] if e else []
            else:
                failed = write_out(path, doc, chunk)
            self.judge(name, how, path, doc, failed, wanted, before)


def main(mount, group):
    m = Mount(mount)
    assert not write_out(m.dir + "/good.json", GOOD_DOC, 1000)
    for case in GROUPS[group]:
        m.try_case(*(case if len(case) == 4 else ("point",) + case))
    sys.exit(m.wrong != 0)


main(*sys.argv[1:])
