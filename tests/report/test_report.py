"""`report`: one page, everything in it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from xml.etree import ElementTree

import matplotlib
import pytest

from ftbnn_larq import documents
from ftbnn_larq.benchmarking.figures import operators_figure
from ftbnn_larq.errors import RunError
from ftbnn_larq.report import report as write
from ftbnn_larq.report.figures import confusion_matrix, pareto_front, scatter
from ftbnn_larq.report.gather import gather


def a_run(folder, name: str, top1: float, /, **model):
    """A finished run as training and conversion leave it."""
    path = folder / "runs" / name
    path.mkdir(parents=True)
    network = {"name": "ftbnn_r18", "options": {"width": 16}, "input_shape": [8, 8, 1], "classes": 10, **model}
    data = {"name": "digits", "input_shape": network["input_shape"], "labels": list("0123456789")}
    (path / "config.json").write_text(json.dumps({"model": network, "data": data}))
    (path / "metrics.csv").write_text("epoch,loss,top1,val_loss,val_top1\n1,2.0,0.3,1.9,0.35\n2,nan,0.6,1.2,0.62\n")
    scores = documents.Scores(top1, 0.99)
    documents.write(
        path / "result.json",
        documents.Result(str(path), "ftbnn_r18", "digits", 2, 360, top1, 0.99, last=scores, seconds=12.5),
    )
    (path / "model.json").write_text(json.dumps({"bytes": 213_490, "sha256": name}))
    return path


def a_measurement(folder, sha256: str, median: float, *, on: str = "ssh:pi@raspberrypi", **more) -> dict:
    document = {
        "path": f"runs/{sha256}/model.tflite",
        "on": on,
        "when": "2026-01-02T03:04:05+0000",
        "device": {"cpu": "4x Cortex-A72", "board": "Raspberry Pi 4"},
        "kernel": "default",
        "threads": 1,
        "runs": 50,
        "latency_ms": {"mean": median, "median": median, "min": median, "max": median, "std": 0.1, "p95": None},
        "ratio": 1.0,
        "bytes": 213_490,
        "sha256": sha256,
        "peak_memory_mb": 8.0,
        "operators": [{"type": "LceBconv2d", "count": 16}],
        "warnings": [],
        **more,
    }
    (folder / "measurements").mkdir(exist_ok=True)
    (folder / "measurements" / f"{sha256}-{on[:3]}.json").write_text(json.dumps([document]))
    return document


def written(folder) -> str:
    """The page, without OPs, which take TensorFlow."""
    write(folder / "report.html", runs=folder / "runs", measurements=folder / "measurements", ops=False)
    return (folder / "report.html").read_text()


@pytest.fixture
def told(tmp_path):
    a_run(tmp_path, "first", 0.81)
    a_run(tmp_path, "second", 0.93, name="larq_zoo:BiRealNet", input_shape=[32, 32, 3])
    layers = [{"layer": "stage1_unit1_conv", "type": "LceBconv2d", "ms": 3.25, "calls": 1}]
    operators = [{"type": "LceBconv2d", "count": 1, "ms": 3.25}]
    a_measurement(tmp_path, "first", 4.5, layers=layers, operators=operators)
    a_measurement(tmp_path, "second", 7.25)
    a_measurement(tmp_path, "second", 17.25, on="adb", warnings=["the board is at 82 °C"])
    return tmp_path


@pytest.mark.slow
def test_the_page_holds_everything_and_needs_no_network(told, command):
    # Of before such slopes were refused.
    a_run(told, "old", 0.5, options={"width": 16, "slopes": [-1.0, -0.5]})
    result = command("report", "--json", cwd=told)
    assert result.status == 0, result.err
    assert result.out == {**result.out, "path": "report.html", "runs": 3, "measurements": 3, "left_out": []}
    page = (told / "report.html").read_text()
    assert result.out["bytes"] == len(page.encode())
    assert re.findall(r"""(?:src|href)=["']?(?!data:)[^"' >]+|url\(|@import|https?://""", page) == []
    for words in ("first", "81.00%", "93.00%", "4.50", "17.25", "0.21 MB", "stage1_unit1_conv", "82 °C", "Pareto"):
        assert words in page
    assert re.findall(r"<td>([\d.]+) M</td>", page) == ["1.37", "0.08"]
    # Accuracy over size, OPs and two boards' latency; three curves; one profile.
    assert page.count('<img src="data:image/svg+xml;base64,') == 3 + 3 + 1
    assert page.count("<html") == page.count("</html>") == 1


def test_one_run_is_a_run(told, command):
    shutil.rmtree(told / "runs" / "second")
    (told / "measurements" / "second-adb.json").unlink()
    assert "1 run, 1 machine. Made" in written(told)
    assert command("report", cwd=told).out.startswith("report.html: 1 run, 2 measurements, ")
    (told / "measurements" / "second-ssh.json").unlink()
    a_run(told, "third", 0.5)
    a_measurement(told, "third", 9.0, on="adb")
    assert "2 runs, 2 machines. Made" in written(told)
    (told / "measurements" / "third-adb.json").unlink()
    assert command("report", cwd=told).out.startswith("report.html: 2 runs, 1 measurement, ")


def test_a_models_latency_is_that_of_its_fastest_kernel(told):
    a_measurement(told, "second", 99.0, kernel="reference", when="2026-01-03T03:04:05+0000")
    (told / "measurements" / "second-ssh.json").rename(told / "measurements" / "later.json")
    a_measurement(told, "second", 7.25)
    found = gather(told / "runs", told / "measurements", ops=False)
    assert found.latencies(found.boards[0])["second"] == 7.25


def test_a_file_that_was_made_anew_takes_the_place_of_the_old(told):
    hot = {"path": "ftbnn_r18", "when": "2026-01-01T03:04:05+0000", "warnings": ["the board is at 99 °C"]}
    a_measurement(told, "before", 3.0, **hot)
    a_measurement(told, "after", 4.0, path="ftbnn_r18")
    a_measurement(told, "larger", 50.0, path="ftbnn_r18", input_shape=[224, 224, 3], classes=10)
    (board,) = (each for each in gather(told / "runs", told / "measurements", ops=False).boards if "ssh" in each.name)
    assert [row["sha256"] for row in board.newest if row["path"] == "ftbnn_r18"] == ["after", "larger"]
    assert board.warnings == []
    assert "224x224x3" in written(told)


def test_the_newest_is_the_last_though_the_clocks_zone_was_changed_between(told):
    a_measurement(told, "summer", 3.0, path="ftbnn_r18", when="2026-10-25T02:55:00+0200")
    a_measurement(told, "winter", 4.0, path="ftbnn_r18", when="2026-10-25T02:05:00+0100")
    (board,) = (each for each in gather(told / "runs", told / "measurements", ops=False).boards if "ssh" in each.name)
    assert [row["sha256"] for row in board.newest if row["path"] == "ftbnn_r18"] == ["winter"]


def test_a_curve_that_a_spreadsheet_saved_is_drawn(told):
    metrics = told / "runs" / "first" / "metrics.csv"
    metrics.write_text(metrics.read_text(), encoding="utf-8-sig")
    assert written(told).count('alt="top-1 and loss of') == 2


@pytest.mark.parametrize(
    "odd",
    [
        {"threads": "1"},
        {"ratio": "1.0"},
        {"latency_ms": {"median": 4.5}},
        {"device": {"cpu": "x", "temperature_c": "hot"}},
        {"when": 20260102},
        {"layers": [{"layer": "a", "type": "b", "ms": "3"}]},
    ],
    ids=str,
)
def test_an_odd_measurement_is_left_out_and_the_others_are_told(told, odd):
    a_measurement(told, "odd", 4.5, **odd)
    page = written(told)
    assert "17.25" in page and "odd-ssh.json" in page.partition("Left out")[2]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metrics.csv", "a,b\n1,2\n"),
        ("metrics.csv", "epoch,loss\n1," + "2" * 200_000),
        ("result.json", '{"top1": "0.9"}'),
        ("model.json", "[]"),
    ],
    ids=["columns", "cell", "number", "list"],
)
def test_an_odd_run_is_left_out_and_the_others_are_told(told, file, text):
    (told / "runs" / "first" / file).write_text(text)
    page = written(told)
    assert "93.00%" in page and "runs/first" in page.partition("Left out")[2]


