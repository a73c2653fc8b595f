"""`reactface live` on the command line: a file drives avatars without a browser, and mistakes get a sentence."""

import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from delayed_smile import CHUNK, DELAY, DelayedSmile
from drawn_speaker import FRAMES, smiling_speaker
from pylivelinkface import FaceBlendShape, PyLiveLinkFace

from reactface_jax.errors import UserError
from reactface_jax.live import command, listening, source
from reactface_jax.media.video import VideoWriter


@pytest.fixture
def delayed_smile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "load_listener", lambda checkpoint: DelayedSmile())


def test_a_file_drives_avatars_as_fast_as_possible(delayed_smile, speaker_frames, tmp_path: Path, capsys):
    """Two reactions as two subjects; the smile arrives ten frames after the speaker's."""
    with VideoWriter(tmp_path / "talk.mp4", size=(256, 256)) as writer:
        for frame in speaker_frames:
            writer.write(frame)
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(1)
    faces: dict[str, list[float]] = {}

    def receive() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and sum(map(len, faces.values())) < 2 * FRAMES:
            try:
                _, face = PyLiveLinkFace.decode(receiver.recv(2048))
            except TimeoutError:
                continue
            faces.setdefault(face.name, []).append(face.get_blendshape(FaceBlendShape.MouthSmileLeft))

    thread = threading.Thread(target=receive)
    thread.start()
    port = receiver.getsockname()[1]
    words = ["--source", str(tmp_path / "talk.mp4"), "--send", f"livelink://127.0.0.1:{port}", "ws://127.0.0.1:9"]
    command.main([*words, "--num-reactions", "2", "--as-fast-as-possible"])  # as react calls it
    thread.join()
    receiver.close()
    said = capsys.readouterr().out
    assert "talk.mp4 has no sound: the listener sees and does not hear" in said
    assert f"sent {FRAMES // CHUNK * CHUNK} frames of 2 reaction(s) to livelink://127.0.0.1:{port}\n" in said
    assert f"sent 0 of {FRAMES // CHUNK * CHUNK} frames of 2 reaction(s) to ws://127.0.0.1:9\n" in said
    first, second = np.array(faces["Listener"]), np.array(faces["Listener2"])
    assert len(first) == len(second) == FRAMES // CHUNK * CHUNK
    np.testing.assert_allclose(second, first / 2, atol=1e-6)
    truth = smiling_speaker()[:-DELAY, 44]
    assert np.corrcoef(first[DELAY:], truth[: len(first) - DELAY])[0, 1] > 0.9


@pytest.mark.parametrize(("error", "code"), [(UserError("the method broke"), 2), (ValueError("the method broke"), 1)])
def test_it_ends_when_the_listener_fails(error: Exception, code: int, monkeypatch, capsys):
    """A camera would go on for ever."""
    given: list[int] = []

    class Broken(DelayedSmile):
        def step(self, state, inputs):
            if threading.current_thread().name == "listener":
                raise error
            return super().step(state, inputs)

    class Camera(source.Source):
        def __init__(self, address: str) -> None:
            self.is_file = self.hears = False
            self.why_deaf = "it has no microphone"

        def __iter__(self) -> Iterator[source.Piece]:
            for i in range(2000):
                time.sleep(0.01)
                given.append(i)
                yield i / 25, np.zeros((64, 64, 3), np.uint8)

        def close(self) -> None: ...

    monkeypatch.setattr(listening, "load_listener", lambda checkpoint: Broken())
    monkeypatch.setattr(source, "Source", Camera)
    words = ["--source", "webcam", "--send", "vmc://127.0.0.1:9"]
    with pytest.raises(SystemExit if code == 2 else ValueError) as ended:
        command.main(words)
    assert len(given) < 2000
    if code == 2:
        assert ended.value.code == 2
        assert "error: the method broke\n" in capsys.readouterr().err


def test_the_page_is_served_with_its_token_only(delayed_smile, capsys, monkeypatch):
    """The address that is printed opens the page; the server ends when it is asked to."""
    servers = []
    import uvicorn

    class Server(uvicorn.Server):
        def __init__(self, config):
            super().__init__(config)
            servers.append(self)

    monkeypatch.setattr(uvicorn, "Server", Server)
    monkeypatch.setattr(command.secrets, "token_urlsafe", lambda size: "token-of-the-test" * (size >= 16))
    words = ["--port", "0", "--no-browser", "--reactions", "2", "--amplitude", "0.5"]
    thread = threading.Thread(target=command.main, args=(words,))
    thread.start()
    try:
        for _ in range(1200):
            if servers and servers[0].started:
                break
            time.sleep(0.05)
        port = servers[0].servers[0].sockets[0].getsockname()[1]
        address = f"http://127.0.0.1:{port}/?token=token-of-the-test"
        with urllib.request.urlopen(address) as answer:
            text = answer.read().decode()
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(timeout=60)
    assert not thread.is_alive()
    assert f"open {address}\n" in capsys.readouterr().out
    page = json.loads(re.search(r'id="page">(.*?)</script>', text).group(1))
    assert (page["reactions"], page["most"], page["amplitude"]) == (2, 2, 0.5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reactions", "5"], "--reactions 5 is out of range; give 1 to 4"),
        (["--seed", "-1"], "--seed -1 is out of range"),
        (["--talkers", "0"], "--talkers 0 is out of range"),
        (["--port", "70000"], "--port 70000 is out of range"),
        (["--amplitude", "2"], "amplitude 2 is out of range"),
        (["--source", "webcam"], "--source answers avatars; give --send"),
        (["--as-fast-as-possible"], "--as-fast-as-possible is for a file"),
        (["--send", "unreal://x"], "is no address of an avatar"),
        (["--source", "none.mp4", "--send", "vmc://127.0.0.1"], "none.mp4 does not exist"),
        (["--checkpoint", "none"], "--checkpoint none is no folder"),
    ],
)
def test_mistakes_get_a_sentence(words: list[str], said: str):
    with pytest.raises(UserError, match=re.escape(said)):
        command.start(command.run(command.Arguments, words, prog="reactface live"))


def test_a_port_that_is_taken(delayed_smile):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port} is taken"):
            command.start(command.Arguments(port=port, browser=False))
