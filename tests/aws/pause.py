"""Pause and resume as an operator does them, by infra/pause and infra/resume, with an update of the stack between the two."""

import json
import time

from drops import small
from stack import wait

ITEM = {"pk": {"S": "STACK"}, "sk": {"S": "PAUSED"}}


def pause(drive):
    stack, drops = drive.stack, drive.drops
    operator = operators(stack)
    drops.drop("in-flight.csv", small("in-flight"))
    drops.reaches("in-flight.csv", ["evaluating"])

    assert "is paused since" in stack.script("pause", **operator)
    since = paused_at(stack)
    assert since and mappings(stack) == ["Disabled", "Disabled"]
    drops.drop("waits.csv", small("waits"))
    wait("it waits in the queue", lambda: waiting(stack) == 1, 20)
    assert "was paused already" in stack.script("pause", **operator) and paused_at(stack) == since, "once more changes nothing"

    stack.deploy("update_stack", **drive.parameters | {"UploadsAtOnce": "2"})
    assert mappings(stack) == ["Disabled", "Disabled"] and paused_at(stack) == since, "an update resumes nothing"
    assert waiting(stack) == 1 and not drops.folders("waits.csv")
    item_is_read(stack, drops)

    assert "is resumed" in stack.script("resume", **operator)
    assert mappings(stack) == ["Enabled", "Enabled"] and not paused_at(stack)
    for ((_, status),) in drops.finish(["in-flight.csv", "waits.csv"]).values():
        assert status["state"] == "completed", status
    assert "was not paused" in stack.script("resume", **operator), "once more changes nothing"
    stack.deploy("update_stack", **drive.parameters)
    return "paused over an update; both drops completed"


def item_is_read(stack, drops):
    """What the item does by itself: poll leaves the records alone, and submit does no more than record a drop."""
    ids = [part["job"] for _, status in drops.statuses("in-flight.csv") for part in status["parts"]]
    ended = lambda: [job for job in drops.jobs() if job["batchJobId"] in ids and job["state"].endswith("_COMPLETED")]
    wait("its job is done", lambda: len(ended()) == len(ids))
    records, since = ledger(stack), int(time.time() * 1000)
    assert drops.tick() and ledger(stack) == records, "poll leaves the records alone"
    wait("poll says that it is paused", lambda: '"Paused":1' in stack.log("poll", since), 20)
    # As if something else had enabled the mapping of submit.
    jobs, messages = len(drops.jobs()), stack.messages(stack.out["DropsQueueUrl"])
    (mapping,) = stack.lambda_.list_event_source_mappings(FunctionName=stack.function("submit"))["EventSourceMappings"]
    stack.lambda_.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    wait("submit is done with the message", lambda: stack.messages(stack.out["DropsQueueUrl"]) == messages - 1, 30)
    new = [item["sk"]["S"] for item in ledger(stack) if item not in records]
    assert sorted(new) == ["CLAIM", "META"] and len(drops.jobs()) == jobs, f"the drop is recorded, with its folder, and no more: {new}"
    stack.lambda_.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


def operators(stack):
    """Keys of a user who may do what the stack's policy for operators allows, and nothing else."""
    arn = stack.out["OperatorsPolicyArn"]
    version = stack.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    policy = stack.iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    policy = json.loads(policy) if isinstance(policy, str) else policy
    for statement in policy["Statement"]:
        # ministack has no lambda:FunctionArn.
        if "lambda:FunctionArn" in statement.get("Condition", {}).get("ArnEquals", {}):
            del statement["Condition"]
    stack.iam.create_user(UserName="operator")
    stack.iam.put_user_policy(UserName="operator", PolicyName="operate", PolicyDocument=json.dumps(policy))
    key = stack.iam.create_access_key(UserName="operator")["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def waiting(stack):
    """How many drops are in the queue and in no one's hand."""
    return stack.messages(stack.out["DropsQueueUrl"], in_hand=False)


def paused_at(stack):
    item = stack.dynamodb.get_item(TableName=stack.out["LedgerTable"], Key=ITEM, ConsistentRead=True).get("Item", {})
    return item.get("paused_at", {}).get("S")


def mappings(stack):
    """The states of the mappings of submit's and collect's queues."""
    of = lambda name: stack.lambda_.list_event_source_mappings(FunctionName=stack.function(name))["EventSourceMappings"]
    return [mapping["State"] for name in ("submit", "collect") for mapping in of(name)]


def ledger(stack):
    """All records of the ledger."""
    pages = stack.dynamodb.get_paginator("scan").paginate(TableName=stack.out["LedgerTable"], ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    return sorted(items, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))
