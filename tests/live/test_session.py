"""One speaker's session: what it keeps while nobody can answer, and whom avatars get."""

import threading

import numpy as np
import pytest
from delayed_smile import CHUNK, SMILES, DelayedSmile
from drawn_speaker import smiling_speaker

from reactface_jax.live.clock import Chunk
from reactface_jax.live.session import Answer, Session, Settings, for_avatars


def session(answers: list[Answer], listener: DelayedSmile | None = None, settings: Settings | None = None) -> Session:
    settings = settings or Settings(hears=False)
    return Session(listener or DelayedSmile(), 2, settings, answers.append, lambda status: None)


def test_what_can_not_be_measured_in_time_is_left_out_and_counted():
    waiting = session([])  # its thread has not begun
    for i in range(1000):
        waiting.add_picture(b"", i / 25)
        waiting.add_sound(np.zeros(320, np.float32), i / 50)
        waiting.add_face(None, i / 25)
    assert [moment for moment, _ in waiting._pictures] == [997 / 25, 998 / 25, 999 / 25]
    assert waiting._left_out == 997
    assert len(waiting._blocks) == 500  # ten seconds
    assert len(waiting._faces) == 250


def test_an_answer_that_takes_long_is_followed_by_all_others():
    """Faces that were measured elsewhere wait, ten seconds of them: none is missing afterwards."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(DelayedSmile):
        def step(self, state, inputs):
            begun.set()
            go_on.wait(timeout=30)
            return super().step(state, inputs)

    answers: list[Answer] = []
    faces = smiling_speaker()
    with session(answers, Slow()) as slow:
        for i, face in enumerate(faces):
            slow.add_face(face, i / 25)
            if i == CHUNK:
                assert begun.wait(timeout=30)
        go_on.set()
        slow.wait_until_idle()
    assert slow.error is None
    assert [answer.chunk.number for answer in answers] == list(range(0, len(faces), CHUNK))
    smiles = np.concatenate([answer.reactions[0, :, SMILES[0]] for answer in answers])
    np.testing.assert_allclose(smiles[10:], faces[:-10, SMILES[0]], atol=1e-6)


def test_what_fails_is_said():
    class Broken(DelayedSmile):
        def step(self, state, inputs):
            raise ValueError("the method broke")

    said: list[str] = []
    broken = Session(Broken(), 1, Settings(hears=False), lambda answer: None, lambda status: said.append(status.says))
    with broken:
        for i in range(2 * CHUNK):
            broken.add_face(None, i / 25)
        broken.wait_until_idle()
    assert str(broken.error) == "the method broke"
    assert said[-1] == "the method broke"


@pytest.mark.parametrize(("chosen", "count", "order"), [(0, 2, [0, 1]), (2, 1, [2]), (2, 4, [2, 0, 1, 3])])
def test_avatars_get_the_chosen_reaction_first(chosen: int, count: int, order: list[int]):
    reactions = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 3, 58), np.float32)
    answer = Answer(Chunk(0, 0.0, np.zeros((3, 58), np.float32), np.zeros(1, np.float32), None), reactions, chosen, 0)
    assert for_avatars(answer, count)[:, 0, 0].tolist() == order
