"""ministack, which counts requests (see counted.py), with four things fixed, as AWS does them: S3's events through EventBridge name
the object's version; an object is read by version and range together; who may not list a bucket is not told that a key is missing,
but refused; and a part that is copied has a checksum, as the upload asks for."""

import base64
import contextvars
import hashlib
import json
import re
import sys

from counted import record
from ministack import app
from ministack.core.iam_evaluator import enforce
from ministack.services import eventbridge, s3

version = contextvars.ContextVar("version", default=None)
fire, dispatch, get_object = s3._fire_s3_event, eventbridge._dispatch_event, s3._get_object
copy_part = s3._upload_part_copy


def fire_with_version(*args, **kwargs):
    token = version.set(kwargs.get("version_id"))
    try:
        return fire(*args, **kwargs)
    finally:
        version.reset(token)


def dispatch_with_version(event, *args, **kwargs):
    if event.get("Source") == "aws.s3" and version.get():
        detail = json.loads(event["Detail"])
        detail["object"].setdefault("version-id", version.get())
        event = event | {"Detail": json.dumps(detail)}
    return dispatch(event, *args, **kwargs)


def may_list(bucket, headers):
    signed = re.search(r"Credential=([^/]+)/[^/]+/([^/]+)/", headers.get("authorization", ""))
    return not signed or enforce(signed[1], "s3:ListBucket", "s3", signed[2], resource_arn=f"arn:aws:s3:::{bucket}") is None


def get_as_aws_does(bucket, key, headers, query=None):
    code, answer, body = get_object(bucket, key, headers, query)
    if code == 404 and not may_list(bucket, headers):
        return s3._error("AccessDenied", "The caller is not authorized to perform: s3:ListBucket on the bucket", 403, f"/{bucket}/{key}")
    asked = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
    if code == 200 and asked and (query or {}).get("versionId"):
        first, last = int(asked[1]), min(int(asked[2]), len(body) - 1)
        answer = {name: value for name, value in answer.items() if name.lower() != "content-length"}
        answer |= {"Content-Range": f"bytes {first}-{last}/{len(body)}", "Content-Length": str(last - first + 1)}
        return 206, answer, body[first : last + 1]
    return code, answer, body


def copy_part_with_checksum(bucket, key, query, headers):
    code, answer, body = copy_part(bucket, key, query, headers)
    upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"), {})
    if code == 200 and upload.get("checksum_algorithm") == "SHA256":
        part = upload["parts"][int(s3._qp(query, "partNumber"))]
        checksum = base64.b64encode(hashlib.sha256(part["body"]).digest()).decode()
        part["checksums"] = {"SHA256": checksum}
        body = body.replace(b"</CopyPartResult>", f"<ChecksumSHA256>{checksum}</ChecksumSHA256></CopyPartResult>".encode())
    return code, answer, body


s3._upload_part_copy = copy_part_with_checksum
s3._fire_s3_event, eventbridge._dispatch_event, s3._get_object = fire_with_version, dispatch_with_version, get_as_aws_does
record(app, "requests.log")
sys.exit(app.main())
