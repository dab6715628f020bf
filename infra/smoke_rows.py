"""The files that `infra/smoke` drops, and the comparison of a file with its results: one row out for every row in, in order, with all
its fields to the byte."""

import csv
import hashlib
import io
import itertools
import json
import random
import re

HEADER = b"posted_at,ref_id,lang,type,content,author\n"
# The columns that results begin with; the file's others follow in their order.
RESULTS = [b"ref_id", b"type", b"labels", b"content", b"error"]
WORDS = "harbour street party lantern autumn market kettle ferry bridge postcard garden notice library bicycle rain window".split()
# Quotes, commas, newlines within quotes, and letters of more than a byte.
AUTHORS = ["tomas", '"Mill Lane, Traders"', '"The ""Old"" Ferry"', "Søren", "小林", '"two\nlines"', ""]
# A field with its separator, or with what ends its row.
FIELD = re.compile(rb'("(?:[^"]|"")*"|[^,\r\n]*)(,|\r?\n|$)')
MOST_SHOWN = 5
# rejected.csv has a longer `ref_id` cut at this.
REF_ID_BYTES = 1024


def generated(rows, size):
    """A file of so many valid rows and about so many bytes, the same one each time."""
    draw, room = random.Random(20), size // rows
    lines = [HEADER]
    for number in range(1, rows + 1):
        author = draw.choice(AUTHORS)
        end = f",{author}\n".encode()
        begin = f"2026-11-{number % 28 + 1:02}T08:00:00Z,smoke-{number},en,text,".encode()
        text = f"Notice {number}: "
        left = room - len(begin) - len(end) - len(text)
        while left > 0:
            word = draw.choice(WORDS) + " "
            text, left = text + word, left - len(word)
        lines.append(begin + text.strip().encode() + end)
    return b"".join(lines)


def records(data):
    """The rows of a CSV file as lists of raw fields, with their quotes; blank lines are none."""
    row, at = [], 3 if data.startswith(b"\xef\xbb\xbf") else 0
    while at < len(data):
        found = FIELD.match(data, at)
        if not found:
            raise ValueError(f"the CSV cannot be read at byte {at}")
        row.append(found[1])
        at = found.end()
        if found[2] != b",":
            if row != [b""]:
                yield row
            row = []


def plain(field):
    """A raw field's text."""
    if field.startswith(b'"'):
        field = field[1:-1].replace(b'""', b'"')
    return field.decode()


class Outcomes:
    """The rows of a results.csv by what its column `error` says, as shared/README.md defines it."""

    def __init__(self):
        self.counts = dict.fromkeys(("evaluated", "failed", "rejected", "missing"), 0)
        self.rejected = []

    def add(self, ref_id, labels, error):
        first = error.split(":")[0]
        kind = "evaluated" if not error else first if first in ("rejected", "missing") else "failed"
        self.counts[kind] += 1
        if kind == "rejected":
            self.rejected.append(plain(ref_id).encode()[:REF_ID_BYTES].decode(errors="ignore"))
        if kind == "evaluated" and labels:
            json.loads(labels)


def compare(source, results):
    """Holds results against their file; gives the rows by outcome, and what is wrong, in words without content."""
    wrong, outcomes = [], Outcomes()
    sources, answers = records(source), records(results)
    header = [plain(name).strip().encode() for name in next(sources)]
    expected = RESULTS + [name for name in header if name not in RESULTS]
    if next(answers, None) != expected:
        return outcomes, ["results.csv has other columns than `ref_id,type,labels,content,error` and the file's own in their order"]
    places = [(at, expected.index(name)) for at, name in enumerate(header)]
    number = 0
    for number, (sent, came) in enumerate(itertools.zip_longest(sources, answers), 1):
        if sent is None or came is None:
            where = "results.csv ends" if came is None else "results.csv goes on"
            wrong.append(f"row {number}: {where}, and the file {'goes on' if came is None else 'ends'}")
            break
        if len(came) != len(expected):
            wrong.append(f"row {number} has {len(came)} fields in place of {len(expected)}")
            continue
        wrong += [f"row {number}: `{header[at].decode()}` is not what was dropped" for at, to in places if sent[at] != came[to]]
        try:
            outcomes.add(came[0], plain(came[2]), plain(came[4]))
        except ValueError:
            wrong.append(f"row {number}: `labels` is not JSON")
    more = len(wrong) - MOST_SHOWN
    return outcomes, wrong[:MOST_SHOWN] + ([f"and {more} like these"] if more > 0 else [])


def rejections(text):
    """The ref_ids of a rejected.csv in its order, as results.csv has them."""
    lines = csv.DictReader(io.StringIO(text.decode(), newline=""))
    return [line["ref_id"] for line in lines]


def digest(data):
    return hashlib.sha256(data).hexdigest()
