"""Keras files in place of a run: converted if they are models, refused by name if they are not, never run."""

from __future__ import annotations

import json
import zipfile

import ftbnn_larq  # isort: skip (before TensorFlow)
import h5py
import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq.conversion.convert import convert, convert_model
from ftbnn_larq.errors import ConversionError, ModelFileError
from ftbnn_larq.inference.evaluation import evaluate
from ftbnn_larq.inference.interpreter import Interpreter
from ftbnn_larq.models import keras_files
from ftbnn_larq.models.ends import up_to_probabilities
from ftbnn_larq.models.layers import binary_conv

assert ftbnn_larq
keras_layers = tf.keras.layers


def network(*more, shape=(8, 8, 1), top_activation=None) -> tf.keras.Model:
    """A classifier of digits of one binary layer, `more` layers in front."""
    tf.keras.utils.set_random_seed(1)
    inputs = x = tf.keras.Input(shape)
    for layer in more:
        x = layer(x)
    x = keras_layers.Conv2D(32, 3, padding="same", name="stem")(x)
    x = keras_layers.BatchNormalization(name="stem_norm")(x)
    x = binary_conv(32, name="binary")(x)
    x = keras_layers.BatchNormalization(name="norm")(x)
    x = keras_layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(inputs, keras_layers.Dense(10, top_activation, dtype="float32", name="top")(x))


def pictures() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)


def test_a_teacher_with_code_is_named_and_never_run(tmp_path, refused):
    marker = tmp_path / "it-ran"
    text = str(marker)
    model = network(keras_layers.Lambda(lambda x: (open(text, "w").close(), x)[1], name="mischief"))
    marker.unlink()
    model.save(tmp_path / "teacher.h5")
    arguments = ("--teacher", "teacher.h5", "--distillation", "hinton", "--distillation-weight", 1)
    assert "the Lambda layer mischief, which is never run" in refused("train", "ftbnn_r18", "--width", 16, *arguments)
    assert not marker.exists()


@pytest.mark.slow
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("made_by", [None, "layer", "dense", "function", "model"])
def test_a_flatbuffer_ends_in_probabilities_only_when_asked_to(tmp_path, softmax, made_by):
    """Whether a layer of its own makes probabilities, the dense layer, TensorFlow's function, a model in it, nothing"""
    model = network(top_activation="softmax" if made_by in ("dense", "model") else None)
    if made_by == "layer":
        model = tf.keras.Model(model.input, keras_layers.Activation("softmax")(model.output))
    elif made_by == "function":
        model = tf.keras.Model(model.input, tf.nn.softmax(model.output))
    elif made_by == "model":
        model = tf.keras.Sequential([tf.keras.Input((8, 8, 1)), keras_layers.Rescaling(1.0), model])
    model.save(tmp_path / "mine.keras")
    document = convert(tmp_path / "mine.keras", softmax=softmax)
    assert document["output"] == ("probabilities" if softmax else "logits")
    assert document["operators"].get("SOFTMAX", 0) == softmax
    assert document["logits_range"] <= 1 or not softmax
    with Interpreter(document["path"]) as interpreter:
        (scores,) = interpreter.predict(pictures()[:1])
    assert (abs(scores.sum() - 1) < 1e-4) == softmax
    if softmax and made_by:
        np.testing.assert_allclose(scores, model.predict_on_batch(pictures()[:1])[0], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("made_by", "softmax"), [("dense", False), ("function", True), ("model", True)])
def test_sigmoids_at_the_end_are_probabilities_and_take_no_softmax(tmp_path, made_by, softmax):
    model = network(top_activation=None if made_by == "function" else "sigmoid")
    if made_by == "function":
        model = tf.keras.Model(model.input, tf.nn.sigmoid(model.output))
    elif made_by == "model":
        model = tf.keras.Sequential([tf.keras.Input((8, 8, 1)), model])
    model.save(tmp_path / "mine.keras")
    document = convert(tmp_path / "mine.keras", softmax=softmax)
    assert document["output"] == "probabilities" and "SOFTMAX" not in document["operators"]
    with Interpreter(document["path"]) as interpreter:
        np.testing.assert_allclose(interpreter.predict(pictures()), model.predict_on_batch(pictures()), atol=1e-2)


