#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Turns apt's package lists into points for the demo, as JSON lines.

usage: demo_lsa.py LISTS_DIR OUT.jsonl [--dim 256] [--least 50000]

A point is a package: its id is the name, its vector the latent semantic
analysis of its description (TF-IDF, then a truncated SVD), its payload what
apt says about it.  Packages whose descriptions use words in the same company
end up near each other, whether or not they share these words.
"""

import argparse
import glob
import json
import os
import re
import sys
import time

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer


def stanzas(path):
    """Yields each paragraph of a control file as a dict of its fields."""
    fields, last = {}, None
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line == "\n":
                if fields:
                    yield fields
                fields, last = {}, None
            elif line[0] in " \t":
                if last:
                    fields[last].append(line.strip())
            else:
                last, _, value = line.partition(":")
                fields[last] = [value.strip()]
    if fields:
        yield fields


def description(fields, key):
    """The short line, and the long text with its paragraphs joined."""
    lines = fields[key]
    text = " ".join("\n" if x == "." else x for x in lines[1:])
    return lines[0], re.sub(r" *\n *", "\n", text).strip()


def read_translations(lists):
    found = {}
    for path in glob.glob(os.path.join(lists, "*_Translation-en")):
        for fields in stanzas(path):
            if "Description-en" in fields and "Description-md5" in fields:
                found[fields["Description-md5"][0]] = \
                    description(fields, "Description-en")
    return found


def read_packages(lists, translations):
    """One dict a package, by rising name; the first version seen counts."""
    packages = {}
    for path in sorted(glob.glob(os.path.join(lists, "*_Packages"))):
        for fields in stanzas(path):
            name = fields.get("Package", [""])[0]
            if not name or name in packages or "Description" not in fields:
                continue
            md5 = fields.get("Description-md5", [""])[0]
            summary, text = translations.get(md5) \
                or description(fields, "Description")
            packages[name] = {
                "name": name,
                "section": fields.get("Section", ["unknown"])[0],
                "summary": summary,
                "installed_size": int(fields.get("Installed-Size", ["0"])[0]),
                "description": text,
            }
    return [packages[name] for name in sorted(packages)]


def text_of(package):
    """What is analysed: the summary says it best, so it counts twice."""
    name = re.sub(r"[^a-z]+", " ", package["name"])
    return " ".join([name, package["summary"], package["summary"],
                     package["description"]])


def embed(packages, dim):
    """A unit row of dim numbers for each package."""
    terms = TfidfVectorizer(
        sublinear_tf=True, min_df=3, max_df=0.1, stop_words="english",
        dtype=np.float32, token_pattern=r"(?u)\b[a-z][a-z0-9+]+\b")
    counts = terms.fit_transform(text_of(p) for p in packages)
    say("%d packages, %d words" % counts.shape)
    rows = TruncatedSVD(dim, n_iter=2, random_state=1).fit_transform(counts)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def write_points(path, packages, rows):
    with open(path, "w", encoding="utf-8") as out:
        for package, row in zip(packages, rows):
            payload = json.dumps(package, ensure_ascii=False,
                                 separators=(",", ":"))
            numbers = ",".join("%.6g" % x for x in np.round(row, 6))
            out.write('{"id":%s,"vector":[%s],"payload":%s}\n'
                      % (json.dumps(package["name"]), numbers, payload))


STARTED = time.monotonic()


def say(text):
    print("  %5.1f s  %s" % (time.monotonic() - STARTED, text),
          file=sys.stderr, flush=True)


def main():
    args = argparse.ArgumentParser(description="apt lists to points")
    args.add_argument("lists")
    args.add_argument("out")
    args.add_argument("--dim", type=int, default=256)
    args.add_argument("--least", type=int, default=50000)
    args = args.parse_args()

    packages = read_packages(args.lists, read_translations(args.lists))
    if len(packages) < args.least:
        sys.exit("demo_lsa: only %d packages in %s, wanted %d"
                 % (len(packages), args.lists, args.least))
    described = sum(1 for p in packages if p["description"])
    if described < args.least / 2:
        sys.exit("demo_lsa: only %d packages have a description; was "
                 "Translation-en fetched?" % described)
    say("read %d packages" % len(packages))
    rows = embed(packages, args.dim)
    say("analysed")
    write_points(args.out, packages, rows)
    say("wrote %s" % args.out)


if __name__ == "__main__":
    main()
