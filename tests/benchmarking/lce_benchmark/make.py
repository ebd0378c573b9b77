"""Make the flatbuffers of this folder: python tests/benchmarking/lce_benchmark/make.py

Two small networks for digits with random weights: plain.tflite with the JSON that `convert` writes beside it, and
grouped.tflite, which holds LCE's grouped binary convolution.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import ftbnn_larq  # noqa: F401  (asks for Keras 2)

HERE = Path(__file__).parent


def network(groups: int):
    import larq as lq
    import tensorflow as tf

    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((8, 8, 1))
    x = tf.keras.layers.Conv2D(64, 3, padding="same", name="stem")(inputs)
    for index in range(2):
        shortcut = x
        x = lq.layers.QuantConv2D(
            64,
            3,
            groups=groups,
            padding="same",
            pad_values=1.0,
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            use_bias=False,
            name=f"unit{index + 1}_conv",
        )(x)
        x = tf.keras.layers.BatchNormalization(name=f"unit{index + 1}_norm")(x)
        x = tf.keras.layers.add([x, shortcut], name=f"unit{index + 1}_add")
    x = tf.keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return tf.keras.Model(inputs, tf.keras.layers.Dense(10, name="logits")(x), name="small")


if __name__ == "__main__":
    import numpy as np

    from ftbnn_larq.conversion.convert import convert_model
    from ftbnn_larq.data import load
    from ftbnn_larq.files import write_json

    pictures = np.random.default_rng(0).standard_normal((4, 8, 8, 1), np.float32)
    for name, groups in (("plain", 1), ("grouped", 2)):
        convert_model(network(groups), HERE / f"{name}.tflite", pictures, groups="fused")
    write_json(HERE / "plain.json", {"output": "logits", "data": dataclasses.asdict(load("digits").config)})
