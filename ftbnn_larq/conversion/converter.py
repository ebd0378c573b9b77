"""LCE's own converter: a Keras model in, LCE's flatbuffer out."""

from __future__ import annotations

import tempfile
import warnings
from typing import NamedTuple

import tensorflow as tf

from ftbnn_larq.conversion import dense
from ftbnn_larq.errors import ConversionError, one_line
from ftbnn_larq.quiet import quiet_native_stderr


class Converted(NamedTuple):
    """Attributes: the flatbuffer, and what the converter's native code complained of, on one line."""

    flatbuffer: bytes
    said: str


def save_function(model: tf.keras.Model, folder: str) -> None:
    """Save what a model does with one picture as a SavedModel.

    One function and its variables are saved, not the model: saving a Keras model, as LCE's convert_keras_model does,
    traces every layer by itself, several times, which takes most of a minute.
    """
    module = tf.Module()
    module.kept = [getattr(variable, "latent_variable", variable) for variable in model.variables]
    module.answer = tf.function(
        lambda picture: {model.layers[-1].name: model(picture, training=False)},
        input_signature=[tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="picture")],
    )
    # Gradients, whose tracing takes as long as the rest, are of no use on a board.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, folder, signatures=module.answer, options=options)


def to_flatbuffer(model: tf.keras.Model) -> Converted:
    """What LCE's converter makes of a model.

    Raises:
        ConversionError: LCE refuses the model.
    """
    import larq_compute_engine as lce

    with (
        quiet_native_stderr() as said,
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")
        try:
            with dense.as_convolutions():
                save_function(model, folder)
            flatbuffer = lce.convert_saved_model(folder)
        except Exception as error:  # the binding raises MLIR's errors as several types
            raise ConversionError(f"LCE cannot convert {model.name}: {one_line(error, 300)}") from error
    lines = [line for line in said().splitlines() if "error:" in line or "warning:" in line or "remark:" in line]
    return Converted(flatbuffer, " ".join(lines)[:300])
