"""TensorFlow for the host's side: quiet, and blind to accelerators, which belong to JAX."""

import logging
import os
import sys

from reactface_jax.hidden_package import hidden

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the first import: no banner about CPU instructions
# No line about different rounding either, which that level does not hold back. Nothing here computes with oneDNN.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# TensorFlow and Mesa, which draws the 3-D head without a screen, each have an LLVM of their own, and the one that comes
# second would call the other's and crash. TensorFlow shows its symbols to the whole process if it finds this module;
# Mesa always does, from the first drawing on, so that TensorFlow must look for symbols in itself first.
sys.modules.setdefault("tensorflow.python.pywrap_dlopen_global_flags", None)  # type: ignore[arg-type]
_flags = sys.getdlopenflags() if hasattr(sys, "getdlopenflags") else None
if _flags is not None:
    sys.setdlopenflags(_flags | getattr(os, "RTLD_DEEPBIND", 0))  # of glibc
try:
    with hidden("keras"):  # two of its import's ten seconds, for what nothing here uses
        import tensorflow as tf
    import tensorflow_datasets as tfds
finally:
    if _flags is not None:
        sys.setdlopenflags(_flags)

# TFDS 4.9.10 warns of its own deprecated property whenever it reads an array that is stored as bytes.
logging.getLogger("absl").addFilter(lambda record: ".dtype` is deprecated" not in str(record.msg))

for _kind in ("GPU", "TPU"):
    tf.config.set_visible_devices([], _kind)

__all__ = ["tf", "tfds"]
