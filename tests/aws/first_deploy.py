"""A first deploy that fails, as `sam deploy` does it and as CloudFormation does it by itself: nothing is left, and the next one works."""

import json

from stack import template, wait

NAME = "moondrop-first"
# Made last of all, it waits for a signal that no one gives: the deploy fails when everything else is there.
HANDLE = {"Type": "AWS::CloudFormation::WaitConditionHandle"}
LAST = {"Type": "AWS::CloudFormation::WaitCondition", "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "1"}}


class FirstDeploy:
    def __init__(self, stack):
        self.stack = stack.another(NAME)

    def drive(self):
        before = self._all()
        seen = [self._fails(before, on_failure) for on_failure in ("DELETE", "ROLLBACK")]
        # With nothing given, as whoever tries it out does.
        self.stack.deploy("create_stack")
        out = self.stack.out
        assert all(out[name] for name in ("DropBucketName", "ResultsBucketName", "LedgerTable", "PutApiKey")), out
        made = sum(len(names) for names in self._all().values()) - sum(len(names) for names in before.values())
        self.stack.delete()
        left = {kind: names - before[kind] for kind, names in self._all().items() if names - before[kind]}
        assert {kind: len(names) for kind, names in left.items()} == {"buckets": 2, "tables": 1}, left
        return f"{' and '.join(seen)}; then {made} things by default, of which 2 buckets and 1 table outlive the stack"

    def _fails(self, before, on_failure):
        failing = json.loads(template(self.stack.release))
        others = sorted(name for name, each in failing["Resources"].items() if "Condition" not in each)
        failing["Resources"] |= {"Handle": HANDLE, "Last": LAST | {"DependsOn": others}}
        self.stack.s3.put_object(Bucket="code", Key="failing.json", Body=json.dumps(failing))
        created = self.stack.cloudformation.create_stack(
            StackName=NAME,
            TemplateURL=f"{self.stack.endpoint}/code/failing.json",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            OnFailure=on_failure,
        )["StackId"]
        status = lambda: self.stack.cloudformation.describe_stacks(StackName=created)["Stacks"][0]["StackStatus"]
        ends = {"DELETE": "DELETE_COMPLETE", "ROLLBACK": "ROLLBACK_COMPLETE"}
        wait(f"the failed deploy ends, on failure {on_failure}", lambda: status() == ends[on_failure], 60)
        pages = self.stack.cloudformation.get_paginator("describe_stack_events").paginate(StackName=created)
        states = {(event["LogicalResourceId"], event["ResourceStatus"]) for page in pages for event in page["StackEvents"]}
        for name in ("ResultsBucket", "Ledger", "SubmitFunction", "Dashboard"):
            assert (name, "CREATE_COMPLETE") in states and (name, "DELETE_COMPLETE") in states, (name, sorted(states))
        assert ("Last", "CREATE_FAILED") in states, sorted(states)
        assert self._all() == before, {kind: names ^ before[kind] for kind, names in self._all().items()}
        if on_failure == "ROLLBACK":
            # What is left is the stack's name, until it is deleted.
            self.stack.delete()
        return ends[on_failure]

    def _all(self):
        """The names of all that there is, by kind."""
        stack, watch = self.stack, self.stack.client("cloudwatch")
        names = lambda found, key: {each[key] for each in found}
        listed = lambda client, call, kind, **options: [
            each for page in client.get_paginator(call).paginate(**options) for each in page.get(kind, [])
        ]
        buses = names(stack.events.list_event_buses()["EventBuses"], "Name")
        alarms = listed(watch, "describe_alarms", "MetricAlarms")
        return {
            "buckets": names(stack.s3.list_buckets()["Buckets"], "Name"),
            "tables": set(stack.dynamodb.list_tables()["TableNames"]),
            "queues": set(stack.sqs.list_queues().get("QueueUrls", [])),
            "topics": names(listed(stack.sns, "list_topics", "Topics"), "TopicArn"),
            "functions": names(listed(stack.lambda_, "list_functions", "Functions"), "FunctionName"),
            "mappings": names(listed(stack.lambda_, "list_event_source_mappings", "EventSourceMappings"), "UUID"),
            "roles": names(listed(stack.iam, "list_roles", "Roles"), "RoleName"),
            "policies": names(listed(stack.iam, "list_policies", "Policies", Scope="Local"), "PolicyName"),
            "secrets": names(listed(stack.secretsmanager, "list_secrets", "SecretList"), "Name"),
            "log groups": names(listed(stack.logs, "describe_log_groups", "logGroups"), "logGroupName"),
            "buses": buses,
            "rules": {(bus, rule["Name"]) for bus in buses for rule in stack.events.list_rules(EventBusName=bus)["Rules"]},
            "alarms": names(alarms, "AlarmName"),
            "dashboards": names(listed(watch, "list_dashboards", "DashboardEntries"), "DashboardName"),
        }
