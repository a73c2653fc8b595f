"""Answers a real video: finds the speaker's face, generates K reactions and draws them.

    reactface react --speaker clip.mp4 --out answer.mp4
    reactface react --speaker voice.wav --out answer.mp4
    reactface react --speaker clip.mp4 --checkpoint RUN --out answer.mp4
    reactface react --speaker clip.mp4 --checkpoint CONVERTED --data SHARDS --renderer none --out DIR
    reactface react --speaker clip.mp4 --checkpoint RUN --out DIR --renderer pirender \\
        --renderer-weights weights/pirender --portrait me.jpg

Without a checkpoint the listener that comes with the package answers (docs/does_it_react.md): it sees the speaker's
coefficients, which MediaPipe measures. It also answers a speaker who is only heard: a sound file. So does a listener of
your own training.

Frames of the video are decoded three times (faces, model input, answer) and never held all at once; but a model that is
not causal takes the clip as a whole, at the model's picture size.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, UInt8
from rich.progress import Progress, track

from reactface_jax import arguments
from reactface_jax.answer_files import check_out, is_one_video, save_coefficients, staged, written
from reactface_jax.compiled_programs import keep_compiled_programs
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.extraction.people import Measured, measure, unseen
from reactface_jax.media.audio import read_audio, read_audio_or_none
from reactface_jax.media.face import (
    FaceTrack,
    check_choice,
    choose,
    crop,
    find_faces,
    link,
    longest_loss,
    model_frame,
    steady_crops,
)
from reactface_jax.media.open_media import is_sound_only
from reactface_jax.media.sound_picture import loudness_pictures
from reactface_jax.media.video import expected_frames, iterate_video
from reactface_jax.methods.answer_video import answer_video, check_can_measure
from reactface_jax.methods.listener import Control, Listener, find_weights
from reactface_jax.methods.measured_speaker import listen, own_listener, read_style
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.methods.trained import TrainedMethod, data_of, make_trained, read_stored
from reactface_jax.methods.trained_reactface import TrainedReactFace
from reactface_jax.online.generation import Protocol
from reactface_jax.rendering import listener_drawers
from reactface_jax.rendering.answer_videos import Layout, write_videos
from reactface_jax.rendering.listener_drawers import ListenerDrawer, check_options, open_drawer
from reactface_jax.types import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME

T = TypeVar("T")
Renderer = Literal[listener_drawers.Renderer, "none"]

_LONG = 60 * FRAME_RATE  # frames from which on the prefix protocol is worth a warning
_MOST_REACTIONS = 1000
_MOST_DRAWN = 63  # with the speaker 16 rows of 4 pictures, 4096 pixels high: the most that players show


def react(
    speaker: Path,
    out: Path,
    checkpoint: Path | None = None,
    num_reactions: int = 3,
    face: str = "largest",
    protocol: Protocol | None = None,
    seed: int = 0,
    labels: bool = True,
    audio: Path | None = None,
    renderer: Renderer = "head",
    portrait: Path | None = None,
    renderer_weights: Path | None = None,
    portrait_size: int | None = None,
    faceverse: Path | None = None,
    layouts: tuple[Layout, ...] | None = None,
    data: Path | None = None,
    step: int | Literal["best"] | None = None,
    average: bool = True,
    amplitude: float = 1.0,
    smiles: float = 0.0,
    nods: float = 0.0,
    temperature: float = 1.0,
    style_clip: Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Answers a speaker's video with listener faces.

    Args:
      speaker: a video of any size, frame rate and length that shows a face; without a sound track it counts as silent.
        Or a sound file: a listener then answers what it hears, and the pictures show the voice's loudness.
      out: a new folder for everything, or an mp4 for one video, with the coefficients beside it as .npy and their
        names as .coefficient_names.json. Coefficients are raw, [K, T, 58] at 25 fps.
      checkpoint: the run directory of a training, or the folder of a converted checkpoint; the listener that comes with
        the package if not given.
      num_reactions: K, how many different reactions.
      face: whose face, if there are several: largest, left, right, or a number counted from the left.
      protocol: clip, prefix, window or stream; the run's own by default. prefix takes long for long videos, window and
        stream do not; stream is for causal models.
      seed: of the noise that makes reactions differ, from 0 to 2^32 - 1.
      labels: --no-labels leaves "speaker" and "reaction 1" … out of the pictures.
      audio: a sound file that starts with the first frame, instead of the video's own sound.
      renderer: who is drawn: the 3-D head, a portrait photo (pirender), FaceVerse, or nobody (only coefficients).
      portrait: the photo, for pirender.
      renderer_weights: the folder that `reactface convert pirender` or a training of the renderer wrote.
      portrait_size: pixels; by default those of the renderer's training.
      faceverse: the .npz that `reactface convert faceverse` wrote.
      layouts: grid (speaker and all reactions), listener (a file a reaction, without the speaker), authors (a file a
        reaction: speaker, 3-D face, portrait). By default all that the renderer allows, or the grid for an mp4.
      data: shards of a converted checkpoint's data, for the face at rest and the coefficients' names.
      step: which checkpoint: its step, or `best`, that of the highest validation score; the newest by default.
      average: --no-average takes the parameters themselves, not their moving average.
      amplitude: of all motion of a listener, the packaged one or one of your training, 0 to 1.5.
      smiles: of its smiles, -1 to 1: -1 takes them away, 1 doubles them.
      nods: of its nods, likewise.
      temperature: how much its reactions differ; 0 gives the mean of all appropriate ones.
      style_clip: coefficients of someone whose way of listening it takes on, an array [T, 58] (.npy).
      overwrite: replace an answer that is there.

    Returns:
      The files: videos, coefficients and names.

    Raises:
      UserError: the video, the checkpoint or an option is unusable. Nothing is written then.
    """
    chosen = _check(out, num_reactions, seed, face, renderer, layouts)
    inputs = {
        "--speaker": speaker,
        "--audio": audio,
        "--portrait": portrait,
        "--renderer-weights": renderer_weights,
        "--faceverse": faceverse,
        "--checkpoint": checkpoint,
        "--data": data,
        "--style-clip": style_clip,
    }
    check_out(out, inputs, overwrite=overwrite)
    check_options(
        renderer, portrait=portrait, renderer_weights=renderer_weights, portrait_size=portrait_size, faceverse=faceverse
    )
    if faceverse is not None and "faceverse" not in _needed(renderer, chosen, faceverse):
        raise UserError("--faceverse is for --renderer faceverse or --layouts authors; add one, or leave it out")
    heard_only = is_sound_only(speaker)
    if heard_only:
        _check_heard(speaker, face, audio, checkpoint)
    control = Control(amplitude=amplitude, smiles=smiles, nods=nods, temperature=temperature).checked()
    answerer = _answerer(checkpoint, data, step, average, protocol, control)
    method = answerer.method
    if not isinstance(method, Listener) and (control != Control() or style_clip is not None):
        raise UserError(
            "--amplitude, --smiles, --nods, --temperature and --style-clip are for a listener such as the packaged "
            "one; leave them out, or --checkpoint"
        )
    style = None if style_clip is None else read_style(style_clip)
    has_sound = heard_only or audio is not None
    sound = read_audio(audio or speaker) if has_sound else read_audio_or_none(speaker)
    with contextlib.ExitStack() as stack:
        # Before the long part, so that a machine that can't draw, or a photo without a face, says so at once.
        drawn: dict[str, ListenerDrawer] = {}
        for name in sorted(_needed(renderer, chosen, faceverse)):
            drawn[name] = open_drawer(
                name,
                answerer.names,
                portrait=portrait,
                renderer_weights=renderer_weights,
                portrait_size=portrait_size,
                faceverse=faceverse,
            )
            stack.callback(drawn[name].close)
        person = None
        if heard_only:
            assert sound is not None
            person = unseen(_count_frames(speaker, sound))
            squares = person.squares
        else:
            followed, num_frames = _follow_face(speaker, face)
            squares = steady_crops(followed, num_frames)
            _report_sound(speaker if audio is None else audio, sound, num_frames)
        sound = _fit(np.zeros(0, np.float32) if sound is None else sound, len(squares))
        start = time.perf_counter()
        if not heard_only and "speaker" in method.needs:
            with _bar("measuring the face", len(squares)) as advance:
                (person,) = measure(speaker, [followed], len(squares), advance)
        if isinstance(method, Listener):
            assert person is not None
            coefficients = listen(method, person, sound, num_reactions, seed, style)
        else:
            coefficients = _answer(method, speaker, squares, sound, person, num_reactions, seed)
        seconds = time.perf_counter() - start
        print(f"{num_reactions} reaction(s) by {answerer.words}, in {seconds:.1f} s with compilation")
        with staged(out) as folder:
            save_coefficients(folder, coefficients, answerer.names)
            if chosen:
                assert renderer != "none"
                pictures = loudness_pictures(sound, len(squares)) if heard_only else _crops(speaker, squares)
                shown = _progress(pictures, "drawing", len(squares))
                write_videos(folder, shown, sound, coefficients, drawn, renderer, chosen, labels)
    return _report_files(out, coefficients)


