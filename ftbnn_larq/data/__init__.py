"""A name in, `tf.data` out: embedded digits, every image classification data set of TFDS, a folder of class folders."""

from __future__ import annotations

from ftbnn_larq.data.formats import Data, DataConfig, Split, check_fits
from ftbnn_larq.data.registry import check_name, load

__all__ = ["Data", "DataConfig", "Split", "check_fits", "check_name", "load"]
