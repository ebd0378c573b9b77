"""What benchmark tools print, old and new, whole and broken."""

from __future__ import annotations

import copy

import pytest

from ftbnn_larq.benchmarking.models import read_model
from ftbnn_larq.benchmarking.output import Row, parse
from ftbnn_larq.conversion import flatbuffer as fb
from ftbnn_larq.errors import ToolError
from tests.boards.helpers import SAMPLES


def sample(name: str) -> str:
    return (SAMPLES / name).read_text()


PLAIN = sample("plain.txt")
BUILTIN, XNNPACK = sample("profile_builtin_kernels.txt"), sample("profile_xnnpack.txt")

# As TensorFlow 1.13 and TensorFlow 2.19 print it.
OLDEST = """STARTING!
Num runs: [50]
Graph: [mobilenet.tflite]
Loaded model mobilenet.tflite
resolved reporter
Initialized session in 4.452ms
Running benchmark for 1 iterations
count=1 curr=146161

Running benchmark for 50 iterations
count=50 first=137789 curr=137254 min=137079 max=143416 avg=137722 std=896

============================== Run Order ==============================
\t             [node type]\t  [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t    0.0\t 4.269\t 4.269\t 0.107%\t 0.107%\t 0.000\t        0\t[Mobilenet/Conv2d_0/Relu6]
\t       DEPTHWISE_CONV_2D\t    4.3\t 2.150\t 2.150\t 0.054%\t 0.161%\t 0.000\t        0\t[Mobilenet/Conv2d_1/Relu6]

Number of nodes executed: 2
============================== Summary by node type ==============================
\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]
\t                 CONV_2D\t        1\t     4.269\t    66.679%\t    66.679%\t     0.000\t        0

Timings (microseconds): count=50 first=108164 curr=128308 min=102850 max=197072 avg=150805 std=24368
Memory (bytes): count=0
2 nodes observed


Average inference timings in us: Warmup: 146161, Init: 4452, no stats: 137722
"""
NEWEST = """INFO: STARTING!
INFO: Initialized session in 143.669ms.
INFO: Running benchmark for at least 50 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.

INFO: count=50 first=72635 curr=42240 min=42134 max=72635 avg=43536.2 std=4813 p5=42168 median=42430 p95=49447

INFO: Running benchmark for at least 5 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=24 first=42142 curr=42232 min=42142 max=42763 avg=42435.4 std=147 p5=42232 median=42405 p95=42729

INFO: Inference timings in us: Init: 143669, First inference: 72635, Warmup (avg): 43536.2, Inference (avg): 42435.4
INFO: Memory footprint delta from the start of the tool (MB): init=23.5625 overall=27.5859
INFO: Overall peak memory footprint (MB) via periodic monitoring: 31.25
INFO: Memory status at the end of exeution:
INFO: - VmRSS              : 31 MB
"""


def test_the_second_count_is_the_measurement_and_microseconds_become_milliseconds():
    found = parse(PLAIN)
    assert (found.timing.count, found.timing.mean, found.timing.std) == (20, 158.848, 38.622)
    assert (found.timing.min, found.timing.max) == (99.746, 216.983)
    assert found.memory_mb == 7.77344 and found.rows == ()
    assert found.timing.median is None


@pytest.mark.parametrize(
    ("text", "types", "total"),
    [
        (BUILTIN, {"LceBconv2d": 66.290, "ADD": 30.561, "PRELU": 11.802, "LceQuantize": 1.044}, 109.704),
        (
            XNNPACK,
            {"LceBconv2d": 60.041, "Add (ND, F32)": 31.774, "PReLU (NC, F32)": 6.007, "LceQuantize": 0.855},
            98.6812,
        ),
    ],
)
def test_profiles_add_up_to_the_tools_own_summary(text, types, total):
    rows = parse(text).rows
    for kind, ms in types.items():
        assert sum(row.ms for row in rows if row.type == kind) == pytest.approx(ms, abs=0.02)
    assert sum(row.ms for row in rows) == pytest.approx(total, rel=1e-3)
    assert "AllocateTensors" not in {row.type for row in rows}


def test_a_profile_in_csv_gives_its_timing_too():
    found = parse(sample("profile.csv"))
    assert found.timing.count == 2 and found.timing.mean == 102.296
    assert len(found.rows) == 16 and found.rows[1].ms == 11.82
    assert found.rows[1].name == "[model_1/batch_normalization_4/FusedBatchNormV3;Qua]:1"


def test_commas_in_the_types_of_delegates_do_not_shift_columns_of_csv():
    row = "LceBconv2d, 11.775, 11.82, 11.5548%, 11.7899%, 0, 1, [model_1/batch_normalization_4/FusedBatchNormV3;Qua]:1"
    merged = "PReLU (NC, F32), 1.472, 1.502, 6.088%, 36.636%, 0, 4, Delegate/PReLU (NC, F32):0"
    found = parse(sample("profile.csv").replace(row, merged)).rows[1]
    assert (found.type, found.calls, found.name) == ("PReLU (NC, F32)", 4, "Delegate/PReLU (NC, F32):0")
    assert found.ms == pytest.approx(6.008)


