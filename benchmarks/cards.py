"""The model cards, from what is stored of a model: its configuration, costs, studies, and what is published."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from benchmarks import results
from ftbnn_larq import recipe, zoo
from ftbnn_larq.cli.output import human
from ftbnn_larq.files import read_json
from ftbnn_larq.models.config import FULL_WIDTH
from ftbnn_larq.models.weights import read_description
from ftbnn_larq.zoo import register

FOLDER = zoo.HERE / "cards"
# Keys of a recipe that a card tells whatever they are.
TOLD = (
    *("optimizer", "learning_rate", "schedule", "warmup_epochs", "epochs"),
    *("batch_size", "label_smoothing", "precision"),
)


def card(name: str) -> str:
    """The model card of `name`, from its row in the zoo, the stored costs, the studies and what is published."""
    import jinja2

    template = jinja2.Template((zoo.HERE / "card.md.j2").read_text(encoding="utf-8"), keep_trailing_newline=True)
    entry = zoo.entry(name)
    options = {**dataclasses.asdict(entry.config), "slopes": entry.config.start_slopes}
    studied = [each for each in results.variants("path") if each.model == name and not each.changes]
    files = {data: zoo.published(name, data) for data in zoo.published_weights(name)}
    return template.render(
        name=name,
        entry=entry,
        config={option: results.in_words(value) for option, value in options.items()},
        costs=zoo.costs()[name],
        studied=[[each.dataset, each.width, each.epochs, each.percent, each.seeds, *each.costs] for each in studied],
        published={data: published(file) for data, file in files.items()},
        human=human,
    )


def epochs_of(description: dict) -> str:
    """Those of a published network, in parts where its run's length was changed: "18 + 10", or "12/30 + 8"."""
    parts, done = [], 0
    for each in description["length_changed"]:
        after, of = each["after"], each["of"]
        parts.append(f"{after - done}" if after == of else f"{after - done}/{of}")
        done = after
    return " + ".join([*parts, str(description["recipe"]["epochs"] - done)])


def published(file: Path) -> dict:
    """What the card tells of a published file; `changed` are the options in which it is not the model as it stands."""
    flatbuffer, description = file.with_suffix(".tflite"), dataclasses.asdict(read_description(file))
    described = description["recipe"]
    checksums = read_json(register.WEIGHTS / register.CHECKSUMS)
    chosen, standing = description["model"]["options"], zoo.entry(description["model"]["name"]).config
    made = dataclasses.asdict(standing.replace(**chosen))
    changed = {name: value for name, value in made.items() if value != getattr(standing, name) and name != "width"}
    return {
        **description,
        "epochs": epochs_of(description),
        "width": description["model"]["options"].get("width", FULL_WIDTH),
        "changed": {name: results.in_words(value) for name, value in changed.items()},
        "file": file.name,
        "bytes": file.stat().st_size,
        "flatbuffer": flatbuffer.name,
        "flatbuffer_bytes": flatbuffer.stat().st_size,
        "sha256": checksums[file.name],
        "flatbuffer_sha256": checksums[flatbuffer.name],
        # What it is trained with, and what is not as in every recipe that says nothing of it.
        "trained": {
            field.name: described.get(field.name, field.default)
            for field in recipe.fields()
            if field.name in TOLD or described.get(field.name, field.default) != field.default
        },
    }
