"""What can be reached on made conversations: reactions by the generator's own rule, to compare a model's with.

A listener can know the speaker's events, and when it has the floor; not its own events, style, rest pose, voice and
idle motion. So a draw keeps the script's turns and the speaker's events, and draws everything else anew. The sampler is
the bar for a model that samples, the expectation for one that answers once; the other take shows what a second real
listener scores.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.dyads.conversations import PITCH, VERSION, Conversation, plan, recipe_of, version_of
from data_pipeline.dyads.listening import STYLES, answer
from data_pipeline.dyads.performance import perform, rest
from data_pipeline.dyads.scripts import ROLES, Script, fill
from data_pipeline.dyads.variation import sample_variation
from data_pipeline.dyads.voice import listen, speak
from data_pipeline.dyads.workers import single_threads
from reactface_jax.errors import UserError
from reactface_jax.worker_pool import num_cores, worker_pool

Own = Literal["drawn", "known", "none"]
"""The listener's own events, in the turns in which it has the floor: drawn anew by the generator's filling of a turn,
the script's, or none and a silent voice."""

EXPECTATION_DRAWS = 100
_SAMPLE, _EXPECTATION = range(2)


@dataclass(frozen=True)
class Ceilings:
    """Reactions to the directions of a split (the conversations, then the same with the roles swapped). Raw."""

    sampler: Float[np.ndarray, "N K T 58"]
    expectation: Float[np.ndarray, "N 1 T 58"]
    other_take: Float[np.ndarray, "N 1 T 58"] | None
    """Another take's listener; None where scripts have one take."""
    own_only: Bool[np.ndarray, "N N"]
    """With whom `other_take` is compared: the clip's own listener, since the source is among the neighbours."""