class _Answerer(NamedTuple):
    """Who answers."""

    method: Listener | TrainedMethod
    names: tuple[str, ...]
    """Of the coefficients."""
    words: str
    """Who it is."""


def _answerer(
    checkpoint: Path | None,
    data: Path | None,
    step: int | Literal["best"] | None,
    average: bool,
    protocol: Protocol | None,
    control: Control,
) -> _Answerer:
    """The packaged listener, one of the user's training, or a trained or converted method."""
    weights = None if checkpoint is None else find_weights(checkpoint)
    if checkpoint is None or weights is not None:
        if protocol is not None or step is not None or not average or data is not None:
            raise UserError(
                "--protocol, --step, --no-average and --data are not for a listener; leave them out, or give the "
                "--checkpoint of another method"
            )
        if weights is None:
            return _Answerer(load_pretrained("listener", control), COEFFICIENT_NAMES, "the packaged listener")
        return _Answerer(own_listener(weights, control), COEFFICIENT_NAMES, f"the listener {checkpoint}")
    stored = read_stored(checkpoint, step, average)
    if stored.mean_face is None and (step is not None or not average):
        raise UserError(
            f"--step and --no-average are for a training's checkpoints; {checkpoint} was converted: leave them out"
        )
    mean_face, names = data_of(stored, data)
    method = make_trained(stored.config, stored.variables, mean_face, protocol)
    check_can_measure(method, names)
    by = f", protocol {method.protocol}" if isinstance(method, TrainedReactFace) else ""
    return _Answerer(method, names, f"{method.name} of {stored.source}{by}")


