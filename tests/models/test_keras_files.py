"""Which Keras files are models, what they may name, and that they load as they were saved. No conversion."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
import zipfile

import ftbnn_larq  # isort: skip (before TensorFlow)
import h5py
import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq import leash
from ftbnn_larq.errors import ModelFileError
from ftbnn_larq.models import keras_code, keras_files
from ftbnn_larq.models.nonlinearities import PReLU
from ftbnn_larq.models.weights import load_weights

assert ftbnn_larq
layers = tf.keras.layers


def archive(path, config, **members):
    """A .keras file by hand: TensorFlow is not needed to refuse it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", json.dumps({"keras_version": "2.19.0"}))
        file.writestr("config.json", json.dumps(config))
        for name, content in {"model.weights.h5": b"", **members}.items():
            file.writestr(name, content)
    return path


def function(name, module="builtins", registered="function"):
    return {"class_name": "function", "module": module, "config": name, "registered_name": registered}


def layer(kind, module="keras.layers", registered=None, **config):
    return {"class_name": kind, "module": module, "config": config, "registered_name": registered}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        # An operator by its description, which may write files or call Python.
        (layer("TensorFlowOpLayer", node_def={"op": "WriteFile"}, name="x"), "TensorFlowOpLayer"),
        (layer("InstanceMethod", "keras.src.layers.core.tf_op_layer", attr_name="numpy"), "InstanceMethod"),
        # Python's own functions, functions of Keras that load other files, and of modules that Keras imports.
        (function("relu6", registered="eval"), "the function relu6"),
        (function("eval"), "the function eval"),
        (function("str.format"), "the function str.format"),
        (function("load_model", "keras.models"), "the function load_model"),
        (function("np.load", "keras.src.engine.base_layer"), "the function np.load"),
        (layer("load_model", "keras.models"), "load_model"),
        (layer("utils.get_file", "keras"), "utils.get_file"),
        (layer("ReLU", "keras.src.engine.base_layer", registered="np.load"), "registered as np.load"),
        (layer("TFOpLambda", "subprocess", function="math.add"), "of the module subprocess"),
        # Layers that read files, or take Python's bytecode.
        (layer("StringLookup", vocabulary="/etc/passwd"), "StringLookup"),
        (layer("ResidualWrapper", residual_fn="...", residual_fn_type="lambda"), "ResidualWrapper"),
        ({"class_name": "__lambda__", "config": {"value": "..."}}, "Lambda"),
        (
            {"class_name": "__typespec__", "spec_name": "Popen", "module": "subprocess", "config": []},
            "Popen|subprocess",
        ),
    ],
)
def test_what_is_not_known_to_be_free_of_code_is_refused_wherever_it_stands(tmp_path, entry, told):
    """In place of a layer and within the arguments of one."""
    hidden = {**layer("Dense", name="dense"), "inbound_nodes": [[["x", 0, 0, {"argument": [entry]}]]]}
    for place in (entry, hidden):
        path = archive(tmp_path / "theirs.keras", layer("Sequential", "keras", layers=[place]))
        with pytest.raises(ModelFileError, match=f"carries code, .*({told})"):
            keras_files.check(path)


def test_no_function_has_the_name_of_one_of_pythons_own_functions():
    assert not keras_code.FUNCTIONS & set(dir(builtins))


MORE_THAN_COMPUTE = """
io.write_file io.read_file io.decode_raw py_function numpy_function function raw_ops.WriteFile print
compat.v1.py_func compat.v1.io.gfile.FastGFile load_library load_op_library sysconfig.get_lib data.Dataset
saved_model.load summary.create_file_writer debugging.enable_dump_debug_info config.list_physical_devices
distribute.get_strategy strings.join map_fn vectorized_map while_loop cond scan nest.map_structure custom_gradient
image.decode_png image.decode_and_crop_jpeg image.encode_jpeg image.ResizeMethod nn.RNNCellDeviceWrapper
nn.fixed_unigram_candidate_sampler nn.experimental.general_dropout quantization.experimental.quantize_saved_model
keras.models.load_model keras.utils.get_file keras.backend.map_fn import_graph_def rpc_server Variable
math..add math.add.__call__ .math.add compat.v2.math.add
"""


def test_functions_that_do_more_than_compute_are_refused():
    assert not [symbol for symbol in MORE_THAN_COMPUTE.split() if keras_code.only_computes(symbol)]


