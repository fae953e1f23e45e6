#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a daemon under writers, with a ledger outside of the mount.

ledger.py POINTFS DIR ROUNDS SEED: each round mounts, lets writers work through
ordinary system calls until a random number of operations is acknowledged,
kills the daemon, mounts over the dead mount, and compares everything with the
ledger: each key has its acknowledged value or the one that was on its way,
whole; listing equals reads; an exact search finds what is there and only that.
Exit code 1 and a line for what was wrong.
"""
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time

KEYS, WRITERS = 40, 4
SLOT = struct.Struct("<qqq")  # acknowledged, on its way, how often acknowledged
pointfs, top, rounds, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
data, mnt = os.path.join(top, "data"), os.path.join(top, "mnt")
coll = os.path.join(mnt, "collections", "c")
GONE = -1


def run(*args, **kw):
    return subprocess.run(args, timeout=60, **kw)


def mount(rnd):
    sync = rnd.choice(["close", "fsync", "interval"])
    p = run(pointfs, "mount", "-o", "sync=" + sync, data, mnt, capture_output=True, text=True)
    if p.returncode != 0:
        sys.exit(f"mount: exit {p.returncode}: {p.stderr}")


def daemon_pid():
    want = os.path.realpath(data)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            args = open(f"/proc/{pid}/cmdline").read().split("\0")
        except OSError:
            continue
        if "mount" in args and any(os.path.realpath(a) == want for a in args if a):
            return int(pid)
    sys.exit("no daemon")


def document(key, value):
    vec = [float(key), float(value), 1.0, value % 7 / 7]
    return json.dumps({"vector": vec, "payload": {"key": key, "value": value, "pad": "x" * (value * 37 % 900)}})


def name(key):
    return os.path.join(coll, f"key-{key}.json")


class Ledger:
    def __init__(self, path):
        with open(path, "wb") as f:
            f.write(SLOT.pack(GONE, GONE, 0) * KEYS * WRITERS)
        self.f = open(path, "r+b")
        self.m = mmap.mmap(self.f.fileno(), 0)

    def get(self, key):
        return SLOT.unpack_from(self.m, key * SLOT.size)

    def begin(self, key, value):
        acked, _, n = self.get(key)
        SLOT.pack_into(self.m, key * SLOT.size, acked, value, n)

    def done(self, key):
        _, way, n = self.get(key)
        SLOT.pack_into(self.m, key * SLOT.size, way, way, n + 1)

    def acknowledged(self):
        return sum(self.get(k)[2] for k in range(KEYS * WRITERS))


def put(rnd, key, value):
    if rnd.random() < 0.5:  # over the name, or aside and renamed
        with open(name(key), "w") as f:
            f.write(document(key, value))
    else:
        tmp = os.path.join(coll, f".tmp-{key}")
        with open(tmp, "w") as f:
            f.write(document(key, value))
        os.rename(tmp, name(key))


def writer(ledger, w, rnd):
    value = rnd.randrange(1000) * 1000
    while True:
        key = w * KEYS + rnd.randrange(KEYS)
        value += 1
        try:
            if rnd.random() < 0.2 and ledger.get(key)[0] != GONE:
                ledger.begin(key, GONE)
                os.unlink(name(key))
            else:
                ledger.begin(key, value)
                put(rnd, key, value)
            ledger.done(key)
        except OSError:
            os._exit(0)  # the daemon is gone


def kill_under_writers(ledger, rnd):
    target = ledger.acknowledged() + rnd.randrange(20, 400)
    pids = []
    for w in range(WRITERS):
        pid = os.fork()
        if pid == 0:
            writer(ledger, w, random.Random(rnd.random() + w))
        pids.append(pid)
    daemon = daemon_pid()
    while ledger.acknowledged() < target:
        if all(os.waitpid(p, os.WNOHANG)[0] for p in pids):
            sys.exit("writers stopped by themselves")
        time.sleep(0.0005)
    os.kill(daemon, signal.SIGKILL)
    for p in pids:
        os.waitpid(p, 0)


def wrong(text):
    sys.exit(f"seed {seed}: {text}")


def verify(ledger):
    listed = {n for n in os.listdir(coll) if n != ".config.json"}
    there = {}
    for key in range(KEYS * WRITERS):
        acked, way, _ = ledger.get(key)
        try:
            text = open(name(key)).read()
        except FileNotFoundError:
            text = None
        value = GONE if text is None else json.loads(text)["payload"]["value"]
        if value not in (acked, way):
            wrong(f"key {key}: has {value}, acknowledged {acked}, on its way {way}")
        if text is not None:
            if text != document(key, value):
                wrong(f"key {key}: torn: {text!r}")
            if os.stat(name(key)).st_size != len(text):
                wrong(f"key {key}: size")
            there[f"key-{key}"] = value
        ledger.begin(key, value)  # what was on its way is settled now
        ledger.done(key)
    if listed != {k + ".json" for k in there}:
        wrong(f"listing and reads differ: {listed ^ {k + '.json' for k in there}}")
    body = {"query": [1, 1, 1, 1], "limit": KEYS * WRITERS + 9, "params": {"exact": True}, "with_payload": True}
    p = run(pointfs, "search", coll, json.dumps(body), capture_output=True, text=True)
    found = {h["id"]: h["payload"]["value"] for h in json.loads(p.stdout)["result"]["points"]}
    if found != there:
        wrong(f"search differs: {set(found.items()) ^ set(there.items())}")


def main():
    rnd = random.Random(seed)
    os.makedirs(mnt, exist_ok=True)
    mount(rnd)
    os.mkdir(coll)
    ledger = Ledger(os.path.join(top, "ledger"))
    for _ in range(rounds):
        kill_under_writers(ledger, rnd)
        mount(rnd)  # takes over from the dead one
        verify(ledger)
    run(pointfs, "umount", mnt, check=True)
    run(pointfs, "check", data, check=True, stdout=subprocess.DEVNULL)
    print(f"{rounds} rounds, {ledger.acknowledged()} acknowledged")


main()
