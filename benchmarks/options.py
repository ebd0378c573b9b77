"""Tables of what can be chosen: the keys of a recipe, the recipes, the passes of a conversion."""

from __future__ import annotations

import json

from benchmarks import results
from benchmarks.markdown import table
from ftbnn_larq import recipe, zoo
from ftbnn_larq.conversion import passes


def recipe_keys() -> list[str]:
    """Every key of a recipe, what it is unless a recipe says otherwise, and what it means."""
    rows = [
        [f"`{field.name}`", f"`{json.dumps(field.default)}`", field.metadata["help"]]
        for field in sorted(recipe.fields(), key=lambda field: field.name)
    ]
    return table(["key", "unless given", "meaning"], rows)


def recipes() -> list[str]:
    """The recipes of the zoo, in the keys in which one of them is not as every recipe that says nothing."""
    files = {path.stem: recipe.read(path) for path in sorted((zoo.HERE / "recipes").glob("*.toml"))}
    rows = []
    for field in recipe.fields():
        values = [getattr(each, field.name) for each in files.values()]
        if any(value != field.default for value in values):
            rows.append([f"`{field.name}`", *map(results.in_words, values)])
    return table(["key", *(f"`{name}.toml`" for name in files)], rows)


def rewrites() -> list[str]:
    """The passes of a conversion."""
    rows = [
        [
            f"`{row.name}`",
            row.does,
            row.changes,
            f"`--no-{row.name}`" if row.name in passes.OPTIONAL else "`--groups fused`",
        ]
        for row in passes.PASSES
    ]
    return table(["pass", "does", "changes", "left out by"], rows)
