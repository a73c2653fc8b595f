"""Speakers with several listeners who answer them, for a listener that learns: thousands of scripts, no pictures.

A script is played from both sides. Of each side there are two forms:

- conversing: the speaker plays the script, answers to the listener's events included. The listeners talk in their own
  turns: half of them play the script's own events (other takes), half play events drawn anew, which the speaker does
  not answer. So a listener learns what can be known of the other person, and relies on no answer to what it does.
- listening only: the speaker has the floor or is silent, with silent events now and then; the listeners never talk
  and answer every event. Their mouths are closed unless an answer opens them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
from jaxtyping import Float16, Int

from data_pipeline.dyads.conversations import PITCH
from data_pipeline.dyads.listening import STYLES, answer
from data_pipeline.dyads.performance import perform, rest
from data_pipeline.dyads.scripts import ROLES, Script, add_silent_events, redraw, write_script
from data_pipeline.dyads.voice import RATE, Loudness, listen, speak
from reactface_jax.errors import UserError
from reactface_jax.files import make_folder, replacing
from reactface_jax.media.log_mel import log_mel
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, SAMPLE_RATE
from reactface_jax.worker_pool import worker_pool

CONVERSING, LISTENING = 4, 2
"""Listeners of each form."""
FORM = np.repeat([0, 1], [CONVERSING, LISTENING])
"""Which form of the speaker each listener answers."""
TALKS = 1 - FORM
"""Who takes the floor."""
_FEWEST_FRAMES = 3
"""Of a clip: the voice's loudness is smoothed over as many."""
_OTHER = "give another file, which will be written"
_SCRIPT, _SPEAKER, _LISTENER, _OWN_EVENTS, _SILENT_EVENTS = range(5)


class ListeningPairs(NamedTuple):
    """N directions of scripts. Raw coefficients in float16."""

    speaker: Float16[np.ndarray, "N 2 T C"]
    """Conversing, and listening only."""
    sound: Float16[np.ndarray, "N T F"]
    """Of the speaker: log-mel energies (media/log_mel.py); both forms sound alike."""
    listener: Float16[np.ndarray, "N M T C"]
    """The conversing ones first."""
    person: Int[np.ndarray, "N M"]
    """Listeners with the same number are alike in style."""


@dataclass(frozen=True)
class _Job:
    seed: int
    number: int
    num_frames: int


def make_pairs(
    num_scripts: int, seconds: float = 10.0, seed: int = 0, workers: int = 1, cache: Path | None = None
) -> ListeningPairs:
    """Plays scripts that no data set of `conversations.plan` has.

    Args:
        num_scripts: half as many as directions N.
        seconds: length of each.
        seed: of everything; workers change nothing.
        workers: processes. With several, a script needs Python's usual `if __name__ == "__main__":`.
        cache: a .npz that is read if it is there, and written otherwise.

    Raises:
        UserError: the clips have fewer than 3 frames; the cache holds other conversations, can't be read or can't be
            written.
    """
    frames = round(seconds * FRAME_RATE)
    if frames < _FEWEST_FRAMES:
        raise UserError(f"--data.seconds {seconds:g} is {frames} frames; give at least {_FEWEST_FRAMES}, .12 seconds")
    asked = (num_scripts, seconds, seed)
    if cache is not None and cache.is_file():
        return _read(cache, asked)
    if cache is not None:  # what can be wrong is said before minutes of playing
        if cache.is_dir():
            raise UserError(f"--data.cache {cache} is a folder; give a file, such as {cache / 'pairs.npz'}")
        make_folder(cache.parent)
    jobs = [_Job(seed, number, frames) for number in range(num_scripts)]
    if workers == 1:
        played = [_play(job) for job in jobs]
    else:
        with worker_pool(workers) as pool:
            played = list(pool.map(_play, jobs, chunksize=8))
    pairs = ListeningPairs(*(np.concatenate(parts) for parts in zip(*played, strict=True)))
    if cache is not None:
        with replacing(cache) as file:
            np.savez(file, scripts_seconds_seed=np.array(asked, np.float64), **pairs._asdict())
    return pairs


def _read(cache: Path, asked: tuple[int, float, int]) -> ListeningPairs:
    """What was kept. Raises `UserError` unless it is what is asked for: number of scripts, seconds, seed."""
    try:
        with cache.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            kept = file["scripts_seconds_seed"] if "scripts_seconds_seed" in file.files else None
            pairs = ListeningPairs(*(file[name] for name in ListeningPairs._fields))
    except Exception as error:
        raise UserError(f"--data.cache {cache} holds no conversations, or is damaged; {_OTHER}") from error
    if kept is None:
        raise UserError(f"--data.cache {cache} is of an earlier version, which did not keep its numbers; {_OTHER}")
    if tuple(kept) != asked:
        raise UserError(
            f"--data.cache {cache} holds {_in_words(*kept)}, and {_in_words(*asked)} are asked for; give these, or "
            "another file"
        )
    return pairs


def _in_words(scripts: float, seconds: float, seed: float) -> str:
    return f"{scripts:.0f} scripts of {seconds:g} s with seed {seed:.0f}"


def _play(job: _Job) -> ListeningPairs:
    """Both directions of a script."""
    key = (job.seed, 271828, job.number)  # apart from every key of conversations.py
    script = write_script(np.random.default_rng((*key, _SCRIPT)), job.num_frames)
    voices = [_voice(script, role, np.random.default_rng((*key, _SPEAKER, role))) for role in ROLES]
    return ListeningPairs(*map(np.stack, zip(*(_direction(key, script, role, voices) for role in ROLES), strict=True)))


class _Voice(NamedTuple):
    loudness: Loudness
    bands: Float16[np.ndarray, "T F"]


def _voice(script: Script, role: int, rng: np.random.Generator) -> _Voice:
    sound = speak(script, role, float(rng.uniform(*PITCH)), rng)
    samples = soxr.resample(sound, RATE, SAMPLE_RATE)
    return _Voice(listen(sound), log_mel(samples).astype(np.float16))


def _direction(
    key: tuple[int, ...], script: Script, role: int, voices: list[_Voice]
) -> tuple[
    Float16[np.ndarray, "2 T C"], Float16[np.ndarray, "T F"], Float16[np.ndarray, "M T C"], Int[np.ndarray, " M"]
]:
    """One person speaks, M listen."""
    other = 1 - role
    rng = np.random.default_rng((*key, _SPEAKER, role, 1))
    face, style = rest(rng), str(rng.choice(list(STYLES)))
    frames = script.num_frames
    attended = add_silent_events(script, role, np.random.default_rng((*key, _SILENT_EVENTS, role)))
    own = script.events[role]
    speaker = [
        perform(frames, own, answer(script.events[other], style, rng), voices[role].loudness, face, rng),
        perform(frames, attended.events[role], (), voices[role].loudness, face, rng),
    ]
    anew = redraw(script, other, np.random.default_rng((*key, _OWN_EVENTS, role)))
    voice_anew = _voice(anew, other, np.random.default_rng((*key, _OWN_EVENTS, role, 1))).loudness
    silence = Loudness(np.zeros(frames), np.zeros(frames))
    forms = [(own, script.events[other], voices[other].loudness)] * (CONVERSING // 2)
    forms += [(own, anew.events[other], voice_anew)] * (CONVERSING // 2)
    forms += [(attended.events[role], (), silence)] * LISTENING
    listeners, people = np.empty((len(forms), frames, NUM_COEFFICIENTS), np.float16), np.empty(len(forms), np.int32)
    for m, (caused, events, loudness) in enumerate(forms):
        rng = np.random.default_rng((*key, _LISTENER, role, m))
        people[m] = rng.integers(len(STYLES))
        answers = answer(caused, list(STYLES)[people[m]], rng)
        listeners[m] = perform(frames, events, answers, loudness, rest(rng), rng)
    return np.stack(speaker).astype(np.float16), voices[role].bands, listeners, people
