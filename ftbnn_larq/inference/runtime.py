"""ftbnn-runtime's C library in this process, as a delegate of TFLite. TensorFlow is not imported."""

from __future__ import annotations

import ctypes

from ftbnn_larq.errors import ToolError
from ftbnn_runtime import native
from ftbnn_runtime.errors import Error
from ftbnn_runtime.interpreters import ISAS, MOST_THREADS

__all__ = ["ISAS", "MOST_THREADS", "create_delegate", "instruction_sets"]

_Report = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


def instruction_sets() -> tuple[str, ...]:
    """Those of `ISAS` that the library has and this processor too, the fastest first.

    Raises:
        ToolError: there is no library for this machine.
    """
    library = _library()
    found = {isa: _create(library, {"isa": isa})[0] for isa in ISAS}
    for delegate in filter(None, found.values()):
        library.tflite_plugin_destroy_delegate(ctypes.c_void_p(delegate))
    return tuple(isa for isa, delegate in found.items() if delegate)


def create_delegate(**options) -> int:
    """A pointer to a delegate, which an interpreter takes. It is never destroyed: the interpreter needs it to the end.

    Arguments:
        options: the delegate's, such as isa and num_threads.

    Raises:
        ToolError: there is no library for this machine, or an option is wrong.
    """
    delegate, said = _create(_library(), options)
    if not delegate:
        raise ToolError(" ".join(said) or "ftbnn-runtime: out of memory")
    return delegate


def _library() -> ctypes.CDLL:
    try:
        return native.load(native.library())
    except Error as error:
        raise ToolError(f"{error}; the engine lce does without it") from error


def _create(library: ctypes.CDLL, options: dict) -> tuple[int | None, list[str]]:
    """The pointer, None where it failed, and what the library said then."""
    said: list[str] = []
    texts = ctypes.c_char_p * len(options)
    create = library.tflite_plugin_create_delegate
    create.restype = ctypes.c_void_p
    delegate = create(
        texts(*(name.encode() for name in options)),
        texts(*(str(value).encode() for value in options.values())),
        ctypes.c_size_t(len(options)),
        _Report(lambda message: said.append(message.decode(errors="replace"))),
    )
    return delegate, said
