"""scikit-learn's digits: 1,797 scanned handwritten digits of 8x8 pixels (UCI ML, Alpaydin and Kaynak 1998)."""

from __future__ import annotations

from ftbnn_larq.data.formats import Data, DataConfig, Split


def check(name: str, data_dir: str | None) -> None:
    pass


def load(
    name: str, *, data_dir: str | None, input_size: tuple[int, int] | None, download: bool, for_test: bool
) -> Data:
    import numpy as np
    import tensorflow as tf
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    # The scans have 17 grey levels, 0 to 16.
    pictures = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    classes = digits.target.astype(np.int64)
    # The split is fixed: it does not depend on the seed of a run.
    rest, test = train_test_split(np.arange(len(classes)), test_size=0.2, stratify=classes, random_state=0)
    train, validation = train_test_split(rest, test_size=0.1, stratify=classes[rest], random_state=0)

    def split(indices):
        return Split(len(indices), tf.data.Dataset.from_tensor_slices((pictures[indices], classes[indices])))

    config = DataConfig(
        name=name,
        input_shape=(*(input_size or (8, 8)), 1),
        labels=tuple(str(label) for label in digits.target_names),
        # The digits fill their 8x8 pixels: a shift by a whole pixel would cut strokes off.
        crop="jitter",
        flip=False,
    )
    return Data(config, split(train), split(validation), split(test))
