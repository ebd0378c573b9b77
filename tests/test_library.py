"""The Python interface: models, conversion of models that LCE cannot take, Keras 2."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import ftbnn_larq
from ftbnn_larq import zoo
from ftbnn_larq.errors import ConversionError, ModelFileError, UnknownNameError

# As where nobody has asked for Keras 2.
UNSET = "import os; os.environ.pop('TF_USE_LEGACY_KERAS', 0)\n"


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.mark.slow
def test_imported_first_it_sets_keras_2_and_grouped_networks_train_where_tensorflow_would_leave_onednn_out():
    """As on processors without AVX-512; TensorFlow's other kernels know no gradients of grouped convolutions."""
    code = (
        "import numpy as np, ftbnn_larq, tensorflow as tf; "
        "options = {'units': (1, 1), 'widening': 2, 'group_channels': 32, 'width': 16}; "
        "network = ftbnn_larq.create_model('ftbnn_r18', input_shape=(8, 8, 3), num_classes=2, **options); "
        "network.compile('adam', 'categorical_crossentropy'); "
        "print(tf.keras.Model.__module__, network.train_on_batch(np.zeros((4, 8, 8, 3)), np.eye(2)[[0, 1, 0, 1]]) > 0)"
    )
    done = python(UNSET + code, TF_ENABLE_ONEDNN_OPTS="0")
    assert done.stdout.startswith("tf_keras") and done.stdout.endswith(" True\n"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("onednn", ["0", "1"])
def test_tensorflow_imported_earlier_with_keras_3_is_refused_and_without_onednn_is_warned_of(onednn):
    code = (
        "import tensorflow as tf\n"
        "try:\n    import ftbnn_larq\nexcept ImportError as error:\n    print(error)\n"
        "os.environ['TF_USE_LEGACY_KERAS'] = '1'\nimport ftbnn_larq"
    )
    done = python(UNSET + code, TF_ENABLE_ONEDNN_OPTS=onednn)
    assert done.returncode == 0, done.stderr
    assert "`import ftbnn_larq` before `import tensorflow`" in done.stdout
    assert ("RuntimeWarning: TensorFlow was imported before ftbnn_larq" in done.stderr) == (onednn == "0")


def test_importing_the_package_and_reading_the_zoo_loads_no_tensorflow():
    done = python("import sys, ftbnn_larq; ftbnn_larq.list_models(); print('tensorflow' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_list_models_takes_a_pattern():
    assert "ftbnn_r18" in ftbnn_larq.list_models("*r18*")
    assert ftbnn_larq.list_models("none*") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 32}, r"stem_conv/kernel is \(3, 3, 1, 16\) there, \(3, 3, 1, 32\) here"),
        ({"nonlinearity": "relu"}, "has 32 more"),
        ({"nonlinearity": "prelu"}, "none for stage1_unit1_act/negative"),
        ({"num_classes": 9}, r"logits/kernel is \(128, 10\) there, \(128, 9\) here"),
    ],
)
def test_weights_of_another_network_are_refused_naming_the_first_that_differs(tmp_path, options, words):
    from ftbnn_larq.errors import ModelFileError

    arguments = {"input_shape": (8, 8, 1), "num_classes": 10, "width": 16}
    path = tmp_path / "narrow.weights.h5"
    ftbnn_larq.create_model("ftbnn_r18_baseline", **arguments).save_weights(path)
    with pytest.raises(ModelFileError, match=r"narrow\.weights\.h5: not the weights of this .*" + words):
        ftbnn_larq.create_model("ftbnn_r18_baseline", weights=path, **{**arguments, **options})


def test_costs_keep_what_the_design_promises():
    costs = zoo.costs()
    ancestor = costs["bireal_r18"]["ops"]
    assert ancestor == pytest.approx(164.0e6, rel=1e-3)
    assert costs["ftbnn_r18_baseline"]["ops"] <= 1.01 * ancestor
    assert costs["ftbnn_r18_pure"]["ops"] <= 0.25 * ancestor
    assert costs["ftbnn_r18"]["ops"] <= 0.35 * ancestor
    for stage in range(4):
        assert zoo.entry("ftbnn_r18").config.channels(stage) >= 1.5 * zoo.entry("bireal_r18").config.channels(stage)


@pytest.mark.parametrize("field", ["nonlinearity", "shuffle", "stem"])
def test_a_word_that_is_none_is_unknown(field):
    with pytest.raises(UnknownNameError, match=r"unknown .* None"):
        zoo.entry("ftbnn_r18").config.replace(**{field: None})


