"""NumPy arrays out of pickles that others wrote: an unpickler that can make arrays, and runs nothing else."""

import pickle

_MAKERS = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
    }
)


class HoldsMoreError(pickle.UnpicklingError):
    """The pickle names something that is not needed for arrays; the message is its full name."""


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles containers, numbers, texts and NumPy's arrays. Raises `HoldsMoreError` for anything else."""

    def find_class(self, module: str, name: str) -> object:
        # NumPy 1 called its core numpy.core.
        current = module.replace("numpy.core", "numpy._core", 1) if module.startswith("numpy.core") else module
        if (current, name) not in _MAKERS:
            raise HoldsMoreError(f"{module}.{name}")
        return super().find_class(current, name)
