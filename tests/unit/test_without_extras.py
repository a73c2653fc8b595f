"""What `pip install reactface-jax` by itself must serve: packages of the extras are hidden, in a process of its own."""

import subprocess
import sys

PROGRAM = """
import sys
for name in ("av", "soxr", "pyvista", "mediapipe", "tensorflow", "torch", "aiohttp"):
    sys.modules[name] = None
import reactface_jax as rf
import reactface_jax.training.program
import reactface_jax.commands.train
assert rf.load_pretrained("listener").chunk == 5
assert rf.stream and rf.generate and rf.losses and rf.metrics
print("served")
"""


def test_models_training_and_the_packaged_listener_need_no_extra() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.strip() == "served", done.stderr
