"""The live listener's server, for a browser on the same machine: a page, its files, and a WebSocket.

Whoever has the token may talk. Requests of other pages are refused by their `Origin`; queues are bounded both ways.
"""

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from reactface_jax.errors import UserError
from reactface_jax.live import page
from reactface_jax.live.listening import view_size
from reactface_jax.live.messages import (
    LARGEST,
    MOST_REACTIONS,
    pack_answer,
    read_face,
    read_media,
    read_settings,
    read_text,
    samples_of,
)
from reactface_jax.live.playout import Playout
from reactface_jax.live.session import Answer, Session, Settings, Status, for_avatars
from reactface_jax.methods.method import StreamingMethod

_WAITING = 50
"""Messages that wait for a slow page before the oldest are left out."""
_BUSY, _REFUSED, _BAD, _FAILED = 4409, 4403, 4400, 1011  # codes of a WebSocket's end
_LONGEST_REASON = 123  # bytes of UTF-8 that fit into a close frame


@dataclass
class Live:
    """What the server needs to know."""

    listener: StreamingMethod
    token: str
    settings: Settings = field(default_factory=Settings)
    reactions: int = 1
    """Faces that a page shows at first, and avatars at each address."""
    most: int = MOST_REACTIONS
    """Reactions that are generated: a page shows any of them at once."""
    talkers: int = 1
    """Pages that may talk at a time."""
    playout: Playout | None = None
    """To avatars, which the listeners of who came first drive."""
    seats: list[WebSocket] = field(default_factory=list)
    """Of those who talk, in the order of their coming."""

    @property
    def talking(self) -> int:
        """Pages that talk now."""
        return len(self.seats)


def make_app(live: Live) -> Starlette:
    """The server's routes: `/` and the page's files, `/ws` for a talker."""

    async def show_page(request: Request) -> Response:
        if not _has_token(live, request.query_params.get("token")):
            return PlainTextResponse("Open the address that `reactface live` printed, with its token.", 403)
        text = page.html(live.settings, live.reactions, live.most)
        return Response(text, media_type="text/html", headers=page.HEADERS)

    async def show_file(request: Request) -> Response:
        found = page.file(request.path_params["name"])
        if found is None:
            return PlainTextResponse("not found", 404)
        return Response(found[0], media_type=found[1], headers=page.HEADERS)

    async def talk(socket: WebSocket) -> None:
        await _talk(live, socket)

    return Starlette(
        routes=[Route("/", show_page), WebSocketRoute("/ws", talk), Route("/{name}", show_file)],
        # A name of somebody else's that leads to this machine is not this machine's.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )


def _has_token(live: Live, given: str | None) -> bool:
    return hmac.compare_digest((given or "").encode(), live.token.encode())


async def _talk(live: Live, socket: WebSocket) -> None:
    """One talker, from the page's first message to the last."""
    origin, host = socket.headers.get("origin"), socket.headers.get("host")
    await socket.accept()
    if not _has_token(live, socket.query_params.get("token")):
        return await socket.close(_REFUSED, "The address has another token; open the one that was printed last.")
    if origin is not None and origin.split("://")[-1] != host:
        return await socket.close(_REFUSED, "Another page may not use this camera.")
    if live.talking >= live.talkers:
        return await socket.close(_BUSY, "Somebody is talking in another window; close that one first.")
    live.seats.append(socket)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(_leave, live, socket)
        put = await stack.enter_async_context(_outbox(socket))

        def answer(answer: Answer) -> None:
            put(pack_answer(answer))
            if live.playout is not None and live.seats[:1] == [socket]:
                live.playout.add(for_avatars(answer, live.reactions))

        def status(status: Status) -> None:
            put(json.dumps({"face": status.face, "says": status.says}))

        session = Session(live.listener, live.most, live.settings, answer, status)
        session.__enter__()
        stack.push_async_callback(asyncio.to_thread, session.__exit__)
        stack.callback(_leave, live, socket)  # at once: whoever comes next need not wait for the thread's end
        await _listen(socket, session, live)


def _leave(live: Live, socket: WebSocket) -> None:
    with contextlib.suppress(ValueError):
        live.seats.remove(socket)


async def _listen(socket: WebSocket, session: Session, live: Live) -> None:
    settings = live.settings
    while True:
        try:
            message = await socket.receive()
        except (WebSocketDisconnect, RuntimeError):
            return
        if message["type"] == "websocket.disconnect":
            return
        if session.error is not None:  # the page has its sentence, and nobody answers any more
            return await socket.close(_FAILED, _reason(session.error))
        try:
            if (text := message.get("text")) is None:
                _take_media(session, message.get("bytes") or b"")
                continue
            given = read_text(text)
            if "face" not in given:
                settings, reset = read_settings(given, settings)
                if settings.chosen >= live.most:
                    raise UserError(f"chosen is a number from 0 to {live.most - 1}")
                session.change(settings, reset=reset)
            elif view_size(live.listener) is None:
                time, face = read_face(given)
                session.add_face(face, time)
            else:
                raise UserError("this listener looks at pictures itself; send JPEG instead of a measured face")
        except UserError as error:
            return await socket.close(_BAD, _reason(error))


def _reason(error: Exception) -> str:
    return str(error).encode()[:_LONGEST_REASON].decode(errors="ignore")


def _take_media(session: Session, message: bytes) -> None:
    if len(message) > LARGEST:
        raise UserError("a message is at most 1 MiB")
    kind, time, content = read_media(message)
    if kind == "F":
        session.add_picture(content, time)
    else:
        session.add_sound(samples_of(content), time)


@contextlib.asynccontextmanager
async def _outbox(socket: WebSocket) -> AsyncIterator[Callable[[bytes | str], None]]:
    """A function that any thread may call to send; what a slow page does not take is left out, the oldest first."""
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue[bytes | str]()

    def enqueue(message: bytes | str) -> None:
        if waiting.qsize() >= _WAITING:
            waiting.get_nowait()
        waiting.put_nowait(message)

    async def pass_on() -> None:
        while True:
            message = await waiting.get()
            try:
                await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_text(message))
            except (WebSocketDisconnect, RuntimeError):
                return

    task = asyncio.create_task(pass_on())
    try:
        yield lambda message: _call(loop, enqueue, message)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[bytes | str], None], message: bytes | str) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(function, message)
