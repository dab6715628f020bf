"""Python's csv module: the check of a file, row by row, and with --split its parts as they are uploaded.

usage: python_check.py FILE [--split]

It finds an invalid row and stops; Moondrop reports each, with line and byte. The size of a part is that of its upload."""

import csv
import io
import os
import sys
from urllib.parse import urlsplit

from measure import Clock

csv.field_size_limit(1 << 26)
MAX_ROWS, MAX_BYTES = 25_000, 32 << 20
HEADER = ["ref_id", "type", "content"]


def is_url(text):
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and " " not in text


def valid_rows(stream):
    """The three columns of each row, once each row is found valid."""
    reader = csv.reader(io.TextIOWrapper(stream, encoding="utf-8", newline=""), strict=True)
    header = next(reader)
    at = [header.index(name) for name in HEADER]
    seen = set()
    for line in reader:
        if len(line) != len(header):
            sys.exit(f"row {reader.line_num}: fields")
        ref_id, kind, content = (line[i] for i in at)
        if not ref_id or ref_id in seen:
            sys.exit(f"row {reader.line_num}: ref_id")
        seen.add(ref_id)
        if not content.strip() or (kind == "image_url" and not is_url(content)):
            sys.exit(f"row {reader.line_num}: content")
        if kind not in ("text", "image_url"):
            sys.exit(f"row {reader.line_num}: type")
        yield ref_id, kind, content


def plan(stream):
    """Rows and parts; nothing is written."""
    rows = parts = in_part = size = 0
    for ref_id, kind, content in valid_rows(stream):
        # The commas, the newline, the quotes and a few more.
        row = len(ref_id) + len(kind) + len(content.encode()) + 8
        if parts == 0 or in_part == MAX_ROWS or size + row > MAX_BYTES:
            parts, in_part, size = parts + 1, 0, 0
        rows, in_part, size = rows + 1, in_part + 1, size + row
    return rows


def split(stream, put):
    """As `plan`; `put` gets the bytes of each part."""
    rows = in_part = 0
    out = writer = None
    for row in valid_rows(stream):
        if out is None or in_part == MAX_ROWS or out.tell() + len(row[2]) > MAX_BYTES:
            if out is not None:
                put(out.getvalue().encode())
            out, in_part = io.StringIO(newline=""), 0
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(HEADER)
        writer.writerow(row)
        rows, in_part = rows + 1, in_part + 1
    put(out.getvalue().encode())
    return rows


if __name__ == "__main__":
    path = sys.argv[1]
    clock = Clock()
    with open(path, "rb", buffering=1 << 20) as file:
        rows = split(file, len) if "--split" in sys.argv else plan(file)
    clock.stop(os.path.getsize(path), rows)