def _check(
    out: Path, num_reactions: int, seed: int, face: str, renderer: Renderer, layouts: tuple[Layout, ...] | None
) -> tuple[Layout, ...]:
    """Refuses contradictions; returns the layouts to draw."""
    if num_reactions < 1:
        raise UserError(f"--num-reactions {num_reactions} must be at least 1")
    most = _MOST_REACTIONS if renderer == "none" else _MOST_DRAWN
    if num_reactions > most:
        what = "" if renderer == "none" else " that are drawn; --renderer none writes more"
        raise UserError(f"--num-reactions {num_reactions} is too many: give at most {most}{what}")
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed} is out of range; give a whole number from 0 to {2**32 - 1}")
    check_choice(face)
    if renderer != "pirender" and layouts and "authors" in layouts:
        raise UserError("--layouts authors shows a portrait; add --renderer pirender")
    if renderer == "none" and layouts:
        raise UserError("--renderer none draws nothing; leave --layouts out")
    if is_one_video(out):
        layouts = layouts or ("grid",)
        if renderer == "none" or len(layouts) > 1 or (layouts[0] != "grid" and num_reactions > 1):
            raise UserError(f"--out {out} is one video, but there is not one to write; give a folder")
        return layouts
    if renderer == "none":
        return ()
    return layouts or (("grid", "listener", "authors") if renderer == "pirender" else ("grid", "listener"))


def _check_heard(speaker: Path, face: str, audio: Path | None, checkpoint: Path | None) -> None:
    """Refuses flags that need a picture of the speaker, such as a checkpoint that is no listener's."""
    for flag, given in (
        ("--checkpoint", None if checkpoint is None or find_weights(checkpoint) is not None else checkpoint),
        ("--audio", audio),
        ("--face", None if face == "largest" else face),
    ):
        if given is not None:
            raise UserError(f"{speaker} has no picture, and {flag} needs one; give a video, or leave {flag} out")


