"""infra/smoke on the emulator, as an operator runs it: interrupted once, and continued. And the requests that its drops take, held against
those that infra/cost.py counts with."""

import collections
import re
import signal
import subprocess
import sys
import time

from counted import counted
from stack import ROOT, STACK, source, wait

sys.path.insert(0, str(ROOT / "infra"))
import cost
from smoke_rows import RESULTS, compare, generated, records

# Two parts of `RowsPerJob`, each with a work file of 5 MiB or more: the first is sent with the header, the other is copied by S3.
SIZE = ("--rows", "10000", "--bytes", "11000000")


class Smoke:
    def __init__(self, stack, drops):
        self.stack, self.drops, self.said = stack, drops, stack.folder / "smoke.log"

    def begin(self, *more):
        command = [sys.executable, "-B", ROOT / "infra" / "smoke", STACK, *SIZE, "--name", "aws", "--every", "1", "--wait", "0.1", *more]
        streams = {"stdin": subprocess.DEVNULL, "stdout": open(self.said, "w", encoding="utf-8"), "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, env=self.stack.operator(), cwd=self.stack.folder, start_new_session=True, **streams)
        self.stack.processes.append(process)
        return process

    def log(self):
        return self.said.read_text(encoding="utf-8")

    def run(self):
        self.notices()
        # Each tick is ours from here on, so that they are known, and none announces a job again that collect is at work on.
        self.stack.events.disable_rule(Name=self.stack.id("TickRule"))
        self.stack.configure("poll", REMIND_AFTER_SECONDS="3600")
        began = int(time.time() * 1000)
        requests = self.stack.folder / "requests.log"
        _, since = counted(requests)
        ticks = self.drops.ticks
        process = self.begin("--listen")
        wait("both files are dropped", lambda: self.log().count("bytes, dropped") == 2 or process.poll() is not None, 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1 and "to go on waiting" in self.log() and "--name aws" in self.log(), self.log()
        process = self.begin("--listen")

        def ended():
            # No tick after the drops' ends: it would be the idle stack's.
            if self.log().count(": completed") < 2:
                self.drops.tick()
            return process.poll() is not None

        wait("infra/smoke ends", ended, 180, every=1)
        said = self.log()
        assert process.returncode == 0 and said.count("was dropped before") == 2, said
        assert "Notice" not in said and "X-Amz" not in said, "it prints content, or a URL"
        self.figures(began)
        seen, _ = counted(requests, since)
        return f"{said.splitlines()[-1]}; {self.hold_cost_against(seen, self.drops.ticks - ticks)}"

    def notices(self):
        """What would be wrong with results, one thing at a time, is noticed."""
        source = generated(20, 5_000)
        header, *sent = [row for row in records(source)]
        names = [*RESULTS, b"posted_at", b"lang", b"author"]
        right = [[b"" if name == b"error" else b"[]" if name == b"labels" else row[header.index(name)] for name in names] for row in sent]

        def found(rows, columns=names):
            outcomes, wrong = compare(source, b"".join(b",".join(row) + b"\n" for row in [columns, *rows]))
            return wrong or outcomes.counts != {"evaluated": 20, "failed": 0, "rejected": 0, "missing": 0}

        def changed(at, column, by):
            return [row if number != at else [*row[:column], by, *row[column + 1 :]] for number, row in enumerate(right)]

        assert not found(right)
        for case, wrong in {
            "a row is missing": found(right[:7] + right[8:]),
            "the last row is missing": found(right[:-1]),
            "a row is there twice": found(right + right[-1:]),
            "two rows have changed places": found([right[1], right[0], *right[2:]]),
            "a byte of content is another": found(changed(3, 3, right[3][3] + b" ")),
            "quotes are gone": found(changed(4, 7, b'"tomas"')),
            "labels are no JSON": found(changed(5, 2, b"[spam]")),
            "a row has an error": found(changed(6, 4, b"failed: the job failed")),
            "a column is missing": found([row[:-1] for row in right], names[:-1]),
            "columns have another order": found(right, names[::-1]),
        }.items():
            assert wrong, f"infra/smoke does not notice it if {case}"

    def figures(self, began):
        """The tables of infra/README.md, and the numbers of metrics that an idle stack pays for."""
        page = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
        for arguments in ("idle", "--rows 1000000", "--rows 40000000"):
            command = [sys.executable, "-B", ROOT / "infra" / "cost.py", *arguments.removeprefix("idle").split()]
            table = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            assert f"<!-- cost: {arguments} -->\n{table}" in page, f"infra/README.md has another table than `cost.py` with {arguments}"
        resources = [each for each in source()["Resources"].values() if "Condition" not in each]
        alarms = [each["Properties"] for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]
        watched = sum(len([query for query in alarm.get("Metrics", []) if "MetricStat" in query]) or 1 for alarm in alarms)
        known = f"the alarms watch {watched} metrics: ALARM_METRICS in infra/cost.py, and infra/README.md"
        assert watched == cost.ALARM_METRICS, known
        ticks = self.stack.log("poll", began).split("START RequestId")[1:]
        written = set.intersection(*(set(re.findall(r'"Name":"(\w+)"', tick)) for tick in ticks))
        known = f"each tick writes {len(written)} metrics: TICK_METRICS in infra/cost.py, and infra/README.md"
        assert len(written) == cost.TICK_METRICS, known

    def hold_cost_against(self, seen, ticks):
        """Holds the requests against those that infra/cost.py counts with. Records have a KB here, since the sandbox's URLs are short."""
        cost.KB_PLANNED = cost.KB_JOB = cost.KB_COLLECTED = cost.KB_DROP = 1
        # What belongs to a tick, whatever is open, is in the sums of both drops.
        expected = collections.Counter(
            ledger_reads=ticks * (cost.INDEX_QUERIES / 2 + 2 - cost.TICK_READS), ledger_writes=-ticks * cost.TICK_WRITES
        )
        for name in ("example", "large"):
            ((folder, status),) = self.drops.statuses(f"smoke-aws-{name}.csv")
            written = self.stack.s3.list_object_versions(Bucket=self.drops.results, Prefix=f"{folder}status.json")["Versions"]
            sizes, rows = status["sizes"], status["rows"]
            drop = cost.Drop(
                rows["total"], sizes["source"], sizes["results"], len(status["parts"]), rows["rejected"], hours=ticks / 60, tick_minutes=1,
                reports=len(written) - cost.REPORTS,
            )
            expected.update(drop.requests())
        seen["ledger_writes"], seen["ledger_reads"] = seen["writes"] + seen["index_writes"], seen["reads"]
        pairs = {what: (seen[what], count) for what, count in expected.items()}
        for what, (came, count) in pairs.items():
            assert abs(came - count) <= 2 + 0.15 * count, f"{what}: {came} were seen, {count} are counted; all: {pairs}"
        return ", ".join(f"{came:.0f} of {count:.0f} {what}" for what, (came, count) in pairs.items())
