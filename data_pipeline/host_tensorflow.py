"""TensorFlow for the host's side: quiet, and blind to accelerators, which belong to JAX."""

import logging
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the first import: no banner about CPU instructions
# No line about different rounding either, which that level does not hold back. Nothing here computes with oneDNN.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# TensorFlow shows its symbols to the whole process if it finds this module of its own. Mesa, which draws the 3-D head
# without a screen, would then call TensorFlow's LLVM instead of its own and crash.
sys.modules.setdefault("tensorflow.python.pywrap_dlopen_global_flags", None)  # type: ignore[arg-type]

import tensorflow as tf  # noqa: E402
import tensorflow_datasets as tfds  # noqa: E402

# TFDS 4.9.10 warns of its own deprecated property whenever it reads an array that is stored as bytes.
logging.getLogger("absl").addFilter(lambda record: ".dtype` is deprecated" not in str(record.msg))

for _kind in ("GPU", "TPU"):
    tf.config.set_visible_devices([], _kind)

__all__ = ["tf", "tfds"]
