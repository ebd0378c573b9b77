"""The tables of studies: networks trained side by side, each beside the one that it is compared with."""

from __future__ import annotations

import statistics

from benchmarks import results
from benchmarks.markdown import table as _table
from ftbnn_larq import zoo


def path() -> list[str]:
    """The path from the ancestor to the whole idea, and the peers trained likewise."""
    return _compared(results.variants("path") + results.variants("peers"), "ftbnn_r18_baseline", "the baseline")


def path_cifar100() -> list[str]:
    """The path on a hundred classes, and the last network's operations spent on width without groups."""
    steps = sorted(results.variants("path_cifar100"), key=lambda each: results.STEPS.index(each.model))
    return _compared(sorted(steps, key=lambda each: bool(each.options)), "ftbnn_r18_baseline", "the baseline")


def rate_cifar100() -> list[str]:
    """How the learning rate of that study was found."""
    rates = sorted(results.variants("rate_cifar100"), key=lambda each: each.recipe)
    return _compared(rates, "ftbnn_r18_baseline", "the recipe's own rate")


def search_cifar100() -> list[str]:
    """Other divisions of the operations among the stages, on a hundred classes."""
    return _compared(results.variants("search_cifar100"), "ftbnn_r18", "`ftbnn_r18`")


def schedule() -> list[str]:
    """What helps the default recipe: smoothing, blending, averages and the learning rate."""
    return _compared(results.variants("schedule"), "ftbnn_r18", "the recipe as it stands")


def search() -> list[str]:
    """What changes to the purified networks bring."""
    return _compared(results.variants("search"), "ftbnn_r18_pure", "`ftbnn_r18_pure`")


def _compared(variants, reference: str, told: str) -> list[str]:
    """Gain over the network `reference` as it stands in the zoo, and costs."""
    shared = _shared(variants)
    named = [(each, [change for change in each.changes if change not in shared]) for each in variants]
    standing = next((each for each, changes in named if each.model == reference and not changes), None)
    rows = []
    for each, changes in named:
        words = ", ".join([f"`{each.model}`", *changes, *each.unlike(variants[0])])
        rows.append([words, each.percent, _gain(each, standing), *each.costs])
    columns = ["network", "top-1", f"points over {told}", "OPs", "flatbuffer", "top-1 in LCE"]
    return [*_table(columns, rows), "", _how(variants)]


def nonlinearity() -> list[str]:
    variants = results.variants("nonlinearity")
    ancestor = next((each for each in variants if each.model == "bireal_r18"), None)
    rows = []
    for each in variants:
        made = zoo.entry(each.model).config.replace(**each.options)
        start = made.start_slopes
        learned = each.learned_slopes().values()
        bend = f"{statistics.fmean(abs(p - n).mean() for p, n in learned):.2f}" if learned else ""
        words = [results.in_words(start) if start else ""]
        words += [made.placement.replace("_", " "), made.sharing] if made.nonlinearity != "identity" else ["", ""]
        name = ", ".join([f"`{made.nonlinearity}`", *each.unlike(variants[0])])
        rows.append([name, *words, each.percent, _gain(each, ancestor), bend])
    columns = ["non-linearity", "from slopes", "placement", "per", "top-1", "points over `identity`", "learned bend"]
    return [*_table(columns, rows), "", _how(variants)]


def _gain(each, reference) -> str:
    """In points of top-1; nothing for the reference itself, or where none has been trained in the same way yet."""
    if not reference or each is reference or each.setting != reference.setting:
        return ""
    return f"{100 * (each.top1 - reference.top1):+.1f}"


def _shared(variants) -> list[str]:
    """What is changed in the recipe of all of them; their table says it once."""
    changes = variants[0].recipe_changes if variants else []
    return [change for change in changes if all(change in each.recipe_changes for each in variants)]


def _how(variants) -> str:
    """One line on what the rows of a table share, but where they say otherwise; nothing has been trained: that."""
    if not variants:
        return "Nothing has been trained yet."
    fewest, most = min(each.seeds for each in variants), max(each.seeds for each in variants)
    counts = str(most) if fewest == most else f"{fewest} to {most}"
    data, width, epochs, recipe = variants[0].setting.values()
    recipe = " ".join([recipe, *_shared(variants)])
    return (
        f"Top-1 of the last epoch on the test split of {data}; width {width}, {epochs} epochs of recipe `{recipe}`, "
        f"{counts} seed{'' if counts == '1' else 's'} each"
        f"{'' if counts == '1' else ': mean ± standard deviation'}. OPs are for one picture of its size."
    )
