"""polars: the check of a file in columns, and with --split its parts as they are uploaded. It reads the whole file into memory.

usage: polars_check.py FILE [--split]

It says that a row is invalid, and not which; its reader takes some files that Moondrop refuses."""

import io
import os
import sys

import polars as pl

from measure import Clock

path = sys.argv[1]
clock = Clock()
table = pl.read_csv(path, columns=["ref_id", "type", "content"], infer_schema=False, empty_string_is_null=False)
valid = (
    table["type"].is_in(["text", "image_url"]).all()
    and (table["content"].str.strip_chars() != "").all()
    and (table["ref_id"] != "").all()
    and table.filter(pl.col("type") == "image_url")["content"].str.contains(r"^https?://[A-Za-z0-9.\-:]+[^\s]*$").all()
    and table["ref_id"].n_unique() == table.height
)
if not valid:
    sys.exit("a row is invalid")
if "--split" in sys.argv:
    for part in table.iter_slices(25_000):
        part.write_csv(io.BytesIO())
clock.stop(os.path.getsize(path), table.height)