def test_the_softmax_of_one_score_is_a_sigmoid_and_its_layers_name_may_be_taken():
    model = network()
    one = tf.keras.Model(model.input, keras_layers.Dense(1)(model.output))
    scores = [each(pictures()) for each in (one, up_to_probabilities(one))]
    np.testing.assert_allclose(tf.sigmoid(scores[0]), scores[1], rtol=1e-5)
    named = tf.keras.Model(model.input, keras_layers.Dense(4, name="probabilities")(model.output))
    np.testing.assert_allclose(tf.reduce_sum(up_to_probabilities(named)(pictures()), 1), 1, rtol=1e-5)


def test_several_outputs_are_no_teacher_and_one_of_a_models_two_converts(tmp_path, refused):
    inner = network(top_activation="softmax")
    two = tf.keras.Model(inner.input, [inner.output, inner.layers[-2].output])
    two.save(tmp_path / "two.keras")
    assert "two.keras gives (None, 10), (None, 32): it needs one output" in refused(
        "train", "ftbnn_r18", "--width", 16, "--teacher", "two.keras"
    )
    inputs = tf.keras.Input((8, 8, 1))
    tf.keras.Model(inputs, two(inputs)[0]).save(tmp_path / "one.keras")
    assert convert(tmp_path / "one.keras")["binary_operators"] == 1


def test_a_keras_file_converts_and_its_data_set_gives_proof_labels_and_accuracy(tmp_path, command):
    network().save(tmp_path / "mine.h5")
    arguments = ("--dataset", "digits", "--preprocessing", "standard")
    result = command("convert", "mine.h5", *arguments, "--json", cwd=tmp_path)
    assert result.status == 0, result.err
    assert result.out["path"] == "mine.tflite"
    assert result.out["binary_operators"] == 1
    assert result.out["top1"]["examples"] == result.out["top1"]["of"] == 360
    assert result.out["top1"]["keras"] == result.out["top1"]["lce"]
    evaluated = command("evaluate", "mine.tflite", "--json", cwd=tmp_path)
    assert evaluated.out["top1"] == result.out["top1"]["lce"]


def test_a_data_set_of_other_classes_or_channels_is_refused(tmp_path, refused):
    """By conversion as by evaluation."""
    model = network()
    tf.keras.Model(model.input, keras_layers.Dense(7)(model.output)).save(tmp_path / "seven.keras")
    words = "the model gives scores of 7 classes, but data set digits has 10 classes"
    assert words in refused("convert", "seven.keras", "--dataset", "digits")
    assert words in refused("evaluate", "seven.keras", "--dataset", "digits")
    convert(tmp_path / "seven.keras")
    assert words in refused("evaluate", "seven.tflite", "--dataset", "digits")
    assert not (tmp_path / "seven.json").read_text().count("digits")
    network(shape=(8, 8, 4)).save(tmp_path / "four.keras")
    assert "4 channels: pictures have 1 (grey) or 3 (color)" in refused("convert", "four.keras", "--dataset", "digits")
    assert "give one (--dataset)" in refused("convert", "four.keras", "--preprocessing", "unit")
    assert "give a data set (--dataset)" in refused("evaluate", "four.keras")


def test_without_a_data_set_it_is_proven_on_noise_and_says_so(tmp_path, refused, command):
    network().save(tmp_path / "mine.keras")
    result = command("convert", "mine.keras", "--explain", "--no-fold", "--no-int8", cwd=tmp_path)
    assert result.status == 0, result.err
    assert "128 pictures of noise" in result.out
    assert "stem" in result.out and "not quantized to one bit" in result.out
    assert "--dataset NAME" in refused("evaluate", "mine.tflite", cwd=tmp_path)


def test_files_that_are_no_keras_2_model_are_refused_before_tensorflow_is_loaded(tmp_path, refused):
    network().save(tmp_path / "mine.keras")
    with zipfile.ZipFile(tmp_path / "mine.keras") as old, zipfile.ZipFile(tmp_path / "three.keras", "w") as new:
        for name in old.namelist():
            content = json.dumps({"keras_version": "3.5.0"}) if name == "metadata.json" else old.read(name)
            new.writestr(name, content)
    assert "saved by Keras 3.5.0, and Larq needs Keras 2" in refused("convert", "three.keras")
    (tmp_path / "damaged.keras").write_bytes((tmp_path / "mine.keras").read_bytes()[:2000])
    assert "damaged" in refused("convert", "damaged.keras")
    (tmp_path / "noise.h5").write_bytes(bytes(1000))
    assert "damaged" in refused("convert", "noise.h5")
    network().save_weights(tmp_path / "only.h5")
    assert "no model" in refused("convert", "only.h5")
    assert "no such file" in refused("convert", "none.keras")
    tf.saved_model.save(tf.Module(), str(tmp_path / "someones"))
    assert "a SavedModel" in refused("convert", "someones")
    assert not list(tmp_path.glob("*.tflite"))


