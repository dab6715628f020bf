"""DuckDB: the check of a file in one query, and with --split its parts as they are uploaded, which reads the file again.

usage: duckdb_check.py FILE [--split]

It says that a row is invalid, and not which."""

import os
import shutil
import sys
import tempfile

import duckdb

from measure import Clock

path = sys.argv[1]
folder = tempfile.mkdtemp(prefix="moondrop-duckdb-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
header = open(path, encoding="utf-8").readline().strip().split(",")
columns = ", ".join(f"'{name}': 'VARCHAR'" for name in header)
source = f"""read_csv('{path}', header=true, columns={{{columns}}}, auto_detect=false, delim=',', quote='"', escape='"', strict_mode=true,
    max_line_size=16777216, new_line='\\n')"""
clock = Clock()
database = duckdb.connect(config={"threads": 1, "temp_directory": folder})
rows, unique, types, contents, urls = database.execute(
    f"""select count(*), count(distinct ref_id), count(*) filter (type not in ('text', 'image_url')),
        count(*) filter (content is null or trim(content) = ''),
        count(*) filter (type = 'image_url' and not regexp_matches(content, '^https?://[A-Za-z0-9.\\-:]+[^\\s]*$')) from {source}"""
).fetchone()
if rows != unique or types or contents or urls:
    sys.exit("a row is invalid")
if "--split" in sys.argv:
    # By size: it has no parts of so many rows.
    parts = os.path.join(folder, "parts")
    database.execute(f"copy (select ref_id, type, content from {source}) to '{parts}' (format csv, header, file_size_bytes '5MB')")
clock.stop(os.path.getsize(path), rows)
shutil.rmtree(folder, ignore_errors=True)
