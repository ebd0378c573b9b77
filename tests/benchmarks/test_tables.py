"""What the pages, the cards and the pictures show is what was measured."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks import cards, compared, finetuning, pictures, results, summary, tables
from benchmarks.markdown import blocks, renewed
from ftbnn_larq import zoo
from ftbnn_larq.files import read_json, write_json
from ftbnn_larq.models.weights import read_description


def test_the_pages_and_the_cards_are_up_to_date():
    stored = {path.stem: path.read_text(encoding="utf-8") for path in cards.FOLDER.glob("*.md")}
    assert stored == {name: cards.card(name) for name in zoo.list_models()}
    for file in tables.PAGES:
        assert tables.page(file) == file.read_text(encoding="utf-8"), file


def test_each_table_is_on_its_page_once():
    found = [(file, name) for file in [tables.README, *tables.DOCS.glob("*.md")] for name in blocks(file.read_text())]
    assert sorted(found) == sorted((file, name) for name, (file, _) in tables.TABLES.items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], "28"),
        ([{"after": 18, "of": 18}], "18 + 10"),
        ([{"after": 12, "of": 30}, {"after": 20, "of": 20}], "12/30 + 8 + 8"),
    ],
)
def test_published_epochs_are_told_in_the_parts_they_were_trained_in(changes, words):
    assert cards.epochs_of({"recipe": {"epochs": 28}, "length_changed": changes}) == words


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_pictures_show_the_stored_results(name):
    data, _ = pictures.PICTURES[name]
    assert pictures.drawn(name) == (json.loads(json.dumps(data())) or None)


def test_stored_weights_name_no_folder_of_who_trained_them():
    for path in (results.HERE / "weights").rglob("*.npz"):
        assert read_description(path).data.data_dir is None, path


@pytest.fixture
def studied(tmp_path, monkeypatch):
    """A path of two networks, the first of them with two seeds and once changed, and a run that ended in NaN."""
    monkeypatch.setattr(results, "HERE", tmp_path)
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    common = {**dict.fromkeys(results.COLUMNS, ""), "options": "{}", "dataset": "cifar10", "recipe": "study"}
    common |= {"study": "path", "width": 16, "epochs": 30, "ops": 1.5e6, "seconds": 1.0}
    changed = {"model": "ftbnn_r18_baseline", "options": '{"stem": "light"}', "seed": 0, "top1": 0.69}
    results.add("path", {**common, **changed})
    for model, seed, top1 in (
        ("ftbnn_r18_baseline", 0, 0.70),
        ("ftbnn_r18_baseline", 1, 0.72),
        ("ftbnn_r18", 0, 0.76),
        ("ftbnn_r18_pure", 0, float("nan")),
    ):
        results.add("path", {**common, "model": model, "seed": seed, "top1": top1})
    return tmp_path


def test_a_path_is_told_by_means_and_gains(studied):
    _, _, baseline, whole, changed, *_ = lines = compared.path()
    assert baseline.startswith("| `ftbnn_r18_baseline` | 71.0% ± 1.4 |  | 1.50 M |")
    assert whole.startswith("| `ftbnn_r18` | 76.0% | +5.0 |")
    assert changed.startswith("| `ftbnn_r18_baseline`, stem light | 69.0% | -2.0 |")
    assert not any("pure" in line for line in lines)
    assert "1 to 2 seeds each" in lines[-1] and "30 epochs" in lines[-1]
    assert "71.0% ± 1.4" in cards.card("ftbnn_r18_baseline")


def test_what_is_changed_in_the_recipe_of_all_is_told_once(studied):
    for row in results.read("path"):
        results.add("path_cifar100", {**row, "study": "path_cifar100", "recipe": "study learning_rate=0.008"})
    _, _, baseline, whole, changed, *_ = lines = compared.path_cifar100()
    assert baseline.startswith("| `ftbnn_r18_baseline` | 71.0% ± 1.4 |  | 1.50 M |")
    assert whole.startswith("| `ftbnn_r18` | 76.0% | +5.0 |")
    assert changed.startswith("| `ftbnn_r18_baseline`, stem light | 69.0% | -2.0 |")
    assert "30 epochs of recipe `study learning_rate 0.008`" in lines[-1]


def test_rows_that_were_trained_otherwise_than_the_first_say_so(studied):
    (wide,) = (row for row in results.read("path") if row["model"] == "ftbnn_r18")
    results.add("path", {**wide, "width": 32, "top1": 0.8})
    results.add("peers", {**wide, "study": "peers", "model": "larq_zoo:BiRealNet", "dataset": "digits", "epochs": 20})
    lines = compared.path()
    assert any(line.startswith("| `ftbnn_r18`, width 32 | 80.0% |  |") for line in lines)
    assert any(line.startswith("| `larq_zoo:BiRealNet`, data set digits, epochs 20 | 76.0% |  |") for line in lines)
    assert any(line.startswith("| `ftbnn_r18` | 76.0% | +5.0 |") for line in lines)
    assert "test split of cifar10; width 16, 30 epochs of recipe `study`" in lines[-1]
    assert "ftbnn_r18\nwidth 32" in [point["model"] for point in pictures.path_data()]


def test_the_zoo_at_a_glance_holds_top1_of_one_setting_only(studied):
    (wide,) = (row for row in results.read("path") if row["model"] == "ftbnn_r18")
    results.add("path", {**wide, "width": 32, "top1": 0.8})
    results.add("path", {**wide, "model": "bireal_r18", "width": 32, "top1": 0.7})
    header, _, *rows = tables.models()
    assert header.endswith("| top-1, cifar10, width 16 |")
    told = {row.split("`")[1]: row.split("|")[-2].strip() for row in rows}
    assert (told["ftbnn_r18"], told["ftbnn_r18_baseline"], told["bireal_r18"]) == ("76.0%", "71.0% ± 1.4", "")


def test_asked_for_help_the_tables_are_left_alone():
    asked = CliRunner().invoke(tables.main, ["--help"])
    assert asked.exit_code == 0 and "README" in asked.output


def test_pictures_hold_what_they_show(studied):
    pictures.draw()
    assert [point["model"] for point in pictures.drawn("path.png")] == [
        "ftbnn_r18_baseline",
        "ftbnn_r18",
        "ftbnn_r18_baseline\nstem light",
    ]
    assert pictures.drawn("slopes.png") is None


def test_nothing_trained_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "HERE", tmp_path)
    assert compared.path()[-1] == "Nothing has been trained yet."
    assert "No weights are published" in cards.card("ftbnn_r34")


def test_a_block_that_nothing_writes_is_an_error():
    text = "<!-- gone: written by python -m benchmarks.tables -->\n<!-- end -->"
    with pytest.raises(KeyError, match="gone"):
        renewed(text, {})


def test_ideas_are_told_only_where_both_networks_were_trained_alike(studied):
    (gain,) = (row for row in summary.measured() if "points of top-1" in row)
    assert "| +5.0 points of top-1, 100% of the OPs | `ftbnn_r18` to `ftbnn_r18_baseline` on cifar10" in gain


def test_small_float_networks_are_told_beside_ours(tmp_path, monkeypatch):
    times = {"ftbnn_r18_pure": 3.0, "ftbnn_r18": 3.3, "larq_zoo:QuickNet": 3.1, "keras:MobileNetV3Small": 2.0}
    documents = {
        "DEPLOYMENT": {"networks": {name: {"bytes": int(time * 1e6)} for name, time in times.items()}},
        "RUNTIME": {
            "date": "2026-11-28",
            "machine": "x86_64",
            "together": {name: {"milliseconds": time} for name, time in times.items()},
            "networks": {"ftbnn_r18_pure": {"lce": {"ratio": 1.0}, "avx2": {"ratio": 15.0}, "threads": {}}},
        },
        "AARCH64": {"instructions": {"ftbnn_r18_pure": 57, "keras:MobileNetV3Small": 30}},
    }
    for name, document in documents.items():
        monkeypatch.setattr(summary, name, tmp_path / f"{name}.json")
        write_json(getattr(summary, name), document)
    text = "\n".join(summary.choice())
    assert "| `ftbnn_r18_pure` | ftbnn-runtime | 1.50 | 3.00 MB |" in text and "QuickNet" not in text
    assert "| `keras:MobileNetV3Small` | TFLite | 1.00 | 2.00 MB |" in text
    assert "takes 15 times as long here" in text and "1.9 times the instructions of `keras:MobileNetV3Small`" in text


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Puts a changed document in the place of a stored one."""

    def put(name: str, change) -> None:
        document = read_json(getattr(tables, name))
        change(document)
        monkeypatch.setattr(tables, name, tmp_path / f"{name}.json")
        write_json(getattr(tables, name), document)

    return put


