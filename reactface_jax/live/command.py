"""`reactface live`: a listener in the browser and in avatars, while you talk."""

import contextlib
import logging
import secrets
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from reactface_jax.arguments import run
from reactface_jax.compiled_programs import keep_compiled_programs
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.live.senders import PROTOCOLS
from reactface_jax.methods.listener.control import Control
from reactface_jax.methods.method import StreamingMethod

if TYPE_CHECKING:
    from reactface_jax.live.source import Source

_DESCRIPTION = """A listener while you talk: in the browser, or for avatars from a camera or a file.

Without flags it opens a page on this machine: press Start, allow camera and microphone, and talk. Nothing leaves the
machine. With --send it also drives avatars: {forms}. With --source and --send it needs no browser."""


@dataclass(frozen=True)
class Arguments:
    """What `reactface live` does."""

    source: str = ""
    """Who is listened to without a browser: `webcam` (with the microphone), a video, or an address such as rtsp://…"""
    send: tuple[str, ...] = ()
    """Avatars to drive, such as livelink://192.168.1.5 or vmc://localhost:39539; several are fine."""
    checkpoint: Path | None = None
    """The run of a causal ReactFace, a listener, LFI or Zhou et al., instead of the listener in the package."""
    reactions: Annotated[int, tyro.conf.arg(aliases=("--num-reactions",))] = 1
    """Listeners side by side, 1 to 4. Avatars get them as several subjects or ports; the page may change it."""
    amplitude: float = 1.0
    """Of all motion, 0 to 1.5. The page has sliders for this and the next two."""
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
    """--no-browser prints the page's address and opens no browser."""


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs `live` on the command line's words."""
    keep_compiled_programs()
    description = _DESCRIPTION.format(forms=", ".join(PROTOCOLS.values()))
    start(run(Arguments, words, prog="reactface live", description=description))


def start(arguments: Arguments) -> None:
    """Starts what the arguments name and stays until it ends. Raises `UserError` for what does not fit."""
    from reactface_jax.live.listening import load_listener, warm_up

    control = _check(arguments)
    share_the_interpreter()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_open_source(arguments)) if arguments.source else None
        listener = load_listener(arguments.checkpoint)
        most = arguments.reactions if source is not None else most_of(listener, arguments.reactions)
        print("compiling the listener …", flush=True)
        warm_up(listener, most)
        if source is not None:
            _play_source(arguments, listener, control, source)
        else:
            _serve(arguments, listener, control, most)


def share_the_interpreter() -> None:
    """Lets the thread that sends frames run within a millisecond: Python's own 5 ms are a jitter that is seen."""
    sys.setswitchinterval(1e-3)


def most_of(listener: StreamingMethod, reactions: int) -> int:
    """Reactions to generate for a page: the packaged listener's cost next to nothing, others' their time."""
    from reactface_jax.live.messages import MOST_REACTIONS
    from reactface_jax.methods.listener.listener import Listener

    return MOST_REACTIONS if isinstance(listener, Listener) else reactions


def _check(arguments: Arguments) -> Control:
    """The knobs. Raises `UserError` for what does not fit, before anything is loaded."""
    from reactface_jax.live.messages import MOST_REACTIONS
    from reactface_jax.live.senders import open_sender

    if not 1 <= arguments.reactions <= MOST_REACTIONS:
        raise UserError(f"--reactions {arguments.reactions} is out of range; give 1 to {MOST_REACTIONS}")
    if not 0 <= arguments.seed < 2**31:
        raise UserError(f"--seed {arguments.seed} is out of range; give 0 to {2**31 - 1}")
    if arguments.talkers < 1:
        raise UserError(f"--talkers {arguments.talkers} is out of range; give 1 or more")
    if not 0 <= arguments.port < 2**16:
        raise UserError(f"--port {arguments.port} is out of range; give 0 to 65535")
    if arguments.source and not arguments.send:
        raise UserError("--source answers avatars; give --send, or leave --source out for the page in the browser")
    if arguments.as_fast_as_possible and not arguments.source:
        raise UserError("--as-fast-as-possible is for a file; give --source, or leave it out")
    control = Control(amplitude=arguments.amplitude, smiles=arguments.smiles, nods=arguments.nods).checked()
    for address in arguments.send:
        open_sender(address, arguments.reactions).close()
    return control


def _open_source(arguments: Arguments) -> "contextlib.closing[Source]":
    from reactface_jax.live.source import Source

    return contextlib.closing(Source(arguments.source))


def _play_source(arguments: Arguments, listener: StreamingMethod, control: Control, source: "Source") -> None:
    from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
    from reactface_jax.live.playout import Playout
    from reactface_jax.live.senders import open_sender
    from reactface_jax.live.session import Answer, Session, Settings, Status
    from reactface_jax.live.source import play

    settings = Settings(arguments.seed, control, hears=source.hears)
    if not source.hears:
        print(f"{source.why_deaf}: the listener sees and does not hear", flush=True)
    real_time = not (arguments.as_fast_as_possible and source.is_file)
    senders = [open_sender(address, arguments.reactions, real_time=real_time) for address in arguments.send]
    answered = 0

    def answer(answer: Answer) -> None:
        nonlocal answered
        answered += answer.reactions.shape[1]
        playout.add(answer.reactions)

    def status(status: Status) -> None:
        if status.says:
            print(status.says, flush=True)

    with Playout(senders, COEFFICIENT_NAMES, real_time=real_time) as playout:
        with Session(listener, arguments.reactions, settings, answer, status) as session:
            wait, ended = session.wait_until_idle, lambda: session.error is not None
            play(source, session.add_picture, session.add_sound, real_time=real_time, wait=wait, ended=ended)
            wait()
        if session.error is not None:
            raise session.error
    for address, sender in zip(arguments.send, senders, strict=True):
        part = "" if sender.sent == answered else f" of {answered}"
        print(f"sent {sender.sent}{part} frames of {arguments.reactions} reaction(s) to {address}")


def _serve(arguments: Arguments, listener: StreamingMethod, control: Control, most: int) -> None:
    import socket

    import uvicorn

    from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
    from reactface_jax.live.playout import Playout
    from reactface_jax.live.senders import open_sender
    from reactface_jax.live.server import Live, make_app
    from reactface_jax.live.session import Settings

    token = secrets.token_urlsafe(16)
    live = Live(listener, token, Settings(arguments.seed, control), arguments.reactions, most, arguments.talkers)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", arguments.port))
    except OSError as error:
        listening.close()
        raise UserError(
            f"--port {arguments.port} is taken ({error.strerror}); give another, or 0 for a free one"
        ) from error
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}"
    print(f"open {address}\nCtrl-C ends it", flush=True)
    if arguments.browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        make_app(live), log_config=None, access_log=False, ws="websockets-sansio", ws_max_size=2**20, lifespan="off"
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(listening))
        if arguments.send:
            senders = [open_sender(address, arguments.reactions) for address in arguments.send]
            live.playout = stack.enter_context(Playout(senders, COEFFICIENT_NAMES))
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
