"""One suite over every model of the zoo: a new one is picked up by itself."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

import ftbnn_larq
from ftbnn_larq import zoo
from ftbnn_larq.analysis.counts import count
from ftbnn_larq.conversion.convert import convert_model
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.inference.interpreter import Interpreter, kernels
from ftbnn_larq.models.ends import up_to_logits
from ftbnn_larq.models.layers import is_binary
from tests.runtime.native import parts

MODELS = zoo.list_models()
SMALL = {"input_shape": (32, 32, 3), "num_classes": 7, "width": 16}

# The deeper ones take their time.
over_models = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if "r34" in name else name for name in MODELS]
)


def kind(name):
    """A model's configuration but for its depth."""
    return zoo.entry(name).config.replace(units=(1, 1, 1, 1))


# Of models that differ in nothing but depth the shallowest: of a ResNet-18 and a ResNet-34 the first.
SHALLOWEST = {kind(name): name for name in sorted(MODELS, key=lambda name: -sum(zoo.entry(name).config.units))}
over_kinds = pytest.mark.parametrize("name", SHALLOWEST.values())
# Layers of every sort stand in these two: all float parts, and all that replaces them.
ENDS = ("bireal_r18", "ftbnn_r18")


def pictures(count=4, side=32):
    return np.random.default_rng(0).normal(size=(count, side, side, 3)).astype(np.float32)


@functools.cache
def as_trained(name) -> tf.keras.Model:
    """A model, narrow, with batch norms and slopes as if it had been trained."""
    tf.keras.utils.set_random_seed(1)
    model = ftbnn_larq.create_model(name, **SMALL)
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if not hasattr(layer, "kernel") and not hasattr(layer, "depthwise_kernel"):
            layer.set_weights(
                [weight + generator.uniform(0, 0.2, weight.shape).astype(np.float32) for weight in layer.get_weights()]
            )
    return model


@over_kinds
@pytest.mark.parametrize("side", [8, *(pytest.param(side, marks=pytest.mark.slow) for side in (64, 224))])
def test_models_fit_every_size_of_picture(name, side):
    model = ftbnn_larq.create_model(name, input_shape=(side, side, 3), include_top=False, width=16)
    assert model.output_shape[1] == model.output_shape[2] == {8: 1, 64: 4, 224: 7}[side]


@pytest.mark.slow
@over_models
def test_models_are_built_at_full_width_and_cost_what_is_stored(name):
    model = ftbnn_larq.create_model(name)
    assert zoo.costs().keys() == set(MODELS)
    stored, counted = zoo.costs()[name], count(model)
    assert stored == {key: counted[key] for key in stored}
    assert stored.keys() >= {"input_shape", "params", "macs", "ops", "weights_bytes"}
    assert model.output_shape == (None, 1000)
    assert len([layer for layer in model.layers if is_binary(layer)]) >= 16


@over_kinds
def test_probabilities_come_in_float32_and_every_parameter_has_a_gradient(name):
    model = as_trained(name)
    with tf.GradientTape() as tape:
        probabilities = model(pictures(), training=True)
        loss = tf.reduce_sum(tf.math.log(probabilities)[:, 0])
    np.testing.assert_allclose(tf.reduce_sum(probabilities, 1), 1, atol=1e-5)
    assert probabilities.dtype == tf.float32
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None and np.isfinite(gradient).all(), variable.name
        assert np.abs(gradient).max() > 0, variable.name


@over_models
def test_factories_follow_keras_applications(name):
    factory = getattr(zoo, name)
    inputs = tf.keras.Input((32, 32, 3))
    features = factory(input_tensor=tf.keras.layers.Rescaling(2.0)(inputs), include_top=False, width=16)
    assert len(features.output_shape) == 4
    with pytest.raises(ConfigError, match=r"imagenet.*published: "):
        factory(weights="imagenet")
    with pytest.raises(UnknownNameError, match="did you mean width"):
        factory(widht=16)
    with pytest.raises(ConfigError, match="at least 8x8"):
        factory(input_shape=(7, 7, 3))
    with pytest.raises(ConfigError, match=r"\(32, 32\): give \(height, width, channels\)"):
        factory(input_shape=(32, 32))
    with pytest.raises(TypeError):
        factory((32, 32, 3))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((32, 32), r"\(32, 32\): give \(height, width, channels\)"),
        (32, r"32: give \(height, width, channels\)"),
        ((32, 32, None), "give .height, width, channels"),
        ((0, 32, 3), "0x32x3: take 1 to 4096 pixels a side"),
        ((-8, 32, 3), "-8x32x3: take 1 to 4096"),
        ((32, 32, 0), "32x32x0: take 1 to 4096"),
        ((32, 4097, 3), "32x4097x3: take 1 to 4096"),
    ],
)
@pytest.mark.parametrize("weights", [None, "cifar10"])
def test_shapes_that_no_picture_has_are_refused_whatever_the_weights(shape, words, weights):
    with pytest.raises(ConfigError, match=words):
        zoo.ftbnn_r18(input_shape=shape, weights=weights)


