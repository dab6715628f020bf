"""What a drop and an idle stack cost of AWS: the prices, and what is charged, as infra/README.md says in "Cost". `infra/smoke` uses it.

    python3 infra/cost.py --rows 1000000 --bytes 250000000

A number here is counted (in the code; tests/aws holds the requests of real drops against it), measured (its comment says by what), or
assumed.
"""

import argparse
import dataclasses
import math

REGION, DATE = "us-east-1", "November 2026"

# AWS's list prices in US dollars, without free tier: of how many, in what unit. Here and nowhere else.
PRICES = {
    "s3_storage": (0.023, 1, "S3 storage, GB-months"),
    "s3_writes": (5.00, 1e6, "S3 writes (PUT, COPY, POST, LIST)"),
    "s3_reads": (0.40, 1e6, "S3 reads (GET, HEAD)"),
    "ledger_writes": (0.625, 1e6, "DynamoDB, write units"),
    "ledger_reads": (0.125, 1e6, "DynamoDB, read units"),
    "ledger_storage": (0.25, 1, "DynamoDB storage, GB-months"),
    "ledger_recovery": (0.20, 1, "DynamoDB point-in-time recovery, GB-months"),
    "lambda_seconds": (13.3334, 1e6, "Lambda on arm64, GB-seconds"),
    "lambda_calls": (0.20, 1e6, "Lambda, invocations"),
    "events": (1.00, 1e6, "EventBridge, events of the stack's own"),
    "messages": (0.40, 1e6, "SQS, requests"),
    "secrets": (0.40, 1, "Secrets Manager, secrets"),
    "secret_calls": (5.00, 1e6, "Secrets Manager, calls"),
    "logs": (0.50, 1, "CloudWatch Logs, GB ingested"),
    "logs_storage": (0.03, 1, "CloudWatch Logs, GB-months"),
    "metrics": (0.30, 1, "CloudWatch, metrics"),
    "alarms": (0.10, 1, "CloudWatch, metrics that alarms watch"),
    "dashboards": (3.00, 1, "CloudWatch, dashboards"),
}

MIB, GB = 1024**2, 1e9
# Counted: what a file is read and an object is sent in; the smallest piece that S3 copies into another object.
PIECE, SMALLEST = 8 * MIB, 5 * MIB
# Counted: with more parts than this, there is a parts.json beside each status.json.
MOST_PARTS = 1_000
# Counted: queries of the open index at each tick, of half a read unit if they find nothing, and two reads beside them.
INDEX_QUERIES = 19
# Counted: what else a tick with open jobs reads and writes.
TICK_READS, TICK_WRITES = 2, 2
# Counted: reports of submit (accepted, planned, uploaded) and at the end; submit's others come after so many seconds each, and with more
# than 400 jobs after so many times as long.
REPORTS, REPORT_SECONDS = 4, 30
# Counted: writes of a part that has a job: the job, the beginning and the end of its upload, COMPLETED, announced, collected.
PART_WRITES = 6
# Counted: writes of a drop's record: accepted, active, planned, evaluating, the report that was due and was made, active, ended, closed.
DROP_WRITES = 9
# Measured: KB of a record, rounded up: a part without a job, with one, and collected; a drop. As tests/aws sees them, but that a part with
# a job has its upload URL, of which AWS signs those with a session token in some 1.5 KB, and the sandbox in 0.2.
KB_PLANNED, KB_JOB, KB_COLLECTED, KB_DROP = 1, 3, 2, 2
# Assumed: the states between UPLOADED and COMPLETED that a tick sees and records, such as QUEUED and RUNNING.
STATES = 2
# Assumed: what submit and collect do in a second, in MB, with their default memory of 0.5 and 1 GB; seconds for each job of either, which
# wait for the API; seconds of a tick without open jobs and, of poll's 0.25 GB, for each open job.
SPEED, JOB_SECONDS, TICK_SECONDS, TICK_JOB_SECONDS = 5, 1, 0.3, 0.01
# Measured by tests/aws: bytes of log lines and metrics for a job, and of a tick.
LOG_JOB, LOG_TICK = 2_000, 2_500
# Counted, and held against the log and the template by tests/aws: metrics that poll writes at each tick; the metrics that the alarms watch
# without `ApiKeyExpiresOn`.
TICK_METRICS, ALARM_METRICS = 24, 50
MONTH_MINUTES = 30 * 24 * 60


