"""Optimizer and learning rate schedule of a recipe."""

from __future__ import annotations

import math

import tensorflow as tf

from ftbnn_larq.recipe import Recipe


@tf.keras.utils.register_keras_serializable("ftbnn_larq")
class WarmUpThenDecay(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate schedule: linear warm-up, then decay.

    rate(t) = peak * min(1, (t + 1) / w) * d((t - w) / (T - w)) at step t = 0, 1, ..., with w warm-up steps of T steps
    in all. d(x) = (1 + cos(pi x)) / 2 ("cosine"), 1 - x ("linear") or 1 ("constant"). During the warm-up d = 1.

    Arguments:
        peak: highest learning rate.
        steps: T, all steps.
        warmup_steps: w.
        decay: "cosine", "linear" or "constant".
    """

    def __init__(self, peak: float, steps: int, warmup_steps: int = 0, decay: str = "cosine"):
        self.peak, self.steps, self.warmup_steps, self.decay = peak, steps, warmup_steps, decay

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        rise = tf.minimum(1.0, (step + 1) / max(1, self.warmup_steps))
        done = tf.clip_by_value((step - self.warmup_steps) / max(1, self.steps - self.warmup_steps), 0.0, 1.0)
        fall = {"cosine": (1 + tf.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": tf.ones_like(done)}
        return self.peak * rise * fall[self.decay]

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps, "warmup_steps": self.warmup_steps, "decay": self.decay}


class Averaging:
    """An optimizer whose average of the weights forgets where they began.

    At step t = 0, 1, ... its decay is at most (1 + t) / (10 + t), as of tf.train.ExponentialMovingAverage. Keras's own
    average still holds a share decay^t of the first weights.
    """

    def _update_model_variables_moving_average(self, var_list):
        if not self.use_ema:
            return
        step = tf.cast(self.iterations, tf.float32)
        decay = tf.minimum(self.ema_momentum, (1 + step) / (10 + step))
        for variable, average in zip(var_list, self._model_variables_moving_average, strict=True):
            average.assign(decay * average + (1 - decay) * variable)


@tf.keras.utils.register_keras_serializable("ftbnn_larq")
class AveragingSGD(Averaging, tf.keras.optimizers.SGD):
    """Keras's SGD, but for its average of the weights."""


@tf.keras.utils.register_keras_serializable("ftbnn_larq")
class FusedAdam(Averaging, tf.keras.optimizers.Adam):
    """Keras's Adam, whose step for a variable is one operator of TensorFlow's.

    Keras's own takes a dozen, which wait longer than they work, and are traced when a training begins.
    """

    def update_step(self, gradient, variable):
        index = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(self.learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def create_optimizer(recipe: Recipe, model: tf.keras.Model, steps: int, steps_per_epoch: int):
    """The recipe's optimizer for `steps` steps.

    Weight decay applies to full-precision kernels only, not to latent weights, batch norms, slopes and biases.
    """
    rate = WarmUpThenDecay(recipe.learning_rate, steps, round(recipe.warmup_epochs * steps_per_epoch), recipe.schedule)
    options = {"learning_rate": rate, "weight_decay": recipe.weight_decay or None}
    if recipe.ema:
        options |= {"use_ema": True, "ema_momentum": recipe.ema}
    if recipe.optimizer == "sgd":
        optimizer = AveragingSGD(momentum=0.9, nesterov=True, **options)
    else:
        optimizer = FusedAdam(**options)
    if recipe.weight_decay:
        spared = [
            weight
            for weight in model.trainable_weights
            if getattr(weight, "precision", None) == 1 or not weight.name.endswith("kernel:0")
        ]
        optimizer.exclude_from_weight_decay(var_list=spared)
    return optimizer


def use_averages(model: tf.keras.Model) -> None:
    """Replace the weights of `model` by the optimizer's averages of them.

    The constraints are applied to the averages, because Keras averages weights before it applies their constraints.
    """
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        if variable.constraint is not None:
            variable.assign(variable.constraint(variable))
