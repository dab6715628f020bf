"""Each role's actions, taken away one at a time: with an action gone the flow breaks, so none is superfluous."""

import contextlib
import copy
import datetime
import json
import time

from drops import large, small
from stack import FUNCTIONS, STACK, wait

# What ministack does with its own hands, so that nothing shows here that the role needs it; on AWS it does.
NOT_HERE = {
    "sqs:ReceiveMessage": "Lambda refuses a queue's mapping whose role lacks it (Lambda Developer Guide, Amazon SQS)",
    "sqs:DeleteMessage": "as sqs:ReceiveMessage",
    "sqs:GetQueueAttributes": "as sqs:ReceiveMessage",
    "logs:CreateLogStream": "Lambda writes logs with the function's role",
    "logs:PutLogEvents": "as logs:CreateLogStream",
}

# Files of the trials that take more than a small file.
UNVERSIONED, REFUSED, AGAIN, CONFLICT, EARLIER = "unversioned.csv", "refused.csv", "again.csv", "conflict.csv", "earlier.csv"


class Roles:
    def __init__(self, stack, drops):
        self.stack, self.drops = stack, drops
        self.names = {function: stack.id(f"{function.title()}Role") for function in FUNCTIONS}
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
        """A process that has looked up nothing yet."""
        self.stack.configure(function, COLD=str(time.monotonic()))

    def trial(self, function, sid, action, do, mark=None):
        """Takes the action away and does what needs it, until the function's log says that it was refused."""
        mark = mark or f"perform: {action} "
        since = int(time.time() * 1000)
        with self.without(function, sid, action):
            do()

            wait(f"{function} without {action} ({sid})", lambda: mark in self.stack.log(function, since), 60)

    def try_all(self):
        """Tries every action; gives how many were tried."""
        tried, names = set(), []

        def trial(function, sid, action, do, mark=None):
            self.trial(function, sid, action, do, mark)
            tried.add((function, sid, action))

        def fresh():
            names.append(f"role-{len(names)}.csv")
            self.drops.drop(names[-1], small(names[-1]))
            return names[-1]

        # What fails of collect is tried again after a second, not after minutes.
        self.stack.configure("collect", RETRY_AFTER_SECONDS="1", REMIND_AFTER_SECONDS="1", STALLED_AFTER_SECONDS="1")
        # So does a drop that waits for the key.
        self.stack.configure("submit", RETRY_AFTER_SECONDS="1", STALLED_AFTER_SECONDS="1")
        self._try_submit(trial, fresh)
        self._try_poll(trial, fresh)
        self._try_collect(trial, fresh)
        untold = {each for each in set(self.all()) - tried if each[2] not in NOT_HERE}
        assert not untold, f"not tried, and no reason given: {sorted(untold)}"
        # With everything in its place again, all of it comes to its end. What collect could not announce the end of, poll finds
        # stalled.
        self.stack.configure("poll", STALLED_AFTER_SECONDS="1", REMIND_AFTER_SECONDS="1")
        self.stack.redrive()
        self.drops.finish([*names, EARLIER])
        self.drops.finish([UNVERSIONED, REFUSED, AGAIN], each=2)
        folder, status = self.drops.statuses(CONFLICT)[0]
        assert (status["state"], status["problem"]["code"]) == ("evaluating", "E_CONFLICT"), status
        self.drops.s3.delete_object(Bucket=self.drops.results, Key=f"{folder}results.csv")
        ((_, status),) = self.drops.finish([CONFLICT])[CONFLICT]
        assert status["state"] == "completed_with_errors" and not status["problems"], status
        return len(tried)

    def announce(self, kind, **detail):
        entry = {"EventBusName": STACK, "Source": "moondrop", "DetailType": kind, "Detail": json.dumps(detail)}
        self.stack.events.put_events(Entries=[entry])

    def replay(self, name, at=None):
        """Announces a file again, without its version: a drop of its own."""
        at = at or datetime.datetime.now(datetime.UTC)
        detail = {"bucket": {"name": self.drops.drops}, "object": {"key": f"incoming/{name}"}}
        body = json.dumps({"source": "aws.s3", "time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "detail": detail})
        self.stack.sqs.send_message(QueueUrl=self.stack.out["DropsQueueUrl"], MessageBody=body)

    def in_flight(self, name, each=1):
        """Waits until the file's rows are with the API and its jobs are done, and no one has polled them."""
        states = lambda: [status["state"] for _, status in self.drops.statuses(name)]
        wait(f"{name} is with the API", lambda: states() == ["evaluating"] * each)
        ids = [part["job"] for _, status in self.drops.statuses(name) for part in status["parts"]]
        wait(f"the jobs of {name} are done", lambda: all(j["state"].endswith("_COMPLETED") for j in self.drops.jobs() if j["batchJobId"] in ids))
        return name

    def _try_submit(self, trial, fresh):
        trial("submit", "ReadDrops", "s3:GetObjectVersion", fresh)
        trial("submit", "TellWhatIsGone", "s3:ListBucket", fresh)
        trial("submit", "WriteStatusAndRejections", "s3:GetObject", fresh)
        trial("submit", "WriteStatusAndRejections", "s3:PutObject", fresh)
        for action in ("GetItem", "PutItem", "Query", "UpdateItem"):
            trial("submit", "KeepLedger", f"dynamodb:{action}", fresh)
        trial("submit", "TellOnBus", "events:PutEvents", fresh)
        # A check that is saved all the time, and is over.
        self.stack.configure("submit", SAVE_CHECK_EVERY_SECONDS="0")
        trial("submit", "TidyUp", "s3:DeleteObject", fresh)
        self.stack.configure("submit", SAVE_CHECK_EVERY_SECONDS="60")
        self.start_cold("submit")
        trial("submit", "ReadKey", "secretsmanager:GetSecretValue", fresh)
        # A bucket without versions, or an event that was put again by hand.
        self.drops.drop(UNVERSIONED, small(UNVERSIONED))
        # The refusal of a HEAD has no body, and so no words.
        trial("submit", "ReadDrops", "s3:GetObject", lambda: self.replay(UNVERSIONED), "look up the file in S3: service error")
        # A rejected.csv of several pieces whose place is taken. Once the object there is gone, the drop continues.
        at = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(hours=1)
        taken = f"results/refused/{at:%Y-%m-%dT%H-%M-%SZ}/rejected.csv"
        self.drops.s3.put_object(Bucket=self.drops.results, Key=taken, Body=b"someone else's")
        bad = "".join(f"{i:01000},Text,x\n" for i in range(9_000))
        self.drops.drop(REFUSED, f"ref_id,type,content\n{bad}last,text,x\n".encode())
        trial("submit", "WriteStatusAndRejections", "s3:AbortMultipartUpload", lambda: self.replay(REFUSED, at))
        self.drops.s3.delete_object(Bucket=self.drops.results, Key=taken)

    def _try_poll(self, trial, fresh):
        tick = self.drops.tick
        self.in_flight(fresh())
        trial("poll", "FindOpen", "dynamodb:Query", tick)
        trial("poll", "KeepLedger", "dynamodb:UpdateItem", tick)
        self.start_cold("poll")
        trial("poll", "ReadKey", "secretsmanager:GetSecretValue", tick)
        trial("poll", "TellOnBus", "events:PutEvents", tick)
        for sid, action in (
            ("KeepLedger", "dynamodb:GetItem"),
            ("KeepLedger", "dynamodb:Query"),
            ("WriteStatus", "s3:GetObject"),
            ("WriteStatus", "s3:PutObject"),
        ):
            self.in_flight(fresh())
            trial("poll", sid, action, tick)
        self._forget_status(self.in_flight(fresh()))
        trial("poll", "TellWhatIsGone", "s3:ListBucket", tick)
        # A look for orphaned jobs that falls due: the record of a drop of long ago.
        key = {"pk": {"S": "DROP#0"}, "sk": {"S": "SWEEP"}}
        due = {"drop": {"S": "0"}, "open": {"S": "SWEEP"}, "open_since": {"S": "2026-01-01T00:00:00Z"}}
        self.stack.dynamodb.put_item(TableName=self.stack.out["LedgerTable"], Item=key | due)
        trial("poll", "KeepLedger", "dynamodb:DeleteItem", tick)

    def _try_collect(self, trial, fresh):
        self.drops.drop(CONFLICT, large(50_000))
        self.drops.drop(AGAIN, small(AGAIN))
        self.replay(AGAIN)
        kinds = ("ReadKey", "GetItem", "Query", "UpdateItem", "GetObjectVersion", "GetObject", "PutObject", "DeleteObject", "ListBucket", "PutEvents")
        names = {kind: fresh() for kind in kinds}
        for name in [*names.values(), CONFLICT]:
            self.in_flight(name)
        self.in_flight(AGAIN, each=2)
        # As an earlier release accepted it: what it rejects is in the results' folder alone.
        self.drops.drop(EARLIER, small(EARLIER) + b"bad,video,x\n")
        self.in_flight(EARLIER)
        ((_, status),) = self.drops.statuses(EARLIER)
        self.stack.dynamodb.update_item(
            TableName=self.stack.out["LedgerTable"], Key={"pk": {"S": f"DROP#{status['drop']}"}, "sk": {"S": "META"}},
            UpdateExpression="REMOVE rejections_in_work",
        )
        # Every job is known to be done, and no one is told: collect is told by hand, of one at a time.
        with self.without("poll", "TellOnBus", "events:PutEvents"):
            self.drops.tick()

        def ended(name, which=-1, forget=False):
            folder, status = self.drops.statuses(name)[which]
            if forget:
                self._forget_status(name)
            for part in status["parts"]:
                self.announce("Job Completed", drop=status["drop"], part=part["part"])

        self.start_cold("collect")
        trial("collect", "ReadKey", "secretsmanager:GetSecretValue", lambda: ended(names["ReadKey"]))
        for action in ("GetItem", "Query", "UpdateItem"):
            trial("collect", "KeepLedger", f"dynamodb:{action}", lambda: ended(names[action]))
        trial("collect", "ReadDrops", "s3:GetObjectVersion", lambda: ended(names["GetObjectVersion"]))
        trial("collect", "ReadDrops", "s3:GetObject", lambda: [ended(AGAIN, which) for which in (0, 1)])
        for action in ("GetObject", "PutObject"):
            trial("collect", "WriteResults", f"s3:{action}", lambda: ended(names[action]))
        trial("collect", "ReadEarlierRejections", "s3:GetObject", lambda: ended(EARLIER))
        trial("collect", "TidyUp", "s3:DeleteObject", lambda: ended(names["DeleteObject"]))
        trial("collect", "TellWhatIsGone", "s3:ListBucket", lambda: ended(names["ListBucket"], forget=True))
        trial("collect", "TellOnBus", "events:PutEvents", lambda: ended(names["PutEvents"]))
        # Results of several pieces: begun, and not continued.
        trial("collect", "ResumeResults", "s3:ListMultipartUploadParts", lambda: ended(CONFLICT))
        # Their place is taken: it is not overwritten, and what was begun is given up.
        folder, _ = self.drops.statuses(CONFLICT)[0]
        self.drops.s3.put_object(Bucket=self.drops.results, Key=f"{folder}results.csv", Body=b"someone else's")
        trial("collect", "WriteResults", "s3:AbortMultipartUpload", lambda: ended(CONFLICT))
        assert self.drops.read(f"{folder}results.csv") == b"someone else's"

    def _forget_status(self, name):
        ((folder, _),) = self.drops.statuses(name)
        self.drops.s3.delete_object(Bucket=self.drops.results, Key=f"{folder}status.json")
