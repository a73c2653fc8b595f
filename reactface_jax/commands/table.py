"""The commands of `reactface`. A new one is a line here."""

from typing import NamedTuple


class Command(NamedTuple):
    """Where a command is. Its module is imported when the command is called, so that `reactface --help` is quick."""

    module: str
    """Has `main(words)`, which runs the command line `words`."""
    call: str
    """In the module: the function or dataclass that takes the flags, or a dictionary of several by name."""
    summary: str


COMMANDS = {
    "train": Command("reactface_jax.commands.train", "Arguments", "train a model, or the portrait renderer"),
    "eval": Command("reactface_jax.commands.evaluate", "Arguments", "measure a model, or anyone's reactions"),
    "react": Command("reactface_jax.react", "react", "answer a speaker's video with listener faces"),
    "live": Command("reactface_jax.live.command", "Arguments", "listen to you in the browser, or drive avatars"),
    "export": Command("reactface_jax.export.__main__", "export", "write reactions for avatars"),
    "convert": Command("reactface_jax.convert.__main__", "COMMANDS", "convert PyTorch checkpoints and face models"),
    "prepare": Command("data_pipeline.prepare", "COMMANDS", "check data, write shards, labels, own recordings"),
    "dyads": Command("data_pipeline.dyads.__main__", "Arguments", "make conversations to train on"),
    "ablations": Command("reactface_jax.evaluation.ablations", "Arguments", "train and compare the paper's variants"),
    "realism": Command("reactface_jax.evaluation.video_realism_command", "realism", "FRRea of two folders of videos"),
    "study": Command("reactface_jax.study.command", "COMMANDS", "ask people: build a study, collect, analyse"),
    "replay": Command("reactface_jax.training.replay_diverged_step", "command", "repeat a step that was not finite"),
    "doctor": Command("reactface_jax.doctor.command", "doctor", "say what is missing here for which command"),
    "sample-clip": Command("data_pipeline.sample_clip", "sample_clip", "fetch a short real conversation"),
}

EXTRAS = {
    "tensorflow": "data",
    "tensorflow_datasets": "data",
    "etils": "data",
    "apache_beam": "beam",
    "av": "render",
    "soxr": "render",
    "PIL": "render",
    "pyvista": "render",
    "vtkmodules": "render",
    "mediapipe": "render",
    "starlette": "live",
    "uvicorn": "live",
    "websockets": "live",
    "pythonosc": "live",
    "torch": "convert",
    "transformers": "convert",
}
"""Packages that only some commands need, and the optional dependencies of this project that bring them."""