def test_names_are_text_and_never_markup(told):
    a_measurement(told, "third", 5.0, path="<script>alert(1)</script>", device={"cpu": "<b>x</b>"})
    page = written(told)
    assert "<script" not in page and "<b>" not in page and "&lt;script&gt;" in page


def test_what_cannot_be_read_is_left_out_and_told(told, command):
    (told / "measurements" / "bad.json").write_text('[{"path": 1}]')
    (told / "measurements" / "worse.json").write_text("{")
    (told / "runs" / "second" / "config.json").write_text("{")
    (told / "runs" / "second" / "result.json").unlink()
    (told / "runs" / "first" / "result.json").unlink()
    result = command("report", "--json", cwd=told)
    assert result.status == 0, result.err
    assert sorted(result.out["left_out"]) == ["measurements/bad.json", "measurements/worse.json", "runs/second"]
    assert "measurements/bad.json" in result.err


def test_measurements_alone_or_unfinished_runs_make_a_page(tmp_path):
    a_measurement(tmp_path, "first", 4.5)
    assert "4.50" in written(tmp_path)
    run = a_run(tmp_path, "begun", 0.5)
    for name in ("result.json", "model.json", "metrics.csv"):
        (run / name).unlink()
    assert "begun" in written(tmp_path)


def test_what_is_mistaken_is_shown_as_text_and_pictures(told):
    odd = "</td><script>$\\frac{1}{$\n\x01"
    labels = ["cat", odd, "no-break" * 20]
    of_class = [documents.OfClass(label, 20, top1) for label, top1 in zip(labels, (0.95, 0.5, 1.0), strict=True)]
    png = "iVBORw0KGgo="
    answers = documents.Answers(
        60,
        tuple(of_class),
        (documents.Confusion(odd, "cat", 10), documents.Confusion("cat", odd, 1)),
        (documents.Mistake(odd, "cat", 0.987, png, f"{odd}/photo<b>.png"),),
    )
    documents.write(told / "runs" / "first" / "answers.json", answers)
    many = [documents.OfClass(f"class {index}", 1, index / 100) for index in range(100)]
    documents.write(told / "runs" / "second" / "answers.json", documents.Answers(100, tuple(many), (), ()))
    page = written(told)
    assert "<script" not in page and "<b>" not in page
    assert f'src="data:image/png;base64,{png}"' in page and "cat 99%" in page and "photo&lt;b&gt;.png" in page
    # One is drawn; of 100 classes no name could be read.
    assert page.count('alt="confusion matrix of first"') == page.count('alt="confusion matrix of') == 1
    assert "the 12 with the lowest top-1 of 100" in page and "class 11<" in page and "class 12<" not in page
    (told / "runs" / "first" / "answers.json").write_text(json.dumps({"examples": 60}))
    assert "runs/first" in written(told).partition("Left out")[2]