def test_functions_that_compute_are_no_code_in_both_kinds_of_file(tmp_path):
    inputs = x = tf.keras.Input((4, 4, 3))
    x = tf.image.rgb_to_grayscale(tf.image.resize(x, (6, 6)))
    x = tf.tile(tf.repeat(tf.reverse(x, [1]), 2, axis=-1), [1, 1, 1, 2])
    x = tf.squeeze(tf.expand_dims(tf.gather(x, [2, 0, 1], axis=-1), 1), 1)
    x = tf.where(x > 0, x, x // 2)
    x = tf.reshape(x, [tf.shape(x)[0], 6 * 6 * 3])
    model = tf.keras.Model(inputs, layers.Dense(2)(tf.clip_by_norm(x, 3.0)))
    pictures = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"model{suffix}")
        loaded = keras_files.load(tmp_path / f"model{suffix}")
        np.testing.assert_array_equal(loaded.predict_on_batch(pictures), model.predict_on_batch(pictures))


def test_weights_that_are_pickles_are_never_read(tmp_path):
    """Keras reads model.weights.npz by pickle, which runs what it names."""
    tf.keras.Sequential([tf.keras.Input((2,)), layers.Dense(1, name="dense")]).save(tmp_path / "mine.keras")
    ran = tmp_path / "it-ran"

    class Mischief:
        def __reduce__(self):
            return open, (str(ran), "w")

    np.savez(tmp_path / "weights.npz", **{"__root__": np.array(Mischief(), object)})
    with zipfile.ZipFile(tmp_path / "mine.keras") as old, zipfile.ZipFile(tmp_path / "theirs.keras", "w") as new:
        for name in ("metadata.json", "config.json"):
            new.writestr(name, old.read(name))
        new.write(tmp_path / "weights.npz", "model.weights.npz")
    with pytest.raises(ModelFileError, match=r"model\.weights\.h5"):
        keras_files.load(tmp_path / "theirs.keras")
    assert not ran.exists()


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_our_layers_in_a_model_in_a_model_load_beside_those_of_keras_by_the_same_names(tmp_path, suffix):
    inputs = x = tf.keras.Input((4, 4, 3))
    x = layers.PReLU(alpha_initializer="ones")(layers.ReLU(name="theirs")(x))
    x = PReLU((1.0, 0.5), name="ours")(layers.LeakyReLU(0.1)(x))
    inner = tf.keras.Model(inputs, x)
    inner.compile(loss=lambda truth, scores: 0.0)
    outer = tf.keras.Sequential([tf.keras.Sequential([inner]), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    outer.build((None, 4, 4, 3))
    outer.save(tmp_path / f"model{suffix}")
    loaded = keras_files.load(tmp_path / f"model{suffix}")
    kinds = [type(layer) for layer in loaded.layers[0].layers[0].layers]
    assert kinds == [layers.InputLayer, layers.ReLU, layers.PReLU, layers.LeakyReLU, PReLU]
    pictures = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict_on_batch(pictures), outer.predict_on_batch(pictures))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small model, and both kinds of file of it."""
    folder = tmp_path_factory.mktemp("saved")
    model = tf.keras.Sequential([tf.keras.Input((4, 4, 3)), layers.Conv2DTranspose(2, 3), layers.Flatten()])
    for kind in ("keras", "h5"):
        model.save(folder / f"model.{kind}")
    return model, folder


@pytest.mark.parametrize(
    ("kind", "name"),
    [("h5", "m.hdf5"), ("h5", "m.H5"), ("h5", "m.Hdf5"), ("keras", "m.KERAS"), ("h5", "m.keras"), ("keras", "m.h5")],
)
def test_suffixes_in_any_case_and_of_the_other_kind(tmp_path, saved, kind, name):
    """Keras 2.11 and before wrote .h5 files by the name of .keras."""
    model, folder = saved
    (tmp_path / name).write_bytes((folder / f"model.{kind}").read_bytes())
    assert keras_files.is_model_file(tmp_path / name)
    loaded = keras_files.load(tmp_path / name)
    np.testing.assert_array_equal(loaded.weights[0], model.weights[0])


def test_weights_alone_are_no_model_in_any_case():
    assert not any(keras_files.is_model_file(name) for name in ("a.weights.h5", "a.WEIGHTS.H5", "a.npz", "a.tflite"))


@pytest.mark.parametrize("kind", [bytes, str, np.bytes_])
def test_an_h5_file_that_does_not_say_which_keras_wrote_it(tmp_path, saved, kind):
    """Its weights are taken as they are, where Keras would turn those of transposed convolutions."""
    model, folder = saved
    path = tmp_path / "old.h5"
    path.write_bytes((folder / "model.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"]
        file.attrs["model_config"] = text if kind is str else kind(text.encode())
        for place in (file, file["model_weights"]):
            for name in ("keras_version", "backend"):
                if name in place.attrs:
                    del place.attrs[name]
    np.testing.assert_array_equal(keras_files.load(path).weights[0], model.weights[0])


@pytest.mark.parametrize("home", ["keras.engine.functional", "keras.src.engine.functional"])
def test_a_model_by_the_name_that_its_class_had_in_other_versions_of_keras(tmp_path, home):
    inputs = tf.keras.Input((2,))
    tf.keras.Model(inputs, layers.Dense(1)(inputs) * 2.0).save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as old, zipfile.ZipFile(tmp_path / "old.keras", "w") as new:
        for name in old.namelist():
            config = old.read(name).replace(b"tf_keras.src.engine.functional", home.encode())
            config = config.replace(
                b"tf_keras.src.layers.core", home.replace("engine.functional", "layers.core").encode()
            )
            new.writestr(name, config if name == "config.json" else old.read(name))
    assert keras_files.load(tmp_path / "old.keras").output_shape == (None, 1)


class TrainedInAnotherWay(tf.keras.Model):
    """As Keras's guide to a training step of one's own has it."""

    def train_step(self, data):
        return {}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_graph_of_layers_loads_without_the_class_that_trained_it(tmp_path, suffix):
    inputs = tf.keras.Input((2,))
    model = TrainedInAnotherWay(inputs, layers.Dense(1)(inputs))
    model.save(tmp_path / f"model{suffix}")
    loaded = keras_files.load(tmp_path / f"model{suffix}")
    assert not isinstance(loaded, TrainedInAnotherWay)
    np.testing.assert_array_equal(loaded(np.eye(2)), model(np.eye(2)))


def test_a_model_without_a_graph_is_refused(tmp_path):
    model = Wrapped()
    model(np.eye(2))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelFileError, match="carries code, Wrapped of the module"):
        keras_files.check(tmp_path / "model.keras")


class Wrapped(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.slow
def test_larq_zoos_networks_and_initializers_of_tensorflow_load(tmp_path):
    from larq_zoo.sota.quicknet import blurpool_initializer

    pool = layers.DepthwiseConv2D(3, depthwise_initializer=blurpool_initializer, depthwise_regularizer="l2")
    dense = layers.Dense(2, bias_initializer=tf.constant_initializer(1.0))
    model = tf.keras.Sequential([tf.keras.Input((4, 4, 3)), pool, layers.Flatten(), dense])
    # Keras itself reads no function of an initializer back from an .h5 file.
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras_files.load(tmp_path / "model.keras").weights[0], model.weights[0])


def test_an_hdf5_file_on_which_the_library_hangs_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "hangs.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
    content = bytearray(path.read_bytes())
    # The size of the first text in the heap of texts: the next one is looked for far behind the end.
    content[content.index(b"GCOL") + 25] = 1
    path.write_bytes(content)
    monkeypatch.setenv(leash.PATIENCE, "0.05")
    for read in (keras_files.check, lambda file: load_weights(tf.keras.Sequential(), file)):
        with pytest.raises(ModelFileError, match=r"hangs\.h5: damaged, or not an HDF5 file \(no answer in time"):
            read(path)


def test_an_hdf5_file_reads_no_other_file_and_takes_no_absurd_size(tmp_path):
    def linked(file):
        file["weights"] = h5py.ExternalLink("/etc/passwd", "/")

    def outside(file):
        file.create_dataset("weights", (4,), "u1", external=[("/etc/passwd", 0, 4)])

    def large(file):
        file.create_dataset("weights", (1 << 20, 1 << 20), "f4", chunks=(1, 1 << 10))

    for number, (make, told) in enumerate(
        (
            (linked, "weights is a link to elsewhere"),
            (outside, "weights lies in another file"),
            (large, "takes more than"),
        )
    ):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
            make(file)
        with pytest.raises(ModelFileError, match=told):
            keras_files.check(path)


def test_a_text_of_four_gigabytes_in_a_small_hdf5_file_takes_none(tmp_path):
    path = tmp_path / "text.h5"
    with h5py.File(path, "w") as file:
        file.attrs["names"] = ["a" * 20, "b" * 20]
    content = path.read_bytes()
    heap = content.index(b"GCOL").to_bytes(8, "little")
    # The length of a text, before the place where it lies.
    path.write_bytes(content.replace((20).to_bytes(4, "little") + heap, (0xFFFF0011).to_bytes(4, "little") + heap, 1))
    # In a process of its own: the most memory of all children so far is all that is told.
    code = (
        "import resource, sys; from ftbnn_larq.models import hdf5\n"
        "try: hdf5.check(sys.argv[1])\n"
        "except Exception as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    told, kilobytes = done.stdout.splitlines()
    assert "text.h5: damaged, or not an HDF5 file" in told
    assert int(kilobytes) < 1 << 20
