"""The server, spoken to over its real socket: who may talk, what comes back, what a bad client costs."""

import contextlib
import http.client
import json
import re
import struct
import time

import numpy as np
import pytest
from delayed_smile import DELAY, SMILES
from drawn_speaker import FRAMES, SMILE
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from reactface_jax.live.page import FILES
from reactface_jax.live.session import Settings

pytestmark = pytest.mark.long


def get(port: int, path: str) -> tuple[int, dict[str, str], str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()


def talk(port: int, token: str = "secret", **options):
    return connect(f"ws://127.0.0.1:{port}/ws?token={token}", open_timeout=10, **options)


def picture(jpeg: bytes, moment: float) -> bytes:
    return b"F" + struct.pack(">d", moment) + jpeg


def sound(moment: float, samples: int = 640) -> bytes:
    return b"A" + struct.pack(">d", moment) + bytes(2 * samples)


def answers(socket, count: int, timeout: float = 30) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Numbers of chunks, the speaker [T, C] and reactions [K, T, C] of so many chunks."""
    numbers, values = [], []
    while len(numbers) < count:
        message = socket.recv(timeout=timeout)
        if isinstance(message, str):
            continue
        number, _, reactions, width = struct.unpack(">IdBB", message[:14])
        numbers.append(number)
        values.append(np.frombuffer(message[16:], "<f4").reshape(reactions + 1, width, 58))
    whole = np.concatenate(values, axis=1)
    return numbers, whole[0], whole[1:]


def await_eyes(socket) -> None:
    """The first status says that it is ready to look."""
    assert json.loads(socket.recv(timeout=30))["says"] == ""


def send_all(socket, jpegs: list[bytes]) -> None:
    """Somewhat slower than they were taken; then some silence, so that nothing waits for pictures left out."""
    await_eyes(socket)
    for i, jpeg in enumerate(jpegs):
        socket.send(picture(jpeg, 50 + i / 25))
        socket.send(sound(50 + i / 25))
        time.sleep(0.06)
    for i in range(len(jpegs), len(jpegs) + 10):
        socket.send(sound(50 + i / 25))


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
        assert get(port, "/?token=wrong")[0] == get(port, "/")[0] == 403
        assert get(port, "/server.py")[0] == get(port, "/%2e%2e/server.py")[0] == 404


def test_a_smile_comes_back(serve, speaker_jpegs):
    """Through JPEG, MediaPipe, clock and method; two reactions."""
    with serve(settings=Settings(reactions=2)) as (port, _), talk(port) as socket:
        send_all(socket, speaker_jpegs)
        numbers, speaker, reactions = answers(socket, FRAMES // 5 - 1)
    assert numbers == list(range(0, 5 * len(numbers), 5))
    smile = speaker[:, SMILES].mean(1)
    middle = (SMILE.start + SMILE.stop) // 2
    assert smile[middle - 5 : middle + 5].mean() > smile[:20].mean() + 0.3
    answered = reactions[:, :, SMILES].mean(2)
    np.testing.assert_allclose(answered[0, DELAY:], smile[:-DELAY], atol=1e-5)
    np.testing.assert_allclose(answered[1], answered[0] / 2, atol=1e-5)


def test_controls_act_and_a_reset_begins_anew(serve, speaker_jpegs):
    with serve() as (port, _), talk(port) as socket:
        await_eyes(socket)
        socket.send(json.dumps({"reactions": 3, "hears": False, "reset": True}))
        for i, jpeg in enumerate(speaker_jpegs[:14]):
            socket.send(picture(jpeg, i / 25))
            time.sleep(0.06)
        numbers, _, reactions = answers(socket, 2)
        assert (numbers, len(reactions)) == ([0, 5], 3)
        socket.send(json.dumps({"paused": True}))
        time.sleep(0.2)
        for i, jpeg in enumerate(speaker_jpegs[:12]):
            socket.send(picture(jpeg, 1 + i / 25))
            time.sleep(0.02)
        with pytest.raises(TimeoutError):
            answers(socket, 1, timeout=1)
        socket.send(json.dumps({"paused": False, "reset": True}))
        for i, jpeg in enumerate(speaker_jpegs[:8]):
            socket.send(picture(jpeg, 3 + i / 25))
            time.sleep(0.06)
        assert answers(socket, 1)[0] == [0]


def test_only_one_talks_at_a_time(serve):
    with serve() as (port, live):
        with talk(port) as first:
            with talk(port) as second, pytest.raises(ConnectionClosed, match="Somebody is talking"):
                second.recv(timeout=10)
            first.send(json.dumps({"amplitude": 1}))
        for _ in range(200):
            if live.talking == 0:
                break
            time.sleep(0.05)
        assert live.talking == 0
        with talk(port) as again:  # a reload
            again.send(json.dumps({"amplitude": 1}))
            time.sleep(0.1)
            assert live.talking == 1


def test_other_pages_and_other_tokens_are_refused(serve):
    with serve() as (port, live):
        with (
            talk(port, origin="http://elsewhere.example") as socket,
            pytest.raises(ConnectionClosed, match="Another page"),
        ):
            socket.recv(timeout=10)
        with talk(port, token="guess") as socket, pytest.raises(ConnectionClosed, match="another token"):
            socket.recv(timeout=10)
        with talk(port, origin=f"http://127.0.0.1:{port}") as socket:
            socket.send(json.dumps({"amplitude": 1}))
            time.sleep(0.1)
            assert live.talking == 1


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{", "settings are JSON"),
        ("[" * 100_000, "settings are JSON"),
        ("[]", "a JSON object"),
        ('{"amplitude": 2}', "amplitude is a number from 0 to 1.5"),
        ('{"amplitude": NaN}', "amplitude is a number"),
        ('{"seed": "x"}', "seed is a number"),
        ('{"reactions": 9}', "reactions is a number from 1 to 4"),
        (b"X", "a message is F or A"),
        (b"F" + struct.pack(">d", float("inf")) + b"xx", "a finite number"),
    ],
)
def test_bad_messages_end_the_talk_with_a_sentence(serve, message, said):
    with serve() as (port, _), talk(port) as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosed, match=said):
            socket.recv(timeout=10)


def test_what_is_no_picture_is_a_lost_face(serve, speaker_jpegs):
    with serve() as (port, _), talk(port) as socket:
        socket.send(json.dumps({"hears": False}))
        broken = [b"no picture", speaker_jpegs[0][:300], b"GIF89a" + bytes(100)] * 30
        for i, content in enumerate(broken):
            socket.send(picture(content, i / 25))
            time.sleep(0.005)
        says = ""
        while "not seen" not in says:
            message = socket.recv(timeout=10)
            says = json.loads(message)["says"] if isinstance(message, str) else ""


def test_a_client_that_does_not_read_grows_no_memory(serve, speaker_jpegs):
    """Everything waits in bounded queues; the session goes on."""
    with serve() as (port, live), talk(port, max_queue=1) as socket:
        socket.send(json.dumps({"hears": False, "reactions": 4, "reset": True}))
        for i in range(400):
            socket.send(picture(speaker_jpegs[i % 10], i / 25))
        time.sleep(1)
        assert live.talking == 1