def test_older_and_newer_builds():
    old = parse(OLDEST)
    assert old.timing.mean == 137.722 and old.memory_mb is None
    assert [(row.type, row.ms) for row in old.rows] == [("CONV_2D", 4.269), ("DEPTHWISE_CONV_2D", 2.15)]
    new = parse(NEWEST)
    assert (new.timing.median, new.timing.p95) == (42.405, 42.729)
    assert new.memory_mb == 31.25, "the peak, not the growth"
    assert parse(NEWEST.replace("INFO: ", "")) == new
    assert parse(NEWEST.replace("\n", "\r\n")) == new
    assert parse(PLAIN.replace("Memory footprint delta from the start of the tool", "Peak memory footprint")).memory_mb


@pytest.mark.parametrize(
    "prefix",
    [
        "10:04:31.319  2638-2638  tflite          org.tensorflow.lite.benchmark  I  ",
        "03-15 10:04:31.319  2638  2638 I tflite  : ",
        "I/tflite  ( 2638): ",
        "I tflite  : ",
        "I0315 10:04:31.319123 2638 benchmark_model.cc:123] ",
        "2024-01-01 10:00:00.123456: I tensorflow/lite/tools/benchmark/benchmark_model.cc:123] ",
        "[./tensorflow/lite/tools/benchmark/benchmark_model.cc : 123] ",
        "INFO: [benchmark_model.h:94] ",
        "\x1b[32mINFO: \x1b[0m",
        "WARNING: no end of line after this.INFO: ",
    ],
)
@pytest.mark.parametrize("text", [PLAIN, XNNPACK])
def test_logs_put_more_in_front(text, prefix):
    found = parse("".join(f"{prefix}{line.removeprefix('INFO: ')}\n" for line in text.splitlines()))
    assert found == parse(text)


def test_lines_may_end_as_on_a_terminal():
    assert parse(XNNPACK.replace("\n", "\r\r\n")) == parse(XNNPACK)


def test_a_part_of_the_output_is_enough_if_it_says_that_it_is_the_measurement():
    line = "count=50 first=249042 curr=250889 min=247067 max=254474 avg=249684 std=1442\n"
    end = "Inference timings in us: Init: 16242, Warmup (avg): 304586, Inference (avg): 249684\n"
    assert parse(line + end).timing.mean == 249.684
    for warmup in (line, line.replace("249684", "304586") + end):
        with pytest.raises(ToolError, match="no result"):
            parse(warmup)


@pytest.mark.parametrize(
    ("line", "mean", "median"),
    [
        ("count=5 first=1118041 curr=1118042 min=1118040 max=1118044 avg=1.11804e+06 std=1", 1118.04, None),
        ("count=1 curr=9", 0.009, 0.009),
        ("count=7 curr=9(all same)", 0.009, 0.009),
        ("count=7 curr=9(all same) p5=9 median=9 p95=9", 0.009, 0.009),
        ("count=1 curr=1.5e+06", 1500.0, 1500.0),
        ("curr=3000 count=20 min=2000 max=3000 avg=2500 std=1", 2.5, None),
        ("curr=3000 count=20(all same)", 3.0, 3.0),
        ("count=3 first=10 curr=10 min=10 max=11 avg=10.3 std=-nan", 0.0103, None),
        ("count=3 first=10 curr=10 min=10 max=11 avg=10.3 std=-9223372036854775808", 0.0103, None),
    ],
)
def test_forms_of_the_result(line, mean, median):
    timing = parse(f"count=1 curr=3\n{line}\n").timing
    assert timing.mean == pytest.approx(mean) and timing.median == median and timing.std >= 0


@pytest.mark.parametrize("text", [PLAIN, BUILTIN, XNNPACK, OLDEST, NEWEST, sample("profile.csv")])
@pytest.mark.parametrize(
    "noise", ["ld.so: object 'libx.so' cannot be preloaded: ignored.", "INFO: 100% of it", "", "WARNING: 5% left, 3"]
)
def test_standard_error_between_any_two_lines_changes_nothing(text, noise):
    lines = text.splitlines()
    mixed = "\n".join(part for line in lines for part in (line, noise))
    assert parse(mixed) == parse(text)


@pytest.mark.parametrize(("primary", "other"), [("", ""), (" (name: main)", ", name: body")])
def test_subgraphs_and_the_inside_of_a_delegate_are_not_counted_twice(primary, other):
    table = BUILTIN[BUILTIN.rindex("============================== Run Order") :]
    named = BUILTIN.replace("Initialization:\n", f"Initialization:\nPrimary graph{primary} profile:\n")
    named = named.replace("Regular Benchmark Runs:\n", f"Regular Benchmark Runs:\nPrimary graph{primary} profile:\n")
    inside = f"{named}\nDelegate internal: \n{table}\nSubgraph (index: 1{other}) profile:\n{table}"
    assert parse(inside).rows == parse(BUILTIN).rows


