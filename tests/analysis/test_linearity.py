"""The paper's argument as a measurement: scales, errors, linear maps, the verdict from them, the command."""

from __future__ import annotations

import json

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.analysis.linearity import linearity
from ftbnn_larq.analysis.verdict import conclude
from ftbnn_larq.errors import ConfigError, DataError, ModelFileError
from ftbnn_larq.models.config import NONLINEARITIES
from ftbnn_larq.models.layers import binary_conv
from ftbnn_larq.models.nonlinearities import create
from tests.conftest import OPTIONS

SCALES = ("none", "weight", "weight and activation", "batch norm")


def signs(*shape):
    return np.random.default_rng(shape).choice([-1.0, 1.0], shape).astype(np.float32)


def normal(*shape):
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def one_layer(
    kernel, *, groups=1, strides=1, nonlinearity=None, batch_norm=True, quantizer="ste_sign"
) -> tf.keras.Model:
    """A binary convolution with that kernel, a batch norm that has learned something, a non-linearity."""
    filters = kernel.shape[-1]
    inputs = tf.keras.Input((8, 8, kernel.shape[2] * groups))
    conv = binary_conv(filters, 3, groups=groups, strides=strides, name="conv")
    conv.kernel_quantizer = lq.quantizers.get_kernel_quantizer(quantizer)
    x = conv(inputs)
    if batch_norm:
        x = tf.keras.layers.BatchNormalization(name="bn")(x)
    if nonlinearity:
        x = create(nonlinearity, layer_name="act")(x)
    model = tf.keras.Model(inputs, x)
    model.get_layer("conv").set_weights([kernel])
    if batch_norm:
        gamma, variance = np.linspace(0.5, 2, filters), np.linspace(150, 50, filters)
        model.get_layer("bn").set_weights([gamma, normal(filters), 5 * normal(filters), variance])
    return model


def only(document: dict) -> dict:
    (layer,) = document["layers"]
    return layer


def scale(document: dict, key: str) -> dict:
    return {name: numbers[key] for name, numbers in only(document)["scales"].items()}


def test_signs_of_signs_lose_nothing():
    document = linearity(one_layer(signs(3, 3, 8, 8)), signs(32, 8, 8, 8))
    for name in ("none", "weight", "weight and activation"):
        assert scale(document, "error")[name] == pytest.approx(0, abs=1e-9)
    for name in SCALES:
        assert scale(document, "error_rescaled")[name] == pytest.approx(0, abs=1e-9)
        assert scale(document, "linearity")[name] == pytest.approx(1, abs=1e-6)
    assert document["claim"] == "no difference"


def test_binarizing_weights_alone_leaves_everything_linear():
    # Filters that span all windows: with signs as inputs B is linear in them, and F determines them.
    inputs = tf.keras.Input((8, 8, 4))
    layer = binary_conv(36, 3, name="conv")
    model = tf.keras.Model(inputs, layer(inputs))
    layer.set_weights([0.1 * normal(3, 3, 4, 36)])
    document = linearity(model, signs(64, 8, 8, 4))
    assert scale(document, "linearity")["none"] == pytest.approx(1, abs=1e-4)
    assert scale(document, "error_rescaled")["none"] > 0.2


def test_the_weight_scale_is_the_best_factor_for_signs():
    model = one_layer(0.3 * normal(3, 3, 8, 8))
    pictures = signs(64, 8, 8, 8)
    errors = scale(linearity(model, pictures), "error")
    assert errors["weight"] < errors["none"]
    # alpha minimises |W - alpha sign(W)|^2, and independent signs keep such distances.
    assert errors["weight"] == pytest.approx(scale(linearity(model, pictures), "error_rescaled")["weight"], rel=0.05)


def test_the_sign_of_zero_is_plus_one():
    # Then the sign of 0 and -1 is a straight line, 2 x + 1; otherwise it would be a constant.
    document = linearity(one_layer(signs(3, 3, 8, 8)), np.minimum(signs(64, 8, 8, 8), 0))
    assert scale(document, "error_rescaled")["none"] == pytest.approx(0, abs=1e-9)
    assert scale(document, "linearity")["none"] == pytest.approx(1, abs=1e-6)


