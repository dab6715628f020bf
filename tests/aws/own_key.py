"""A stack with a KMS key of one's own.

What ministack checks of a key: calls of KMS itself, by the caller's policies and the key's. Its other services keep a key's name and
never use it, so that nothing here depends on the key's policy, on kms:ViaService being there, or on grants. So what is seen here is
that what needs the key is given it, and undelivered events are not; that the key's policy is one that KMS takes; and that the roles may
not use the key themselves.
"""

import copy
import json
import re

from drops import Drops, small
from stack import ACCOUNT, REGION, ROOT

NAME = "moondrop-4"


def key_policy():
    """That of infra/README.md, beside the one that every key begins with."""
    text = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"```json\n(\[.*?\n\])\n```", text, re.DOTALL)
    statements = json.loads(written.replace("111122223333", ACCOUNT).replace("us-east-1", REGION).replace("moondrop-", f"{NAME}-"))
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [root, *statements]}


class OwnKey:
    def __init__(self, stack, parameters):
        self.stack, self.parameters = stack.another(NAME), parameters

    def drive(self):
        stack = self.stack
        self.key = stack.client("kms").create_key(Policy=json.dumps(key_policy()))["KeyMetadata"]["Arn"]
        stack.deploy("create_stack", **self.parameters | {"KmsKeyArn": self.key, "OnDelete": "delete"})
        stack.put_api_key()
        stack.events.disable_rule(Name=stack.id("TickRule"))
        drops = Drops(stack)
        drops.drop("key.csv", small("key"))
        ((_, status),) = drops.finish(["key.csv"])["key.csv"]
        assert status["state"] == "completed", status
        self.everything_is_encrypted()
        tried = sum(self.only_through_services(function) for function in ("submit", "poll", "collect"))
        for bucket in (drops.drops, drops.results):
            stack.operate("empty", BUCKET=bucket)
        stack.delete()
        return f"queues, logs and secret name the key, undelivered events do not; {tried} direct uses refused"

    def everything_is_encrypted(self):
        """But for buckets, table and topic, whose keys ministack's CloudFormation leaves out: guard.rules looks at those."""
        stack, keys = self.stack, {}
        keys["secret"] = stack.secretsmanager.describe_secret(SecretId=stack.id("ApiKeySecret")).get("KmsKeyId")
        for group in stack.logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{stack.name}-")["logGroups"]:
            keys[group["logGroupName"]] = group.get("kmsKeyId")
        for queue in ("DropsQueue", "JobsQueue", "DropsDeadLetters", "JobsDeadLetters"):
            keys[queue] = self._queue(queue).get("KmsMasterKeyId")
        assert len(keys) == 8 and set(keys.values()) == {self.key}, keys
        # Where EventBridge puts what it could not deliver must not need the key that it may be refused.
        undelivered = self._queue("UndeliveredEvents")
        assert "KmsMasterKeyId" not in undelivered and undelivered["SqsManagedSseEnabled"] == "true", undelivered

    def _queue(self, queue):
        return self.stack.sqs.get_queue_attributes(QueueUrl=self.stack.id(queue), AttributeNames=["All"])["Attributes"]

    def only_through_services(self, function):
        """Who has a role's rights to the key is refused it, and it is the conditions that do it: without them it may be used."""
        iam = self.stack.iam
        policy = iam.get_role_policy(RoleName=self.stack.id(f"{function.title()}Role"), PolicyName="key")["PolicyDocument"]
        policy = json.loads(policy) if isinstance(policy, str) else policy
        bare = copy.deepcopy(policy)
        for statement in bare["Statement"]:
            assert statement.pop("Condition")["StringEquals"]["kms:ViaService"], statement
        # A role of its own, since none but Lambda may assume the function's.
        trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
        role = f"as-{function}"
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}))
        kms = self._as(role)
        uses = (
            lambda: kms.generate_data_key(KeyId=self.key, KeySpec="AES_256"),
            lambda: kms.encrypt(KeyId=self.key, Plaintext=b"x"),
            lambda: kms.describe_key(KeyId=self.key),
        )
        iam.put_role_policy(RoleName=role, PolicyName="key", PolicyDocument=json.dumps(bare))
        for use in uses:
            use()
        iam.put_role_policy(RoleName=role, PolicyName="key", PolicyDocument=json.dumps(policy))
        for use in uses:
            try:
                use()
            except kms.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDeniedException", error
            else:
                raise AssertionError(f"{function} may use the key itself")
        iam.delete_role_policy(RoleName=role, PolicyName="key")
        iam.delete_role(RoleName=role)
        return len(uses)

    def _as(self, role):
        """A client with a role's temporary credentials."""
        arn = self.stack.iam.get_role(RoleName=role)["Role"]["Arn"]
        given = self.stack.client("sts").assume_role(RoleArn=arn, RoleSessionName="a-function")["Credentials"]
        return self.stack.client(
            "kms",
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )
