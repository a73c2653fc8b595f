"""What the listener learns from: made conversations, or the clips of a shard set."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.folder_lock import locked
from reactface_jax.media.log_mel import log_mel
from reactface_jax.methods.listener.config import ListenerConfig, ListenerData
from reactface_jax.methods.listener.training import ListeningData, train
from reactface_jax.methods.listener.training_state import STATE_FILE, check_config
from reactface_jax.shard_set import ShardSet, open_shards
from reactface_jax.types import FRAME_RATE
from reactface_jax.weights.run import FOLDER
from reactface_jax.weights.workdir import check_workdir


def listening_data(config: ListenerData) -> ListeningData:
    """Plays or reads what a configuration names. Raises `UserError` if the shard set can't be read."""
    if config.dir:
        return of_shards(open_shards(config.dir), config)
    # By name: this package does not depend on the one that makes data.
    pairs = importlib.import_module("data_pipeline.dyads.listening_pairs")
    cache = Path(config.cache) if config.cache else None
    made = pairs.make_pairs(config.scripts, config.seconds, config.seed, config.workers, cache)
    return ListeningData(made.speaker, made.sound, made.listener, made.person, pairs.FORM, pairs.TALKS)


def coefficient_names(config: ListenerData) -> tuple[str, ...]:
    """Of the data that a configuration names."""
    return tuple(open_shards(config.dir).description["coefficient_names"]) if config.dir else COEFFICIENT_NAMES


def train_listener(
    config: ListenerConfig,
    workdir: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    log: Callable[[str], None] = print,
) -> Path:
    """Makes or reads the data and trains.

    Args:
        config: of the training.
        workdir: of its weights, listener.safetensors, and its state.
        resume: go on where a training in the same folder stopped.
        overwrite: start again; the training that is there stays until the new one saves for the first time.
        log: takes a line.

    Returns:
        The weights' file.

    Raises:
        UserError: the folder holds a training, and neither `resume` nor `overwrite` is set, or both are; another
            process writes into it, or it is a file; there is nothing to resume, or what is there is of another network,
            configuration or data; the data can't be read; a loss is not finite.
    """
    workdir = Path(workdir)
    _check_workdir(workdir, resume=resume, overwrite=overwrite)
    with locked(workdir):
        _check_workdir(workdir, resume=resume, overwrite=overwrite)  # another training may have ended meanwhile
        if resume and (workdir / STATE_FILE).is_file():
            check_config(workdir / STATE_FILE, config)  # now, since the data take minutes to make
        log(f"the listener learns from {config.data.dir or f'{config.data.scripts} made scripts'}")
        data, names = listening_data(config.data), coefficient_names(config.data)
        return train(config, data, workdir, log, names=names, anew=overwrite)


def _check_workdir(workdir: Path, *, resume: bool, overwrite: bool) -> None:
    """Raises `UserError` unless the folder and what is to become of it fit together."""
    if (workdir / FOLDER).exists():
        raise UserError(f"--workdir {workdir} holds a run that is no listener's; give another folder")
    check_workdir(workdir, resume=resume, overwrite=overwrite)
    if (workdir / STATE_FILE).is_file() and not (resume or overwrite):
        raise UserError(f"--workdir {workdir} holds a training already; give --resume, --overwrite or another folder")


def of_shards(shards: ShardSet, config: ListenerData) -> ListeningData:
    """The training split of a shard set, each clip with its own listener and others that are appropriate.

    Args:
        shards: a `data_pipeline.loader.ShardSet`.
        config: length of the clips, which are cut to it, and the number of neighbours.
    """
    speaker, listener = shards.coefficients("train")
    frames = min(speaker.shape[1], round(config.seconds * FRAME_RATE))
    sounds: list[np.ndarray] = [np.zeros(0)] * len(speaker)
    for batch in shards.clip_batches("train", batch_size=8, num_frames=frames, image_size=0):
        for row, sound in zip(batch.clip, log_mel(batch.audio), strict=True):
            if row >= 0:
                sounds[int(row)] = sound
    if any(len(sound) == 0 for sound in sounds):
        raise UserError(f"{config.dir} did not deliver all training clips; write the shards again")
    chosen = choose_neighbours(shards.appropriateness("train"), config.neighbours, config.seed)
    # A clip's name is its speaker's; who listens in it speaks in the clip with the roles swapped.
    names = np.roll([_person(name) for name in shards.clip_ids("train")], len(speaker) // 2)
    people = np.unique(names, return_inverse=True)[1]
    return ListeningData(
        speaker=speaker[:, None, :frames].astype(np.float16),
        sound=np.stack(sounds).astype(np.float16),
        listener=listener[chosen, :frames].astype(np.float16),
        person=people[chosen].astype(np.int32),
        form=np.zeros(config.neighbours, np.int32),
        talks=np.ones(config.neighbours, np.int32),
    )


def choose_neighbours(appropriate: Bool[np.ndarray, "N N"], count: int, seed: int) -> np.ndarray:
    """[N, count] rows of appropriate reactions: the own first, then others at random, some again if there are few."""
    rng = np.random.default_rng(seed)
    chosen = np.empty((len(appropriate), count), np.int64)
    for row, marked in enumerate(np.asarray(appropriate, bool)):
        others = rng.permutation(np.flatnonzero(marked & (np.arange(len(marked)) != row)))
        chosen[row] = np.resize(np.concatenate([[row], others]), count)
    return chosen


def _person(clip_id: str) -> str:
    """Who listens in a clip: its session and seat."""
    return clip_id.rpartition("/")[0]
