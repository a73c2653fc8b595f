"""The listener against its ceilings on made conversations that it has not seen, and how fast it is.

    python benchmarks/listener.py [--weights W.safetensors] [--scripts 16] [--seed 0] [--rows ceilings listener]
    python benchmarks/listener.py --minutes 60

Rows: the planted rule sampled (the bar for what samples) and expected (for what answers once), the speaker himself 10
frames late, the listener, and the listener at temperature 0. With `--rows heard`: the listener that does not talk
itself, as `react` has it, with the speaker's face and voice, and with the voice only. With `--rows drawn`: speakers are
drawn, measured by MediaPipe, and answered from that; also how much MediaPipe shows of some movements; with `--true eye`
the channels whose names begin so are the true ones, to see what their measuring costs. With --minutes M:
one conversation of that length, its figures by minute, to see whether an hour of feeding back drifts; of the listener
that does not talk itself with `--rows heard`.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from data_pipeline.dyads import Recipe, play
from data_pipeline.dyads.ceilings import ceilings, listening
from data_pipeline.dyads.scripts import ROLES
from reactface_jax.errors import reports_user_errors
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.extraction.people import Crop, measure_crops
from reactface_jax.media.face import CROP_SIZE
from reactface_jax.methods import Inputs
from reactface_jax.methods.listener import Control, Listener, Weights, load_weights
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.metrics import correlation, diversity, movement
from reactface_jax.metrics.events import Event, answered, rises_of
from reactface_jax.metrics.listening import while_listening
from reactface_jax.rendering import HeadRenderer
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME

DELAY = 10
_MINUTE = 60 * FRAME_RATE
_PITCH = COEFFICIENT_NAMES.index("rotation_x")
_ASKEW = 0.01
"""Radians between a head's median over a minute and its rest."""
HEADINGS = "FRCorr listening FRDiv FRVar offset smiles brows frowns turns nods delay uncalled border blinks pauses"


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--scripts", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rows", nargs="+", choices=("ceilings", "listener", "heard", "drawn"), default=("ceilings", "listener")
    )
    parser.add_argument("--true", nargs="+", default=[], help="beginnings of channels' names that are not measured")
    parser.add_argument("--reactions", type=int, default=10)
    parser.add_argument("--draws", type=int, default=100, help="of the expectation, for each script and role")
    parser.add_argument("--minutes", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.true and "drawn" not in arguments.rows:
        parser.error("--true is of the row drawn; add --rows drawn")
    for start in arguments.true:
        if not any(name.startswith(start) for name in COEFFICIENT_NAMES):
            parser.error(f"--true {start}: no coefficient's name begins so; give for example browDown or rotation")
    weights = load_pretrained().weights if arguments.weights is None else load_weights(arguments.weights)
    if arguments.minutes:
        hour(weights, arguments.minutes, arguments.seed, Control(talks="heard" not in arguments.rows))
        return
    recipe = Recipe(num_clips=3 * (arguments.scripts + 4), test_scripts=arguments.scripts, seed=arguments.seed)
    test = play(recipe, "test")
    inputs = Inputs(test.speaker, test.sound.astype(np.float32) / 32768)
    key, count = jax.random.key(arguments.seed), arguments.reactions
    rows: dict[str, np.ndarray] = {}
    if "ceilings" in arguments.rows:
        reached = ceilings(test.conversations, num_reactions=count, num_draws=arguments.draws, seed=arguments.seed)
        rows |= {"planted sampler": reached.sampler, "planted expectation": reached.expectation}
        late = np.concatenate([test.speaker[:, :1].repeat(DELAY, axis=1), test.speaker[:, :-DELAY]], axis=1)
        rows["delayed mirror"] = late[:, None]
    if "listener" in arguments.rows:
        speed(weights)
        rows["listener"] = Listener(weights, Control(talks=True)).generate(inputs, count, key=key)
        expects = Listener(weights, Control(talks=True, temperature=0))
        rows["listener, temperature 0"] = expects.generate(inputs, key=key)
    if "heard" in arguments.rows:
        silent = Listener(weights, Control())
        rows["face and voice"] = silent.generate(inputs, count, key=key)
        unseen = inputs._replace(speaker=np.full_like(test.speaker, np.nan))
        rows["voice only"] = silent.generate(unseen, count, key=key)
    if "drawn" in arguments.rows:
        looks = [c.people[role].look for role in ROLES for c in test.conversations]
        measured = np.stack([seen_by_mediapipe(*each) for each in zip(test.speaker, looks, strict=True)])
        print(f"measured {100 * np.isfinite(measured[..., 0]).mean():.1f} % of frames")
        print("shown of what moves: " + ", ".join(f"{n} {x:.2f}" for n, x in shown(test.speaker, measured).items()))
        given = [name.startswith(tuple(arguments.true)) for name in COEFFICIENT_NAMES]
        seen = inputs._replace(speaker=np.where(given, test.speaker, measured))
        rows["listener, MediaPipe"] = Listener(weights, Control(talks=True)).generate(seen, count, key=key)
    print(f"{len(test.speaker)} directions of {arguments.scripts} scripts")
    print(f"{'':24s}" + "".join(f"{heading:>10s}" for heading in HEADINGS.split()))
    moments = correlation.moments(test.listener)
    events = [[_event(e) for e in c.script.events[role]] for role in (0, 1) for c in test.conversations]
    own = events[len(test.conversations) :] + events[: len(test.conversations)]
    for name, reactions in rows.items():
        found = answered(reactions, test.speaker, COEFFICIENT_NAMES, events, own)
        shares = [100 * found.shares[kind].value() for kind in ("smile", "brow_raise", "frown", "turn", "emphasis")]
        within = diversity.within_clips(reactions).mean()
        attentive = while_listening(reactions, test.listener, test.neighbours, listening(test.conversations))
        figures = (
            10 * correlation.best_concordance(reactions, moments, test.neighbours).varying_channels.mean(),
            10 * np.nanmean(attentive),
            within,
            diversity.variance_over_time(reactions).mean(),
            diversity.offset_within_clips(reactions).mean() / within if within else 0.0,
            *shares,
            found.delay.value(),
            found.uncalled.value(),
            movement.border_step(reactions, weights.sizes.chunk).value(),
            blinks(reactions),
            100 * found.shares["pause"].value(),
        )
        print(f"{name:24s}" + "".join(f"{figure:10.4f}" for figure in figures), flush=True)


def _event(event: object) -> Event:
    return Event(event.kind, event.start, event.length, event.side)  # type: ignore[attr-defined]


def seen_by_mediapipe(coefficients: Float[np.ndarray, "T 58"], look: Look) -> Float[np.ndarray, "T 58"]:
    """What MediaPipe measures of a person who is drawn; NaN where it finds no face."""
    renderer = HeadRenderer((CROP_SIZE, CROP_SIZE), look)
    square = np.array([CROP_SIZE / 2, CROP_SIZE / 2, CROP_SIZE])
    person = measure_crops(Crop(renderer.render(frame), square, True) for frame in coefficients)
    renderer.close()
    return np.where(person.usable[:, None], person.coefficients, np.nan).astype(np.float32)


def shown(true: Float[np.ndarray, "N T 58"], measured: Float[np.ndarray, "N T 58"]) -> dict[str, float]:
    """Slope of the measured deviations from each clip's median over the true ones, of some channels."""

    def deviation(faces: Float[np.ndarray, "N T 58"]) -> Float[np.ndarray, "N T 58"]:
        return faces - np.nanmedian(faces, axis=1, keepdims=True)

    found = np.isfinite(measured[..., 0])
    x, y = (deviation(faces)[found].T for faces in (true, measured))
    names = ("mouthSmileLeft", "jawOpen", "browDownLeft", "browInnerUp", "browOuterUpLeft", "rotation_x", "rotation_y")
    return {name: float(x[i] @ y[i] / (x[i] @ x[i])) for name in names for i in (COEFFICIENT_NAMES.index(name),)}


def blinks(reactions: Float[np.ndarray, "N K T C"]) -> float:
    """A second."""
    lids = reactions[..., [i for i, name in enumerate(COEFFICIENT_NAMES) if name.startswith("eyeBlink")]].mean(-1)
    count = sum(len(rises_of(course, 0.5)) for course in lids.reshape(-1, lids.shape[-1]))
    return count / (lids.size / FRAME_RATE)


def speed(weights: Weights) -> None:
    """Time of one step: 200 ms of three reactions."""
    listener, frames = Listener(weights), weights.sizes.chunk
    inputs = Inputs(np.zeros((1, frames, 58), np.float32), np.zeros((1, frames * SAMPLES_PER_FRAME), np.float32))
    state = listener.start(3)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        state, reactions = listener.step(state, inputs)
        jax.block_until_ready(reactions)
        times.append(time.perf_counter() - start)
    print(f"{frames} frames of 3 reactions: {1000 * np.median(times):.2f} ms (median), sound features included")


def hour(weights: Weights, minutes: int, seed: int, control: Control) -> None:
    """One conversation of two people, minute by minute with one state; how much each minute answers and moves."""
    listener = Listener(weights, control)
    state = listener.start(8, jax.random.key(seed))
    recipe = Recipe(num_clips=3, takes=1, test_scripts=1, seconds=60.0 * minutes, seed=seed)
    test = play(recipe, "test")
    script = test.conversations[0].script
    print("minute, answered smiles (%), FRVar, reactions whose head is askew (%), blinks a second, border step")
    for minute in range(minutes):
        first, count = _MINUTE * minute, _MINUTE
        speaker = test.speaker[:1, first : first + count]
        sound = test.sound[:1, SAMPLES_PER_FRAME * first : SAMPLES_PER_FRAME * (first + count)]
        state, reactions = listener.step(state, Inputs(speaker, sound.astype(np.float32) / 32768))
        reactions = np.asarray(reactions)
        events, own = ([_within(script.events[role], first, count)] for role in (0, 1))
        found = answered(reactions, speaker, COEFFICIENT_NAMES, events, own)
        pitch = reactions[..., _PITCH] - np.asarray(state.rest)[..., None, _PITCH]
        askew = 100 * (np.abs(np.median(pitch, axis=-1)) > _ASKEW).mean()
        variance = diversity.variance_over_time(reactions).mean()
        print(
            f"{minute + 1:3d} {100 * found.shares['smile'].value():6.1f} {variance:8.4f} {askew:6.1f} "
            f"{blinks(reactions):6.2f} {movement.border_step(reactions, listener.chunk).value():6.2f}",
            flush=True,
        )


def _within(events: Iterable[object], first: int, count: int) -> list[Event]:
    """The events that lie within some frames, counted from the first of these."""
    last = first + count
    found = [_event(event) for event in events]
    return [e._replace(start=e.start - first) for e in found if first <= e.start and e.start + e.length <= last]


if __name__ == "__main__":
    main()
