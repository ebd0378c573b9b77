"""What `convert` does to LCE's flatbuffer: small rewrites, one by one. The table is readable without TensorFlow."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import NamedTuple

from ftbnn_larq.errors import ConversionError, FtbnnError, UnknownNameError, one_line

# "split" makes one ordinary convolution of each group, which every LCE kernel runs; "fused" keeps LCE's grouped
# operator, which only the indirect and the reference kernel run.
GROUPS = ("split", "fused")
SPLIT, FUSED = GROUPS
INDIRECT_FLAG = "--use_indirect_bgemm=true"


class Pass(NamedTuple):
    """A row of `PASSES`.

    Attributes:
        does: what it does, as an order.
        changes: what it may change in the answers.
        home: "module:function", the function taking a `flatbuffer.Graph`, which it changes.
        splits: whether it belongs to `groups="split"`.
    """

    name: str
    does: str
    changes: str
    home: str
    splits: bool = False


PASSES = (
    Pass("names", "call tensors after the layers of Keras, and constants nothing", "nothing", "names:shorten"),
    Pass(
        "fold",
        "fold non-linearities and batch norms into the convolution before them and one PRELU",
        "the last bits, by rounding",
        "fold:fold",
    ),
    Pass(
        "shortcuts",
        "make channels that are pooled or repeated, and their batch norm, depthwise convolutions",
        "the last bits, by rounding",
        "shortcuts:merge",
    ),
    Pass(
        "groups",
        "make a grouped convolution ordinary ones that read packed signs, cut out behind one LceQuantize",
        "nothing",
        "groups:lower",
        splits=True,
    ),
    Pass(
        "streams",
        "keep groups apart from one convolution to the next instead of joining and cutting again",
        "nothing",
        "streams:keep_apart",
        splits=True,
    ),
    Pass(
        "int8",
        "round float kernels of 4,096 weights or more to 8 bits for each filter, still multiplied as floats",
        "each weight by at most 1/254 of the largest of its filter",
        "int8:store",
    ),
)

# Operators that the passes make or know what to do with, and the end that --softmax asks for; any other is left as it
# is, and told.
KNOWN = (
    *("LceQuantize", "LceBconv2d", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "DEQUANTIZE", "SOFTMAX"),
    *("PRELU", "RELU", "LEAKY_RELU", "NEG", "ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"),
    *("SPLIT", "CONCATENATION", "STRIDED_SLICE", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "RESHAPE"),
)

# What can be left out by name. Groups are no matter of taste: see `GROUPS`.
OPTIONAL = tuple(row.name for row in PASSES if row.name != "groups")


def chosen(groups: str = SPLIT, without: Iterable[str] = ()) -> tuple[Pass, ...]:
    """The passes to run, in order.

    Raises:
        UnknownNameError: a pass or a way with groups that does not exist.
    """
    if groups not in GROUPS:
        raise UnknownNameError("way with groups", groups, GROUPS)
    without = set(without)
    for name in without:
        if name not in OPTIONAL:
            raise UnknownNameError("pass", name, OPTIONAL)
    return tuple(row for row in PASSES if row.name not in without and (groups == SPLIT or not row.splits))


class Rewritten(NamedTuple):
    """What `run` made.

    Attributes:
        flatbuffer: its bytes.
        report: of each pass `{name, bytes_saved, operators_saved}`, negative where it adds.
        operators: those of the flatbuffer, as `census.operators` reads them.
    """

    flatbuffer: bytes
    report: list[dict]
    operators: list


def run(graph, passes: Iterable[Pass]) -> Rewritten:
    """Rewrite a `flatbuffer.Graph`.

    Raises:
        ConversionError: a pass cannot take the network.
    """
    from ftbnn_larq.conversion import census

    report = []
    # Dropping what nothing reads is no pass's merit.
    flatbuffer = graph.pack()
    for row in passes:
        module, function = row.home.split(":")
        before, operators = len(flatbuffer), len(graph.operators)
        try:
            getattr(importlib.import_module(f"{__package__}.{module}"), function)(graph)
            flatbuffer = graph.pack()
        except FtbnnError:
            raise
        except Exception as error:  # whatever an operator raises that a pass did not expect
            way_out = f"--no-{row.name}" if row.name in OPTIONAL else f"--groups {FUSED}"
            raise ConversionError(
                f"the pass {row.name} cannot take this network ({type(error).__name__}: {one_line(error, 160)}): "
                f"convert it with {way_out}"
            ) from error
        report.append(
            {
                "name": row.name,
                "bytes_saved": before - len(flatbuffer),
                "operators_saved": operators - len(graph.operators),
            }
        )
    return Rewritten(flatbuffer, report, census.of(graph.model))
