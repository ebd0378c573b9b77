"""Markdown: tables, and the blocks of a page that commands write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

END = "<!-- end -->"
_BLOCK = re.compile(rf"<!-- (\w+): written by python -m benchmarks\.tables -->\n.*?{END}", re.DOTALL)


def table(columns: list[str], rows: list[list]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def blocks(text: str) -> list[str]:
    """The names of a page's blocks, in order."""
    return _BLOCK.findall(text)


def renewed(text: str, written: Mapping[str, Callable[[], list[str]]]) -> str:
    """A page with each of its blocks written anew, by the function of its name.

    Raises:
        KeyError: a block that nothing writes.
    """

    def renew(found: re.Match) -> str:
        begin, _, _ = found[0].partition("\n")
        return "\n".join([begin, *written[found[1]](), END])

    return _BLOCK.sub(renew, text)
