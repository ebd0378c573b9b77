"""The Python interface: models, conversion of models that LCE cannot take, Keras 2."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import ftbnn_larq
from ftbnn_larq import zoo
from ftbnn_larq.errors import ConversionError

UNSET = "import os; os.environ.pop('TF_USE_LEGACY_KERAS', 0); "


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_keras_2_is_set_before_tensorflow_is_imported():
    done = python(UNSET + "import ftbnn_larq, tensorflow as tf; print(tf.keras.Model.__module__)")
    assert done.stdout.startswith("tf_keras"), done.stderr


def test_keras_3_imported_earlier_is_said_plainly():
    done = python(UNSET + "import tensorflow as tf; import ftbnn_larq")
    assert done.returncode
    assert "import ftbnn_larq` before `import tensorflow" in done.stderr.splitlines()[-1]


def test_importing_the_package_and_reading_the_zoo_loads_no_tensorflow():
    done = python("import sys, ftbnn_larq; ftbnn_larq.list_models(); print('tensorflow' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_list_models_takes_a_pattern():
    assert "ftbnn_r18" in ftbnn_larq.list_models("*r18*")
    assert ftbnn_larq.list_models("none*") == []


def test_weights_of_another_width_are_refused(tmp_path):
    from ftbnn_larq.errors import ModelFileError

    narrow = ftbnn_larq.create_model("ftbnn_r18", input_shape=(8, 8, 1), num_classes=10, width=16)
    narrow.save_weights(tmp_path / "narrow.weights.h5")
    with pytest.raises(ModelFileError, match=r"narrow\.weights\.h5"):
        ftbnn_larq.create_model(
            "ftbnn_r18", input_shape=(8, 8, 1), num_classes=10, width=32, weights=tmp_path / "narrow.weights.h5"
        )


def test_the_stored_costs_are_what_the_counter_says():
    from ftbnn_larq.zoo.__main__ import counted_costs

    assert zoo.costs() == counted_costs()


def test_two_slope_prelu_has_its_formula_and_gradients():
    from ftbnn_larq import nonlinearities

    layer = nonlinearities.create("fprelu", slopes=(1.5, -0.5))
    x = tf.constant([[[[-2.0, -1.0], [0.5, 3.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    np.testing.assert_allclose(y, 1.5 * np.maximum(x, 0) - 0.5 * np.minimum(x, 0))
    along_x, along_p, along_n = tape.gradient(y, [x, layer.positive, layer.negative])
    np.testing.assert_allclose(along_x, np.where(x > 0, 1.5, -0.5))
    np.testing.assert_allclose(along_p, [0.5, 3.0])
    np.testing.assert_allclose(along_n, [-2.0, -1.0])
    again = type(layer).from_config(layer.get_config())
    assert again.slopes == (1.5, -0.5)


def _grouped(channels: int, groups: int, quantizer="approx_sign"):
    import larq as lq

    inputs = tf.keras.Input((8, 8, 3))
    x = tf.keras.layers.Conv2D(channels, 3, padding="same")(inputs)
    x = lq.layers.QuantConv2D(
        channels,
        3,
        groups=groups,
        padding="same",
        pad_values=1.0,
        input_quantizer=quantizer,
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        use_bias=False,
        name="grouped",
    )(x)
    x = tf.keras.layers.BatchNormalization()(x)
    return tf.keras.Model(inputs, tf.keras.layers.GlobalAveragePooling2D()(x))


def test_a_layer_that_quietly_stays_float_fails_the_proof_and_is_named(tmp_path):
    from ftbnn_larq.deploy.convert import convert_model

    pictures = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    with pytest.raises(ConversionError, match="grouped: 16 channels per group, LCE needs a multiple of 32"):
        convert_model(_grouped(32, 2), tmp_path / "model.tflite", pictures)
    assert list(tmp_path.iterdir()) == []


def test_groups_of_32_channels_convert(tmp_path):
    from ftbnn_larq.deploy.convert import convert_model
    from ftbnn_larq.deploy.interpreter import host_kernel

    if host_kernel() != "indirect":
        pytest.skip("LCE's default kernel does not run grouped convolutions")
    pictures = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    document = convert_model(_grouped(64, 2), tmp_path / "model.tflite", pictures)
    assert document["binary_layers"] == document["binary_operators"] == 1
    assert (tmp_path / "model.tflite").stat().st_size == document["bytes"]


def test_answers_that_differ_fail_the_proof(tmp_path):
    from ftbnn_larq.deploy import proof
    from ftbnn_larq.deploy.convert import convert_model

    tf.keras.utils.set_random_seed(1)
    pictures = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    model = _grouped(32, 1)
    convert_model(model, tmp_path / "model.tflite", pictures)
    layer = model.layers[1]
    layer.set_weights([-weight for weight in layer.get_weights()])
    with pytest.raises(ConversionError, match=r"differ|disagree"):
        proof.compare(model, tmp_path / "model.tflite", pictures)
