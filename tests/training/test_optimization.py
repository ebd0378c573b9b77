"""The optimizer of a training step."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq import zoo
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training.optimization import create_optimizer, use_averages

OPTIONS = {"weight_decay": 0.01, "ema": 0.9}


def trained(create) -> list[np.ndarray]:
    """The averages of a network's weights after some steps."""
    tf.keras.utils.set_random_seed(0)
    model = zoo.create_model("ftbnn_r18_pure", width=16, units=(1, 2), input_shape=(16, 16, 3), num_classes=4)
    model.compile(create(model), "categorical_crossentropy")
    pictures = tf.random.stateless_normal((32, 16, 16, 3), (1, 2))
    model.fit(pictures, tf.one_hot(tf.range(32) % 4, 4), batch_size=8, epochs=2, verbose=0)
    use_averages(model)
    return model.get_weights()


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "weight decay and averages"])
def test_adam_takes_the_steps_of_keras_s_own(options):
    how = Recipe(learning_rate=0.01, **options)

    def ours(model):
        return create_optimizer(how, model, steps=8, steps_per_epoch=4)

    def keras_s(model):
        optimizer = ours(model)
        # Its configuration, and what weight decay leaves out, with Keras's step.
        optimizer.__class__ = tf.keras.optimizers.Adam
        return optimizer

    for mine, theirs in zip(trained(ours), trained(keras_s), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
