"""Python's csv module: each part's rows with the API's answers, and the counts of labels.

usage: python_join.py SOURCE RESULTS

RESULTS has the answers of one part after the other, as `moondrop-bench gen` writes them."""

import collections
import csv
import io
import itertools
import json
import os
import sys

from measure import Clock

csv.field_size_limit(1 << 26)
FIRST = ["ref_id", "type", "labels", "content", "error"]


def open_csv(path):
    stream = open(path, "rb", buffering=1 << 20)
    reader = csv.reader(io.TextIOWrapper(stream, encoding="utf-8", newline=""), strict=True)
    return reader, next(reader)


source, results = sys.argv[1:3]
clock = Clock()
rows = 0
counts = collections.Counter()
reader, header = open_csv(source)
answers, columns = open_csv(results)
if columns != FIRST:
    sys.exit("the results have other columns")
at = [header.index(name) for name in ("ref_id", "type", "content")]
extra = [i for i in range(len(header)) if i not in at]
while part := list(itertools.islice(reader, 25_000)):
    found = {ref_id: (labels, content, error) for ref_id, _, labels, content, error in itertools.islice(answers, len(part))}
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for row in part:
        ref_id, kind, content = (row[i] for i in at)
        labels, sent, error = found[ref_id]
        if sent != content:
            sys.exit(f"{ref_id}: the results have another text")
        if labels:
            for label in json.loads(labels):
                counts[label["label"]] += 1
        writer.writerow([ref_id, kind, labels, content, error, *(row[i] for i in extra)])
        rows += 1
    out.getvalue().encode()
clock.stop(os.path.getsize(results), rows)
