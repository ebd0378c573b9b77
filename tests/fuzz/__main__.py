"""Read damaged files and odd arguments, and tell what is no error of the library: python -m tests.fuzz --cases 2000

A case is drawn from its seed alone: `--seed SEED` runs one again. With `--kind` all cases are of that kind, and their
seeds are those of this kind alone.
"""

from __future__ import annotations

import click

from tests.fuzz import kinds, runner


@click.command(help=__doc__.split("\n")[0])
@click.option("--cases", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the first case.")
@click.option("--kind", type=click.Choice(list(kinds.KINDS)), help="Cases of this kind only.")
@click.option("--processes", type=click.IntRange(1), help="At a time.  [default: one a core]")
def main(cases: int, seed: int, kind: str | None, processes: int | None) -> None:
    def tell(finding: runner.Finding) -> None:
        click.echo(f"{finding.seed} {finding.kind}: {finding.what}")

    outcome = runner.run(cases, seed, kind, processes=processes, on_finding=tell)
    for name, count in outcome.counts.most_common():
        click.echo(f"{count:8,} {name}, {outcome.seconds[name] / count * 1e3:.0f} ms each", err=True)
    click.echo(f"{len(outcome.findings)} findings in {sum(outcome.counts.values()):,} cases", err=True)
    raise SystemExit(1 if outcome.findings else 0)


if __name__ == "__main__":
    main()
