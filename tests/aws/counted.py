"""Counts what the functions ask of S3, DynamoDB and EventBridge, as AWS charges for it: ministack writes a line of JSON into
requests.log for each request, and `counted` adds lines up. DynamoDB's units are worked out from the items in requests and answers
(Amazon DynamoDB Developer Guide, "Capacity unit consumption" and "Item sizes and formats"): the ledger asks for the new item with
each update."""

import collections
import json
import math
import re

# Those of the tests, and of the commands that they give. The functions have keys of their roles.
OURS = "test"


def size(value):
    """The bytes of a value in DynamoDB's JSON."""
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return math.ceil(len(held.strip("-0.")) / 2) + 1
        case "SS":
            return sum(len(each.encode()) for each in held)
        case "NS":
            return sum(math.ceil(len(each) / 2) + 1 for each in held)
        case "L":
            return 3 + sum(1 + size(each) for each in held)
        case "M":
            return 3 + sum(1 + len(name.encode()) + size(each) for name, each in held.items())
    return 1


def item_size(item):
    return sum(len(name.encode()) + size(value) for name, value in item.items())


def of_dynamodb(operation, asked, answered):
    """Write units in the table, write units in the index, and read units."""
    writes = index = reads = 0
    match operation:
        case "PutItem":
            writes = math.ceil(item_size(asked["Item"]) / 1024)
            index = writes if "open" in asked["Item"] else 0
        case "UpdateItem":
            item = answered.get("Attributes") or answered.get("Item") or {}
            writes = max(1, math.ceil(item_size(item) / 1024))
            names = asked.get("ExpressionAttributeNames", {})
            # It is in the index, or this takes it out of it.
            index = writes if "open" in item or "#open" in names else 0
        case "DeleteItem":
            writes = index = 1
        case "GetItem":
            whole = max(1, math.ceil(item_size(answered.get("Item", {})) / 4096))
            reads = whole if asked.get("ConsistentRead") else whole / 2
        case "Query":
            whole = max(1, math.ceil(sum(map(item_size, answered.get("Items", []))) / 4096))
            reads = whole if asked.get("ConsistentRead") else whole / 2
    return {"writes": writes, "index_writes": index, "reads": reads}


def of_s3(method, query, headers):
    """The tier of S3's prices."""
    if method == "DELETE":
        return {"s3_free": 1}
    is_list = method == "GET" and ("list-type" in query or "uploadId" in query)
    return {"s3_writes": 1} if is_list or method in ("PUT", "POST") else {"s3_reads": 1}


def record(app, path):
    """Has ministack write requests.log. The app is the module ministack.app."""
    dispatch = app._dispatch_service_request
    log = open(path, "a", encoding="utf-8", buffering=1)

    async def counting(method, path, headers, body, query, request_id):
        answer = await dispatch(method, path, headers, body, query, request_id)
        signed = re.search(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/", headers.get("authorization", ""))
        if signed and signed[1] != OURS and signed[2] in ("s3", "dynamodb", "events"):
            operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
            line = {"service": signed[2], "operation": operation or method}
            if signed[2] == "s3":
                line |= of_s3(method, query, headers)
            elif signed[2] == "dynamodb":
                line |= of_dynamodb(operation, json.loads(body), json.loads(answer[2] or b"{}"))
            else:
                line |= {"events": len(json.loads(body).get("Entries", []))}
            log.write(json.dumps(line) + "\n")
        return answer

    app._dispatch_service_request = counting


def counted(path, since=0):
    """The sums of what was written from this line on, and the number of the next line."""
    sums = collections.Counter()
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in map(json.loads, lines[since:]):
        sums[f"{line.pop('service')} {line.pop('operation')}"] += 1
        sums.update(line)
    return sums, len(lines)
