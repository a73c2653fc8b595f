"""Nothing leaves the machine: videos are read, faces found and measured without a socket."""

from pathlib import Path

import no_network
import numpy as np
import pytest

from reactface_jax.media.video import VideoWriter
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer

pytestmark = pytest.mark.skipif(not no_network.is_possible(), reason="the kernel's filter is Linux's")

_WATCH = """
import time, sys
import numpy as np
from reactface_jax.media.face import FaceLandmarker
from reactface_jax.media.video import read_video
(frame,) = read_video({video!r})[:1]
with FaceLandmarker(measures=True) as landmarker:
    until = time.monotonic() + {seconds}
    found = len(landmarker.measure(frame))
    while time.monotonic() < until:
        found = len(landmarker.measure(frame))
        time.sleep(1)
print("faces", found)
"""


@pytest.fixture(scope="module", name="film")
def _film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn head for a second, with a sound."""
    path = tmp_path_factory.mktemp("film") / "head.mp4"
    renderer, sound = HeadRenderer((256, 256)), np.sin(np.arange(16_000) / 9).astype(np.float32)
    picture = renderer.render(NEUTRAL)
    renderer.close()
    with VideoWriter(path, size=(256, 256), audio=sound) as writer:
        for _ in range(25):
            writer.write(picture)
    return path


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket()",
        "import socket; socket.getaddrinfo('example.invalid', 443)",
        "import threading, socket; threading.Thread(target=socket.getaddrinfo, args=('example.invalid', 443)).start()",
        "import ctypes; ctypes.CDLL(None).socket(10, 2, 0)",
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', 'import socket; socket.socket()']))",
    ],
)
def test_the_watch_sees_every_way_out(code: str) -> None:
    result = no_network.run(code)
    assert result.returncode in (no_network.CAUGHT, 256 + no_network.CAUGHT), result.stderr


def test_extract_opens_no_socket(film: Path, tmp_path: Path) -> None:
    """The whole command: reading picture and sound, finding and measuring the face, previews, writing."""
    code = "from pathlib import Path; from data_pipeline.own_recordings.command import extract; "
    call = f"extract(Path({str(film)!r}), Path({str(tmp_path / 'out')!r}), min_seconds=0.5)"
    result = no_network.run(code + call)
    assert result.returncode == 0, result.stderr
    assert np.load(tmp_path / "out" / "1.npy").shape == (25, 1, 58)


def test_a_playlists_addresses_are_not_looked_up(tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://example.invalid/a.ts\n#EXT-X-ENDLIST\n")
    code = "from reactface_jax.media.video import read_video; "
    result = no_network.run(code + f"read_video({str(tmp_path / 'list.m3u8')!r})")
    assert result.returncode == 1
    assert "UserError" in result.stderr.splitlines()[-1]


@pytest.mark.long
def test_a_landmarker_that_was_open_for_long_reports_nothing(film: Path) -> None:
    """MediaPipe's versions that report usage do so when they close, after about 80 s."""
    result = no_network.run(_WATCH.format(video=str(film), seconds=95))
    assert result.returncode == 0, result.stderr
    assert "faces 1" in result.stdout
