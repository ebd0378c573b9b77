"""Whether Keras comes to an end with the graph of a file.

Keras calls layers as the calls that they need are done, and waits forever for one that never is. A call that needs
none is computed at once, whatever it takes.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator

# Of layers and what they hold, in all models that stand in one another: ten times those of Keras's largest networks.
MOST_CALLS = 50_000
_CONSTANT = "_CONSTANT_VALUE"
# Functions of TensorFlow that give as many tensors as a number says.
_GIVE_MANY = ("dynamic_partition", "split", "unstack")


def check(config) -> None:
    """Refuse a model's configuration.

    Raises:
        ValueError: a layer needs itself, a layer or call that is not there, or none; or there are too many calls,
            or tensors of a call.
    """
    if (calls := _calls(config)) > MOST_CALLS:
        raise ValueError(f"{calls:,} calls of layers, expected at most {MOST_CALLS:,}")
    _check_numbers(config)
    for layers in _graphs(config):
        _check_graph(layers)


def _layers(config) -> list[dict]:
    layers = config.get("layers") if isinstance(config, dict) else None
    return [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []


def _calls(config) -> int:
    """How often layers are called. A model that is called twice calls each of its layers twice."""
    if isinstance(config, list):
        return sum(map(_calls, config))
    if not isinstance(config, dict):
        return 0
    within = sum(map(_calls, config.values()))
    if "class_name" not in config or "config" not in config:
        return within
    # Initializers and the like count too, which are made as often as layers.
    return (1 + within) * max(1, len(_nodes(config)))


def _graphs(config) -> Iterator[list[dict]]:
    """The layers of each model that is a graph."""
    if isinstance(config, dict):
        if any("inbound_nodes" in layer for layer in _layers(config)):
            yield _layers(config)
        config = list(config.values())
    for value in config if isinstance(config, list) else ():
        yield from _graphs(value)


def _nodes(layer: dict) -> list:
    nodes = layer.get("inbound_nodes")
    return nodes if isinstance(nodes, list) else []


def _name(layer: dict) -> str:
    return str(layer.get("name"))


def _check_graph(layers: list[dict]) -> None:
    inputs = {_name(layer) for layer in layers if layer.get("class_name") == "InputLayer"}
    firsts = {_name(layer): _first(layer) for layer in layers}
    needs: dict[tuple, set] = {}
    for layer in layers:
        name, first = _name(layer), firsts[_name(layer)]
        for number, node in enumerate(_nodes(layer), first):
            taken = list(_references(node))
            if not taken:
                raise ValueError(f"the layer {name} takes no output of another layer")
            wanted = {(other, call) for other, call in taken if other not in inputs}
            # Keras makes the calls of a layer in their order.
            needs[name, number] = wanted | ({(name, number - 1)} if number > first else set())
    for (name, _), wanted in needs.items():
        if missing := wanted - needs.keys():
            other, call = min(missing, key=str)
            raise ValueError(f"the layer {name} needs call {call} of the layer {other}, which is not there")
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        raise ValueError(f"the layer {error.args[1][0][0]} needs its own output") from error


def _check_numbers(config) -> None:
    """Refuse a call that gives too many tensors, wherever its layer stands."""
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        _check_numbers(value)
    own = config.get("config") if isinstance(config, dict) else None
    if not isinstance(own, dict):
        return
    gives_many = str(own.get("function")).rpartition(".")[2] in _GIVE_MANY
    count = max(_integers(_nodes(config)), default=0)
    if gives_many and count > MOST_CALLS:
        raise ValueError(f"the layer {_name(config)} gives {count:,} tensors, expected at most {MOST_CALLS:,}")


def _integers(value) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _integers(each)


def _first(layer: dict) -> int:
    """The number of a layer's first call: a model that begins with its inputs was called once when it was made."""
    within = _layers(layer.get("config"))
    if not within:
        return int(layer.get("class_name") in ("Functional", "Model", "Sequential"))
    begins = within[0].get("config")
    shaped = isinstance(begins, dict) and begins.get("batch_input_shape") is not None
    return int(within[0].get("class_name") == "InputLayer" or (layer.get("class_name") == "Sequential" and shaped))


def _references(node) -> Iterator[tuple]:
    """The calls whose outputs a call takes: `[layer, call, output, arguments]` wherever it stands."""
    if isinstance(node, dict):
        node = list(node.values())
    if not isinstance(node, list):
        return
    if len(node) in (3, 4) and isinstance(node[0], str):
        if node[0] != _CONSTANT:
            yield node[0], node[1] if isinstance(node[1], int) else str(node[1])
        node = node[3:]
    for value in node:
        yield from _references(value)
