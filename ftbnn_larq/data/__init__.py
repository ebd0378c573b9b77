"""Data sets by name, as `tf.data`: the embedded digits, image classification data sets of TFDS, folders of pictures."""

from __future__ import annotations

from ftbnn_larq.data.formats import Data, DataConfig, Split, check_fits
from ftbnn_larq.data.registry import check_name, full_name, load

__all__ = ["Data", "DataConfig", "Split", "check_fits", "check_name", "full_name", "load"]
