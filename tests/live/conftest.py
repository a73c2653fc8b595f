"""A speaker who smiles once, drawn; and the live server in a thread."""

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import uvicorn
from delayed_smile import DelayedSmile
from drawn_speaker import smiling_speaker
from PIL import Image

from reactface_jax.live.server import Live, make_app
from reactface_jax.rendering import HeadRenderer
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES


@pytest.fixture(scope="session")
def speaker_frames() -> list[np.ndarray]:
    with contextlib.closing(HeadRenderer(names=ARKIT_NAMES)) as renderer:
        return [renderer.render(face) for face in smiling_speaker()]


@pytest.fixture(scope="session")
def speaker_jpegs(speaker_frames) -> list[bytes]:
    def jpeg(frame: np.ndarray) -> bytes:
        out = io.BytesIO()
        Image.fromarray(frame).save(out, "JPEG", quality=90)
        return out.getvalue()

    return [jpeg(frame) for frame in speaker_frames]


@contextlib.contextmanager
def serving(**fields: object) -> Iterator[tuple[int, Live]]:
    """Port and state of a running server."""
    live = Live(fields.pop("listener", None) or DelayedSmile(), "secret", **fields)
    config = uvicorn.Config(
        make_app(live), port=0, log_level="error", ws="websockets-sansio", ws_max_size=2**20, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1], live
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@pytest.fixture
def serve() -> Callable:
    return serving
