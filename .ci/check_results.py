#!/usr/bin/env python3
"""Checks a published drop against the file it came from, row by row, without any of Moondrop's code.

usage: check_results.py SOURCE.csv FOLDER     the folder with results.csv, rejected.csv and status.json
"""

import csv
import io
import json
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

csv.field_size_limit(1 << 30)
FIRST = ["ref_id", "type", "labels", "content", "error"]


def fail(where, what):
    sys.exit(f"check_results: {where}: {what}")


def check(ok, where, what):
    if not ok:
        fail(where, what)


def rows_of(data):
    text = data.decode("utf-8-sig")
    return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]


def is_address(text):
    if any(c in " \t\r\n\f" for c in text):
        return False
    parts = urlsplit(text)
    return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)


def verdict(row, first_line):
    """The code a source row is to be rejected with, or None. By the table in shared/README.md."""
    if not row["ref_id"].strip() or len(row["ref_id"].encode()) > 1024:
        return "E_REF_ID"
    if row["type"].strip() not in ("text", "image_url"):
        return "E_TYPE"
    if not row["content"].strip():
        return "E_CONTENT"
    if row["type"].strip() == "image_url" and not is_address(row["content"]):
        return "E_CONTENT"
    if row["ref_id"] in first_line:
        return "E_REF_ID"
    return None


def main(source_path, folder):
    source = Path(source_path).read_bytes()
    results = (folder / "results.csv").read_bytes()
    status = json.loads((folder / "status.json").read_text("utf-8"))

    header, *source_rows = rows_of(source)
    extra = [name for name in header if name not in ("ref_id", "type", "content")]
    out_header, *out_rows = rows_of(results)
    check(out_header == FIRST + extra, "results.csv", f"its columns are {out_header}")
    check(len(out_rows) == len(source_rows), "results.csv", f"{len(out_rows)} rows, where {len(source_rows)} went in")

    outcomes, labels, expected_rejections, kept = Counter(), {}, [], set()
    for number, (fields, out) in enumerate(zip(source_rows, out_rows), start=1):
        where = f"results.csv, row {number}"
        check(len(out) == len(out_header), where, f"{len(out)} fields")
        row, out = dict(zip(header, fields)), dict(zip(out_header, out))
        for name in ["ref_id", "content", *extra]:
            check(out[name] == row[name], where, f"its {name} is not the source's")
        refused = verdict(row, kept)
        if refused:
            check(out["error"].startswith(f"rejected: {refused} "), where, f"it should be rejected with {refused}")
            check(out["labels"] == "" and out["type"] == row["type"], where, "a rejected row has labels, or another type")
            expected_rejections.append((number, row["ref_id"], refused, out["error"].removeprefix(f"rejected: {refused} ")))
            outcomes["rejected"] += 1
            continue
        kept.add(row["ref_id"])
        check(out["type"] == row["type"].strip(), where, "its type is not the source's")
        check(not out["error"].startswith("rejected:"), where, "it is rejected and should not be")
        if out["error"].startswith("missing:"):
            outcomes["missing"] += 1
        else:
            outcomes["failed" if out["error"] else "evaluated"] += 1
        found = json.loads(out["labels"]) if out["labels"] else []
        check(isinstance(found, list) and not (found and out["error"]), where, "its labels are no array, or stand beside an error")
        for label in found:
            check(0 <= label["score"] <= 1, where, "a score is not from 0 to 1")
            count = labels.setdefault(label["label"], {"rows": 0, "histogram": [0] * 10})
            count["rows"] += 1
            count["histogram"][min(int(label["score"] * 10), 9)] += 1

    # rejected.csv: the same rows, each pointed at by line and byte.
    rejected = rows_of((folder / "rejected.csv").read_bytes()) if (folder / "rejected.csv").exists() else [[]]
    if expected_rejections:
        check(rejected[0] == ["line", "byte_offset", "ref_id", "code", "message"], "rejected.csv", "its columns are others")
    check(len(rejected) - 1 == len(expected_rejections), "rejected.csv", f"{len(rejected) - 1} rows")
    for entry, (number, ref_id, refused, reason) in zip(rejected[1:], expected_rejections):
        line, offset, *rest = entry
        where = f"rejected.csv, the entry for line {line}"
        # A `ref_id` that is too long is shown up to the limit.
        shown = ref_id.encode()[:1024].decode(errors="ignore")
        check(rest == [shown, refused, reason], where, "it does not say what results.csv says")
        offset = int(offset)
        check(int(line) == source[:offset].count(b"\n") + 1, where, "line and byte offset do not agree")
        there = next(csv.reader(io.StringIO(source[offset:].decode(), newline=""), strict=True))
        check(there == source_rows[number - 1], where, "another row is at its byte offset")

    # status.json: the same counts.
    rows = status["rows"]
    check(status["schema"] == "moondrop.status/2", "status.json", f"its schema is {status['schema']}")
    for name in ["evaluated", "failed", "rejected", "missing"]:
        check(rows[name] == outcomes[name], "status.json", f"{name} is {rows[name]}; results.csv has {outcomes[name]}")
    check(rows["total"] == rows["checked"] == len(source_rows) and rows["pending"] == 0, "status.json", "its totals are off")
    check(status["labels"] == labels, "status.json", "its labels are not those of results.csv")
    check(sum(part["rows"] for part in status["parts"]) == len(source_rows), "status.json", "its parts do not add up")
    check(sum(part["rejected"] for part in status["parts"]) == outcomes["rejected"], "status.json", "its parts' rejected rows do not add up")
    jobs = [part["job"] for part in status["parts"] if "job" in part]
    check(len(jobs) == len(set(jobs)), "status.json", "two parts have one job")
    check(sum(status["parts_by_state"].values()) == len(status["parts"]), "status.json", "its parts by state do not add up")
    check(status["sizes"]["source"] == len(source), "status.json", "the source's size is off")
    check(status["sizes"]["results"] == len(results), "status.json", "the size of results.csv is off")
    clean = outcomes["evaluated"] == len(source_rows)
    state = "failed" if not outcomes["evaluated"] else "completed" if clean else "completed_with_errors"
    check(status["state"] == state, "status.json", f"its state is {status['state']} and should be {state}")
    for name in status["files"].values():
        check(name.startswith("results/") and (folder / Path(name).name).is_file(), "status.json", f"{name} is not there")
    told = ", ".join(f"{outcomes[name]} {name}" for name in ["evaluated", "failed", "rejected", "missing"])
    print(f"{len(out_rows)} rows in, {len(out_rows)} rows out, in order: {told}; {len(labels)} labels")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
