"""Make the files of this folder, in a checkout of version 0.1 as of commit e4b198d: python make.py

Keras files of a network with every layer class of the library, a run of two epochs with its last checkpoint, its
weights as .npz, and what both networks answered. They were made once: newer code has to read them as they are.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import ftbnn_larq  # isort: skip (before TensorFlow)
import numpy as np
import tensorflow as tf

from ftbnn_larq import data, layers, runs
from ftbnn_larq import nonlinearities as nl
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training import loop
from ftbnn_larq.weights import save_compact

assert ftbnn_larq
HERE = Path(__file__).parent
keras = tf.keras.layers
ACTS = [nl.Identity(), nl.ReLU(), nl.LeakyReLU((1, 0.1)), nl.PReLU((1, 0.25))]
ACTS += [nl.FPReLU((1, -0.5), sharing="layer"), nl.RPReLU((1, 0.25))]


def every_layer(generator: np.random.Generator) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(3)
    inputs = x = tf.keras.Input((8, 8, 1), name="picture")
    x = keras.Conv2D(16, 3, padding="same", use_bias=False, name="stem_conv")(x)
    x = layers.RepeatChannels(64, name="repeat")(x)
    x = keras.BatchNormalization(name="stem_bn")(x)
    for index, act in enumerate(ACTS):
        y = layers.ShuffleChannels(2, "rotate" if index % 2 else "interleave", name=f"shuffle{index}")(x)
        gradient = ["approx_sign", "ste_sign", "swish_sign"][index % 3]
        y = layers.binary_conv(64, 1, groups=2, sign_gradient=gradient, name=f"conv{index}")(y)
        y = keras.BatchNormalization(name=f"bn{index}")(y)
        x = keras.Add(name=f"add{index}")([x, act(y)])
    x = keras.Flatten()(keras.AveragePooling2D(8)(x))
    x = keras.Softmax()(keras.Dense(10, name="logits")(x))
    model = tf.keras.Model(inputs, x, name="every_layer")
    for variable in model.variables:
        if "variance" not in variable.name:
            variable.assign_add(generator.normal(0, 0.2, variable.shape).astype(np.float32))
    return model


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    model = every_layer(generator)
    model.save(HERE / "every_layer.keras")
    model.save(HERE / "every_layer.h5")
    options = {"width": 16, "units": (1,), "widening": 4.0, "group_channels": 32, "shuffle": "interleave"}
    how = Recipe(epochs=2, batch_size=64, precision="float32")
    trained = loop.start("ftbnn_r18", data.load("digits"), how, options=options, seed=5, output=HERE)
    folder = Path(trained["run"]).rename(HERE / "run")
    for name in ("curves.png", ".lock", "checkpoints/epoch-0001.json", "checkpoints/epoch-0001.weights.h5"):
        (folder / name).unlink()
    shutil.rmtree(folder / "tensorboard")
    run = runs.open_run(folder)
    network = run.load_model()
    save_compact(network, HERE / "weights.npz", run.config)
    pictures = generator.normal(size=(4, 8, 8, 1)).astype(np.float32)
    answers = {"every_layer": model.predict(pictures), "run": network.predict(pictures)}
    np.savez(HERE / "answers.npz", pictures=pictures, **answers)
