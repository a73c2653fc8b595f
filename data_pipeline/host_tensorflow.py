"""TensorFlow for the host's side: quiet, and blind to accelerators, which belong to JAX."""

import logging
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the first import: no banner about CPU instructions

import tensorflow as tf
import tensorflow_datasets as tfds

# TFDS 4.9.10 warns of its own deprecated property whenever it reads an array that is stored as bytes.
logging.getLogger("absl").addFilter(lambda record: ".dtype` is deprecated" not in str(record.msg))

for _kind in ("GPU", "TPU"):
    tf.config.set_visible_devices([], _kind)

__all__ = ["tf", "tfds"]
