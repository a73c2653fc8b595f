"""TensorFlow says nothing of its own on the screen of somebody who runs a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long  # importing TensorFlow takes seconds
def test_reading_data_prints_nothing() -> None:
    code = (
        "from data_pipeline.host_tensorflow import tf\n"
        "data = tf.data.Dataset.range(3).map(lambda x: tf.image.resize(tf.zeros((8, 8, 3)), (4, 4)) + float(1))\n"
        "print(len(list(data.as_numpy_iterator())), 'keras' in __import__('sys').modules)"
    )
    names = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root, env=environment
    )
    assert (ran.stdout, ran.stderr) == ("3 False\n", "")
