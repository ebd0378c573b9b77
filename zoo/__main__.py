"""Write what is generated from the zoo, stored costs and one card a model: python -m ftbnn_larq.zoo"""

from __future__ import annotations

import dataclasses

from ftbnn_larq import zoo
from ftbnn_larq.files import write_json, write_text

CARDS = zoo.HERE / "cards"


def counted_costs() -> dict[str, dict]:
    """Costs of every model at 224x224 and 1,000 classes, without the layers."""
    from ftbnn_larq.analysis.counts import count

    wanted = ("input_shape", "params", "macs", "ops", "weights_bytes")
    counts = {name: count(zoo.create_model(name)) for name in zoo.list_models()}
    return {name: {key: document[key] for key in wanted} for name, document in counts.items()}


def card(name: str) -> str:
    """The model card of `name`, from its row in the zoo and the stored costs."""
    import jinja2

    from ftbnn_larq.cli.output import human

    template = jinja2.Template((zoo.HERE / "card.md.j2").read_text(encoding="utf-8"), keep_trailing_newline=True)
    entry = zoo.entry(name)
    config = {**dataclasses.asdict(entry.config), "slopes": entry.config.start_slopes}
    return template.render(
        name=name,
        entry=entry,
        config={option: _plain(value) for option, value in config.items()},
        costs=zoo.costs()[name],
        weights=zoo.published_weights(name),
        human=human,
    )


def _plain(value) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{number:g}" for number in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    write_json(zoo.HERE / "results" / "costs.json", counted_costs())
    for model in zoo.list_models():
        write_text(CARDS / f"{model}.md", card(model))
