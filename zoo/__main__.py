"""Write what is generated from the zoo: python -m ftbnn_larq.zoo"""

from __future__ import annotations

from ftbnn_larq import zoo
from ftbnn_larq.analysis.counts import count
from ftbnn_larq.files import write_json


def counted_costs() -> dict[str, dict]:
    """Costs of every model at 224x224 and 1,000 classes, without the layers."""
    wanted = ("params", "macs", "ops", "weights_bytes")
    counts = {name: count(zoo.create_model(name)) for name in zoo.list_models()}
    return {name: {key: document[key] for key in wanted} for name, document in counts.items()}


if __name__ == "__main__":
    write_json(zoo.HERE / "results" / "costs.json", counted_costs())
