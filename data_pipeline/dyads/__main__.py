"""Command line: makes conversations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_pipeline.dyads.conversations import count_events
from data_pipeline.dyads.writer import make
from reactface_jax.arguments import run
from reactface_jax.errors import reports_user_errors

ENOUGH_EVENTS = 40
"""Of a kind, for shares of answered ones to be known to .15."""


@dataclass(frozen=True)
class Arguments:
    """Makes a data set of conversations in REACT2023's form. An interrupted run goes on where it stopped."""

    out: Path
    """Folder of the tree."""
    clips: int = 48
    """Conversations of train, val and test together; each becomes two clips, one a direction."""
    seconds: float = 10.0
    """Length of each."""
    seed: int = 0
    """Of everything that is drawn: the same seed makes the same conversations."""
    takes: int = 3
    """Conversations that share a script, and so are each other's appropriate reactions."""
    test_scripts: int | None = None
    """How many scripts the test split gets; a fifth of all if not given."""
    pictures: bool = True
    """--no-pictures writes coefficients, sound and labels, and draws no videos: 28 times as fast."""
    people: Literal["plain", "varied"] = "plain"
    """varied: they differ in rest, gain, blinks, gaze and tracker noise, as recorded people do."""
    workers: int | None = None
    """Processes; one for each processor if not given."""


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Makes the conversations that the words of a command line ask for, and says where they are."""
    arguments = run(Arguments, words, prog="reactface dyads")
    conversations = make(
        arguments.out,
        num_clips=arguments.clips,
        seconds=arguments.seconds,
        seed=arguments.seed,
        workers=arguments.workers,
        takes=arguments.takes,
        test_scripts=arguments.test_scripts,
        pictures=arguments.pictures,
        people=arguments.people,
        show_progress=True,
    )
    count = arguments.clips
    print(f"{count} conversations ({2 * count} clips) of {arguments.seconds:g} s are in {arguments.out}")
    counts = count_events(conversations["test"])
    print(f"events in the scripts of test: {', '.join(f'{kind} {count}' for kind, count in counts.items())}")
    if min(counts.values()) < ENOUGH_EVENTS:
        print(f"Fewer than {ENOUGH_EVENTS} of a kind prove little; --test-scripts 100 --seconds 10 gives as many.")


if __name__ == "__main__":
    main()