def test_a_confusion_matrix_is_valid_svg_whatever_classes_are_called():
    odd = ["$\\frac{1}{$", "a\x01\x1bb\n", "<&>", "\u202eleft"]
    answers = documents.Answers(8, tuple(documents.OfClass(label, 2, 0.5) for label in odd), (), ())
    drawn = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        confusion_matrix(answers).savefig(drawn, format="svg")
    texts = [each.text for each in ElementTree.fromstring(drawn.getvalue()).iter("{http://www.w3.org/2000/svg}text")]
    assert {"$\\frac{1}{$", "a b", "<&>", "left"} <= {text.strip() for text in texts if text}


@pytest.mark.filterwarnings("error")
def test_names_in_every_script_are_left_to_the_browsers_fonts(told):
    answers = documents.Answers(2, tuple(documents.OfClass(label, 1, 0.0) for label in ("鳥", "🐦")), (), ())
    documents.write(told / "runs" / "first" / "answers.json", answers)
    a_run(told, "third", 0.7, name="鳥")
    (drawn,) = re.findall('src="data:image/svg[^,]*,([^"]*)" alt="confusion matrix of first"', written(told))
    texts = ElementTree.fromstring(base64.b64decode(drawn)).iter("{http://www.w3.org/2000/svg}text")
    assert {"鳥", "🐦"} <= {each.text for each in texts}