def test_types_that_end_in_a_number_do_not_shift_columns():
    text = BUILTIN.replace("                LceBconv2d\t   16.594", "convolution_2d 0 -> relu 1\t   16.594", 1)
    row = parse(text).rows[1]
    assert (row.type, row.ms, row.calls) == ("convolution_2d 0 -> relu 1", 16.518, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "printed nothing"),
        (sample("grouped_default_kernel.stderr.txt"), "Grouped binary convolutions are not supported with this kernel"),
        (sample("grouped_default_kernel.stdout.txt"), r"ends in 'INFO: Loaded model g2\.tflite'"),
        (PLAIN[: PLAIN.index("INFO: Running benchmark for at least 20")], "ends in 'INFO: count=1 curr=142827'"),
        (PLAIN.replace("first=151162", "first=151i62"), "cannot read .*151i62"),
        (PLAIN.replace("avg=158848", "av"), "cannot read .* av "),
        (PLAIN.replace(" avg=158848", ""), "lacks a figure"),
        (PLAIN.replace("avg=158848", "avg=nan"), "cannot read .*avg=nan"),
        (PLAIN.replace("count=20 first=151162", "count=inf"), "cannot read .*count=inf"),
        (PLAIN.replace("curr=162364", "curr=16INFO: Created a delegate.\n2364"), "cannot read .*curr=16INFO"),
        (PLAIN.replace(" first=151162", "").replace(" avg=158848", ""), "lacks a figure"),
        (BUILTIN.replace("[avg ms]", "[avg m]"), "cannot read this header .*avg m"),
        (BUILTIN.replace("16.518", "16,5l8", 1), "profile: .*16,5l8"),
        (
            "".join(line for line in BUILTIN.splitlines(True) if "]:14" not in line),
            "lists 15 operators but says 'Number of nodes executed: 16'",
        ),
        (PLAIN + PLAIN, "more than one benchmark"),
        (PLAIN.replace("avg=158848", "avg=" + "9" * 400), "no measurement, 9+ in this line .*avg=9"),
        (PLAIN.replace("avg=158848", "avg=1e99"), "no measurement, 1e99 in this line .*avg=1e99"),
        (PLAIN.replace("avg=158848", "avg=-158848"), "no measurement, -158848 in this line .*avg=-158848"),
        (PLAIN.replace("avg=158848", "avg=0"), "a time of 0 in this line .*avg=0"),
        (PLAIN.replace("count=20 first", "count=" + "9" * 400 + " first"), "no measurement, 9+ in this line .*count=9"),
        (PLAIN.replace("overall=7.77344", "overall=" + "7" * 400), "no measurement, 7+ in this line .*overall=7"),
        (BUILTIN.replace("16.518", "-16.518"), "no measurement, -16.518 in this line"),
        (BUILTIN.replace("executed: 16", "executed: " + "1" * 5000), "lists 16 operators but says"),
        ("INFO: count=0\nINFO: count=0\n", "no result"),
        ("a photograph\nof a cat\n", "ends in 'of a cat'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_line(text, words):
    with pytest.raises(ToolError, match=words):
        parse(text)


def test_a_profile_of_several_subgraphs_names_the_layers_of_the_first(tmp_path):
    whole = fb.unpack(SAMPLES.joinpath("plain.tflite").read_bytes())
    alone = read_model(SAMPLES / "plain.tflite")
    whole.subgraphs = [whole.subgraphs[0], copy.deepcopy(whole.subgraphs[0])]
    (tmp_path / "several.tflite").write_bytes(fb.pack(whole))
    several = read_model(tmp_path / "several.tflite")
    rows = [Row(operator.type, f"[{operator.output}]:{at}", 1.0, 1) for at, operator in enumerate(alone.operators)]
    assert several.profile(rows) == alone.profile(rows) != []


def test_rounds_come_together():
    from ftbnn_larq.benchmarking.statistics import Timing, combine, ratio, split

    rounds = [Timing(10, 2.0, 1.0, 3.0, 0.5), Timing(10, 4.0, 2.0, 5.0, 0.5), Timing(10, 30.0, 3.0, 90.0, 5.0)]
    figures = combine(rounds)
    assert (figures["mean"], figures["median"], figures["min"], figures["max"]) == (12.0, 4.0, 1.0, 90.0)
    assert figures["median_of"] == "means of rounds" and figures["p95"] is None
    newer = combine([Timing(10, 2.0, 1.0, 3.0, 0.5, 1.5, 2.5), Timing(10, 4.0, 2.0, 5.0, 0.5, 3.5, 4.5)])
    assert (newer["median"], newer["median_of"], newer["p95"]) == (2.5, "medians of rounds", 4.5)
    exact = combine([Timing.of([1.0, 2.0]), Timing.of([3.0, 4.0])])
    assert (exact["median"], exact["mean"], exact["median_of"]) == (2.5, 2.5, "runs")
    assert ratio([Timing.of([2.0]), Timing.of([8.0])], [Timing.of([1.0]), Timing.of([4.0])]) == 2
    assert split(50, 5) == [10] * 5 and split(3, 5) == [1, 1, 1] and sum(split(23, 5)) == 23
