"""TensorFlow's own converter: a float Keras model in, a plain TFLite flatbuffer out. LCE has no part in it."""

from __future__ import annotations

import tempfile
import warnings

import numpy as np
import tensorflow as tf

from ftbnn_larq.conversion.converter import save_function
from ftbnn_larq.errors import ConversionError, one_line
from ftbnn_larq.quiet import quiet_native_stderr

# Random pictures that tell the range of every tensor in 8 bits. More would change the scores, but not the time.
CALIBRATION_PICTURES = 4


def to_tflite(model: tf.keras.Model, *, int8: bool = False) -> bytes:
    """The TFLite flatbuffer of a model.

    Arguments:
        model: float32 NHWC pictures in, scores (n, classes) out.
        int8: full-integer post-training quantization, weights per channel and activations in 8 bits. Input and output
            stay float32, as the converter leaves them: the first operator quantizes, the last one dequantizes. The
            ranges come from random pictures, so that the scores mean nothing.

    Raises:
        ConversionError: TFLite has no operator, or no int8 one, for a part of the model.
    """
    with quiet_native_stderr(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        try:
            save_function(model, folder)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            if int8:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: _pictures(model.input_shape[1:])
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            return converter.convert()
        except Exception as error:  # MLIR's errors come as whatever the binding makes of them
            raise ConversionError(f"TFLite cannot convert {model.name}: {one_line(error, 300)}") from error


def _pictures(shape: tuple[int, ...]):
    generator = np.random.default_rng(0)
    for _ in range(CALIBRATION_PICTURES):
        yield [generator.standard_normal((1, *shape), np.float32)]
