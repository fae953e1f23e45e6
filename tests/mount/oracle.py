# SPDX-License-Identifier: Apache-2.0
"""Checks the answers of .search against distances computed here.

usage: oracle.py COLLECTION_DIR DISTANCE COUNT DIM

Writes COUNT points with random vectors through one .import, then asks for the
neighbours of random vectors, plain and filtered, and compares ids and scores.
"""

import json
import math
import os
import random
import struct
import sys


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def euclid(a, b):
    return math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(a, b)))


SCORES = {
    "Dot": (dot, True),
    "Cosine": (lambda a, b: dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)), True),
    "Euclid": (euclid, False),
    "Manhattan": (lambda a, b: math.fsum(abs(x - y) for x, y in zip(a, b)), False),
}


def converse(path, body):
    fd = os.open(path, os.O_RDWR)
    data = body.encode()
    while data:
        data = data[os.write(fd, data):]
    answer = b""
    while True:
        part = os.read(fd, 1 << 16)
        if not part:
            break
        answer += part
    os.close(fd)
    return json.loads(answer)


def compare(query, got, points, score, larger, limit, keep):
    wanted = [(score(query, v), i) for i, v in points.items() if keep(i)]
    wanted.sort(key=lambda w: (-w[0] if larger else w[0], w[1]))
    wanted = wanted[:limit]
    assert len(got) == len(wanted), (len(got), len(wanted))
    for hit, (s, i) in zip(got, wanted):
        assert math.isclose(hit["score"], s, rel_tol=1e-4, abs_tol=1e-5), (hit, s)
        # Another id only where the two are as good as equal.
        mine = score(query, points[hit["id"]])
        assert hit["id"] == i or math.isclose(mine, s, rel_tol=1e-5, abs_tol=1e-6), (hit, i)
        assert keep(hit["id"]), hit


def main(coll, distance, count, dim):
    score, larger = SCORES[distance]
    rnd = random.Random(42)

    def vector():
        return [f32(rnd.uniform(-1, 1)) for _ in range(dim)]

    with open(coll + "/.config.json", "w") as f:
        json.dump({"vectors": {"size": dim, "distance": distance}}, f)
    points = {i: vector() for i in range(1, count + 1)}
    lines = [json.dumps({"id": i, "vector": v, "payload": {"n": i, "even": i % 2 == 0}})
             for i, v in points.items()]
    answer = converse(coll + "/.import", "\n".join(lines) + "\n")
    assert answer["status"] == "ok", answer
    for exact in (True, False):
        for _ in range(5):
            q = vector()
            body = {"query": q, "limit": 7, "params": {"exact": exact, "hnsw_ef": 256}}
            got = converse(coll + "/.search", json.dumps(body) + "\n")
            compare(q, got["result"]["points"], points, score, larger, 7, lambda i: True)
            body["filter"] = {"must": [{"key": "even", "match": {"value": True}},
                                       {"key": "n", "range": {"gt": 10, "lte": 400}}]}
            got = converse(coll + "/.search", json.dumps(body) + "\n")
            compare(q, got["result"]["points"], points, score, larger, 7,
                    lambda i: i % 2 == 0 and 10 < i <= 400)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
