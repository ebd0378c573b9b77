"""Documents that are damaged by key: those of runs, of flatbuffers, of measurements, and recipes."""

from __future__ import annotations

import copy
import functools
import json
import random
import shutil
from pathlib import Path

from tests.documents.test_documents import MEASURED
from tests.fuzz import damage

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "zoo" / "files_of_0_1"
PUBLISHED = ROOT / "zoo" / "weights"


@functools.cache
def stored(path: Path):
    return json.loads(path.read_text())


def a_run(folder: Path) -> Path:
    """A run folder that is whole."""
    return Path(shutil.copytree(OLD / "run", folder / "runs" / "ftbnn_r18-digits"))


def write_damaged(rng: random.Random, path: Path, document) -> None:
    if rng.random() < 0.04:
        damage.instead(rng, path)
    else:
        path.write_bytes(damage.as_json(rng, document))


def config(rng: random.Random, folder: Path) -> None:
    from ftbnn_larq import runs
    from ftbnn_larq.inference import evaluation
    from ftbnn_larq.training.plan import plan
    from ftbnn_larq.zoo import trained

    run = a_run(folder)
    document = {**stored(OLD / "run" / "config.json"), "length_changed": [{"after": 1, "of": 3}]}
    write_damaged(rng, run / "config.json", document)
    match rng.randrange(5):
        case 0:
            plan(resume=run)
        case 1:
            plan(recipe_file=run / "recipe.toml")
        case 2:
            evaluation.check(run, dataset=None, data_dir=None, preprocessing=None)
        case 3:
            runs.open_run(run).change_length(2, 3).save_config()
            runs.open_run(run)
        case 4:
            trained.check(trained.find(run).run)


def network(rng: random.Random, folder: Path) -> None:
    """What passes all checks is built and asked."""
    import numpy as np

    from ftbnn_larq.zoo import trained

    run = a_run(folder)
    document = copy.deepcopy(stored(OLD / "run" / "config.json"))
    document["model"] = damage.by_key(rng, document["model"])
    (run / "config.json").write_text(json.dumps(document))
    model = trained.find(run).load()
    model.predict(np.zeros((1, *model.input_shape[1:]), np.float32), verbose=0)


def checkpoint(rng: random.Random, folder: Path) -> None:
    from ftbnn_larq import runs
    from ftbnn_larq.training import checkpoints

    run = a_run(folder)
    record = run / "checkpoints" / "epoch-0002.json"
    write_damaged(rng, record, stored(OLD / "run" / "checkpoints" / "epoch-0002.json"))
    if rng.random() < 0.1:
        damage.instead(rng, record.with_suffix(".weights.h5"))
    found = checkpoints.newest(runs.open_run(run))
    if found:
        checkpoints.has_stopped(list(found.history), 1)
        checkpoints.write_metrics(runs.open_run(run), list(found.history))


def results(rng: random.Random, folder: Path) -> None:
    from ftbnn_larq.report.gather import gather

    run = a_run(folder)
    if rng.random() < 0.5:
        write_damaged(rng, run / "result.json", stored(OLD / "run" / "result.json"))
    else:
        _damaged_table(rng, run / "metrics.csv")
    gather(folder / "runs", folder / "none", ops=False)


def _damaged_table(rng: random.Random, path: Path) -> None:
    whole = (OLD / "run" / "metrics.csv").read_text()
    path.write_bytes(damage.text(rng, whole).encode(rng.choice(("utf-8", "utf-16")), errors="surrogatepass"))


def sidecar(rng: random.Random, folder: Path) -> None:
    from ftbnn_larq.inference import sidecar
    from ftbnn_runtime import description

    name = rng.choice(("ftbnn_r18-cifar10", "ftbnn_r18_pure-cifar10"))
    (folder / "model.tflite").symlink_to(PUBLISHED / f"{name}.tflite")
    document = stored(PUBLISHED / f"{name}.json")
    # All but what is read is long.
    document = {key: document[key] for key in ("output", "data", "bytes", "sha256") if key in document}
    write_damaged(rng, folder / "model.json", document)
    match rng.randrange(3):
        case 0:
            sidecar.data_config_beside(folder / "model.tflite")
        case 1:
            sidecar.gives_probabilities(folder / "model.tflite")
        case 2:
            description.read(folder / "model.tflite")


def measurement(rng: random.Random, folder: Path) -> None:
    from ftbnn_larq.report.gather import gather

    (folder / "whole.json").write_text(json.dumps([MEASURED]))
    write_damaged(rng, folder / "damaged.json", rng.choice((MEASURED, [MEASURED, MEASURED])))
    found = gather(folder / "none", folder, ops=False)
    for board in found.boards:
        json.dumps([board.name, board.device, board.profiled, board.warnings])


def report_page(rng: random.Random, folder: Path) -> None:
    """All that a report shows, damaged but well-formed; the page is drawn."""
    from ftbnn_larq.report import report

    run = a_run(folder)
    (run / "result.json").write_text(json.dumps(damage.by_key(rng, stored(OLD / "run" / "result.json"), 1)))
    if rng.random() < 0.5:
        _damaged_table(rng, run / "metrics.csv")
    (folder / "m").mkdir()
    for index in range(3):
        document = damage.by_key(rng, MEASURED, 1)
        (folder / "m" / f"{index}.json").write_text(json.dumps(document))
    report(folder / "report.html", runs=folder / "runs", measurements=folder / "m", ops=False)


def recipe_file(rng: random.Random, folder: Path) -> None:
    from ftbnn_larq import recipe
    from ftbnn_larq.training.plan import plan

    path = folder / "recipe.toml"
    if rng.random() < 0.05:
        damage.instead(rng, path)
    elif rng.random() < 0.5:
        path.write_bytes(_table(rng).encode("utf-8", errors="surrogatepass"))
    else:
        whole = (OLD / "run" / "recipe.toml").read_text()
        content = damage.text(rng, whole).encode("utf-8", errors="surrogatepass")
        path.write_bytes(damage.raw(rng, content) if rng.random() < 0.3 else content)
    found = recipe.read(path)
    found.save(folder / "again.toml")
    assert recipe.read(folder / "again.toml") == found, "a recipe that was written is read as another one"
    plan("ftbnn_r18", recipe_file=path, input_size=rng.choice((None, 8, 32)))


def _table(rng: random.Random) -> str:
    """A recipe of odd values, as TOML."""
    from ftbnn_larq import recipe

    rows = []
    for field in rng.sample(recipe.fields(), rng.randint(1, 4)):
        new = damage.near(rng, field.default) if rng.random() < 0.7 else damage.value(rng)
        toml = json.dumps(new, ensure_ascii=False).replace("NaN", "nan").replace("Infinity", "inf")
        rows.append(f"{field.name} = {toml}")
    extra = (
        "[table]",
        "[[tables]]",
        "a.b.c = 1",
        "epochs = 1979-05-27",
        "epochs = 0x10",
        "epochs = 1_0",
        "'' = 1",
        "epochs = {}",
    )
    return "\n".join([*rows, *([rng.choice(extra)] if rng.random() < 0.2 else [])])
