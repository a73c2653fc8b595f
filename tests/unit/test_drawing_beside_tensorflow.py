"""Mesa's LLVM and TensorFlow's in one process: either may come first (the second one crashed)."""

import subprocess
import sys

PROGRAM = """
import numpy as np
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer

renderer = HeadRenderer((64, 64))
before = renderer.render(NEUTRAL)
from data_pipeline.host_tensorflow import tf

assert tf.reduce_sum(tf.image.resize(tf.ones((1, 4, 4, 3)), (8, 8))).numpy() == 192
np.testing.assert_array_equal(renderer.render(NEUTRAL), before)
again = HeadRenderer((64, 64))
np.testing.assert_array_equal(again.render(NEUTRAL), before)
assert before.std() > 10
print("drawn")
"""


def test_tensorflow_may_come_after_the_first_drawing():
    """The other way round is the whole suite: TensorFlow is imported while tests are collected."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.stdout == "drawn\n", f"exit {done.returncode}: {done.stderr[-2000:]}"
