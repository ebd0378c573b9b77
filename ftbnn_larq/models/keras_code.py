"""What the description of a Keras model may name, so that building the model runs no code that a file brings.

All lists say what is allowed. Keras calls whatever name it finds in a module, and some layers, functions and classes
of Keras and TensorFlow write files, run Python or read it from the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator


def _words(text: str) -> set[str]:
    return set(text.split())


# Classes of Keras by name, without 1D, 2D or 3D in it. Names alone are all that an .h5 file has.
_CLASSES = _words(
    """
    Functional InputLayer InputSpec Model Sequential SlicingOpLambda TFOpLambda TensorShape
    AveragePooling AvgPool Conv ConvLSTM ConvTranspose Convolution ConvolutionTranspose Cropping DepthwiseConv
    GlobalAveragePooling GlobalAvgPool GlobalMaxPool GlobalMaxPooling LocallyConnected MaxPool MaxPooling SeparableConv
    SeparableConvolution SpatialDropout UpSampling ZeroPadding
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average BatchNormalization
    BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop Concatenate Dense Discretization
    Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GroupNormalization Identity
    LSTM LSTMCell LayerNormalization LeakyReLU Masking Maximum Minimum MultiHeadAttention Multiply Normalization PReLU
    Permute RNN RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation RandomTranslation
    RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SimpleRNN SimpleRNNCell Softmax
    SpectralNormalization StackedRNNCells Subtract SyncBatchNormalization ThresholdedReLU TimeDistributed
    UnitNormalization
    Constant GlorotNormal GlorotUniform HeNormal HeUniform IdentityInitializer LecunNormal LecunUniform Ones Orthogonal
    OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L2 L1L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm
    Policy Custom>CustomScaleLayer LayerScale StochasticDepth
    """
)
# Of Larq, which registers its classes by names alone.
_CLASSES |= _words(
    """
    QuantConv QuantConvTranspose QuantDense QuantDepthwiseConv QuantLocallyConnected QuantSeparableConv
    ApproxSign DoReFa MagnitudeAwareSign NoOp SteHeaviside SteSign SteTern SwishSign WeightClip
    approx_sign dorefa_quantizer magnitude_aware_sign ste_heaviside ste_sign ste_tern swish_sign weight_clip
    """
)
# Modules that a .keras file may name for a class. Files of our version 0.1 name the last two.
_KERAS = ("layers", "models", "initializers", "regularizers", "constraints", "activations", "mixed_precision", "engine")
_KERAS += ("applications",)
# The initializers of tf itself, such as tf.constant_initializer, stand in the last one.
_OTHERS = ("larq.layers", "larq.quantizers", "larq.constraints", "larq.activations", "larq.math")
_OTHERS += ("tensorflow.python.ops.init_ops_v2",)
_OURS = (
    "ftbnn_larq.models.layers",
    "ftbnn_larq.models.nonlinearities",
    "ftbnn_larq.layers",
    "ftbnn_larq.nonlinearities",
)
PACKAGE = "ftbnn_larq>"
_DATA = ("__tensor__", "__numpy__", "__bytes__", "__tuple__", "__ellipsis__")
# Functions that larq-zoo registers with Keras when it is imported.
LARQ_ZOO = _words("blurpool_initializer clip_by_value_activation magnitude_aware_sign_unclipped xnor_weight_scale")
# Functions that are used as an activation, a quantizer or an initializer. None has the name of one of Python's own.
FUNCTIONS = LARQ_ZOO | _words(
    """
    elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu softmax softplus
    softsign swish tanh hard_tanh leaky_tanh heaviside sign
    """
)

# Layers that call a function of TensorFlow by its public name.
_FUNCTION_LAYERS = ("TFOpLambda", "SlicingOpLambda")
# All functions of these modules only compute, but for those that turn pictures to bytes or back, or read a file.
_COMPUTING = ("__operators__", "bitwise", "image", "linalg", "math", "math.special", "nn")
_NOT_COMPUTING = re.compile(r"(de|en)code_|.*jpeg|fixed_unigram")
# Of those in no module. Keras writes "compat.v1." before some of them, such as tf.shape.
_OF_NO_MODULE = _words(
    """
    argsort batch_to_space bitcast boolean_mask broadcast_to cast clip_by_global_norm clip_by_norm clip_by_value concat
    constant convert_to_tensor dynamic_partition dynamic_stitch einsum ensure_shape expand_dims eye fill floor_div
    gather gather_nd guarantee_const identity identity_n linspace meshgrid norm one_hot ones ones_like pad
    parallel_stack range rank realdiv repeat required_space_to_batch_paddings reshape reverse reverse_sequence roll
    saturate_cast scatter_nd searchsorted sequence_mask shape shape_n size slice sort space_to_batch space_to_batch_nd
    split squeeze stack stop_gradient strided_slice tensor_scatter_nd_add tensor_scatter_nd_max tensor_scatter_nd_min
    tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile transpose truncatediv truncatemod unique unravel_index
    unstack where zeros zeros_like
    """
)


def only_computes(function: str) -> bool:
    """Whether a function of TensorFlow, by its public name without "tf.", only computes tensors from tensors."""
    module, _, name = function.rpartition(".")
    if module in ("", "compat.v1"):
        return name in _OF_NO_MODULE
    if module == "quantization":
        return name.startswith("fake_quant_")
    return module in _COMPUTING and name.islower() and not _NOT_COMPUTING.match(name)


def code_in(config) -> Iterator[str]:
    """What a model's description names that is not known to be free of code."""
    if isinstance(config, list):
        for value in config:
            yield from code_in(value)
    if not isinstance(config, dict):
        return
    if "class_name" in config and (reason := _refusal(config)):
        yield reason
    for value in config.values():
        yield from code_in(value)


def _refusal(config: dict) -> str | None:
    kind, module, own = str(config["class_name"]), config.get("module"), config.get("config")
    # Keras takes what is registered by this name, or looks for it where it does not find the other one.
    registered = config.get("registered_name") or kind
    if kind in _DATA:
        return None
    if kind == "function":
        known = str(own) in FUNCTIONS and registered in (kind, own) and (module == "builtins" or _is_known(str(module)))
        return None if known else f"the function {own} of the module {module}"
    own = own if isinstance(own, dict) else {}
    if kind in _FUNCTION_LAYERS and not only_computes(str(own.get("function"))):
        return f"a call of tf.{own.get('function')}"
    if kind == "ClassMethod":
        return f"a call of tf.{own.get('cls_symbol')}"
    if "ambda" in kind and kind not in _FUNCTION_LAYERS:
        return f"the Lambda layer {own.get('name', kind)}"
    if module is not None and not _is_known(str(module)):
        return f"{kind} of the module {module}"
    if not all(_is_class(str(name), module) for name in (kind, registered)):
        return f"the class {kind}" + (f", registered as {registered}" if registered != kind else "")
    return None


def _is_class(name: str, module: str | None) -> bool:
    if name.startswith(PACKAGE):
        return True
    if module in _OURS:
        return name.isidentifier() and name[0].isupper()
    return re.sub("[123]D", "", name) in _CLASSES


def _is_known(module: str) -> bool:
    root, *parts = module.split(".")
    if root in ("keras", "tf_keras"):
        parts = parts[1:] if parts[:1] == ["src"] else parts
        return not parts or parts[0] in _KERAS
    return module in _OTHERS + _OURS
