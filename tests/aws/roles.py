"""Each role's actions, taken away one at a time: with an action gone the flow breaks, so none is superfluous."""

import contextlib
import copy
import datetime
import json
import time

from drops import large, small
from stack import STACK, wait

# What ministack does not enforce, or a run as short as this one does not come to; and what shows the action to be needed.
NOT_HERE = {
    ("submit", "TakeMessages", "sqs:ReceiveMessage"): "AWS Lambda refuses a mapping whose role lacks it; ministack reads the queue itself",
    ("submit", "TakeMessages", "sqs:DeleteMessage"): "as sqs:ReceiveMessage",
    ("submit", "TakeMessages", "sqs:GetQueueAttributes"): "as sqs:ReceiveMessage",
    ("submit", "Log", "logs:CreateLogStream"): "AWS Lambda logs with the role; ministack with its own hands",
    ("submit", "Log", "logs:PutLogEvents"): "as logs:CreateLogStream",
    ("poll", "Log", "logs:CreateLogStream"): "as submit's",
    ("poll", "Log", "logs:PutLogEvents"): "as submit's",
    ("collect", "Log", "logs:CreateLogStream"): "as submit's",
    ("collect", "Log", "logs:PutLogEvents"): "as submit's",
    ("submit", "TellWhatIsGone", "s3:ListBucket"): "S3 answers 403 for a missing key without it (S3 API Reference, GetObject); ministack 404",
    ("poll", "TellWhatIsGone", "s3:ListBucket"): "as submit's",
    ("collect", "TellWhatIsGone", "s3:ListBucket"): "as submit's",
}


class Roles:
    def __init__(self, stack, drops):
        self.stack, self.drops = stack, drops
        resources = stack.cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
        ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
        self.names = {function: ids[f"{function.title()}Role"] for function in ("submit", "poll", "collect")}
        self.policies = {function: self._policy(function) for function in self.names}

    def _policy(self, function):
        policy = self.stack.iam.get_role_policy(RoleName=self.names[function], PolicyName=function)["PolicyDocument"]
        return json.loads(policy) if isinstance(policy, str) else policy

    def _put(self, function, policy):
        self.stack.iam.put_role_policy(
            RoleName=self.names[function], PolicyName=function, PolicyDocument=json.dumps(policy)
        )

    def all(self):
        """Every action of every role."""
        for function, policy in self.policies.items():
            for statement in policy["Statement"]:
                actions = statement["Action"]
                for action in [actions] if isinstance(actions, str) else actions:
                    yield function, statement["Sid"], action

    @contextlib.contextmanager
    def without(self, function, sid, action):
        policy = copy.deepcopy(self.policies[function])
        for statement in policy["Statement"]:
            if statement["Sid"] == sid:
                actions = statement["Action"]
                actions = [actions] if isinstance(actions, str) else actions
                assert action in actions, f"{function} has no {action} in {sid}"
                statement["Action"] = [other for other in actions if other != action]
        policy["Statement"] = [statement for statement in policy["Statement"] if statement["Action"]]
        self._put(function, policy)
        try:
            yield
        finally:
            self._put(function, self.policies[function])

    def start_cold(self, function):
        """As after any change of its configuration: a process that has looked up nothing yet."""
        self.stack.lambda_.update_function_configuration(
            FunctionName=f"{STACK}-{function}", Description=f"cold at {time.monotonic()}"
        )
        settled = lambda: self.stack.lambda_.get_function_configuration(FunctionName=f"{STACK}-{function}")
        wait(f"{function} is updated", lambda: settled()["LastUpdateStatus"] == "Successful")

    def refusals(self, function, since):
        """What the function was refused since then, by its own log."""
        group = f"/aws/lambda/{STACK}-{function}"
        events = self.stack.logs.filter_log_events(logGroupName=group, startTime=since)["events"]
        return [event["message"] for event in events if "AccessDenied" in event["message"]]

    def trial(self, function, sid, action, do):
        """Takes the action away and does what needs it, until the function's log says that it was refused."""
        since = int(time.time() * 1000)
        with self.without(function, sid, action):
            do()

            def refused():
                return [line for line in self.refusals(function, since) if f"perform: {action} " in line]

            wait(f"{function} without {action} ({sid})", refused, 15)

    def try_all(self):
        """Tries every action; gives how many."""
        tried = set()

        def trial(function, sid, action, do):
            self.trial(function, sid, action, do)
            tried.add((function, sid, action))

        names = []

        def fresh(rows=2):
            names.append(f"role-{len(names)}.csv")
            self.drops.drop(names[-1], small(names[-1], rows))
            return names[-1]

        self._try_submit(trial, fresh)
        self._try_poll(trial, fresh)
        self._try_collect(trial, fresh)
        untold = set(self.all()) - tried - set(NOT_HERE)
        assert not untold, f"not tried, and no reason given: {sorted(untold)}"
        stale = set(NOT_HERE) - set(self.all())
        assert not stale, f"reasons for what no role has: {sorted(stale)}"
        # With everything in its place again, all of it comes to its end.
        self.drops.finish(names, seconds=90)
        return len(tried)

    def announce(self, name, kind, at=None, **detail):
        entry = {"EventBusName": STACK, "Source": "moondrop", "DetailType": kind, "Detail": json.dumps(detail)}
        if at:
            entry["Time"] = at
        self.stack.events.put_events(Entries=[entry])

    def replay(self, name, at=None):
        """Announces a file anew, without its version: a drop of its own."""
        self.announce(name, "Drop Stalled", at, bucket={"name": self.drops.drops}, object={"key": f"incoming/{name}"})

    def _try_submit(self, trial, fresh):
        trial("submit", "ReadDrops", "s3:GetObjectVersion", fresh)
        trial("submit", "WriteStatusAndRejections", "s3:GetObject", fresh)
        trial("submit", "WriteStatusAndRejections", "s3:PutObject", fresh)
        for action in ("GetItem", "PutItem", "Query", "UpdateItem"):
            trial("submit", "KeepLedger", f"dynamodb:{action}", fresh)
        trial("submit", "TellOnBus", "events:PutEvents", fresh)
        self.start_cold("submit")
        trial("submit", "ReadKey", "secretsmanager:GetSecretValue", fresh)