def ceilings(
    conversations: Sequence[Conversation],
    *,
    num_reactions: int = 10,
    num_draws: int | None = None,
    seed: int = 0,
    own: Own = "drawn",
    workers: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> Ceilings:
    """Answers every direction of a split by the planted rule.

    Args:
        conversations: of the split, as `plan` has them.
        num_reactions: K, of the sampler.
        num_draws: that the expectation averages, for each script and role; 100 if None.
        seed: of the draws.
        own: which events of its own the listener plays.
        workers: processes. With several, a script needs Python's usual `if __name__ == "__main__":`.
        advance: called after every `num_reactions` draws of the sampler and every `num_draws` of the expectation.
    """
    num_draws = num_draws or EXPECTATION_DRAWS
    count = len(conversations)
    rows = [(c, 1 - role) for role in ROLES for c in conversations]  # conversation, listener's role
    places: dict[tuple[str, int], list[int]] = {}
    for row, (conversation, role) in enumerate(rows):
        places.setdefault((conversation.script_id, role), []).append(row)
    varied = conversations[0].people[0].variation is not None
    several, mean = (partial(work, own=own, varied=varied) for work in (_several, _mean))
    frames = conversations[0].script.num_frames
    sampler = np.empty((2 * count, num_reactions, frames, 58), np.float32)
    expectation = np.empty((2 * count, 1, frames, 58), np.float32)
    wanted: list[tuple[np.ndarray, int | list[int], _Job]] = []
    for row, (conversation, role) in enumerate(rows):
        wanted.append((sampler, row, (several, conversation.script, role, (seed, _SAMPLE, row), num_reactions)))
    for same in places.values():
        conversation, role = rows[same[0]]
        job = (mean, conversation.script, role, (seed, _EXPECTATION, same[0]), num_draws)
        wanted.append((expectation, same, job))
    drawn = _draw_all([job for *_, job in wanted], workers)
    for (reactions, where, _), found in zip(wanted, drawn, strict=True):
        reactions[where] = found
        advance()
    other_take = None
    if min(map(len, places.values())) > 1:
        other_take = np.empty_like(expectation)
        for same in places.values():
            for row, other in zip(same, np.roll(same, -1), strict=True):
                conversation, role = rows[other]
                other_take[row, 0] = conversation.play(role)[0]
    return Ceilings(sampler, expectation, other_take, np.eye(2 * count, dtype=bool))


def ceiling_rows(
    truth: Path, split: str, num_reactions: int, clip_ids: Sequence[str], num_frames: int
) -> list[tuple[str, Float[np.ndarray, "N K T 58"]]]:
    """Names and reactions of the rows for clips of shards.

    Args:
        truth: dyads.json of their tree.
        split: of them.
        num_reactions: K, of the sampler.
        clip_ids: the speaker's path of each clip; clips may be missing, where pairs were left out.
        num_frames: to which clips are cut.

    Raises:
        UserError: the file is no truth, was written by another version of the generator, or lacks a clip.
    """
    try:
        content = json.loads(truth.read_text(encoding="utf-8"))
        recipe, version = recipe_of(content["recipe"]), version_of(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--truth {truth} is no truth of made conversations; give their dyads.json") from error
    if version != VERSION:
        raise UserError(
            f"--truth {truth} is of version {version} of made conversations, but only what version {VERSION} makes can "
            "be played again; make them and their shards anew, or leave out --ceilings"
        )
    conversations = plan(recipe)[split]
    order = [conversation.path(role) for role in ROLES for conversation in conversations]
    if missing := set(clip_ids) - set(order):
        raise UserError(f"--truth {truth} does not know {min(missing)}; give that of the shards' own tree")
    rows = np.array([order.index(clip) for clip in clip_ids])
    made = ceilings(conversations, num_reactions=num_reactions, workers=num_cores())
    named = {"planted-sampler": made.sampler, "planted-expectation": made.expectation}
    if made.other_take is not None:
        named = {"other-take": made.other_take, **named}
    return [(name, reactions[rows, :, :num_frames]) for name, reactions in named.items()]


def draw(
    script: Script, role: int, rng: np.random.Generator, own: Own = "drawn", varied: bool = False
) -> Float[np.ndarray, "T 58"]:
    """One listener that the rule could have made: raw coefficients.

    Args:
        script: whose turns and whose speaker's events are kept.
        role: of the listener.
        rng: of all that a listener can't know.
        own: as in `ceilings`.
        varied: whether people are varied ones.
    """
    mine = script.events[role] if own == "known" else ()
    if own == "drawn":
        mine = tuple(event for turn in script.turns if turn.role == role for event in fill(rng, turn))
    events = (mine, script.events[1]) if role == 0 else (script.events[0], mine)
    played = replace(script, events=events)
    sound = speak(played, role, float(rng.uniform(*PITCH)), rng)
    style = str(rng.choice(list(STYLES)))
    answers = answer(script.events[1 - role], style, rng)
    if own == "none":
        sound = np.zeros_like(sound)
    return perform(
        script.num_frames, mine, answers, listen(sound), rest(rng), rng, sample_variation(rng) if varied else None
    )


def listening(conversations: Sequence[Conversation], delay: int = 6) -> Bool[np.ndarray, "N T"]:
    """In which frames the listener of each direction listens: the speaker's turns, `delay` frames later."""
    found = np.zeros((2 * len(conversations), conversations[0].script.num_frames), bool)
    for row, (role, conversation) in enumerate((r, c) for r in ROLES for c in conversations):
        for turn in conversation.script.turns:
            if turn.role == role:
                found[row, turn.start + delay : turn.end + delay] = True
    return found


_Draw = Callable[[Script, int, tuple[int, ...], int], np.ndarray]
_Job = tuple[_Draw, Script, int, tuple[int, ...], int]
"""What to do with: script, listener's role, seed, number of draws."""


def _several(
    script: Script, role: int, key: tuple[int, ...], count: int, *, own: Own, varied: bool
) -> Float[np.ndarray, "R T 58"]:
    return np.stack([draw(script, role, np.random.default_rng((*key, i)), own, varied) for i in range(count)])


def _mean(
    script: Script, role: int, key: tuple[int, ...], count: int, *, own: Own, varied: bool
) -> Float[np.ndarray, "T 58"]:
    return _several(script, role, key, count, own=own, varied=varied).mean(axis=0, dtype=np.float64)


def _done(job: _Job) -> np.ndarray:
    return job[0](*job[1:])


def _draw_all(jobs: Sequence[_Job], workers: int) -> Iterator[np.ndarray]:
    if workers == 1 or len(jobs) < 2:
        yield from map(_done, jobs)
        return
    with single_threads(), worker_pool(workers) as pool:
        yield from pool.map(_done, jobs)
