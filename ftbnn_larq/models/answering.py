"""A Keras network's answers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Pictures at a time: as many as fit into memory with the maps of a large network.
_BATCH = 64


def answers(model: tf.keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Scores (n, classes) for float32 pictures (n, h, w, c)."""
    parts = np.array_split(pictures, -(-len(pictures) // _BATCH))
    return np.concatenate([_of_part(model, part) for part in parts])


def _of_part(model: tf.keras.Model, pictures: np.ndarray) -> np.ndarray:
    try:
        return model.predict_on_batch(pictures)
    except tf.errors.UnimplementedError:
        # On a CPU TensorFlow makes one operator of a convolution, a batch norm and a tanh, and then has none such.
        return model(pictures, training=False).numpy()