def with_config(source, target, change) -> None:
    """A .keras file with its description changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content.decode()) if name == "config.json" else content)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_is_named_and_never_run(tmp_path, suffix):
    marker = tmp_path / "it-ran"
    text = str(marker)
    model = network(keras_layers.Lambda(lambda x: (open(text, "w").close(), x)[1], name="mischief"))
    marker.unlink()
    path = tmp_path / f"model{suffix}"
    model.save(path)
    with pytest.raises(ModelFileError, match="carries code, the Lambda layer mischief, which is never run"):
        keras_files.load(path)
    assert not marker.exists()


def test_classes_of_other_modules_are_not_imported(tmp_path):
    network().save(tmp_path / "mine.keras")
    for module in ("subprocess", "keras.utils", "tf_keras.src.utils.data_utils", "ftbnn_larq.files"):
        with_config(
            tmp_path / "mine.keras",
            tmp_path / "theirs.keras",
            lambda text, module=module: text.replace('"keras.layers"', f'"{module}"', 1),
        )
        with pytest.raises(ModelFileError, match=f"of the module {module}"):
            keras_files.load(tmp_path / "theirs.keras")
    network(keras_layers.Activation("relu")).save(tmp_path / "activated.keras")
    for name in ("input", "breakpoint"):
        function = {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}
        with_config(
            tmp_path / "activated.keras",
            tmp_path / "calls.keras",
            lambda text, function=function: text.replace(
                '"activation": "relu"', f'"activation": {json.dumps(function)}'
            ),
        )
        with pytest.raises(ModelFileError, match=f"the function {name} of the module builtins"):
            keras_files.load(tmp_path / "calls.keras")


@pytest.mark.parametrize(
    ("kind", "key", "symbol"),
    [
        ("TFOpLambda", "function", "io.write_file"),
        ("SlicingOpLambda", "function", "io.write_file"),
        ("ClassMethod", "cls_symbol", "io.gfile.GFile"),
    ],
)
def test_functions_of_tensorflow_that_write_files_are_not_called(tmp_path, kind, key, symbol):
    path = tmp_path / "writes.h5"
    network(keras_layers.Activation("linear")).save(path)
    with h5py.File(path, "a") as file:
        config = file.attrs["model_config"].replace('"class_name": "Activation"', f'"class_name": "{kind}"')
        file.attrs["model_config"] = config.replace('"activation": "linear"', f'"{key}": "{symbol}"')
    with pytest.raises(ModelFileError, match=rf"a call of tf\.{symbol}"):
        keras_files.load(path)


def test_what_a_model_was_trained_with_is_not_loaded_and_refuses_nothing(tmp_path):
    model = network()
    optimizer = lq.optimizers.CaseOptimizer(
        (lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop()),
        default_optimizer=tf.keras.optimizers.legacy.Adam(),
    )
    for trained_with in ({"optimizer": optimizer}, {"metrics": [lq.metrics.FlipRatio()]}):
        model.compile(**{"optimizer": "adam", "loss": "mse", **trained_with})
        model.save(tmp_path / "mine.keras")
        assert keras_files.load(tmp_path / "mine.keras").output_shape == (None, 10)


def test_slices_of_pictures_are_no_code(tmp_path):
    inputs = tf.keras.Input((8, 8, 2))
    tf.keras.Model(inputs, network()(inputs[:, :, :, :1])).save(tmp_path / "sliced.keras")
    assert keras_files.load(tmp_path / "sliced.keras").output_shape == (None, 10)


@pytest.mark.slow
def test_a_mixed_precision_model_is_rebuilt_in_float32(tmp_path):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = network()
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    document = convert_model(mixed, tmp_path / "model.tflite", pictures())
    whole = network()
    whole.set_weights(mixed.get_weights())
    again = convert_model(whole, tmp_path / "again.tflite", pictures())
    assert document["binary_operators"] == 1
    assert document["operators"] == again["operators"]
    assert document["bytes"] == pytest.approx(again["bytes"], abs=100)


def test_weights_that_are_no_numbers_are_named(tmp_path):
    model = network()
    kernel = model.get_layer("stem").kernel
    kernel.assign(tf.fill(kernel.shape, np.nan))
    with pytest.raises(ConversionError, match="stem/kernel holds NaN or infinity"):
        convert_model(model, tmp_path / "model.tflite", pictures())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_batch_norm_without_variance_converts_and_one_that_divides_by_zero_is_refused(tmp_path):
    model = network()
    norm = model.get_layer("norm")
    norm.set_weights([*norm.get_weights()[:3], np.zeros(32)])
    assert convert_model(model, tmp_path / "model.tflite", pictures())["top1_agreement"] == 1
    norm.epsilon = 0.0
    with pytest.raises(ConversionError, match="norm divides by zero"):
        convert_model(model, tmp_path / "other.tflite", pictures())
    assert not (tmp_path / "other.tflite").exists()


def test_a_network_for_every_size_of_picture_has_to_choose_one(tmp_path):
    with pytest.raises(ConversionError, match="one picture of a fixed size"):
        convert_model(network(shape=(None, None, 1)), tmp_path / "model.tflite", pictures())


def test_one_row_of_scores_is_asked_for(tmp_path, refused):
    model = network()
    tf.keras.Model(model.input, [model.output, model.get_layer("stem").output]).save(tmp_path / "two.keras")
    assert "one row of scores" in refused("convert", "two.keras")
    tf.keras.Model(model.input, model.get_layer("stem").output).save(tmp_path / "map.keras")
    assert "one row of scores" in refused("convert", "map.keras")
    # Which nobody but a flatbuffer needs.
    for to in ("saved_model", "keras"):
        assert convert(tmp_path / "two.keras", to=to, output=tmp_path / to / "two.keras")["bytes"] > 0


@pytest.mark.parametrize("named", [False, True])
def test_a_network_of_two_outputs_is_not_evaluated(tmp_path, named):
    model = network()
    outputs = {"top": model.output, "pool": model.layers[-2].output}
    tf.keras.Model(model.input, outputs if named else [*outputs.values()]).save(tmp_path / "two.keras")
    with pytest.raises(ModelFileError, match=r"two\.keras makes .*\(None, 10\).* one row of scores"):
        evaluate(tmp_path / "two.keras", dataset="digits", preprocessing="unit")


def test_a_layer_that_lce_has_no_operator_for_is_named(tmp_path, refused):
    network(keras_layers.Activation("gelu", name="smooth")).save(tmp_path / "mine.keras")
    assert "smooth becomes Erfc, an operator that LCE's interpreter does not have" in refused("convert", "mine.keras")
    assert not (tmp_path / "mine.tflite").exists()


def test_a_tanh_that_tensorflow_fuses_and_cannot_run_converts_and_is_evaluated(tmp_path):
    fused = (
        keras_layers.Conv2D(4, 3, use_bias=False),
        keras_layers.BatchNormalization(),
        keras_layers.Activation("tanh"),
    )
    network(*fused).save(tmp_path / "mine.keras")
    top1 = convert(tmp_path / "mine.keras", dataset="digits", preprocessing="unit")["top1"]
    assert top1["keras"] == top1["lce"]
    assert evaluate(tmp_path / "mine.keras", dataset="digits", preprocessing="unit")["top1"] == top1["keras"]


def test_layers_that_no_pass_knows_are_left_and_listed(tmp_path):
    network(keras_layers.UpSampling2D(2, interpolation="bilinear", name="up")).save(tmp_path / "mine.keras")
    document = convert(tmp_path / "mine.keras")
    assert document["left_as_they_are"] == {"RESIZE_BILINEAR": ["up"]}
    assert document["top1_agreement"] == 1


@pytest.mark.slow
def test_layers_in_a_model_in_the_model_and_layers_called_twice_are_counted_and_told(tmp_path):
    inner = network()
    inputs = x = tf.keras.Input((8, 8, 1))
    x = keras_layers.Conv2D(32, 3, padding="same", name="before")(x)
    shared = binary_conv(32, name="shared")
    x = keras_layers.Add()([x, shared(x)])
    x = keras_layers.Add()([x, shared(x)])
    x = keras_layers.Conv2D(1, 1)(x)
    document = convert_model(tf.keras.Model(inputs, inner(x)), tmp_path / "model.tflite", pictures())
    assert document["binary_layers"] == document["binary_operators"] == 3
    rows = {row["layer"]: row for row in document["layers"]}
    assert rows["shared"]["operators"] == {"LceQuantize": 2, "LceBconv2d": 2}
    assert rows[f"{inner.name}/binary"]["operators"] == {"LceQuantize": 1, "LceBconv2d": 1}
    assert rows[f"{inner.name}/top"]["operators"] == {"FULLY_CONNECTED": 1}
    # LCE folds a batch norm into the convolution in front of it.
    assert rows[f"{inner.name}/stem_norm"]["within"] == f"{inner.name}/stem"