@pytest.mark.parametrize(
    ("top1", "words"),
    [
        ([0.98], "seed 0. Training takes"),
        ([0.98, 0.97, 0.96], "seed 0; further seeds come to 97.0% and 96.0%. Training takes"),
    ],
)
def test_the_main_job_tells_further_seeds_where_there_are_any(stored, top1, words):
    stored("MAIN_JOB", lambda document: document.update(top1=top1))
    (text,) = tables.main_job()
    assert words in text


def test_each_number_of_pictures_that_linearity_was_measured_on_is_told(stored):
    def of_few(document):
        document["networks"]["ftbnn_r18:digits"] = {**document["networks"]["ftbnn_r18:cifar10"], "pictures": 360}

    stored("LINEARITY", of_few)
    assert "on 1,024 and 360 test pictures: means over" in tables.linearity()[-1]


def test_fine_tuning_is_set_beside_a_training_from_nothing_on_the_same_pictures(studied):
    assert finetuning.table() == ["Not measured yet."]
    common = {**results.read("path")[0], "study": "finetune", "model": "ftbnn_r18_pure", "options": "{}", "width": 32}
    few, more = ("cifar100 classes=10 pictures=20", "cifar100 classes=10 pictures=100")
    start, nothing = "finetune init_from='ftbnn_r18_pure:cifar10'", "finetune head_epochs=0"
    for dataset, recipe, seed, top1 in (
        (more, start, 0, 0.60),
        (more, start, 1, 0.62),
        (more, nothing, 0, 0.40),
        (few, start, 0, 0.5),
        (few, nothing, 0, 0.55),
        ("digits input_size=32", start, 0, 0.9),
    ):
        results.add("finetune", {**common, "dataset": dataset, "recipe": recipe, "seed": seed, "top1": top1})
    _, _, first, second, _, told = lines = finetuning.table()
    assert "from `ftbnn_r18_pure:cifar10`" in lines[0]
    assert first == "| cifar100, 10 classes, 20 a class | 50.0% | 55.0% | -5.0 |"
    assert second == "| cifar100, 10 classes, 100 a class | 61.0% ± 1.4 | 40.0% | +21.0 |"
    assert "1 to 2 seeds each" in told and "recipe `finetune` with `head_epochs 0`" in told
