"""`reactface live`: a listener in the browser and in avatars, while you talk."""

import contextlib
import logging
import secrets
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from reactface_jax.arguments import run
from reactface_jax.compiled_programs import keep_compiled_programs
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.live.senders import PROTOCOLS
from reactface_jax.methods.listener.control import Control
from reactface_jax.methods.method import Inputs, StreamingMethod
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME


@dataclass(frozen=True)
class Arguments:
    """A listener while you talk: in the browser, or for avatars from a camera or file."""

    source: str = ""
    """Without a browser: `webcam`, a video file, or an address such as rtsp://host/stream."""
    send: tuple[str, ...] = ()
    """Avatars to drive, such as livelink://192.168.1.5 or vmc://localhost:39539; several are fine."""
    reactions: int = 1
    """Listeners at the same time, 1 to 4; avatars get them as several subjects or ports."""
    amplitude: float = 1.0
    """Of all motion, 0 to 1.5."""
    smiles: float = 0.0
    """More (up to 1) or fewer (down to -1) smiles."""
    nods: float = 0.0
    """More (up to 1) or fewer (down to -1) nods."""
    seed: int = 0
    """Of what the listeners do by themselves."""
    port: int = 8765
    """Of the page on this machine; 0 takes a free one."""
    talkers: int = 1
    """Pages that may talk at the same time."""
    as_fast_as_possible: bool = False
    """Play a file without waiting for its times."""
    browser: bool = True
    """Open the page in this machine's browser."""


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs `live` on the command line's words."""
    keep_compiled_programs()
    forms = ", ".join(PROTOCOLS.values())
    start(run(Arguments, words, prog="reactface live", description=f"{Arguments.__doc__} Avatars: {forms}."))


def start(arguments: Arguments) -> None:
    """Starts what the arguments name and stays until it ends. Raises `UserError` for what does not fit."""
    from reactface_jax.live.messages import MOST_REACTIONS

    if not 1 <= arguments.reactions <= MOST_REACTIONS:
        raise UserError(f"--reactions {arguments.reactions} is out of range; give 1 to {MOST_REACTIONS}")
    if not 0 <= arguments.seed < 2**31:
        raise UserError(f"--seed {arguments.seed} is out of range; give 0 to {2**31 - 1}")
    if arguments.talkers < 1:
        raise UserError(f"--talkers {arguments.talkers} is out of range; give 1 or more")
    if not 0 <= arguments.port < 2**16:
        raise UserError(f"--port {arguments.port} is out of range; give 0 to 65535")
    control = Control(amplitude=arguments.amplitude, smiles=arguments.smiles, nods=arguments.nods).checked()
    _check_senders(arguments)
    listener = load_pretrained("listener")
    print("compiling the listener …", flush=True)
    warm_up(listener, arguments.reactions)
    if arguments.source:
        _play_source(arguments, listener, control)
    else:
        _serve(arguments, listener, control)


def warm_up(listener: StreamingMethod, num_reactions: int) -> None:
    """Compiles a step with sound and one without, so that the first answer does not wait."""
    silence = np.zeros((1, listener.chunk * SAMPLES_PER_FRAME), np.float32)
    faces = np.zeros((1, listener.chunk, NUM_COEFFICIENTS), np.float32)
    state = listener.start(num_reactions, jax.random.key(0))
    for audio in (silence, None):
        jax.block_until_ready(listener.step(state, Inputs(speaker=faces, audio=audio)))


def _check_senders(arguments: Arguments) -> None:
    from reactface_jax.live.senders import open_sender

    for address in arguments.send:
        open_sender(address, arguments.reactions).close()


def _play_source(arguments: Arguments, listener: StreamingMethod, control: Control) -> None:
    from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
    from reactface_jax.live.playout import Playout
    from reactface_jax.live.senders import open_sender
    from reactface_jax.live.session import Answer, Session, Settings, Status
    from reactface_jax.live.source import Source, play

    if not arguments.send:
        raise UserError("--source answers avatars; give --send, or leave --source out for the page in the browser")
    source = Source(arguments.source)
    settings = Settings(arguments.reactions, arguments.seed, control, hears=source.hears)
    if not source.hears:
        print(f"{arguments.source} has no sound: the listener sees and does not hear")
    senders = [open_sender(address, arguments.reactions) for address in arguments.send]
    answered = 0

    def answer(answer: Answer) -> None:
        nonlocal answered
        answered += answer.reactions.shape[1]
        playout.add(answer.chunk.number, answer.reactions)

    def status(status: Status) -> None:
        if status.says:
            print(status.says, flush=True)

    real_time = not arguments.as_fast_as_possible
    with contextlib.closing(source), Playout(senders, COEFFICIENT_NAMES, real_time=real_time) as playout:
        with Session(listener, settings, answer, status) as session:
            wait = session.wait_until_idle
            play(source, session.add_picture, session.add_sound, real_time=real_time, wait=wait)
            wait()
        if session.error is not None:
            raise session.error
    print(f"sent {answered} frames of {arguments.reactions} reaction(s) to {', '.join(arguments.send)}")


def _serve(arguments: Arguments, listener: StreamingMethod, control: Control) -> None:
    import socket

    import uvicorn

    from reactface_jax.live.server import Live, make_app
    from reactface_jax.live.session import Settings

    token = secrets.token_urlsafe(16)
    settings = Settings(arguments.reactions, arguments.seed, control)
    live = Live(listener, token, settings, arguments.talkers, arguments.send)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", arguments.port))
    except OSError as error:
        raise UserError(
            f"--port {arguments.port} is taken ({error.strerror}); give another, or 0 for a free one"
        ) from error
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}"
    print(f"open {address}\nCtrl-C ends it", flush=True)
    if arguments.browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        make_app(live), log_level="warning", access_log=False, ws="websockets-sansio", ws_max_size=2**20, lifespan="off"
    )
    with contextlib.closing(listening):
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
