"""One process of an evaluation, for test_answering_together.py: `answer_job.py PORT COUNT INDEX FILE`."""

import sys

import jax
import numpy as np
import small_model

from reactface_jax.all_devices import AllDevices
from reactface_jax.config import EvalConfig, HostsConfig
from reactface_jax.evaluation.rows import generate_split
from reactface_jax.methods.trained_reactface import TrainedReactFace
from reactface_jax.models import build_model
from reactface_jax.training import hosts
from reactface_jax.types import SAMPLES_PER_FRAME, Batch

CLIPS, FRAMES, SIZE, WANTED = 5, 8, 16, 4


def main(port: str, count: str, index: str, file: str) -> None:
    jax.config.update("jax_num_cpu_devices", 4 // int(count))
    hosts.join(HostsConfig(count=int(count), index=int(index), coordinator=f"localhost:{port}", timeout=60))
    with hosts.ending_together():
        devices = AllDevices(CLIPS)
        size = devices.batch_size(WANTED)
        rows, rng = devices.own_rows(size), np.random.default_rng(0)
        video = rng.integers(0, 256, (CLIPS, FRAMES, SIZE, SIZE, 3), np.uint8)
        audio = rng.standard_normal((CLIPS, FRAMES * SAMPLES_PER_FRAME)).astype(np.float32)
        nobody = np.zeros((len(rows), FRAMES, 58), np.float32)
        nothing = (np.zeros((len(rows), 0, FRAMES, 58), np.float32), np.zeros((len(rows), 0), bool))

        def batches():
            for start in range(0, CLIPS, size):
                clip = start + np.array(rows, np.int32)
                shown = np.minimum(clip, CLIPS - 1)
                yield Batch(video[shown], audio[shown], nobody, nobody, *nothing, np.where(clip < CLIPS, clip, -1))

        model = build_model(small_model.CONFIG)
        method = TrainedReactFace(model, small_model.random_params(model), np.ones(58, np.float32), SIZE, "clip")
        config = EvalConfig(num_reactions=2)
        found = generate_split(method.on(devices), batches(), CLIPS, config, np.ones(58, np.float32), devices=devices)
        np.save(file, found.prediction)
        hosts.wait_for_all("all have written")


if __name__ == "__main__":
    main(*sys.argv[1:])
