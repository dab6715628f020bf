"""Existing things: what they lack as infra/adopt says it, its own commands, and stacks that use them."""

import json
import re

from drops import Drops, small
from stack import ROOT, template, wait

DROPS, OTHER_DROPS, RESULTS, TABLE = "own-drops", "own-drops-2", "own-results", "own-ledger"


def as_s3_takes_it(rule):
    """A rule of a lifecycle in S3's own form."""
    rule = dict(rule)
    taken = {"ID": rule.pop("Id"), "Filter": {"Prefix": rule.pop("Prefix", "")}}
    ends = {"Days": rule.pop("ExpirationInDays", None), "ExpiredObjectDeleteMarker": rule.pop("ExpiredObjectDeleteMarker", None)}
    ends = {name: value for name, value in ends.items() if value is not None}
    return taken | rule | ({"Expiration": ends} if ends else {})


class Adopt:
    def __init__(self, stack, parameters):
        self.stack, self.parameters = stack, parameters

    def look(self, **names):
        """What infra/adopt ends with, and what it prints."""
        options = " ".join(f"--{option.replace('_', '-')} {name}" for option, name in names.items())
        done = self.stack.shell(f"{ROOT}/infra/adopt {options}")
        assert not done.stderr, done.stderr
        return done.returncode, done.stdout

    def obey(self, said):
        """Gives the commands that infra/adopt has printed; gives how many there were."""
        commands = re.findall(r"^ +\$ (.*)$", said, re.MULTILINE)
        done = self.stack.shell("set -e\n" + "\n".join(commands))
        assert done.returncode == 0, done.stderr
        return len(commands)

    def _table(self, name, *keys):
        self.stack.dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"))],
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        )

    def _bare(self):
        """As someone else made them: with a rule of the lifecycle and a statement of the policy that have to stay."""
        s3 = self.stack.s3
        for bucket in (DROPS, OTHER_DROPS, RESULTS):
            s3.create_bucket(Bucket=bucket)
        mine = {"ID": "mine", "Status": "Enabled", "Filter": {"Prefix": "incoming/"}, "Expiration": {"Days": 10}}
        s3.put_bucket_lifecycle_configuration(Bucket=DROPS, LifecycleConfiguration={"Rules": [mine]})
        arn = f"arn:aws:s3:::{RESULTS}"
        mine = {"Sid": "Mine", "Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketAcl", "Resource": arn}
        s3.put_bucket_policy(Bucket=RESULTS, Policy=json.dumps({"Version": "2012-10-17", "Statement": mine}))
        self.key = self.stack.client("kms").create_key()["KeyMetadata"]["Arn"]
        by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.key}
        s3.put_bucket_encryption(
            Bucket=RESULTS, ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": by_key}]}
        )
        self._table(TABLE, "pk", "sk")
        self._table("other-keys", "id")

    def _made_ready(self):
        self._bare()
        code, said = self.look(table="other-keys")
        assert code == 1 and "its keys are not pk and sk" in said, (code, said)
        code, said = self.look(table=self.stack.out["LedgerTable"])
        assert code == 1 and f"the stack {self.stack.name} has it" in said, (code, said)
        code, said = self.look(drop_bucket=DROPS, results_bucket=RESULTS, table=TABLE)
        assert code == 1 and "sends no notifications" in said and "no index open-index" in said, (code, said)
        given = self.obey(said) + self.obey(self.look(drop_bucket=OTHER_DROPS)[1])
        code, said = self.look(drop_bucket=DROPS, results_bucket=RESULTS, table=TABLE)
        assert code == 0 and said.count("nothing is missing") == 3, (code, said)
        assert f"OtherKmsKeyArns={self.key}" in said, said
        # What is there then is what was there before, and what the template gives to its own.
        for own, bucket, kept in (("DropBucket", DROPS, ["mine"]), ("ResultsBucket", RESULTS, [])):
            rules = {rule["ID"]: rule for rule in self.stack.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
            assert all(rules.pop(name)["Expiration"]["Days"] == 35 for name in kept), rules
            written = json.loads(template(self.stack.release))["Resources"][own]["Properties"]["LifecycleConfiguration"]["Rules"]
            assert rules == {rule["Id"]: as_s3_takes_it(rule) for rule in written if "Id" in rule}, (rules, written)
        policy = self.stack.s3.get_bucket_policy(Bucket=RESULTS)["Policy"]
        assert "Mine" in policy and "RefusePlainHttp" in policy, policy
        return given

    def existing(self):
        given = self._made_ready()
        stack = self.stack.another("moondrop-3")
        parameters = self.parameters | {"ExistingResultsBucket": RESULTS, "ExistingTable": TABLE, "OtherKmsKeyArns": self.key}
        stack.deploy("create_stack", **parameters | {"ExistingDropBucket": DROPS})
        stack.put_api_key()
        stack.events.disable_rule(Name=stack.id("TickRule"))
        made = {each["LogicalResourceId"] for each in stack.cloudformation.describe_stack_resources(StackName=stack.name)["StackResources"]}
        assert not made & {"DropBucket", "ResultsBucket", "Ledger"}, made
        assert (stack.out["ResultsBucketName"], stack.out["LedgerTable"]) == (RESULTS, TABLE), stack.out
        drops = Drops(stack)
        drops.drop("before.csv", small("before"))
        drops.reaches("before.csv", ["evaluating"])
        # Without the right to read the former bucket, a part in flight cannot be joined to its rows; it waits.
        stack.deploy("update_stack", **parameters | {"ExistingDropBucket": OTHER_DROPS})

        def refused():
            drops.tick()
            return "s3:GetObject" in stack.log("collect", 0)

        wait("collect may not read the former bucket", refused, 60)
        former = {"ExistingDropBucket": OTHER_DROPS, "FormerDropBucketArns": f"arn:aws:s3:::never-was,arn:aws:s3:::{DROPS}"}
        stack.deploy("update_stack", **parameters | former)
        after = Drops(stack)
        after.drop("after.csv", small("after"))
        drops.drop("too-late.csv", small("too-late"))
        for ((_, status),) in after.finish(["before.csv", "after.csv"]).values():
            assert status["state"] == "completed", status
        folder = after.folders("after.csv")[0]
        assert after.s3.head_object(Bucket=RESULTS, Key=f"{folder}results.csv")["SSEKMSKeyId"] == self.key
        assert not after.folders("too-late.csv"), "a file in the former bucket was taken"
        stack.delete()
        assert {DROPS, OTHER_DROPS, RESULTS} <= {bucket["Name"] for bucket in self.stack.s3.list_buckets()["Buckets"]}
        assert TABLE in self.stack.dynamodb.list_tables()["TableNames"]
        return f"{given} commands; a drop of the former bucket and one of the next completed; all are there after the stack"

    def kept(self):
        drops = Drops(self.stack)
        drops.drop("kept.csv", small("kept"))
        drops.reaches("kept.csv", ["evaluating"])
        out = self.stack.out
        self.stack.delete()
        said = self.stack.operate("kept", STACK=self.stack.name)
        names = {"drop_bucket": out["DropBucketName"], "results_bucket": out["ResultsBucketName"], "table": out["LedgerTable"]}
        assert all(name in said for name in names.values()), said
        code, said = self.look(**names)
        # Advised only, and not on AWS: what ministack's CloudFormation leaves out.
        assert code == 0 and "REQUIRED" not in said, (code, said)
        self.obey(said)
        code, said = self.look(**names)
        assert code == 0 and said.count("nothing is missing") == 3, (code, said)
        adopted = dict(word.split("=") for word in said.split("--parameter-overrides ")[1].split())
        self.stack.deploy("create_stack", **self.parameters | adopted)
        self.stack.put_api_key()
        self.stack.events.disable_rule(Name=self.stack.id("TickRule"))
        drops = Drops(self.stack)
        ((_, status),) = drops.finish(["kept.csv"])["kept.csv"]
        assert status["state"] == "completed", status
        jobs = [job["name"] for job in drops.jobs() if not job["state"].endswith("CANCELLED")]
        assert len(jobs) == len(set(jobs)), "a part has two live jobs"
        return "found as infra/README.md says; nothing required is missing; it continued and completed"
