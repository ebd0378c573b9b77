"""The paper's argument as a measurement: scales, errors, straight lines."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from conftest import run_command

from ftbnn_larq.analysis.linearity import linearity, verdict
from ftbnn_larq.layers import binary_conv


def one_layer(groups: int = 1, latent=None) -> tf.keras.Model:
    inputs = tf.keras.Input((8, 8, 64))
    x = binary_conv(64, 3, groups=groups, name="conv")(inputs)
    x = tf.keras.layers.BatchNormalization(name="bn")(x)
    model = tf.keras.Model(inputs, x)
    generator = np.random.default_rng(0)
    layer = model.get_layer("conv")
    shape = layer.get_weights()[0].shape
    layer.set_weights([generator.uniform(-1, 1, shape) if latent is None else latent(generator, shape)])
    norm = model.get_layer("bn")
    norm.set_weights([generator.uniform(0.5, 2, 64) for _ in range(4)])
    return model


def rows(document: dict, kind: str = "scales") -> dict:
    return {row["name"]: row for row in document[kind]}


def signs(generator, shape):
    return generator.choice([-1.0, 1.0], shape).astype(np.float32)


def test_signs_of_signs_lose_nothing():
    document = linearity(one_layer(latent=signs), signs(np.random.default_rng(1), (8, 8, 8, 64)))
    for name in ("none", "weight", "weight and input"):
        assert rows(document)[name]["error"] == pytest.approx(0, abs=1e-9)
        assert rows(document)[name]["linearity"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_scales_of_xnor_net_lower_the_error_and_only_the_inputs_scale_can_change_linearity(groups):
    generator = np.random.default_rng(1)
    loudness = generator.uniform(0.1, 3, (16, 8, 8, 1))
    pictures = (loudness * generator.normal(size=(16, 8, 8, 64))).astype(np.float32)
    found = rows(linearity(one_layer(groups), pictures))
    assert found["weight and input"]["error"] < found["weight"]["error"] < found["none"]["error"]
    for name in ("weight", "batch norm"):
        assert found[name]["linearity"] == pytest.approx(found["none"]["linearity"], abs=1e-4)
    assert found["weight and input"]["linearity"] > found["none"]["linearity"] + 0.01


def test_groups_are_measured_like_the_networks_they_are():
    generator = np.random.default_rng(1)
    pictures = generator.normal(size=(8, 8, 8, 64)).astype(np.float32)
    grouped = one_layer(groups=2)
    kernel = grouped.get_layer("conv").get_weights()[0]
    whole = one_layer()
    dense = np.full((3, 3, 64, 64), 1e-9, np.float32)
    dense[:, :, :32, :32], dense[:, :, 32:, 32:] = kernel[..., :32], kernel[..., 32:]
    whole.get_layer("conv").set_weights([dense])
    # The full-precision results are the same, the signs of nearly nothing are not: the grouped one is the better.
    one, other = linearity(grouped, pictures), linearity(whole, pictures)
    assert rows(one)["none"]["linearity"] > rows(other)["none"]["linearity"] + 0.1


def test_identity_leaves_and_relu_takes_linearity():
    pictures = np.random.default_rng(1).normal(size=(8, 8, 8, 64)).astype(np.float32)
    document = linearity(one_layer(), pictures)
    acts = rows(document, "nonlinearities")
    assert acts["identity"]["linearity"] == pytest.approx(rows(document)["batch norm"]["linearity"], abs=1e-4)
    assert acts["relu"]["linearity"] < acts["prelu"]["linearity"] < acts["identity"]["linearity"]


@pytest.mark.parametrize(("close", "words"), [(0.9, "as the paper claims"), (0.1, "contradicts"), (0.5, "not support")])
def test_the_verdict_follows_the_data(close, words):
    scales = [
        {"name": "none", "error": 9.0, "linearity": 0.5},
        {"name": "weight", "error": 1.0, "linearity": 0.5},
        {"name": "weight and input", "error": 0.5, "linearity": close},
    ]
    assert words in verdict(scales, [])


def test_the_command_measures_the_newest_run(trained):
    result = run_command("analyze", "linearity", "--pictures", 8, "--json", cwd=trained.folder)
    assert result.status == 0, result.err
    assert result.out["trained"] and result.out["pictures"] == 8 and len(result.out["layers"]) == 16
    assert {row["name"] for row in result.out["nonlinearities"]} >= {"identity", "fprelu", "as trained"}
    picture = (trained.folder / result.out["picture"]).read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and len(picture) > 10_000


def test_without_a_run_it_says_that_the_network_is_untrained(tmp_path):
    result = run_command("analyze", "linearity", "--pictures", 4, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    assert "UNTRAINED" in result.err and not result.out["trained"] and result.out["run"] is None
    assert (tmp_path / "linearity.png").is_file()


def test_a_folder_that_is_no_run_is_refused(refused, tmp_path):
    assert "is not a run" in refused("analyze", "linearity", tmp_path)