def test_only_what_a_shortcut_repeats_is_read_in_groups():
    for name, groups in (("ftbnn_r18_pure", 2), ("ftbnn_r18_baseline", 1)):
        assert zoo.entry(name).config.replace(transition="before").groups(stage=2, unit=0) == groups


def _grouped(channels: int, groups: int, quantizer="approx_sign"):
    import larq as lq

    tf.keras.utils.set_random_seed(1)
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
    from ftbnn_larq.conversion.convert import convert_model

    pictures = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    with pytest.raises(ConversionError, match="grouped: 16 channels per group, LCE needs a multiple of 32"):
        convert_model(_grouped(32, 2), tmp_path / "model.tflite", pictures, groups="fused")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("groups", "operators"), [("split", 2), ("fused", 1)])
def test_groups_convert_split_for_every_kernel_or_fused_for_the_indirect_one(tmp_path, groups, operators):
    from ftbnn_larq.conversion import proof
    from ftbnn_larq.conversion.convert import convert_model
    from ftbnn_larq.conversion.network import Network
    from ftbnn_larq.errors import ModelFileError
    from ftbnn_larq.inference.interpreter import host_kernel

    if groups == "fused" and host_kernel() != "indirect":
        pytest.skip("LCE's default kernel does not run grouped convolutions")
    pictures = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    model, path = _grouped(64, 2), tmp_path / "model.tflite"
    document = convert_model(model, path, pictures, groups=groups)
    assert document["binary_layers"] == document["binary_operators"] == operators
    assert path.stat().st_size == document["bytes"]
    if groups == "split":
        assert proof.compare(Network.of(model), path, pictures, kernel="default").top1_agreement == 1
    else:
        with pytest.raises(ModelFileError, match="refuses"):
            proof.compare(Network.of(model), path, pictures, kernel="default")


def test_answers_that_differ_fail_the_proof(tmp_path):
    from ftbnn_larq.conversion import proof
    from ftbnn_larq.conversion.convert import convert_model
    from ftbnn_larq.conversion.network import Network

    pictures = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    model = _grouped(32, 1)
    convert_model(model, tmp_path / "model.tflite", pictures)
    layer = model.layers[1]
    layer.set_weights([-weight for weight in layer.get_weights()])
    with pytest.raises(ConversionError, match="differ"):
        proof.compare(Network.of(model), tmp_path / "model.tflite", pictures)


def test_a_network_is_trained_and_converted_from_python(tmp_path):
    """What `train` and `convert` do on the command line."""
    lines = []
    options = {"width": 16, "units": (1,), "widening": 2.0, "group_channels": 32}
    result = ftbnn_larq.train("ftbnn_r18", options=options, epochs=1, output=tmp_path, on_event=lines.append)
    assert result["epochs"] == 1 and result["dataset"] == "digits"
    assert lines[0].startswith("training ftbnn_r18 on digits: 1293 pictures of 8x8x1, 10 classes, 1 epochs")
    longer = ftbnn_larq.train(resume=result["run"], epochs=2)
    assert (longer["run"], longer["epochs"]) == (result["run"], 2)
    document = ftbnn_larq.convert(result["run"])
    assert document["path"] == os.path.join(result["run"], "model.tflite")
    assert document["proven_on"] == "digits" and document["top1"]["examples"] == 360


def test_a_model_object_is_converted_like_a_keras_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"width": 16, "units": (1,), "widening": 2.0, "group_channels": None}
    model = ftbnn_larq.create_model("ftbnn_r18_pure", input_shape=(8, 8, 1), num_classes=10, **options)
    document = ftbnn_larq.convert(model)
    assert document["path"] == "ftbnn_r18_pure.tflite" and document["proven_on"] == "noise"
    assert document["model"] == {"name": "ftbnn_r18_pure"} and "run" not in document
    # Its weights are random: no preprocessing could be found.
    given = {"dataset": "digits", "preprocessing": "standard"}
    on_digits = ftbnn_larq.convert(model, output=tmp_path / "digits.tflite", **given)
    assert on_digits["proven_on"] == "digits" and len(on_digits["data"]["labels"]) == 10
    with pytest.raises(ModelFileError, match="scores of 2 classes, but data set digits has 10"):
        two = ftbnn_larq.create_model("ftbnn_r18_pure", input_shape=(8, 8, 1), num_classes=2, **options)
        ftbnn_larq.convert(two, dataset="digits")
