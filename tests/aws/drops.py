"""Dropping files, awaiting their ends, and comparing results."""

import collections
import csv
import io
import json
import random
import urllib.request

from stack import KEY, wait

ENDS = ("completed", "completed_with_errors", "rejected", "failed")


class Drops:
    """What a user does with a stack: drops files and looks for results. And the clock, which ticks faster here."""

    def __init__(self, stack):
        self.stack, self.s3 = stack, stack.s3
        self.drops, self.results = stack.out["DropBucketName"], stack.out["ResultsBucketName"]
        self.ticks = 0

    def drop(self, name, body):
        return self.s3.put_object(Bucket=self.drops, Key=f"incoming/{name}", Body=body)

    def tick(self):
        """Runs poll now. Whether it succeeded; one that is under way already is as good."""
        try:
            self.ticks += 1
            answer = self.stack.lambda_.invoke(FunctionName=self.stack.function("poll"), Payload=b"{}")
        except self.stack.lambda_.exceptions.TooManyRequestsException:
            return True
        return "FunctionError" not in answer

    def read(self, key):
        return self.s3.get_object(Bucket=self.results, Key=key)["Body"].read()

    def folders(self, name):
        """The folders of a file's drops, oldest first."""
        path = f"results/{name.removesuffix('.csv')}/"
        found = self.s3.list_objects_v2(Bucket=self.results, Prefix=path, Delimiter="/")
        return [folder["Prefix"] for folder in found.get("CommonPrefixes", [])]

    def status(self, folder):
        return json.loads(self.read(f"{folder}status.json"))

    def statuses(self, name):
        found = []
        for folder in self.folders(name):
            try:
                found.append((folder, self.status(folder)))
            except self.s3.exceptions.NoSuchKey:
                pass
        return found

    def reaches(self, name, states, seconds=120):
        """Waits, without ticking, until the file's latest drop is in one of these states."""

        def reached():
            found = self.statuses(name)
            return found and found[-1][1]["state"] in states and found[-1]

        return wait(f"{name} is {' or '.join(states)}", reached, seconds)

    def published(self):
        """The folders that have a results.csv, of all files."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.results, Prefix="results/")
        keys = (entry["Key"] for page in pages for entry in page.get("Contents", []))
        return [key.removesuffix("results.csv") for key in keys if key.endswith("/results.csv")]

    def finish(self, names, each=1, seconds=180):
        """Ticks until every one of these files has as many finished drops as it was dropped; gives folder and status of each."""
        left, done = set(names), {}

        def finished():
            self.tick()
            published = collections.Counter(folder.rsplit("/", 2)[0].removeprefix("results/") + ".csv" for folder in self.published())
            for name in [name for name in left if published[name] == each]:
                found = self.statuses(name)
                if len(found) == each and all(status["state"] in ENDS for _, status in found):
                    done[name] = found
            left.difference_update(done)
            return not left

        try:
            wait(f"{len(names)} files finish", finished, seconds, every=0.3)
        except AssertionError as error:
            seen = {name: [(status["state"], status["parts_by_state"]) for _, status in self.statuses(name)] for name in left}
            raise AssertionError(f"{error}: {seen}") from None
        return done

    def jobs(self):
        """All jobs that the API ever had for this stack."""
        request = urllib.request.Request(f"{self.stack.api_url}/v1/batch-jobs", headers={"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["batchJobs"]


def comparable(status):
    """A status.json without times, and without what names this drop rather than another of the same file."""
    status = {key: value for key, value in status.items() if key not in ("drop", "source", "dropped_at", "updated_at", "files", "times")}
    for part in status["parts"]:
        part.pop("job", None)
        part.pop("job_updated_at", None)
    return status


def compare(drops, folder, local):
    """Holds a drop's results against those of `moondrop run`: byte for byte, but for times in status.json."""
    for name in ("results.csv", "rejected.csv"):
        expected = local / name
        key = f"{folder}{name}"
        if expected.exists():
            assert drops.read(key) == expected.read_bytes(), f"{key} is not what `moondrop run` makes of the file"
    here, there = comparable(drops.status(folder)), comparable(json.loads((local / "status.json").read_text()))
    assert here == there, f"{folder}status.json: {here} is not {there}"


def rows(text):
    return list(csv.DictReader(io.StringIO(text.decode())))


def small(name, count=2, word="spam"):
    """A small file of this many rows."""
    lines = [f"{name}-{i},text,{word} number {i}" for i in range(count)]
    return ("ref_id,type,content\n" + "\n".join(lines) + "\n").encode()


def large(count, seed=7):
    """A large one, with a column of its own and a row in a hundred that is not fit to be sent."""
    draw = random.Random(seed)
    words = "free giveaway hello cat photo idiot kill weather naked harvest street party tomorrow link".split()
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    write.writerow(["ref_id", "type", "content", "author"])
    for i in range(count):
        content = " ".join(draw.choices(words, k=24))
        write.writerow([f"r{i}", "text" if i % 100 else "Text", content, draw.choice(["ü", "søren", "a,b"])])
    return out.getvalue().encode()
