"""What can be reached on made conversations: the planted rule's rows and the simple ones, with all figures.

    python benchmarks/ceilings.py                                                 # the demo's recipe, its test split
    python benchmarks/ceilings.py --clips 240 --seconds 10 --test-scripts 100     # one with 40 events of each kind

Plays the recipe as arrays, without files, and prints the report of an evaluation.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np
import tyro
from jaxtyping import Float
from rich.console import Console

from data_pipeline.dyads import Played, Recipe, play
from data_pipeline.dyads.ceilings import Own, ceilings, draw, listening
from data_pipeline.dyads.conversations import Conversation
from data_pipeline.dyads.scripts import ROLES
from reactface_jax.evaluation.measuring import measure_methods
from reactface_jax.evaluation.report import Report, to_markdown
from reactface_jax.evaluation.rows import baseline_methods, baselines
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.media.log_mel import log_mel
from reactface_jax.methods import Inputs
from reactface_jax.metrics.events import Event
from reactface_jax.metrics.groups import by_name
from reactface_jax.metrics.reacting import Known
from reactface_jax.metrics.reaction_gain import fit
from reactface_jax.types import Clips
from reactface_jax.weights.run import versions


@dataclass(frozen=True)
class Arguments:
    """The recipe, as of `reactface dyads`."""

    clips: int = 60
    seconds: float = 6.0
    takes: int = 2
    seed: int = 0
    test_scripts: int | None = None
    reactions: int = 10
    draws: int = 100
    """That the expectation averages."""
    workers: int = 2
    found: bool = False
    """Count events that are found in the speaker's channels, instead of the planted ones."""


def main(arguments: Arguments) -> None:
    """Prints the report."""
    recipe = Recipe(
        arguments.clips, arguments.seconds, arguments.seed, arguments.takes, (256, 256), arguments.test_scripts
    )
    train, test = (play(recipe, split, workers=arguments.workers) for split in ("train", "test"))
    start = time.perf_counter()
    made = ceilings(
        test.conversations, num_reactions=arguments.reactions, num_draws=arguments.draws, workers=arguments.workers
    )
    seconds = time.perf_counter() - start
    rows = {"planted-sampler": made.sampler, "planted-expectation": made.expectation}
    if made.other_take is not None:
        rows["other-take"] = made.other_take
    rows["own events known"] = _drawn(test, "known", arguments.reactions)
    rows["answers only, silent"] = _drawn(test, "none", arguments.reactions)
    clip_ids = [c.path(role) for role in ROLES for c in test.conversations]
    clips = Clips(test.speaker, test.listener, test.neighbours, clip_ids, COEFFICIENT_NAMES)
    sound = [np.stack([log_mel(voice / 32768) for voice in played.sound]) for played in (train, test)]
    known = Known(
        groups=by_name([c.script_id for _ in ROLES for c in test.conversations]),
        names=COEFFICIENT_NAMES,
        listening=listening(test.conversations),
        events=None if arguments.found else [_events(c, role) for role in ROLES for c in test.conversations],
        own_events=None if arguments.found else [_events(c, 1 - role) for role in ROLES for c in test.conversations],
        sound=sound[1],
        foresight=fit(train.speaker, train.listener, sound[0]),
    )
    ready = baseline_methods(clips, train.listener, _inputs(train))

    def methods() -> Iterator[tuple[str, Float[np.ndarray, "N K T C"]]]:
        yield from baselines(ready, _inputs(test), arguments.reactions)
        yield from rows.items()

    measured = measure_methods(methods(), len(ready) + len(rows), clips, Console(stderr=True), known, ("other-take",))
    data = {"clips": len(clip_ids), "frames": recipe.num_frames, "seconds of drawing": f"{seconds:.0f}"}
    print(to_markdown(Report(measured, None, "the planted rule", data, versions(), "planted-sampler")))


def _drawn(test: Played, own: Own, count: int) -> Float[np.ndarray, "N K T 58"]:
    directions = [(c, 1 - role) for role in ROLES for c in test.conversations]
    return np.stack(
        [
            np.stack([draw(c.script, role, np.random.default_rng((1, row, k)), own) for k in range(count)])
            for row, (c, role) in enumerate(directions)
        ]
    )


def _inputs(played: Played) -> Inputs:
    return Inputs(played.speaker, (played.sound / 32768).astype(np.float16))


def _events(conversation: Conversation, role: int) -> list[Event]:
    return [Event(e.kind, e.start, e.length, e.side) for e in conversation.script.events[role]]


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main(tyro.cli(Arguments, description=__doc__))