@dataclasses.dataclass
class Drop:
    """A drop in which nothing goes wrong."""

    rows: int
    source: int
    results: int
    jobs: int
    rejected: int = 0
    # From its arrival to its end.
    hours: float = 48
    tick_minutes: float = 5
    # Ticks at which something of it changed, which poll reports. Assumed, if it is not given.
    reports: int | None = None

    def __post_init__(self):
        self.ticks = math.ceil(self.hours * 60 / self.tick_minutes)
        if self.reports is None:
            self.reports = min(self.ticks, 20 + self.jobs)

    def submit_seconds(self):
        """A file with invalid rows is read twice for its check, and again for the uploads."""
        return (3 if self.rejected else 2) * self.source / 1e6 / SPEED + self.jobs * JOB_SECONDS / 4

    def written_reports(self):
        return REPORTS + math.floor(self.submit_seconds() / (REPORT_SECONDS * max(1, self.jobs // 400))) + self.reports

    def pieces(self):
        """Of which results.csv is put together: how many there are, and how many work files are read for it."""
        file = self.results / self.jobs
        if file >= SMALLEST:
            # The first goes with the header, and is cut; the others are copied.
            sent = 1 if file <= 2 * PIECE else math.floor(file / PIECE)
            return self.jobs - 1 + sent, sent
        return math.ceil(self.jobs / math.ceil(PIECE / file)), self.jobs

    def requests(self):
        """What the functions ask of S3 and DynamoDB, and the events they put."""
        rejecting = min(self.jobs, self.rejected)
        reports = self.written_reports() * (2 if self.jobs > MOST_PARTS else 1)
        file = self.results / self.jobs
        pieces, read = self.pieces()
        work = 1 if file < PIECE else 2 + math.ceil(file / PIECE)
        tidied = math.ceil(self.jobs / 1000)
        open_kb = self.jobs * KB_JOB
        # A part's writes are in the table and, until it is collected, in the index. LEFT has it, and loses it.
        part = KB_PLANNED + (PART_WRITES + STATES) * KB_JOB
        # A tick notes that a report is due, and that it is made.
        drop = (DROP_WRITES + self.written_reports() - REPORTS + self.reports + (pieces > 1)) * KB_DROP
        # And the sweep's two.
        indexed = self.jobs * part + drop + 2
        return {
            "s3_writes": reports + self.jobs * work + (1 if pieces == 1 else pieces + 3) + 2 * tidied + 2 * (rejecting > 0),
            "s3_reads": reports + math.ceil(self.source / PIECE) * (2 if rejecting else 1) + 2 * (self.jobs + rejecting)
            + read + (pieces > 1) + 1,
            "ledger_writes": 2 * indexed + self.jobs + 1 + math.ceil(self.jobs / 256) + self.ticks * TICK_WRITES,
            # A report and the publication read all parts, consistently; a tick reads the open ones, in halves.
            "ledger_reads": (self.written_reports() + 2) * (2 + open_kb / 4) + 3 * self.jobs + 11
            + self.ticks * (TICK_READS + open_kb / 8),
            "events": self.jobs + 2,
        }

    def quantities(self):
        """All that is charged for, with the file and its results kept for a month; without what the idle stack takes."""
        megabytes = (self.source + self.results) / 1e6
        collect = megabytes / SPEED + self.jobs * JOB_SECONDS
        poll = self.ticks * self.jobs * TICK_JOB_SECONDS
        # Each status.json lists up to a thousand parts, and each parts.json all; old versions stay for a week, as do the work files.
        states = self.written_reports() * 400 * (min(self.jobs, MOST_PARTS) + (self.jobs if self.jobs > MOST_PARTS else 0))
        weeks = self.results * (self.hours / 24 / 2 + 7) / 30 + states * 7 / 30
        ledger = (self.jobs * KB_COLLECTED + KB_DROP) * 1000 / GB
        logs = self.jobs * LOG_JOB / GB
        return self.requests() | {
            "s3_storage": (self.source + self.results + weeks) / GB,
            "ledger_storage": ledger,
            "ledger_recovery": ledger,
            "lambda_seconds": 0.5 * self.submit_seconds() + collect + 0.25 * poll,
            "lambda_calls": 1 + self.jobs,
            "messages": 3 * (1 + self.jobs),
            # The key is kept for five minutes, and every tick with open jobs needs it.
            "secret_calls": self.ticks + 1 + min(self.jobs, 10),
            "logs": logs,
            "logs_storage": logs,
        }

    def dollars(self):
        return priced(self.quantities())


def idle(tick_minutes=5.0):
    """What a stack without drops takes in a month."""
    ticks = MONTH_MINUTES / tick_minutes
    logs = ticks * LOG_TICK / GB
    return {
        "metrics": TICK_METRICS,
        "alarms": ALARM_METRICS,
        "dashboards": 1,
        "secrets": 1,
        # Lambda waits for messages of two queues over five connections each, of 20 s a request.
        "messages": 2 * 5 * 3 * MONTH_MINUTES,
        "lambda_seconds": ticks * TICK_SECONDS * 0.25,
        "lambda_calls": ticks,
        "ledger_reads": ticks * (INDEX_QUERIES / 2 + 2),
        "logs": logs,
        "logs_storage": logs,
    }


def price(what, quantity):
    dollars, of, _ = PRICES[what]
    return dollars * quantity / of


def priced(quantities):
    return sum(price(what, quantity) for what, quantity in quantities.items())


def idle_dollars(tick_minutes=5.0):
    return priced(idle(tick_minutes))


def table(quantities):
    """As infra/README.md has it."""
    lines = ["| what | quantity | price | US dollars |", "|---|--:|--:|--:|"]
    for what, quantity in quantities.items():
        dollars, of, words = PRICES[what]
        number = f"{quantity:,.0f}" if quantity >= 10 else f"{quantity:.5f}".rstrip("0").rstrip(".")
        each = f"{dollars:.4f}".rstrip("0").ljust(4, "0") + (" per million" if of == 1e6 else "")
        lines.append(f"| {words} | {number} | {each} | {price(what, quantity):.4f} |")
    return "\n".join([*lines, f"| **in all** | | | **{priced(quantities):.4f}** |"])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, help="of the file; without it, what an idle stack costs in a month")
    options.add_argument("--bytes", type=int, help="of the file (250 for each row)")
    options.add_argument("--rows-per-job", type=int, default=25_000)
    options.add_argument("--bytes-per-job", type=int, default=32 * MIB)
    options.add_argument("--hours", type=float, default=48, help="from a drop's arrival to its end (48)")
    options.add_argument("--tick-minutes", type=float, default=5, help="PollEvery (5)")
    options = options.parse_args()
    if not options.rows:
        print(table(idle(options.tick_minutes)))
        return
    source = options.bytes or 250 * options.rows
    jobs = math.ceil(max(options.rows / options.rows_per_job, source / options.bytes_per_job))
    # `[]` and three commas for a row without labels.
    results = source + 6 * options.rows
    drop = Drop(options.rows, source, results, jobs, hours=options.hours, tick_minutes=options.tick_minutes)
    print(table(drop.quantities()))


if __name__ == "__main__":
    main()