def loudness(*shape):
    """Factors that make pictures of very different loudness: what the sign throws away and K brings back."""
    return np.random.default_rng(shape).uniform(0.1, 3, shape).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_scale_per_channel_changes_the_error_but_only_k_changes_linearity(groups):
    # Pictures of very different loudness: what the sign throws away, K brings back.
    pictures = loudness(64, 1, 1, 1) * normal(64, 8, 8, 16)
    document = linearity(one_layer(0.1 * normal(3, 3, 16 // groups, 16), groups=groups), pictures)
    errors, shares = scale(document, "error"), scale(document, "linearity")
    assert errors["weight and activation"] < errors["weight"] < errors["none"]
    assert errors["batch norm"] is None
    assert shares["weight"] == pytest.approx(shares["none"], abs=1e-6)
    assert shares["batch norm"] == pytest.approx(shares["none"], abs=1e-6)
    assert shares["weight and activation"] > shares["none"] + 0.01
    assert document["claim"] == "holds"
    assert all(0 <= share <= 1 for share in shares.values())


def test_groups_are_measured_as_the_convolutions_they_are():
    pictures = np.repeat(loudness(64, 1, 1, 2), 8, axis=-1) * normal(64, 8, 8, 16)
    kernel = 0.1 * normal(3, 3, 8, 16)
    both = only(linearity(one_layer(kernel, groups=2), pictures))["scales"]
    first = only(linearity(one_layer(kernel[..., :8]), pictures[..., :8]))["scales"]
    second = only(linearity(one_layer(kernel[..., 8:]), pictures[..., 8:]))["scales"]
    for name in SCALES:
        halves = (first[name]["linearity"] + second[name]["linearity"]) / 2
        assert both[name]["linearity"] == pytest.approx(halves, abs=0.02)
    low, high = sorted(one["weight and activation"]["error"] for one in (first, second))
    assert low - 0.01 < both["weight and activation"]["error"] < high + 0.01


def test_padding_is_not_looked_at():
    kernel, pictures = 0.1 * normal(3, 3, 8, 8), normal(64, 8, 8, 8)
    # Stride 2 on 8x8 with windows of 3x3: three positions a side lie wholly inside, without stride six.
    assert only(linearity(one_layer(kernel), pictures))["positions"] == 64 * 36
    assert only(linearity(one_layer(kernel, strides=2), pictures))["positions"] == 64 * 9


def test_non_linearities_take_linearity_away():
    model = one_layer(0.1 * normal(3, 3, 8, 8), nonlinearity="fprelu")
    model.get_layer("act").set_weights([np.ones(8), -np.ones(8)])  # |x|, further from linear than ReLU
    document = linearity(model, normal(64, 8, 8, 8))
    shares = only(document)["nonlinearities"]
    assert set(shares) == {*NONLINEARITIES, "as trained"}
    assert shares["identity"] == pytest.approx(scale(document, "linearity")["batch norm"], abs=1e-6)
    assert shares["as trained"] < shares["relu"] < shares["leaky_relu"] < shares["prelu"] < shares["identity"]
    assert "the network's own" in document["verdict"]


def test_a_scale_of_the_layers_own_kernel_is_what_its_batch_norm_learned():
    kernel = 0.1 * normal(3, 3, 8, 8)
    scaled = one_layer(kernel, nonlinearity="relu", quantizer="magnitude_aware_sign")
    plain = one_layer(kernel, nonlinearity="relu")
    alpha = np.abs(kernel).mean(axis=(0, 1, 2))
    gamma, beta, mean, variance = plain.get_layer("bn").get_weights()
    scaled.get_layer("bn").set_weights([gamma, beta, alpha * mean, alpha**2 * variance])
    scaled.get_layer("bn").epsilon = plain.get_layer("bn").epsilon = 0.0
    documents = [only(linearity(model, normal(64, 8, 8, 8))) for model in (scaled, plain)]
    shares, expected = (document["nonlinearities"] for document in documents)
    assert shares == pytest.approx(expected, rel=1e-4)


def test_without_a_batch_norm_its_rows_are_missing():
    document = linearity(one_layer(0.1 * normal(3, 3, 8, 8), batch_norm=False), normal(64, 8, 8, 8))
    assert [row["name"] for row in document["scales"]] == ["none", "weight", "weight and activation"]
    assert document["nonlinearities"] == []


def test_a_batch_norm_that_reads_no_sums_is_not_measured_on_them():
    # As in larq-zoo's QuickNet, whose batch norms learned what a ReLU gives.
    model = one_layer(0.1 * normal(3, 3, 8, 8))
    model.get_layer("conv").activation = tf.keras.activations.relu
    document = linearity(model, normal(64, 8, 8, 8))
    assert [row["name"] for row in document["scales"]] == ["none", "weight", "weight and activation"]
    assert document["nonlinearities"] == []


def test_a_constant_layer_gives_no_number_and_no_nan():
    document = linearity(one_layer(0.1 * normal(3, 3, 8, 8)), np.ones((64, 8, 8, 8), np.float32))
    assert scale(document, "linearity")["none"] is None
    json.dumps(document, allow_nan=False)


def test_layers_that_cannot_be_measured_are_left_out_with_the_reason():
    inputs = tf.keras.Input((8, 8, 8))
    x = binary_conv(8, 3, strides=2, name="first")(inputs)
    x = binary_conv(8, 3, strides=2, name="second")(x)
    document = linearity(tf.keras.Model(inputs, binary_conv(8, 3, name="third")(x)), normal(64, 8, 8, 8))
    assert [layer["name"] for layer in document["layers"]] == ["first"]
    reasons = {row["name"]: row["reason"] for row in document["left_out"]}
    assert "128 pictures, not 64" in reasons["second"]
    assert "smaller than its kernel" in reasons["third"]


def test_what_cannot_be_measured_at_all_is_refused():
    inputs = tf.keras.Input((8, 8, 8))
    pictures = normal(64, 8, 8, 8)
    with pytest.raises(ConfigError, match="no binary convolution"):
        linearity(tf.keras.Model(inputs, tf.keras.layers.Conv2D(8, 3)(inputs)), pictures)
    model = one_layer(0.1 * normal(3, 3, 8, 8))
    with pytest.raises(DataError, match="at least 2"):
        linearity(model, pictures[:1])
    with pytest.raises(DataError, match="pictures, not 2"):
        linearity(model, pictures[:2])
    with pytest.raises(ModelFileError, match="not finite"):
        linearity(model, np.full_like(pictures, np.nan))


@pytest.mark.parametrize(
    ("error", "share", "claim", "words"),
    [
        (0.5, 0.6, "holds", "holds here, but not for every scale"),
        (0.5, 0.4, "contradicted", "contradicts the paper's claim"),
        (2.0, 0.6, "contradicted", "contradicts the paper's claim"),
        (2.0, 0.4, "holds", "holds here, but not for every scale"),
        (0.5, 0.502, "no difference", "does not support"),
    ],
)
def test_the_verdict_follows_the_data(error, share, claim, words):
    numbers = {"none": (9.0, 0.5), "weight": (1.0, 0.5), "weight and activation": (error, share)}
    scales = {name: {"error": error, "linearity": share} for name, (error, share) in numbers.items()}
    document = conclude([{"scales": scales, "nonlinearities": {}}] * 2)
    assert document["claim"] == claim
    assert words in document["verdict"]


def test_the_command_measures_the_newest_run(trained, command):
    result = command("analyze", "linearity", "--json", cwd=trained.folder)
    assert result.status == 0, result.err
    document = result.out
    assert document["run"] in result.err
    assert document["model"] == "ftbnn_r18" and document["trained"] and document["dataset"] == "digits"
    assert document["pictures"] == 256
    assert [row["name"] for row in document["scales"]] == list(SCALES)
    assert {row["name"] for row in document["nonlinearities"]} == {*NONLINEARITIES, "as trained"}
    assert len(document["layers"]) + len(document["left_out"]) == sum(OPTIONS["units"])
    assert document["verdict"] and "NaN" not in json.dumps(document)
    picture = trained.folder / document["picture"]
    assert picture == trained.run / "linearity.png"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and picture.stat().st_size > 10_000


def test_the_table_has_a_row_for_each_scale_and_non_linearity(trained, tmp_path, command):
    picture = tmp_path / "new" / "picture.png"
    result = command("analyze", "linearity", trained.run, "-o", picture, "--pictures", 96, cwd=tmp_path)
    assert result.status == 0, result.err
    for name in (*SCALES, *NONLINEARITIES, "as trained"):
        assert sum(f": {name}  " in line for line in result.out.splitlines()) == 1, name
    assert "paper's claim" in result.out and "left out" in result.err
    assert picture.is_file()


@pytest.mark.slow
def test_without_a_run_it_takes_a_random_network_and_says_so(tmp_path, command):
    result = command("analyze", "linearity", "--pictures", 64, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    assert "UNTRAINED" in result.err
    assert result.out["run"] is None and not result.out["trained"]
    assert result.out["picture"] == "linearity.png" and (tmp_path / "linearity.png").is_file()


def test_what_is_no_run_and_no_picture_is_refused(refused, trained, tmp_path):
    assert "is not a run" in refused("analyze", "linearity", tmp_path)
    assert "no such run" in refused("analyze", "linearity", "none")
    assert "ends in .png" in refused("analyze", "linearity", trained.run, "-o", "picture.pdf")
    assert "--pictures" in refused("analyze", "linearity", trained.run, "--pictures", 1)
