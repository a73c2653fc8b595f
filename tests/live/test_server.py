"""The server, spoken to over its real socket: who may talk, what comes back, what a bad client costs."""

import asyncio
import contextlib
import http.client
import itertools
import json
import re
import struct
import time

import numpy as np
import pytest
from delayed_smile import CHUNK, DELAY, SMILES, DelayedSmile
from drawn_speaker import FRAMES, SMILE, smiling_speaker
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.live.page import FILES
from reactface_jax.live.server import _outbox
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()


def talk(port: int, token: str = "secret", **options):
    return connect(f"ws://127.0.0.1:{port}/ws?token={token}", open_timeout=30, **options)


def picture(jpeg: bytes, moment: float) -> bytes:
    return b"F" + struct.pack(">d", moment) + jpeg


def sound(moment: float, samples: int = 640) -> bytes:
    return b"A" + struct.pack(">d", moment) + bytes(2 * samples)


def measured(face: np.ndarray | None, moment: float) -> str:
    named = None if face is None else dict(zip(COEFFICIENT_NAMES, face.tolist(), strict=True))
    return json.dumps({"time": moment, "face": named})


def answers(socket, count: int, timeout: float = 60) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Numbers of chunks, the speaker [T, C] and reactions [K, T, C] of so many chunks."""
    numbers, values = [], []
    while len(numbers) < count:
        message = socket.recv(timeout=timeout)
        if isinstance(message, str):
            continue
        number, _, reactions, width, left_out = struct.unpack(">IdBBH", message[:16])
        assert left_out == 0
        numbers.append(number)
        values.append(np.frombuffer(message[16:], "<f4").reshape(reactions + 1, width, 58))
    whole = np.concatenate(values, axis=1)
    return numbers, whole[0], whole[1:]


def await_eyes(socket) -> None:
    """The first status says that it is ready to look."""
    assert json.loads(socket.recv(timeout=60)) == {"face": True, "says": ""}


def drain(socket) -> None:
    """Takes what comes until the connection ends."""
    while True:
        socket.recv(timeout=30)


def keep_talking(socket, faces: np.ndarray) -> None:
    """Sends until the connection ends."""
    for i, face in enumerate(itertools.islice(itertools.cycle(faces), 600)):
        socket.send(measured(face, i / 25))
        socket.send(sound(i / 25))
        time.sleep(0.02)


def until(condition, what: str) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true")


def check_smile(speaker: np.ndarray, reactions: np.ndarray) -> None:
    smile = speaker[:, SMILES].mean(1)
    middle = (SMILE.start + SMILE.stop) // 2
    assert smile[middle - 5 : middle + 5].mean() > smile[:20].mean() + 0.3
    answered = reactions[:, :, SMILES].mean(2)
    np.testing.assert_allclose(answered[0, DELAY:], smile[:-DELAY], atol=1e-5)
    np.testing.assert_allclose(answered[1], answered[0] / 2, atol=1e-5)


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(serve):
    with serve() as (port, _):
        status, headers, text = get(port, "/?token=secret")
        assert status == 200
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "{{" not in text
        assert "://" not in text
        for name in FILES:
            status, headers, content = get(port, f"/{name}")
            assert status == 200
            assert headers["content-type"].startswith("text/")
            assert set(re.findall(r"\w+://[\w.]+", content)) <= {"http://127.0.0.1"}
        assert {f'"{name}"' for name in FILES if name != "worklet.js"} <= set(re.findall(r'"[\w.]+"', text))
        assert get(port, "/?token=wrong")[0] == get(port, "/")[0] == 403
        assert get(port, "/server.py")[0] == get(port, "/%2e%2e/server.py")[0] == 404
        assert get(port, "/?token=secret", Host="elsewhere.example")[0] == 400


def test_a_smile_comes_back_through_pictures(serve, speaker_jpegs):
    """Through JPEG, MediaPipe, clock and method; two reactions."""
    with serve(most=2) as (port, _), talk(port) as socket:
        await_eyes(socket)
        found = []
        for i, jpeg in enumerate(speaker_jpegs):
            socket.send(picture(jpeg, 50 + i / 25))
            socket.send(sound(50 + i / 25))
            if (i + 1) % CHUNK == 0:
                found.append(answers(socket, 1))
    assert [numbers for numbers, _, _ in found] == [[i] for i in range(0, FRAMES, CHUNK)]
    check_smile(*(np.concatenate(parts, axis=-2) for parts in list(zip(*found, strict=True))[1:]))


def test_a_smile_comes_back_through_measured_faces(serve):
    """Coefficients by name instead of pictures arrive exactly."""
    faces = smiling_speaker()
    with serve(most=2) as (port, _), talk(port) as socket:
        for i, face in enumerate(faces):
            socket.send(measured(face, i / 25))
            socket.send(sound(i / 25))
        numbers, speaker, reactions = answers(socket, FRAMES // CHUNK)
    assert numbers == list(range(0, FRAMES, CHUNK))
    np.testing.assert_allclose(speaker, faces, atol=1e-6)
    check_smile(speaker, reactions)


def test_a_measured_face_may_lack_what_a_tracker_does_not_know(serve):
    """No tongue; no pose, or MediaPipe's matrix, columns first, turned by 0.3 about the camera's y."""
    weights = {name: 2.0 for name in ARKIT_NAMES if name != "tongueOut"}
    s, c = np.sin(0.3), np.cos(0.3)
    matrix = [c, 0, -s, 0, 0, 1, 0, 0, s, 0, c, 0, 0, 0, -40, 1]
    with serve(most=1) as (port, _), talk(port) as socket:
        socket.send(json.dumps({"hears": False}))
        socket.send(json.dumps({"time": 0.0, "face": weights}))
        socket.send(json.dumps({"time": 0.04, "face": weights, "matrix": matrix}))
        socket.send(json.dumps({"time": 0.08, "face": None}))
        _, speaker, _ = answers(socket, 1)
    np.testing.assert_array_equal(speaker[0, :52], [float(name != "tongueOut") for name in ARKIT_NAMES])
    np.testing.assert_allclose(speaker[0, 52:], NEUTRAL[52:], atol=1e-6)
    np.testing.assert_allclose(speaker[1, 52:], [np.pi, -0.3, 0, *NEUTRAL[55:]], atol=1e-5)
    assert not speaker[2].any()  # lost


def test_controls_act_and_a_reset_begins_anew(serve):
    face = smiling_speaker()[(SMILE.start + SMILE.stop) // 2]
    smile = face[SMILES].mean()
    with serve(most=3) as (port, _), talk(port) as socket:

        def answer_to(first: int, **settings: object) -> tuple[list[int], float]:
            """Enough chunks from frame `first` on that the last is of the smile; its number and the smile in it."""
            socket.send(json.dumps({"hears": False, **settings}))
            for i in range(first, first + 5 * CHUNK):
                socket.send(measured(face, i / 25))
            numbers, _, reactions = answers(socket, 5)
            assert len(reactions) == 3
            return numbers, float(reactions[0, -1, SMILES].mean())

        assert answer_to(0) == (list(range(0, 15, 3)), pytest.approx(smile, abs=1e-6))
        assert answer_to(15, amplitude=0.5)[1] == pytest.approx(0.5 * smile, abs=1e-6)
        assert answer_to(30, amplitude=1.0, smile=-1)[1] == pytest.approx(0, abs=1e-6)
        assert answer_to(45, smile=0)[0] == list(range(45, 60, 3))
        socket.send(json.dumps({"paused": True}))
        for i in range(60, 75):
            socket.send(measured(face, i / 25))
        with pytest.raises(TimeoutError):
            answers(socket, 1, timeout=0.5)
        assert answer_to(75, paused=False)[0] == list(range(0, 15, 3))
        assert answer_to(90, reset=True)[0] == list(range(0, 15, 3))
        assert answer_to(105, seed=5)[0] == list(range(0, 15, 3))


def test_only_one_talks_at_a_time(serve):
    with serve() as (port, live):
        with talk(port) as first:
            await_eyes(first)
            with talk(port) as second, pytest.raises(ConnectionClosed, match="Somebody is talking"):
                second.recv(timeout=30)
        until(lambda: live.talking == 0, "the seat is free")
        with talk(port) as again:  # a reload
            await_eyes(again)
            assert live.talking == 1


def test_more_talkers_where_they_are_allowed(serve):
    """Two at once, each answered from the beginning."""
    faces = smiling_speaker()[:CHUNK]
    with serve(talkers=2) as (port, live), talk(port) as first, talk(port) as second:
        for socket in (first, second):
            socket.send(json.dumps({"hears": False}))
            for i, face in enumerate(faces):
                socket.send(measured(face, i / 25))
        assert answers(first, 1)[0] == answers(second, 1)[0] == [0]
        assert live.talking == 2


def test_other_pages_and_other_tokens_are_refused(serve):
    with serve() as (port, live):
        with (
            talk(port, origin="http://elsewhere.example") as socket,
            pytest.raises(ConnectionClosed, match="Another page"),
        ):
            socket.recv(timeout=30)
        with talk(port, token="guess") as socket, pytest.raises(ConnectionClosed, match="another token"):
            socket.recv(timeout=30)
        with talk(port, origin=f"http://127.0.0.1:{port}") as socket:
            await_eyes(socket)
            assert live.talking == 1


FACE = {name: 0.1 for name in ARKIT_NAMES}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{", "a text message is JSON"),
        ("[" * 100_000, "a text message is JSON"),
        ("[]", "a JSON object"),
        ('{"amplitude": 2}', "amplitude is a number from 0 to 1.5"),
        ('{"amplitude": NaN}', "amplitude is a number"),
        ('{"amplitude": 1' + 400 * "0" + "}", "amplitude is a number"),
        ('{"seed": "x"}', "seed is a number"),
        ('{"smiles": 1}', "'smiles' is no setting; there are amplitude, smile, nod, seed, chosen, paused, hears"),
        ('{"chosen": 2}', "chosen is a number from 0 to 1"),
        (b"X", "a message is F or A"),
        (b"F" + struct.pack(">d", float("inf")) + b"xx", "a finite number"),
        ('{"face": null}', "a face's time is a finite number"),
        ('{"face": [1], "time": 1}', "face is an object of names and finite numbers"),
        ('{"face": {"jawOpen": Infinity}, "time": 1}', "face is an object of names and finite numbers"),
        (json.dumps({"time": 1, "face": FACE | {"jawOpen": 1e39}}), "face is an object of names and finite numbers"),
        (json.dumps({"time": 1, "face": FACE | {"smile": 0.5}}), "face has 'smile', which is no coefficient"),
        (json.dumps({"time": 1, "face": FACE | {"é" * 200: 0.5}}), "face has '" + "é" * 56),
        ('{"face": {"jawOpen": 0.5}, "time": 1}', "face lacks 'browDownLeft'"),
        (json.dumps({"time": 1, "face": FACE | {"rotation_x": 3.1}}), "but not the whole pose"),
        (json.dumps({"time": 1, "face": FACE, "matrix": [1, 2]}), "matrix is 16 finite numbers"),
        (json.dumps({"time": 1, "face": FACE, "matrix": [0] * 16}), "matrix holds no rotation"),
    ],
)
def test_bad_messages_end_the_talk_with_a_sentence(serve, message, said):
    with serve(most=2) as (port, _), talk(port) as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosed, match=re.escape(said)):
            drain(socket)


def test_a_listener_that_fails_ends_the_talk_with_its_sentence(serve, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(DelayedSmile, "step", fail)
    faces = smiling_speaker()
    with serve(most=2) as (port, live), talk(port) as socket:
        await_eyes(socket)
        with pytest.raises(ConnectionClosed, match=r"1011.*out of memory"):
            keep_talking(socket, faces)
        until(lambda: live.talking == 0, "the seat is free")


def test_what_is_no_picture_is_a_lost_face(serve, speaker_jpegs):
    """After two seconds it is said; the face that comes back is seen again."""
    with serve() as (port, _), talk(port) as socket:
        await_eyes(socket)
        socket.send(json.dumps({"hears": False}))
        size = speaker_jpegs[0].index(b"\xff\xc0") + 5  # in the frame's header: height and width
        huge = speaker_jpegs[0][:size] + 2 * (60_000).to_bytes(2, "big") + speaker_jpegs[0][size + 4 :]
        broken = [b"no picture", speaker_jpegs[0][:300], b"GIF89a" + bytes(100), huge]
        says, chunk = [], 0
        while len(says) < 2 and chunk < 40:
            for k in range(CHUNK):
                content = speaker_jpegs[0] if says else broken[(CHUNK * chunk + k) % len(broken)]
                socket.send(picture(content, (CHUNK * chunk + k) / 25))
            chunk += 1
            while isinstance(message := socket.recv(timeout=60), str):
                says.append(json.loads(message)["says"])
        assert [*says, ""][:2] == ["Your face is not seen; the listener goes on looking.", ""]
        assert chunk >= 50 // CHUNK


def test_a_page_that_takes_nothing_grows_no_memory():
    """What waits for it is bounded, and once it reads it gets the newest."""
    taken: list[str] = []

    async def run() -> None:
        reads = asyncio.Event()

        class Slow:
            async def send_text(self, message: str) -> None:
                await reads.wait()
                taken.append(message)

        async with _outbox(Slow()) as put:
            for i in range(500):
                put(str(i))
            await asyncio.sleep(0.05)
            reads.set()
            await asyncio.sleep(0.05)

    asyncio.run(run())
    assert len(taken) <= 51
    assert taken[-50:] == [str(i) for i in range(450, 500)]
