"""How many damaged files and odd arguments of each kind are refused as they should: python -m benchmarks.fuzz

Writes zoo/results/fuzz.json. The cases are those of tests/fuzz; one that found something comes again by its seed,
with python -m tests.fuzz --seed SEED
"""

from __future__ import annotations

import dataclasses
import time

import click

from benchmarks import markdown
from benchmarks.results import HERE
from ftbnn_larq import cli, runs
from ftbnn_larq.cli.output import say
from ftbnn_larq.files import read_json, write_json

FILE = HERE / "fuzz.json"


def table() -> list[str]:
    """The number of cases by kind, and what they found."""
    document = read_json(FILE)
    found = [each["kind"] for each in document["findings"]]
    rows = [[kind, f"{count:,}", found.count(kind)] for kind, count in sorted(document["counts"].items())]
    rows.append(["in all", f"{sum(document['counts'].values()):,}", len(found)])
    return [
        *markdown.table(["kind", "cases", "findings"], rows),
        "",
        f"Run {document['date']} from seed {document['seed']:,} on, with TensorFlow "
        f"{document['versions']['tensorflow']}.",
    ]


@click.command()
@click.option("--cases", type=click.IntRange(1), default=30_000, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0), default=5_000_000, show_default=True, help="Of the first case.")
def main(cases: int, seed: int) -> None:
    """Run the fuzzer, write the counts to zoo/results/fuzz.json."""
    from tests.fuzz import runner

    outcome = runner.run(cases, seed, on_finding=lambda found: say(f"{found.seed} {found.kind}: {found.what}"))
    document = {"date": time.strftime("%Y-%m-%d"), "versions": runs.versions(), "seed": seed}
    document["counts"] = dict(sorted(outcome.counts.items()))
    document["findings"] = [dataclasses.asdict(found) for found in outcome.findings]
    write_json(FILE, document)
    say(f"{len(outcome.findings)} findings; wrote {FILE}; python -m benchmarks.tables shows it in docs/architecture.md")


if __name__ == "__main__":
    cli.main(main, "python -m benchmarks.fuzz")
