#!/usr/bin/env python3
"""Holds the documents to the code: links lead somewhere, files and tests that are named exist, and the tables have every setting,
metric, alarm and error code. Reads sources as text; needs nothing but python3."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
wrong = []


def text(path):
    return (ROOT / path).read_text("utf-8")


def tracked(*patterns):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]


def prose(markdown):
    """Markdown without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", markdown, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(text(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text(path))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = ((ROOT / path).parent / target).resolve() if target else ROOT / path
        if not file.exists():
            wrong.append(f"{path}: {link} leads nowhere")
        elif anchor and anchor not in anchors(file.relative_to(ROOT)):
            wrong.append(f"{path}: {link} leads to no heading")


def check_table(path, what, names):
    """Every name stands in the first column of a table of the document, in code."""
    rows = [line.split("|")[1] for line in text(path).splitlines() if line.startswith("| ")]
    have = {name.removeprefix(".") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    if len(names) < 5:
        wrong.append(f"{path}: only {len(names)} of the {what} were found in the code; has its form changed?")
    wrong.extend(f"{path}: no table has the {what} {name}" for name in sorted(names - have))


def main():
    for path in tracked("*.md"):
        check_links(path)
    lines = text("README.md").count("\n")
    if lines > 200:
        wrong.append(f"README.md: {lines} lines; it has 200 at most")

    sources = {path: text(path) for path in tracked("*.rs")}
    product = "\n".join(code for path, code in sources.items() if path.startswith(("shared/src", "functions/")))
    settings = next(code for path, code in sources.items() if path.endswith("/settings.rs") and path.startswith("shared/"))
    variables = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)*)"', settings.split("#[cfg(test)]")[0]))
    # Lambda sets the other ones.
    check_table("infra/README.md", "setting", {name for name in variables if not name.startswith("AWS_")})
    check_table("infra/README.md", "alarm value", set(re.findall(r'alarm = "(\w+)"', product)))
    template = text("infra/template.yaml")
    check_table("infra/README.md", "alarm", set(re.findall(r"^  (\w+Alarm):$", template, re.MULTILINE)))
    check_table("infra/README.md", "metric", set(re.findall(r"\bMetric::([A-Z]\w+)", product)) - {"ALL"})
    check_table("shared/README.md", "error code", set(re.findall(r'"([CEW]_[A-Z_]+)"', product)))

    # The tests that the table of alarms names, each with its file.
    alarms = set(re.findall(r"`(\w+)::(?:tests::)?(\w+)`", text("infra/README.md")))
    # What the guide names in code: paths, and tests, which are recognised by their length.
    guide = prose(text(".github/CONTRIBUTING.md"))
    tests = set(re.findall(r"\bfn (\w+)\(", "\n".join(sources.values())))
    wrong.extend(f"infra/README.md: there is no test {file}::{test}" for file, test in sorted(alarms) if test not in tests)
    for name in set(re.findall(r"`([^`\s]+)`", guide)):
        if re.fullmatch(r"(functions|shared|infra|tests|\.ci)/[\w./-]+", name):
            if not (ROOT / name).exists():
                wrong.append(f".github/CONTRIBUTING.md: there is no {name}")
        elif re.fullmatch(r"\w+", name) and name.count("_") >= 4 and name.islower() and name not in tests:
            wrong.append(f".github/CONTRIBUTING.md: there is no test {name}")

    if wrong:
        sys.exit("\n".join(["check_docs: the documents are not what is there:", *sorted(wrong)]))
    print("the documents are what is there")


main()
