"""boto3, requests and the csv module: a whole drop, without anything that survives an error. Everything is kept in memory.

usage: boto3_drop.py FILE, with the line that `moondrop-bench servers` prints on standard input"""

import csv
import io
import itertools
import json
import os
import sys
import tempfile
import time

import boto3
import requests

from measure import Clock
from python_check import HEADER, valid_rows

path = sys.argv[1]
servers = json.loads(sys.stdin.readline())
bucket, jobs_url = servers["bucket"], servers["api"].rstrip("/") + "/v1/batch-jobs"
s3 = boto3.client("s3", endpoint_url=servers["s3"], aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
http = requests.Session()
key = {"Authorization": "Bearer " + servers["key"]}

clock = Clock()
s3.upload_file(path, bucket, "python/source.csv")
body = s3.get_object(Bucket=bucket, Key="python/source.csv")["Body"]
rows, parts, jobs = valid_rows(body), [], []
while part := list(itertools.islice(rows, 25_000)):
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(part)
    created = http.post(jobs_url, json={"name": f"python-{len(jobs)}", "policyId": "sandbox"}, headers=key)
    created.raise_for_status()
    # Without our key: the URL is signed.
    requests.put(created.json()["inputFileUploadUrl"], data=out.getvalue().encode()).raise_for_status()
    jobs.append(created.json()["batchJobId"])
    parts.append(part)

while True:
    asked = http.get(jobs_url, params=[("batchJobIds", job) for job in jobs], headers=key)
    asked.raise_for_status()
    found = {job["batchJobId"]: job for job in asked.json()["batchJobs"]}
    if all(found[job]["state"].endswith("COMPLETED") for job in jobs):
        break
    time.sleep(0.5)

out = io.StringIO(newline="")
writer = csv.writer(out, lineterminator="\n")
writer.writerow(["ref_id", "type", "labels", "content", "error"])
for job, part in zip(jobs, parts):
    fetched = requests.get(found[job]["outputFileUrl"])
    fetched.raise_for_status()
    answers = {row["ref_id"]: row for row in csv.DictReader(io.StringIO(fetched.content.decode(), newline=""))}
    for ref_id, kind, content in part:
        answer = answers[ref_id]
        if answer["labels"]:
            json.loads(answer["labels"])
        writer.writerow([ref_id, kind, answer["labels"], content, answer["error"]])
s3.put_object(Bucket=bucket, Key="python/results.csv", Body=out.getvalue().encode())
with tempfile.TemporaryDirectory() as folder:
    s3.download_file(bucket, "python/results.csv", os.path.join(folder, "results.csv"))
    clock.stop(os.path.getsize(path), sum(map(len, parts)))
