"""Every non-linearity has its formula, and the gradient of its formula; the options of the table work on any model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import ftbnn_larq
from ftbnn_larq.errors import ConfigError, UnknownNameError
from ftbnn_larq.models import nonlinearities
from ftbnn_larq.models.config import NONLINEARITIES, ResNetConfig, option_from_text
from ftbnn_larq.models.layers import is_binary
from ftbnn_larq.training.optimization import use_averages


def two_slopes(x, p, n):
    return p * np.maximum(x, 0) + n * np.minimum(x, 0)


# The formulas, with weights in the order of `trainable_weights`.
FORMULAS = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: two_slopes(x, 1, 0.1),
    "prelu": lambda x, n: two_slopes(x, 1, n),
    "fprelu": lambda x, p, n: two_slopes(x, p, n),
    "rprelu": lambda x, s, n, t: two_slopes(x - s, 1, n) + t,
}


@pytest.fixture(params=list(NONLINEARITIES))
def layer(request):
    """Each non-linearity, built for four channels, with weights away from their start."""
    layer = nonlinearities.create(request.param)
    layer.build((None, 3, 3, 4))
    generator = np.random.default_rng(0)
    layer.set_weights([generator.uniform(-0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return request.param, layer


def inputs():
    # Away from the corners, by more than the step of the finite differences.
    x = np.random.default_rng(1).uniform(0.1, 3, (2, 3, 3, 4)) * np.random.default_rng(2).choice([-1, 1], (2, 3, 3, 4))
    return x.astype(np.float32)


def test_every_name_of_the_table_has_a_formula_here():
    assert FORMULAS.keys() == NONLINEARITIES.keys()


def test_values_are_those_of_the_formula(layer):
    name, act = layer
    np.testing.assert_allclose(act(inputs()), FORMULAS[name](inputs(), *act.get_weights()), atol=1e-6)


def test_gradients_are_finite_differences_of_the_formula(layer):
    name, act = layer
    x, weights = inputs(), [weight.astype(np.float64) for weight in act.get_weights()]
    if name == "rprelu":
        # No input on the corner, which stands at the shift.
        x = np.where(np.abs(x - weights[0]) < 0.05, weights[0] + 0.1, x).astype(np.float32)
    seen = np.random.default_rng(3).normal(size=x.shape)

    def total(x, *weights):
        return (FORMULAS[name](x, *weights) * seen).sum()

    point = [x.astype(np.float64), *weights]
    variable = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss = tf.reduce_sum(act(variable) * seen.astype(np.float32))
    for index, gradient in enumerate(tape.gradient(loss, [variable, *act.trainable_weights])):
        expected = np.empty(point[index].shape)
        for place in np.ndindex(expected.shape):
            moved = [array.copy() for array in point]
            moved[index][place] += 1e-4
            above = total(*moved)
            moved[index][place] -= 2e-4
            expected[place] = (above - total(*moved)) / 2e-4
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3)


def test_layers_come_back_from_their_configuration(layer):
    _, act = layer
    again = type(act).from_config(act.get_config())
    again.build((None, 3, 3, 4))
    again.set_weights(act.get_weights())
    np.testing.assert_array_equal(again(inputs()), act(inputs()))


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {"placement": "after_bn"}) for name in NONLINEARITIES]
    + [(name, {"placement": "after_add"}) for name in NONLINEARITIES if name not in ("relu", "fprelu")]
    + [("fprelu", {"placement": "after_add", "slopes": (1, 0.25)})],
)
@pytest.mark.parametrize("sharing", ["channel", "layer"])
def test_any_model_takes_any_of_them(name, options, sharing):
    model = ftbnn_larq.create_model(
        "bireal_r18",
        input_shape=(8, 8, 3),
        width=16,
        units=(1, 1),
        nonlinearity=name,
        sharing=sharing,
        **options,
    )
    acts = [layer for layer in model.layers if layer.name.endswith("_act")]
    assert len(acts) == 2
    assert {tuple(weight.shape) for weight in acts[0].weights} <= {(16,) if sharing == "channel" else (1,)}
    behind = acts[0].inbound_nodes[0].inbound_layers
    assert behind.name.endswith("_bn" if options["placement"] == "after_bn" else "_add")
    assert model(np.ones((1, 8, 8, 3), np.float32)).shape == (1, 1000)


def test_slopes_start_where_the_configuration_says():
    model = ftbnn_larq.create_model("ftbnn_r18_baseline", input_shape=(8, 8, 3), width=16, slopes=(1.5, -0.5))
    positive, negative = model.get_layer("stage1_unit1_act").get_weights()
    assert set(positive) == {1.5} and set(negative) == {-0.5}


def fprelu_in_a_model() -> tf.keras.Model:
    inputs = tf.keras.Input((2, 2, 3))
    return tf.keras.Model(inputs, nonlinearities.create("fprelu", layer_name="act")(inputs))


@pytest.mark.parametrize("sharing", ["channel", "layer"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_keeps_the_slope_of_positive_inputs_above_zero(sharing, optimizer):
    act = nonlinearities.create("fprelu", slopes=(0.5, 0.5), sharing=sharing)
    model = tf.keras.Sequential([tf.keras.Input((2, 2, 3)), act])
    x = np.abs(inputs()[:, :2, :2, :3])
    model.compile(tf.keras.optimizers.get({"class_name": optimizer, "config": {"learning_rate": 10.0}}), "mse")
    model.train_on_batch(x, -x)
    positive, negative = act.get_weights()
    np.testing.assert_array_equal(positive, np.float32(0.01))
    np.testing.assert_array_equal(negative, np.float32(0.5))


def test_averages_of_that_slope_stay_above_zero_too():
    """Keras averages what a step made of the slope before it was held."""
    act = nonlinearities.create("fprelu", slopes=(0.5, 0.5))
    model = tf.keras.Sequential([tf.keras.Input((2, 2, 3)), act])
    x = np.abs(inputs()[:, :2, :2, :3])
    model.compile(tf.keras.optimizers.SGD(10.0, use_ema=True, ema_momentum=0.5), "mse")
    model.train_on_batch(x, -x)
    use_averages(model)
    np.testing.assert_array_equal(act.get_weights()[0], np.float32(0.01))


@pytest.mark.parametrize("file", ["model.keras", "model.h5", "saved_model"])
def test_slopes_that_were_learned_without_that_floor_are_loaded_as_they_are(tmp_path, file):
    model = fprelu_in_a_model()
    model.get_layer("act").set_weights([np.float32([-1, 0, 1]), np.float32([0, 1, -1])])
    model.save(tmp_path / file)
    loaded = tf.keras.models.load_model(tmp_path / file)
    np.testing.assert_array_equal(loaded(inputs()[:, :2, :2, :3]), model(inputs()[:, :2, :2, :3]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slopes": (0, 0.5)}, r"slopes \(0.0, 0.5\): the first must be 0.01 or more, .* one PRELU is enough in LCE$"),
        ({"slopes": (-1, -0.5)}, r"; take \(0.5, 1\), the same function of -x"),
        ({"nonlinearity": "relu", "slopes": (1, 0)}, "relu has no slopes"),
        ({"nonlinearity": "prelu", "slopes": (2, 0)}, "always 1 for prelu"),
        ({"slopes": (1, 0, 2)}, "give two"),
        ({"slopes": "steep"}, "numbers"),
        ({"placement": "after_add"}, r"fprelu with start slopes \(1.0, 0.0\) is never negative.*1,0.25"),
        ({"placement": "after_add", "slopes": (1, -0.5)}, "never negative"),
        ({"placement": "after_add", "nonlinearity": "prelu", "slopes": (1, 0)}, "prelu with start slopes"),
        ({"placement": "after_add", "nonlinearity": "relu"}, "relu .*take prelu, or placement after_bn"),
        ({"slopes": (1, float("nan"))}, "not finite"),
        ({"widening": (1, 2)}, "the network has 4 stages"),
        ({"widening": (2, 1, 1, 0.25)}, "narrower than stage"),
        ({"widening": 1.3}, "gives stage 1 83.2 channels"),
        ({"width": 2.5}, "whole numbers"),
        ({"group_channels": 16}, "16 channels per group .* multiple of 32; take 32"),
        ({"group_channels": 48}, "48 channels per group"),
        ({"widening": 0.25, "width": 32, "stem": "light"}, "fewer than the 16 filters of the light stem"),
        ({"widening": 1.5, "group_channels": 128}, "groups of 128 channels don't divide the 192 channels of stage 2"),
    ],
)
def test_configurations_that_cannot_be_used_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        ftbnn_larq.create_model("ftbnn_r18_baseline", **options)


@pytest.mark.parametrize("width, widening, channels", [(800, 0.55, 440), (480, 2.05, 984)])
def test_a_product_of_floats_that_misses_a_whole_number_is_that_number(width, widening, channels):
    assert ResNetConfig(units=(1,), width=width, widening=widening).channels(0) == channels


def test_a_network_of_one_stage_is_written_as_one_number():
    options = dict([option_from_text("units=2"), option_from_text("widening=2")])
    model = ftbnn_larq.create_model("bireal_r18", input_shape=(8, 8, 1), width=16, **options)
    assert [layer.name for layer in model.layers if is_binary(layer)] == ["stage1_unit1_conv", "stage1_unit2_conv"]


@pytest.mark.parametrize(
    ("options", "nearest"),
    [({"nonlinearity": "fprelux"}, "fprelu"), ({"stem": "lite"}, "light"), ({"shuffle": "rotat"}, "rotate")],
)
def test_words_that_no_field_knows_come_with_the_nearest(options, nearest):
    with pytest.raises(UnknownNameError, match=nearest):
        ftbnn_larq.create_model("ftbnn_r18_baseline", **options)