@pytest.mark.parametrize("shortcut", ["float", "binary", "pool", "depthwise"])
def test_a_shortcut_that_halves_the_resolution_alone_has_a_batch_norm_too(shortcut):
    options = {"widening": (2.0, 1.0, 1.0, 1.0), "shortcut": shortcut, "units": (1, 1, 1, 1)}
    model = ftbnn_larq.create_model("ftbnn_r18_pure", **{**SMALL, **options})
    norms = [layer for layer in model.layers if layer.name.endswith("shortcut_bn")]
    assert [norm.name for norm in norms] == [f"stage{stage}_unit1_shortcut_bn" for stage in (2, 3, 4)]
    # Nothing is repeated that a bias would tell apart.
    assert not norms[0].beta.numpy().any()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        *((name, "model.keras") for name in SHALLOWEST.values()),
        *(
            pytest.param(name, file, marks=pytest.mark.slow)
            for name in ENDS
            for file in ("model.h5", "saved_model", "model.weights.h5")
        ),
    ],
)
def test_every_format_of_keras_gives_the_same_network_back(name, file, tmp_path):
    model, path = as_trained(name), tmp_path / file
    if "weights" in file:
        model.save_weights(path)
        loaded = ftbnn_larq.create_model(name, weights=str(path), **SMALL)
    else:
        # Without traces: the layers have to come back from what they say of themselves. With them, see test_main_job.
        model.save(path, **({} if path.suffix else {"save_traces": False}))
        loaded = tf.keras.models.load_model(path)
    np.testing.assert_allclose(loaded(pictures()), model(pictures()), atol=1e-5)


@pytest.mark.slow
@over_kinds
def test_a_training_step_in_mixed_precision_moves_every_kind_of_weight(name):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = ftbnn_larq.create_model(name, **SMALL)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert model.output.dtype == tf.float32
    before = [variable.numpy() for variable in model.trainable_variables]
    # Tracing it would take several times as long.
    model.compile(tf.keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    loss = model.train_on_batch(pictures(8), np.arange(8) % 7)
    assert np.isfinite(loss)
    still = [
        variable.name
        for variable, old in zip(model.trainable_variables, before, strict=True)
        if np.array_equal(variable.numpy(), old)
    ]
    assert still == []


def answers(path, kernel) -> np.ndarray:
    with Interpreter(path, kernel=kernel) as interpreter:
        return interpreter.predict(pictures(32))


@pytest.mark.slow
@over_kinds
def test_a_flatbuffer_is_binary_throughout_and_agrees_with_keras_on_every_kernel(name, tmp_path):
    model = up_to_logits(as_trained(name))
    document = convert_model(model, tmp_path / "model.tflite", pictures(8))
    binary = [layer for layer in count(model)["layers"] if layer["macs"]["binary"]]
    groups = {layer.name: layer.groups for layer in model.layers if is_binary(layer)}
    assert document["operators"]["LceBconv2d"] == sum(groups[layer["name"]] for layer in binary)
    assert document["binary_layers"] == document["binary_operators"]
    # Portable kernels leave float convolutions to the interpreter.
    if kernels("ftbnn")[0] != "portable":
        assert parts((tmp_path / "model.tflite").read_bytes()) == 1
    assert list(document["kernels"]) == [*kernels("lce"), kernels("ftbnn")[0]]
    for agreement in document["kernels"].values():
        assert agreement["pictures"] == 8
        assert agreement["top1_agreement"] == 1
    expected, *found = (answers(tmp_path / "model.tflite", kernel) for kernel in ("reference", *kernels("ftbnn")))
    for scores in found:
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * np.ptp(expected))
        np.testing.assert_array_equal(scores.argmax(1), expected.argmax(1))
