"""`--send` in words: which protocol, to whom, and how the packets travel."""

import contextlib
import itertools
import queue
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from urllib.parse import SplitResult, parse_qsl, urlsplit

from reactface_jax.errors import UserError
from reactface_jax.live.senders import ifacialmocap, live_link, vmc
from reactface_jax.live.senders.json_frames import JsonFrames
from reactface_jax.live.senders.pose import Pose

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

PROTOCOLS = {
    "livelink": "livelink://host[:11111][?subject=NAME]",
    "vmc": "vmc://host[:39539][?names=capital]",
    "ifacialmocap": "ifacialmocap://host[:49983]",
    "ws": "ws://host:port[/path]",
}
"""Form of each protocol's address."""
_RETRY = 2.0  # s between attempts to reach a WebSocket that is away
_SLOW = 5.0  # s that a WebSocket has to take what waits: at the end, and for each frame where time does not matter


@runtime_checkable
class Encoder(Protocol):
    """One avatar's protocol."""

    def packets(self, pose: Pose) -> list[bytes]:
        """What is sent for one frame."""
        ...


@runtime_checkable
class Sender(Protocol):
    """Drives the avatars of all reactions at one address."""

    @property
    def sent(self) -> int:
        """Frames that went out so far."""
        ...

    def packets(self, poses: Sequence[Pose]) -> list[list[bytes]]:
        """What is sent for a frame, a list a reaction: written before the frame is due, for it takes milliseconds."""
        ...

    def send(self, packets: Sequence[Sequence[bytes]]) -> None:
        """Sends a frame. In real time it never waits, whether anybody listens or not."""
        ...

    def close(self) -> None:
        """Ends it, once what was to be sent is."""
        ...


def open_sender(address: str, num_reactions: int, *, real_time: bool = True) -> Sender:
    """Opens what `--send` names.

    Reactions are Live Link subjects `Listener`, `Listener2` …; VMC and iFacialMocap know one avatar a port, so theirs
    go to the port and those after it; JSON frames say their subject.

    Args:
      address: as `PROTOCOLS` shows it.
      num_reactions: K.
      real_time: whether a frame that can't be sent at once is left out; otherwise whoever is slow is waited for.

    Raises:
      UserError: the address is not of such a form, or its host has no address.
    """
    try:
        parts = urlsplit(address)
        host, port, options = parts.hostname, parts.port, dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError as error:
        raise UserError(f"--send {address} is no address ({error}); {_forms()}") from error
    known = {"livelink": {"subject"}, "vmc": {"names"}}.get(parts.scheme, set())
    if parts.scheme not in PROTOCOLS or not host or port == 0:
        raise UserError(f"--send {address} is no address of an avatar; {_forms()}")
    if parts.scheme == "ws":
        if port is None:
            raise UserError(f"--send {address} names no port; give {PROTOCOLS['ws']}")
        subjects = _subjects("Listener", num_reactions)
        return WebSocketSender(address, [JsonFrames(name) for name in subjects], real_time=real_time)
    if unknown := (set(options) - known):
        raise UserError(f"--send {address}: {min(unknown)} is no option; give {PROTOCOLS[parts.scheme]}")
    encoders, first_port, step = _encoders(parts, options, num_reactions)
    return UdpSender(address, host, port or first_port, step, encoders)


def _encoders(parts: SplitResult, options: dict[str, str], num_reactions: int) -> tuple[list[Encoder], int, int]:
    """Encoders, usual port, and by how much the ports of two reactions differ."""
    if parts.scheme == "livelink":
        subjects = _subjects(options.get("subject") or "Listener", num_reactions)
        return [live_link.LiveLink(subject) for subject in subjects], live_link.PORT, 0
    if parts.scheme == "vmc":
        names = options.get("names", "arkit")
        if names not in ("arkit", "capital"):
            raise UserError(f"--send {parts.geturl()}: names is arkit (jawOpen) or capital (JawOpen), not {names}")
        return [vmc.Vmc(capital=names == "capital") for _ in range(num_reactions)], vmc.PORT, 1
    return [ifacialmocap.IFacialMocap() for _ in range(num_reactions)], ifacialmocap.PORT, 1


