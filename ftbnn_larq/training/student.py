"""A network in training, with a teacher or without one."""

from __future__ import annotations

import tensorflow as tf

from ftbnn_larq.recipe import Recipe


class Student(tf.keras.Model):
    """A Keras model whose loss is (1 - w) times that of the labels plus w times the teacher's.

    The teacher's is, by `recipe.distillation`, with logits t of the teacher and s of the student,
        hinton: T^2 KL(softmax(t / T) || softmax(s / T)) (arXiv 1503.02531),
        distributional: the cross-entropy of softmax(s) to softmax(t) (ReActNet, arXiv 2003.03488).
    What is logged as `loss` is the labels' part, the teacher's is `distillation`.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        # Replicas agree on the metrics of a batch; Keras would add them up.
        self.distribute_reduction_method = "first"

    def learn_from(self, teacher: tf.keras.Model | None, recipe: Recipe) -> None:
        """Before the model is compiled; `teacher` takes the same pictures and gives logits."""
        # Past Keras, which would take the teacher's weights for the student's.
        object.__setattr__(self, "teacher", teacher)
        object.__setattr__(self, "recipe", recipe)
        object.__setattr__(self, "learning", False)
        if teacher is not None:
            teacher.trainable = False
            self.distillation = tf.keras.metrics.Mean(name="distillation")

    def train_step(self, data):
        object.__setattr__(self, "learning", True)
        try:
            return super().train_step(data)
        finally:
            object.__setattr__(self, "learning", False)

    def test_step(self, data):
        # The teacher is not asked about validation pictures: zero would be told.
        told = super().test_step(data)
        told.pop("distillation", None)
        return told

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
        self.distillation.update_state(each)
        shared = tf.reduce_mean(each) / tf.distribute.get_strategy().num_replicas_in_sync
        return (1 - recipe.distillation_weight) * loss + recipe.distillation_weight * shared
