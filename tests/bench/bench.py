"""Runs each work of moondrop-bench and its references in turn, several times, and writes the medians: see run."""

import argparse
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCES = ROOT / "tests/bench/references"
BUILD = ["cargo", "build", "--release", "--locked", "-p", "moondrop-tests", "--bin", "moondrop-bench"]
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
OURS = "Moondrop"
# What is measured, in the words of the table, and whether its MB are those of the results.
WORKS = {
    "check": "check a file and plan its parts",
    "split": "check a file, and encode its parts",
    "encode": "encode the parts of a checked file",
    "pass": "encode the parts of a file that has just the three columns",
    "join": "join a file with its results (MB of results)",
    "fetch": "check a file in S3, at 90 MB a second a connection",
    "drop": "a whole drop on the local servers",
}


def build():
    done = subprocess.run([*BUILD, "--message-format=json-render-diagnostics"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    return next(path for path in found if path and Path(path).name == "moondrop-bench")


class Bench:
    def __init__(self, binary, folder):
        self.binary = binary
        self.source, self.results = str(folder / "source.csv"), str(folder / "results.csv")
        self.plain = str(folder / "plain.csv")

    def generate(self, rows, seed):
        generate = self.ours("gen", "--rows", str(rows), "--seed", str(seed))
        self.measure([*generate, "--columns", "3", self.plain])
        return self.measure([*generate, "--results", self.results, self.source])

    def ours(self, *args):
        return [self.binary, *args]

    @staticmethod
    def reference(name, *args):
        return [sys.executable, "-B", str(REFERENCES / name), *args]

    def programs(self, work):
        """Each program's name and command."""
        source, results, reference = self.source, self.results, self.reference
        split = ["--split"] if work == "split" else []
        checks = {
            "Python csv": reference("python_check.py", source, *split),
            "polars": reference("polars_check.py", source, *split),
            "DuckDB": reference("duckdb_check.py", source, *split),
        }
        return {
            "check": {OURS: self.ours("check", source), **checks},
            "split": checks,
            "encode": {OURS: self.ours("encode", source), "Python csv": reference("python_encode.py", source)},
            "pass": {OURS: self.ours("encode", self.plain), "Python csv": reference("python_encode.py", self.plain)},
            "join": {OURS: self.ours("join", source, results), "Python csv": reference("python_join.py", source, results)},
            "fetch": {
                OURS: self.ours("fetch", "--at-once", "8", source),
                "Moondrop, one connection": self.ours("fetch", "--at-once", "1", source),
            },
            "drop": {OURS: self.ours("drop", source), "Python, boto3": reference("boto3_drop.py", source)},
        }[work]

    def run(self, work, program, command):
        if work not in ("drop", "fetch"):
            return self.measure(command, one_core=True)
        if work == "fetch" or program == OURS:
            return self.measure(command)
        # The servers end when their standard input is closed.
        with subprocess.Popen(self.ours("servers"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as servers:
            return self.measure(command, given=servers.stdout.readline())

    @staticmethod
    def measure(command, one_core=False, given=None):
        # Whatever threads a program has, it gets one core.
        pin = (lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})) if one_core else None
        environment = {**os.environ, **ONE_THREAD}
        done = subprocess.run(command, env=environment, input=given, stdout=subprocess.PIPE, text=True, preexec_fn=pin)
        if done.returncode != 0:
            sys.exit(f"{shlex.join(command)} failed")
        return json.loads(done.stdout)


def medians(runs):
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def added(check, encode):
    """Moondrop checks and encodes in two readings, in two commands."""
    both = {name: check[name] + encode[name] for name in ("seconds", "cpu_seconds")}
    return {**check, **both, "peak_rss_mib": max(check["peak_rss_mib"], encode["peak_rss_mib"])}


def machine():
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    rustc = subprocess.run(["rustc", "--version"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("polars", "duckdb", "boto3"))
    return [
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB; {platform.system()} {platform.release()}",
        f"{rustc}, release profile; Python {platform.python_version()}, {packages}",
    ]


def table(measured):
    lines = [
        "| work | program | seconds | CPU seconds | MB per second | MB per CPU second | peak MiB | CPU, Moondrop = 1 |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for work, programs in measured.items():
        ours = programs.get(OURS, {}).get("cpu_seconds")
        for program, m in sorted(programs.items(), key=lambda item: item[0] != OURS):
            megabytes, cpu = m["bytes"] / 1e6, m["cpu_seconds"]
            ratio = f"{cpu / ours:.2f}" if ours else ""
            figures = f"{m['seconds']:.2f} | {cpu:.2f} | {megabytes / m['seconds']:.0f} | {megabytes / max(cpu, 0.01):.0f} | {m['peak_rss_mib']:.0f}"
            lines.append(f"| {WORKS[work]} | {program} | {figures} | {ratio} |")
    return lines


def report(args, generated, load, measured):
    command = shlex.join(["tests/bench/run", *sys.argv[1:]])
    size = f"{generated['bytes'] / 1e6:.0f} MB, {generated['rows']:,} rows (`moondrop-bench gen --rows {args.rows} --seed {args.seed}`)"
    busy = " The machine was busy with other work: the figures are rough." if max(load) > 1 else ""
    return [
        "# Benchmarks",
        "",
        f"`{command}` wrote this on {date.today()}; `tests/bench/README.md` says what is measured, and what is not.",
        "",
        *(f"- {line}" for line in machine()),
        f"- A file of {size}; medians of {args.times}, the programs in turn.",
        f"- Load when it began and ended: {load[0]:.1f} and {load[1]:.1f}.{busy}",
        "",
        *table(measured),
    ]


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--rows", type=int, default=750_000, help="rows of the file; 750,000 are some 200 MB")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=3, help="how often each program runs; at least 3 for a median")
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS), metavar="WORK", help=f"of {', '.join(WORKS)}")
    parser.add_argument("--out", type=Path, default=ROOT / "tests/BENCHMARKS.md")
    args = parser.parse_args()

    bench_folder = Path(sys.prefix)
    load = [os.getloadavg()[0]]
    folder = Path(tempfile.mkdtemp(prefix="files-", dir=bench_folder))
    try:
        bench = Bench(build(), folder)
        generated = bench.generate(args.rows, args.seed)
        load[0] = os.getloadavg()[0]
        runs = {}
        for turn in range(args.times):
            for work in args.only:
                for program, command in bench.programs(work).items():
                    run = bench.run(work, program, command)
                    print(turn + 1, work, program, json.dumps(run), flush=True)
                    runs.setdefault(work, {}).setdefault(program, []).append(run)
    finally:
        shutil.rmtree(folder)
    load.append(os.getloadavg()[0])
    measured = {work: {program: medians(each) for program, each in programs.items()} for work, programs in runs.items()}
    if {"check", "split", "encode"} <= measured.keys():
        measured["split"][OURS] = added(measured["check"][OURS], measured["encode"][OURS])
    args.out.write_text("\n".join(report(args, generated, load, measured)) + "\n", "utf-8")
    print(f"{args.out} is written")


main()
