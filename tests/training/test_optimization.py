"""The optimizer of a training step."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ftbnn_larq import zoo
from ftbnn_larq.recipe import Recipe
from ftbnn_larq.training.optimization import Averaging, create_optimizer, use_averages


class KerasAdam(Averaging, tf.keras.optimizers.Adam):
    """Keras's step for a variable."""


OPTIONS = {"weight_decay": 0.01, "ema": 0.9}


def trained(create, finish: bool = True) -> list[np.ndarray]:
    """The averages of a network's weights after some steps."""
    tf.keras.utils.set_random_seed(0)
    model = zoo.create_model("ftbnn_r18_pure", width=16, units=(1, 2), input_shape=(16, 16, 3), num_classes=4)
    model.compile(create(model), "categorical_crossentropy")
    pictures = tf.random.stateless_normal((32, 16, 16, 3), (1, 2))
    model.fit(pictures, tf.one_hot(tf.range(32) % 4, 4), batch_size=8, epochs=2, verbose=0)
    if finish:
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
        optimizer.__class__ = KerasAdam
        return optimizer

    for mine, theirs in zip(trained(ours), trained(keras_s), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_average_forgets_where_the_weights_began(optimizer):
    """Eight steps are far fewer than a decay of 0.999 looks back."""
    how = Recipe(learning_rate=0.01, optimizer=optimizer, warmup_epochs=0, schedule="constant")
    begun, last, mean = [], [], []
    for found, keys in ((last, {}), (mean, {"ema": 0.999})):

        def create(model, keys=keys):
            begun[:] = model.get_weights()
            return create_optimizer(how.replace(**keys), model, steps=8, steps_per_epoch=4)

        found += trained(create, finish=bool(keys))
    moved, behind = (
        sum(float(np.square(one - other).sum()) for one, other in zip(weights, last, strict=True))
        for weights in (begun, mean)
    )
    assert behind < moved / 2