def _count_frames(speaker: Path, sound: Float[np.ndarray, " L"]) -> int:
    """Whole frames of a sound without a picture."""
    num_frames = len(sound) // SAMPLES_PER_FRAME
    if not num_frames:
        raise UserError(f"{speaker} is shorter than a frame (40 ms); give a longer one")
    print(f"{speaker}: {num_frames / FRAME_RATE:.1f} s of sound without a picture: the listener hears and does not see")
    return num_frames


def _needed(renderer: Renderer, layouts: tuple[Layout, ...], faceverse: Path | None) -> set[listener_drawers.Renderer]:
    needed: set[listener_drawers.Renderer] = set() if renderer == "none" else {renderer}
    if "authors" in layouts:
        needed.add("head" if faceverse is None else "faceverse")
    return needed


def _follow_face(speaker: Path, which: str) -> tuple[FaceTrack, int]:
    """The chosen face's track, and the number of frames."""
    found = find_faces(_progress(iterate_video(speaker), "finding the face", expected_frames(speaker)))
    chosen, num_frames = choose(link(found), which, str(speaker)), len(found)
    print(f"{speaker}: {num_frames / FRAME_RATE:.1f} s, {num_frames} frames at {FRAME_RATE} fps")
    lost = num_frames - len(chosen.boxes)
    if lost:
        longest = longest_loss(chosen, num_frames) / FRAME_RATE
        print(f"the face is lost in {lost} frames, for {longest:.1f} s at most; the crop stays where it was")
    return chosen, num_frames


def _report_sound(source: Path, audio: Float[np.ndarray, " L"] | None, num_frames: int) -> None:
    if audio is None:
        print(f"{source} has no sound track: the speaker counts as silent")
        return
    missing = num_frames / FRAME_RATE - len(audio) / SAMPLE_RATE
    if missing > 0.5:
        print(f"the sound ends {missing:.1f} s before the picture: silence from there")
    elif missing < -0.5:
        print(f"the sound goes on {-missing:.1f} s after the picture: that part is left out")


def _fit(audio: Float[np.ndarray, " l"], num_frames: int) -> Float[np.ndarray, " L"]:
    """Cuts or fills up the sound to the length of the picture."""
    length = num_frames * SAMPLES_PER_FRAME
    return np.pad(audio[:length], (0, max(0, length - len(audio))))


def _progress(items: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """A progress bar with the time left on a terminal, nothing in a log."""
    return track(items, what, total=total, transient=True, disable=not sys.stdout.isatty())


def _crops(speaker: Path, squares: Float[np.ndarray, "T 3"]) -> Iterator[UInt8[np.ndarray, "256 256 3"]]:
    for frame, square in zip(iterate_video(speaker), squares, strict=True):
        yield crop(frame, square)


@contextlib.contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal that moves by one with every call."""
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _answer(
    method: TrainedMethod,
    speaker: Path,
    squares: Float[np.ndarray, "T 3"],
    audio: Float[np.ndarray, " L"],
    person: Measured | None,
    num_reactions: int,
    seed: int,
) -> Float[np.ndarray, "K T 58"]:
    """Raw coefficients of a trained method's reactions."""
    protocol = method.protocol if isinstance(method, TrainedReactFace) else None
    if protocol == "prefix" and len(squares) > _LONG:
        print("protocol prefix: the time grows with the square of the length; --protocol window is for long videos")
    what = "reacting" if protocol == "stream" else "cropping"
    crops = _progress(_crops(speaker, squares), what, len(squares))
    frames = (model_frame(picture, method.image_size) for picture in crops)
    return answer_video(method, frames, audio, person, num_reactions, seed)


def _report_files(out: Path, coefficients: Float[np.ndarray, "K T 58"]) -> list[Path]:
    """Prints what was written where; returns the files."""
    files = written(out)
    num_reactions, num_frames, _ = coefficients.shape
    for path in files:
        what = {
            ".mp4": f"{num_frames / FRAME_RATE:.1f} s with sound",
            ".npy": f"raw coefficients {list(coefficients.shape)}",
            ".json": "the coefficients' names, for `reactface export`",
        }[path.suffix.lower()]
        if path == out / "answer.mp4":
            what = f"the speaker and {num_reactions} reaction(s), {what}"
        print(f"wrote {path}: {what}")
    return files


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs `react` on the words of a command line, the program's own by default."""
    keep_compiled_programs()
    arguments.run(react, words, prog="reactface react", description=__doc__)


if __name__ == "__main__":
    main()
