"""The Keras model that is trained, with or without a teacher."""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq.models.fused import Fused
from ftbnn_larq.recipe import Recipe


class Student(tf.keras.Model):
    """A Keras model with the loss (1 - w) * loss of the labels + w * loss of the teacher.

    w is `recipe.distillation_weight`. The loss of the teacher is chosen by `recipe.distillation`, with logits t of the
    teacher, logits s of the student and temperature T:

    * hinton: T^2 KL(softmax(t / T) || softmax(s / T)) (arXiv 1503.02531)
    * distributional: cross-entropy of softmax(s) to softmax(t) (ReActNet, arXiv 2003.03488)

    The loss of the labels is logged as `loss`, that of the teacher as `distillation`.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        # All replicas have the same metrics of a batch; Keras would add them up.
        self.distribute_reduction_method = "first"

    def learn_from(self, teacher: tf.keras.Model | None, recipe: Recipe) -> None:
        """Set the teacher, a model from the same pictures to logits, or None. Call it before `compile`."""
        # Set without Keras, which would count the teacher's weights among the student's.
        object.__setattr__(self, "teacher", teacher)
        object.__setattr__(self, "recipe", recipe)
        object.__setattr__(self, "learning", False)
        object.__setattr__(self, "fused", Fused(self))
        if teacher is not None:
            teacher.trainable = False
            self.distillation = tf.keras.metrics.Mean(name="distillation")

    def learn_only(self, layers: list[tf.keras.layers.Layer] | None) -> None:
        """Leave the weights of all other layers as they are; batch norms still adapt. Call it before `compile`.

        Arguments:
            layers: those that learn; None for all.
        """
        chosen = None if layers is None else [weight for layer in layers for weight in layer.trainable_weights]
        object.__setattr__(self, "chosen", chosen)

    @property
    def trainable_variables(self):
        # What a step changes and an optimizer is built for. Layers are not frozen for this: a batch norm that is frozen
        # would keep the statistics of other pictures.
        chosen = getattr(self, "chosen", None)
        return super().trainable_variables if chosen is None else chosen

    def call(self, inputs, training=None, mask=None):
        if self.learning and self.fused.units:
            return self.fused(inputs)
        return super().call(inputs, training, mask)

    def train_step(self, data):
        object.__setattr__(self, "learning", True)
        try:
            return super().train_step(data)
        finally:
            object.__setattr__(self, "learning", False)

    def test_step(self, data):
        # The teacher does not see validation pictures, so its loss would be logged as zero.
        logs = super().test_step(data)
        logs.pop("distillation", None)
        return logs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        if self.teacher is None or not self.learning:
            return loss
        answers = tf.cast(self.teacher(x, training=False), tf.float32)
        recipe = self.recipe
        heat = recipe.temperature if recipe.distillation == "hinton" else 1.0
        wanted = tf.nn.softmax(answers / heat)
        given = tf.nn.log_softmax(tf.cast(y_pred, tf.float32) / heat)
        if recipe.distillation == "hinton":
            each = heat**2 * tf.reduce_sum(wanted * (tf.nn.log_softmax(answers / heat) - given), axis=-1)
        else:
            each = -tf.reduce_sum(wanted * given, axis=-1)
        if sample_weight is not None:
            each *= tf.cast(sample_weight, each.dtype)
        self.distillation.update_state(each)
        shared = tf.reduce_mean(each) / tf.distribute.get_strategy().num_replicas_in_sync
        return (1 - recipe.distillation_weight) * loss + recipe.distillation_weight * shared
