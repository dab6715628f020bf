"""Deploys infra/template.yaml on ministack with the real functions, drives it as a user, an operator and an accident would, and
holds what comes of it against `moondrop run`. Prints a table of what was seen; ends with 1 if anything was not as it should be.

Where ministack is not AWS:
- It moves no dead letters back by itself, takes no events with a time of their own, and retries no event that a function failed at.
- Saved queries and metric math are unknown to it; it runs no query on logs and raises no alarm from functions' metrics. The
  linters have looked at the queries, and every metric of an alarm is one that AWS or our code names.
- Slack's channel, and its webhook's connection and destination, are unknown to it; of those examples the linters look at the
  rest, and the rule of the first is deployed.
- The roles' actions that Lambda itself uses are not enforced: see NOT_HERE in roles.py. Of the operators' policy it does not know
  lambda:FunctionArn and dynamodb:LeadingKeys.
- emulator.py fixes four things.
- Time is shortened: the queue brings a message back after a second (5,400 in the template) where a step says so.
- No arm64, no memory limit, no read-only file system; binaries are debug builds. `sam build`, `sam deploy` and
  `aws cloudformation deploy` themselves are not run.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from adopt import Adopt
from drops import Drops, compare, large, rows, small
from examples import Examples
from first_deploy import FirstDeploy
from own_key import OwnKey
from package import Package
from pause import pause
from roles import NOT_HERE, Roles
from smoke import Smoke
from stack import BINARIES, KEY, ROOT, STACK, Stack, wait
from update import update

POSTS = ROOT / "tests" / "fixtures" / "posts.csv"
LARGE_ROWS = 50_000


class Drive:
    def __init__(self, folder, stack, only):
        self.folder, self.stack, self.only, self.table, self.failed = folder, stack, only, [], False
        self.other = None
        self.large = large(LARGE_ROWS)

    def step(self, what, do):
        began = time.monotonic()
        try:
            seen = do() or ""
            word = "ok"
        except Exception:
            traceback.print_exc()
            seen, word, self.failed = "see above", "FAILED", True
        self.table.append((what, word, time.monotonic() - began, seen))
        print(f"{word:6} {time.monotonic() - began:6.1f} s  {what}{': ' if seen else ''}{seen}", flush=True)
        return word == "ok"

    def run(self):
        local_posts = self._run_locally(POSTS, 100)
        (self.folder / "large.csv").write_bytes(self.large)
        local_large = self._run_locally(self.folder / "large.csv", 5_000)
        if not self.step("the template is deployed", self.deploy):
            return
        self.drops = Drops(self.stack)
        self.roles = Roles(self.stack, self.drops)
        # The steps after it count on the stack as it is updated here.
        self.step("the example, and an update of the stack while it is in flight", lambda: self.example(local_posts))
        self.adopt = Adopt(self.stack, self.parameters)
        steps = [
            ("a file overwritten in flight", self.overwritten),
            ("a file that is refused, with its report", self.refused),
            ("the examples' rules take events further", self.examples),
            ("two hundred files at once", self.many),
            ("an update and a roll back with drops in flight", lambda: update(self, local_large)),
            ("the stack is paused, updated and resumed", lambda: pause(self)),
            ("the schedule ticks by itself", self.scheduled),
            ("infra/smoke, interrupted and continued", lambda: Smoke(self.stack, self.drops).run()),
            ("a large file, and submit and collect killed over it", lambda: self.killed(local_large)),
            ("a message becomes a dead letter, and is redriven", self.dead_letter),
            ("drops that EventBridge could not deliver, moved as infra/README.md says", self.undelivered),
            ("a file copied onto itself, as infra/README.md says", self.replayed),
            ("a drop cancelled, as infra/README.md says", self.cancelled),
            ("collect fails again and again, and its message is kept", self.collect_fails),
            ("each action of each role taken away", self.actions),
            ("nothing is left open", self.nothing_left),
            ("another stack on an existing bucket, without versions", self.existing_bucket),
            ("a first deploy that fails leaves nothing, and one with all defaults works", FirstDeploy(self.stack).drive),
            ("a stack with a KMS key of one's own, whose policy is infra/README.md's", OwnKey(self.stack, self.parameters).drive),
            ("existing buckets and a table are adopted as infra/adopt says, and the drop bucket is changed", self.adopt.existing),
            ("what a deleted stack kept is adopted, with a drop in flight", self.adopt.kept),
            ("a package of infra/package, deployed without parameters", lambda: Package(self.stack, "moondrop-3").run()),
            ("the stack is deleted, and its data is kept", self.deleted),
            ("the other one is deleted with its data, as it was asked to", self.deleted_with_data),
        ]
        for what, do in steps:
            if not self.only or any(word in what for word in self.only):
                self.step(what, do)

    def _run_locally(self, file, rows_per_job):
        out, state = self.folder / f"out-{file.stem}", self.folder / f"state-{file.stem}"
        command = [BINARIES / "moondrop", "run", file, "--out", out, "--state", state, "--job-time", "1s"]
        command += ["--rows-per-job", str(rows_per_job)]
        with open(self.folder / f"run-{file.stem}.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.stack.processes.append(process)

        def results():
            assert process.wait(120) == 0, f"`moondrop run {file.name}` ended with {process.returncode}"
            (folder,) = (out / "results" / file.stem).iterdir()
            return folder

        return results

    def deploy(self):
        self.stack.s3.create_bucket(Bucket="code")
        self.stack.upload_code()
        self.parameters = {
            "ApiUrl": self.stack.api_url,
            "DefaultPolicy": "sandbox",
            "PollEvery": "rate(1 minute)",
            "RowsPerJob": "100",
            "RemindAfterSeconds": "1",
        }
        self.stack.deploy("create_stack", **self.parameters)
        self.stack.put_api_key()

    def scheduled(self):
        """A tick that is none of ours. From here on the clock is ours alone: others would disturb what is looked at."""
        ticks = lambda: self.stack.log("poll", 0).count("START RequestId") - self.drops.ticks
        wait("a tick by the schedule", lambda: ticks() > 0, 90, every=0.5)
        self.stack.events.disable_rule(Name=self.stack.id("TickRule"))
        return f"{ticks()} by now"

    def example(self, local):
        self.drops.drop("posts.csv", POSTS.read_bytes())
        self.drops.reaches("posts.csv", ["evaluating"])
        self.parameters["RowsPerJob"] = "5000"
        self.stack.deploy("update_stack", **self.parameters)
        ((folder, status),) = self.drops.finish(["posts.csv"])["posts.csv"]
        assert len(status["parts"]) == 4, "the parts are those it was dropped with"
        compare(self.drops, folder, local())
        return f"{status['rows']['total']} rows, byte for byte as by `moondrop run`"

    def overwritten(self):
        first, second = small("first", 300, "before"), small("second", 200, "after")
        self.drops.drop("twice.csv", first)
        self.drops.reaches("twice.csv", ["uploading", "evaluating"])
        self.drops.drop("twice.csv", second)
        found = self.drops.finish(["twice.csv"], each=2)["twice.csv"]
        words = []
        found.sort(key=lambda drop: drop[1]["times"]["accepted_at"])
        for (folder, status), word, count in zip(found, ("before", "after"), (300, 200), strict=True):
            assert status["state"] == "completed" and status["source"]["version_id"], status
            results = rows(self.drops.read(f"{folder}results.csv"))
            assert len(results) == count and all(word in row["content"] for row in results)
            words.append(f"{len(results)} rows")
        return f"both versions have their own results: {' and '.join(words)}"

    def refused(self):
        self.drops.drop("bad.csv", b'ref_id,type,content\n1,text,"never closed\n')
        folder, status = self.drops.reaches("bad.csv", ["rejected"])
        (line,) = rows(self.drops.read(f"{folder}rejected.csv"))
        assert (status["problem"]["code"], line["code"], line["line"]) == ("E_QUOTE", "E_QUOTE", "2"), (status, line)
        return f"{line['code']} in line {line['line']}"

    def examples(self):
        """What the examples make of a drop that completes and of one that is refused."""
        with Examples(self.stack) as examples:
            examples.deploy("email", Address="someone@example.com")
            examples.deploy("slack-chat", Workspace="T0123456789", Channel="C0123456789")
            machine = examples.workflow()
            examples.deploy("step-functions", StateMachineArn=machine)
            mail, chat = examples.listen("email"), examples.listen("slack-chat")
            self.drops.drop("told.csv", small("told"))
            self.drops.drop("not-told.csv", b'ref_id,type,content\n1,text,"never closed\n')
            ((folder, status),) = self.drops.finish(["told.csv"])["told.csv"]
            letter = examples.received(mail, "incoming/told.csv: completed")
            assert "2 rows: 2 evaluated, 0 failed, 0 rejected, 0 missing." in letter and folder in letter, letter
            _, refused = self.drops.reaches("not-told.csv", ["rejected"])
            letter = examples.received(mail, "incoming/not-told.csv: rejected")
            assert refused["problem"]["message"] in letter and refused["problem"]["next_step"] in letter, letter
            message = json.loads(examples.received(chat, "incoming/told.csv"))
            assert message["content"]["title"] == "incoming/told.csv: completed" and message["id"] == status["drop"], message
            # An earlier drop's end may be announced late: its execution is none of ours.
            ours = lambda: [each for each in examples.executions(machine) if each["drop"] == status["drop"]]
            (given,) = wait("an execution", ours, 30)
            assert self.drops.read(given["files"]["results"]) == self.drops.read(f"{folder}results.csv"), given
        return "an e-mail each, a message to the channel, and one execution, which names the results"

    def many(self):
        names = [f"many-{i:03}.csv" for i in range(200)]
        for name in names:
            self.drops.drop(name, small(name))
        done = self.drops.finish(names, seconds=400)
        for name, ((folder, status),) in done.items():
            assert status["state"] == "completed", status
            assert [row["ref_id"] for row in rows(self.drops.read(f"{folder}results.csv"))] == [f"{name}-0", f"{name}-1"]
        return f"{len(done)} results"

    def killed(self, local):
        """The queue's message is out of sight for 90 minutes then: it is poll that finds the drop stalled."""
        self.stack.configure("poll", STALLED_AFTER_SECONDS="1", REMIND_AFTER_SECONDS="1")
        self.drops.drop("large.csv", self.large)
        wait("submit is at work on it", lambda: self.drops.statuses("large.csv"), every=0.01)
        submits = self._kill("submit")
        _, status = self.drops.statuses("large.csv")[0]
        assert status["state"] in ("checking", "uploading"), status["state"]
        collects = 0

        def kill_twice_more():
            nonlocal collects
            self.drops.tick()
            if collects < 2:
                collects += self._kill("collect")
            return [1 for _, status in self.drops.statuses("large.csv") if status["state"].startswith("completed")]

        wait("the large file finishes", kill_twice_more, 240, every=0.2)
        assert submits and collects, f"killed {submits} of submit and {collects} of collect"
        ((folder, _),) = self.drops.statuses("large.csv")
        compare(self.drops, folder, local())
        self.stack.configure("poll", STALLED_AFTER_SECONDS="1200", REMIND_AFTER_SECONDS="3600")
        jobs = [job["name"] for job in self.drops.jobs() if not job["state"].endswith("CANCELLED")]
        assert len(jobs) == len(set(jobs)), "a part has two live jobs"
        return f"{LARGE_ROWS} rows, byte for byte; killed {submits} of submit and {collects} of collect; one live job per part"

    def _kill(self, function):
        killed = 0
        for process in self.stack.processes_of(function):
            try:
                os.kill(process, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        return killed

    def dead_letter(self):
        dead = self.stack.out["DropsDeadLettersUrl"]
        self.stack.bring_back_soon()
        with self.roles.without("submit", "KeepLedger", "dynamodb:GetItem"):
            self.drops.drop("dead.csv", small("dead"))
            wait("a dead letter", lambda: self.stack.messages(dead) == 1, 60)
        assert not self.drops.folders("dead.csv")
        self.stack.redrive()
        ((_, status),) = self.drops.finish(["dead.csv"])["dead.csv"]
        assert status["state"] == "completed" and self.stack.messages(dead) == 0
        return "given up after five receives, completed after the redrive"

    def undelivered(self):
        """What EventBridge puts there is the event itself. Here no one put it there, and no one told submit."""
        queue, rule = self.stack.out["UndeliveredEventsUrl"], self.stack.id("DropRule")
        self.stack.events.disable_rule(Name=rule)
        names = ["undelivered-1.csv", "undelivered-2.csv"]
        events = [{"detail-type": "Job Completed", "detail": {"drop": "0", "part": 1, "key": 'a "Object Created"'}}]
        for name in names:
            put = self.drops.drop(name, small(name))
            about = {"key": f"incoming/{name}", "size": len(small(name)), "etag": put["ETag"].strip('"'), "version-id": put["VersionId"]}
            detail = {"bucket": {"name": self.drops.drops}, "object": about}
            time_of = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            events.append({"source": "aws.s3", "detail-type": "Object Created", "time": time_of, "detail": detail})
        self.stack.events.enable_rule(Name=rule)
        for event in events:
            self.stack.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event, separators=(",", ":")))
        assert not any(self.drops.folders(name) for name in names), "no one has told submit yet"
        self.stack.operate("undelivered", UNDELIVERED=queue, DROPS=self.stack.out["DropsQueueUrl"])
        for ((_, status),) in self.drops.finish(names).values():
            assert status["state"] == "completed", status
        assert self.stack.messages(queue) == 0
        return "two drops completed, and the queue is empty"

    def replayed(self):
        self.drops.drop("posts.csv", small("posts"))
        before = len(self.drops.folders("posts.csv"))
        self.drops.finish(["posts.csv"], each=before + 1)
        self.stack.operate("replay", BUCKET=self.drops.drops)
        folders = self.drops.finish(["posts.csv"], each=before + 2)["posts.csv"]
        (first, _), (second, status) = sorted(folders, key=lambda drop: drop[1]["times"]["accepted_at"])[-2:]
        assert status["state"] == "completed"
        assert self.drops.read(f"{first}results.csv") == self.drops.read(f"{second}results.csv")
        return "a drop of its own, with the same results"

    def cancelled(self):
        self.drops.drop("cancelled.csv", small("cancelled"))
        _, status = self.drops.reaches("cancelled.csv", ["evaluating"])
        self.stack.operate("cancel", BUCKET=self.drops.drops, DROP=status["drop"])
        wait("the request is recorded", lambda: "cancelled_at" in self.drops.statuses("cancelled.csv")[-1][1], 30)
        ((folder, status),) = self.drops.finish(["cancelled.csv"])["cancelled.csv"]
        assert (status["state"], status["problem"]["code"]) == ("completed_with_errors", "C_CANCELLED"), status
        assert len(rows(self.drops.read(f"{folder}results.csv"))) == 2
        return status["problem"]["message"]

    def collect_fails(self):
        dead, detail = self.stack.out["JobsDeadLettersUrl"], {"drop": "0", "part": 1}
        self.stack.bring_back_soon()
        with self.roles.without("collect", "KeepLedger", "dynamodb:GetItem"):
            self.roles.announce("Job Completed", **detail)
            wait("the message is kept", lambda: self.stack.messages(dead) == 1, 60)
        message = self.stack.sqs.receive_message(QueueUrl=dead)["Messages"][0]
        kept = json.loads(message["Body"])
        assert kept["detail"] == detail, kept
        self.stack.sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
        return "given up after five receives"

    def actions(self):
        self.stack.events.disable_rule(Name=self.stack.id("TickRule"))
        self.stack.bring_back_soon()
        tried = self.roles.try_all()
        untried = len(list(self.roles.all())) - tried
        return f"{tried} actions, each missed; {untried} are ministack's own to use"

    def nothing_left(self):
        table = self.stack.out["LedgerTable"]
        for kind in ("DROP", "PART", *(f"PART#{key:x}" for key in range(16))):
            query = dict(
                TableName=table,
                IndexName="open-index",
                KeyConditionExpression="#open = :kind",
                ExpressionAttributeNames={"#open": "open"},
                ExpressionAttributeValues={":kind": {"S": kind}},
            )

            def none_open():
                self.drops.tick()
                return not self.stack.dynamodb.query(**query)["Items"]

            wait(f"no {kind} is open", none_open, 30)
        # But for what the killed submit had in its hands: that is out of sight for 90 minutes.
        for queue in ("DropsQueueUrl", "JobsQueueUrl", "UndeliveredEventsUrl", "JobsDeadLettersUrl"):
            wait(f"{queue} is empty", lambda: self.stack.messages(self.stack.out[queue], in_hand=False) == 0, 30)
        work = self.stack.s3.list_objects_v2(Bucket=self.drops.results, Prefix="work/").get("Contents", [])
        # What the trial of s3:DeleteObject left, and what a killed collect wrote and could not record.
        log = "".join(self.stack.log(function, 0) for function in ("submit", "poll", "collect"))
        for secret in (KEY, "X-Amz-Signature", "someone else", "number 1"):
            assert secret not in log, f"the logs hold {secret}"
        return f"{len(work)} work files for the lifecycle; no content, key or signature in the logs"

    def existing_bucket(self):
        bucket = "drops-of-ours"
        self.stack.s3.create_bucket(Bucket=bucket)
        self.stack.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        self.other = self.stack.another("moondrop-2")
        self.other.deploy("create_stack", **self.parameters | {"ExistingDropBucket": bucket, "OnDelete": "delete"})
        self.other.put_api_key()
        self.other.events.disable_rule(Name=self.other.id("TickRule"))
        assert self.other.out["DropBucketName"] == bucket and "NotificationsCommand" in self.other.out
        drops = Drops(self.other)
        drops.drop("kept.csv", small("kept"))
        ((_, status),) = drops.finish(["kept.csv"])["kept.csv"]
        assert status["state"] == "completed" and "version_id" not in status["source"], status
        return "completed"

    def deleted(self):
        kept = [self.drops.drops, self.drops.results]
        self.stack.delete()
        assert set(kept) <= {bucket["Name"] for bucket in self.stack.s3.list_buckets()["Buckets"]}
        assert self.stack.out["LedgerTable"] in self.stack.dynamodb.list_tables()["TableNames"]
        assert not [f for f in self.stack.lambda_.list_functions()["Functions"] if f["FunctionName"].startswith(f"{STACK}-SubmitFunction")]
        return "both buckets and the ledger"

    def deleted_with_data(self):
        assert self.other, "that stack was not made"
        results, table = self.other.out["ResultsBucketName"], self.other.out["LedgerTable"]
        assert self.stack.s3.list_object_versions(Bucket=results)["Versions"]
        self.stack.operate("empty", BUCKET=results)
        self.other.delete()
        buckets = {bucket["Name"] for bucket in self.stack.s3.list_buckets()["Buckets"]}
        assert results not in buckets and "drops-of-ours" in buckets
        assert table not in self.stack.dynamodb.list_tables()["TableNames"]
        return "its results bucket and ledger; the existing bucket stays"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options.add_argument("only", nargs="*", metavar="WORD", help="take only the steps that have one of these words in their names")
    options = options.parse_args()
    # Ended from outside, too, everything that was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="moondrop-aws-"))
    began = time.monotonic()
    failed = True
    try:
        with Stack(folder) as stack:
            drive = Drive(folder, stack, options.only)
            drive.run()
        failed = drive.failed
        print()
        for what, word, seconds, seen in drive.table:
            print(f"  {word:6} {seconds:6.1f} s  {what}")
        print(f"  {'':6} {time.monotonic() - began:6.1f} s  in all\n")
        passed = sum(word == "ok" for _, word, _, _ in drive.table)
        print(f"aws: {passed} passed, {len(drive.table) - passed} failed")
    finally:
        if options.keep or failed:
            print(f"the logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