def test_cross_validations_are_told_and_a_damaged_one_is_left_out(tmp_path):
    folds = tuple(documents.Fold(at, f"runs/<b>/{at}", 20, top1, 1.0) for at, top1 in ((1, 0.8), (2, 0.9)))
    for name in ("whole", "half"):
        found = documents.Folds(f"runs/<b>{name}", "ftbnn_r18", "folder:pets", folds, 0.85, 0.0707, seconds=3)
        documents.write(tmp_path / "runs" / name / "folds.json", found)
    (tmp_path / "runs" / "half" / "folds.json").write_text("{")
    page = written(tmp_path)
    told = page.partition("Cross-validation")[2]
    for words in ("runs/&lt;b&gt;whole", "85.00%", "7.07 points", "80.00%", "90.00%", ">2<", ">40<"):
        assert words in told
    assert "half/folds.json" in page.partition("Left out")[2] and "<b>" not in page


def test_nothing_to_tell_and_nowhere_to_write(refused, told, tmp_path):
    (tmp_path / "empty").mkdir()
    said = refused("report", cwd=tmp_path / "empty")
    assert "neither runs" in said and "ftbnn-larq train" in said
    assert "is a folder" in refused("report", "-o", tmp_path / "empty", cwd=told)
    for option in ("--runs", "--measurements"):
        assert "nowhere: no such folder: name another" in refused("report", option, "nowhere", cwd=told)
    assert not (told / "report.html").exists()
    for result in told.rglob("result.json"):
        result.unlink()
    assert "config.json" in refused("report", "-o", told / "runs" / "first" / "config.json" / "page.html", cwd=told)


def test_where_nothing_can_be_read_it_is_named(tmp_path):
    (a_run(tmp_path, "first", 0.7) / "result.json").write_text("{")
    (tmp_path / "measurements").mkdir()
    (tmp_path / "measurements" / "first.json").write_text("{")
    with pytest.raises(RunError, match=r"can be read: .*runs/first, .*measurements/first\.json"):
        written(tmp_path)


def test_the_front_is_what_nothing_beats_in_both():
    assert pareto_front([(3, 0.9), (1, 0.5), (2, 0.4), (3, 0.8), (4, 0.9)]) == [1, 0]
    assert pareto_front([]) == []


def test_names_of_any_bytes_are_told_as_text(told):
    a_run(told, "caf\udce9", 0.7)
    a_measurement(told, "second", 5.0, path="caf\udce9/model.tflite")
    assert "caf?" in written(told)


def test_names_are_no_formulas(told):
    odd = "$\\frac{1}{$"
    operators = [{"type": odd, "count": 1, "ms": 1.0}]
    layers = [{"layer": odd, "type": odd, "ms": 1.0, "calls": 1}]
    a_measurement(told, "second", 5.0, path=odd, device={"cpu": odd}, operators=operators, layers=layers)
    a_run(told, odd, 0.7, name=odd)
    assert "frac" in written(told)


def test_the_legend_of_operators_stays_within_the_picture():
    types = ["Convolution (NHWC, F32) IGEMM", "Fully Connected (NC, F32) GEMM", "T" * 80, *"abcdefgh"]
    operators = [{"type": kind, "count": 1, "ms": 1.0} for kind in types]
    figure = operators_figure(
        [{"path": "a" * 100, "threads": 1, "kernel": "default", "layers": [], "operators": operators}]
    )
    figure.draw_without_rendering()
    drawn = [figure.legends[0], *figure.axes[0].texts]
    assert all(figure.bbox.contains(*corner) for each in drawn for corner in each.get_window_extent().corners())


def test_names_of_neighbours_cover_neither_each_other_nor_a_mark():
    points = [("ftbnn_r18", 22, 0.971), ("ftbnn_r18_pure", 43, 0.9701), ("ftbnn_r34_baseline", 57, 0.9698)]
    points += [("bireal_r18", 29, 0.9634), ("ftbnn_r18_baseline", 36, 0.9639), ("$x$ {", 36.5, 0.9638)]
    figure = scatter(points, "ms")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    names = [text.get_window_extent() for text in axes.texts]
    marks = [axes.transData.transform((cost, top1)) for _, cost, top1 in points]
    assert not [(one, two) for one in names for two in names if one is not two and one.overlaps(two)]
    assert not [name for name in names for mark in marks if name.contains(*mark)]
    assert all(figure.bbox.contains(*corner) for name in names for corner in name.corners())


def test_a_measurement_that_says_null_for_what_it_lacks_is_drawn(tmp_path):
    a_run(tmp_path, "first", 0.81)
    a_measurement(tmp_path, "first", 4.5, layers=None)
    a_measurement(tmp_path, "second", 4.5, layers=[])
    assert "4.5" in written(tmp_path)