def _subjects(name: str, count: int) -> list[str]:
    return [name if k == 0 else f"{name}{k + 1}" for k in range(count)]


def _packets(encoders: Sequence[Encoder], poses: Sequence[Pose]) -> list[list[bytes]]:
    return [encoder.packets(pose) for encoder, pose in zip(encoders, poses, strict=True)]


def _forms() -> str:
    return "give " + ", ".join(PROTOCOLS.values())


class UdpSender:
    """Datagrams; those that nobody takes are gone."""

    def __init__(self, address: str, host: str, port: int, step: int, encoders: Sequence[Encoder]) -> None:
        last = port + step * (len(encoders) - 1)
        if last > 65535:
            raise UserError(f"--send {address}: {len(encoders)} reactions reach port {last}; give a lower port")
        try:
            every = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise UserError(f"--send {address}: {host} has no address ({error.strerror}); give another") from error
        # Receivers listen on IPv4, but some systems name localhost ::1 first.
        family, _, _, _, found = min(every, key=lambda each: each[0] != socket.AF_INET)
        self.sent = 0
        self._encoders = encoders
        self._goals = [(found[0], port + step * k) for k in range(len(encoders))]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def packets(self, poses: Sequence[Pose]) -> list[list[bytes]]:
        return _packets(self._encoders, poses)

    def send(self, packets: Sequence[Sequence[bytes]]) -> None:
        for goal, of_one in zip(self._goals, packets, strict=True):
            for packet in of_one:
                with contextlib.suppress(OSError):  # nobody there, no way there, or a full buffer
                    self._socket.sendto(packet, goal)
        self.sent += 1

    def close(self) -> None:
        self._socket.close()


class WebSocketSender:
    """Frames to a WebSocket server, from a thread of their own that keeps one second of them at most."""

    def __init__(self, address: str, encoders: Sequence[Encoder], *, real_time: bool = True) -> None:
        self._address, self._encoders, self._real_time = address, encoders, real_time
        self._frames: queue.Queue[bytes] = queue.Queue(maxsize=25 * len(encoders))
        self._passed_on = 0
        self._stuck = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"send {address}", daemon=True)
        self._thread.start()

    @property
    def sent(self) -> int:
        """Frames that went out so far."""
        return self._passed_on // len(self._encoders)

    def packets(self, poses: Sequence[Pose]) -> list[list[bytes]]:
        return _packets(self._encoders, poses)

    def send(self, packets: Sequence[Sequence[bytes]]) -> None:
        for packet in itertools.chain.from_iterable(packets):
            try:
                self._frames.put(packet, timeout=0.0 if self._real_time or self._stuck else _SLOW)
                self._stuck = False
            except queue.Full:
                self._stuck = True  # the next ones don't wait until something was taken

    def close(self) -> None:
        self._ended.set()
        self._thread.join(timeout=_SLOW)

    def _run(self) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        while not self._ended.is_set():
            try:
                with connect(self._address, open_timeout=_RETRY, close_timeout=1) as connection:
                    if self._real_time:
                        self._empty()
                    threading.Thread(target=_read, args=(connection,), name="read", daemon=True).start()
                    self._pass_on(connection)
            except (OSError, WebSocketException):
                self._ended.wait(_RETRY)

    def _pass_on(self, connection: "ClientConnection") -> None:
        while True:
            try:
                frame = self._frames.get(timeout=0.1)
            except queue.Empty:
                if self._ended.is_set():
                    return
                continue
            connection.send(frame.decode())
            self._passed_on += 1

    def _empty(self) -> None:
        """A receiver that comes late begins with what is now."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._frames.get_nowait()


def _read(connection: "ClientConnection") -> None:
    """Takes what a receiver says: while it waits, the connection takes nothing else and seems dead."""
    from websockets.exceptions import WebSocketException

    with contextlib.suppress(WebSocketException):
        for _ in connection:
            pass
