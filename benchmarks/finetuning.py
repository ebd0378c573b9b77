"""The table of fine-tuning: begun with trained weights beside begun with nothing, on the same pictures."""

from __future__ import annotations

from benchmarks import results, subsets
from benchmarks.markdown import table as as_table


def table() -> list[str]:
    """A row for each data set with both, in the order of the study; what was trained once only is left out."""
    variants = results.variants("finetune")
    tuned = {each.dataset: each for each in variants if "init_from=" in each.recipe}
    scratch = {each.dataset: each for each in variants if "init_from=" not in each.recipe}
    both = [(tuned[name], scratch[name]) for name in sorted(tuned, key=_order) if name in scratch]
    if not both:
        return ["Not measured yet."]
    rows = [
        [_in_words(one.dataset), one.percent, other.percent, f"{100 * (one.top1 - other.top1):+.1f}"]
        for one, other in both
    ]
    first = both[0][0]
    counts = {each.seeds for pair in both for each in pair}
    seeds = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(min(counts))
    (start,) = (change.removeprefix("init_from ").strip("\"'") for change in first.changes if "init_from" in change)
    return [
        *as_table(["pictures to learn from", f"from `{start}`", "from nothing", "points over nothing"], rows),
        "",
        f"Top-1 of the last epoch on the whole test split of these classes; `{first.model}` at width {first.width}, "
        f"{first.epochs} epochs each, {seeds} seed{'' if seeds == '1' else 's'} each"
        f"{'' if seeds == '1' else ': mean ± standard deviation'}. From nothing: {_changes(both[0][1])}.",
    ]


def _order(words: str) -> tuple:
    name, taken = subsets.parse(words)
    return name, taken.get("classes", 0), taken.get("pictures", 0)


def _in_words(words: str) -> str:
    name, taken = subsets.parse(words)
    told = [f"{taken[key]} {text}" for key, text in (("classes", "classes"), ("pictures", "a class")) if key in taken]
    if "input_size" in taken:
        told.append(f"at {taken['input_size']}x{taken['input_size']}")
    return ", ".join([name, *told])


def _changes(variant: results.Variant) -> str:
    return f"recipe `{variant.setting['recipe']}` with {', '.join(f'`{change}`' for change in variant.changes)}"
