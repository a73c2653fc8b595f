"""The live listener's server, for a browser on the same machine: a page, its files, and a WebSocket.

Whoever has the token may talk. Requests of other pages are refused by their `Origin`; queues are bounded both ways.
"""

import asyncio
import contextlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.live import page
from reactface_jax.live.messages import LARGEST, pack_answer, read_media, read_settings, samples_of
from reactface_jax.live.playout import Playout
from reactface_jax.live.senders import open_sender
from reactface_jax.live.session import Answer, Session, Settings, Status
from reactface_jax.methods.method import StreamingMethod

log = logging.getLogger(__name__)

_WAITING = 50
"""Messages that wait for a slow page before the oldest are left out."""
_BUSY, _REFUSED, _BAD = 4409, 4403, 4400  # codes of a WebSocket's end


@dataclass
class Live:
    """What the server needs to know."""

    listener: StreamingMethod
    token: str
    settings: Settings = field(default_factory=Settings)
    talkers: int = 1
    """Pages that may talk at a time."""
    send: Sequence[str] = ()
    """Addresses of avatars, which the first talker's listeners drive."""
    talking: int = 0


def make_app(live: Live) -> Starlette:
    """The server's routes: `/` and the page's files, `/ws` for a talker."""

    async def show_page(request: Request) -> Response:
        if not _has_token(live, request.query_params.get("token")):
            return PlainTextResponse("Open the address that `reactface live` printed, with its token.", 403)
        return Response(
            page.html(live.settings.reactions, live.settings.seed), media_type="text/html", headers=page.HEADERS
        )

    async def show_file(request: Request) -> Response:
        found = page.file(request.path_params["name"])
        if found is None:
            return PlainTextResponse("not found", 404)
        return Response(found[0], media_type=found[1], headers=page.HEADERS)

    async def talk(socket: WebSocket) -> None:
        await _talk(live, socket)

    return Starlette(routes=[Route("/", show_page), WebSocketRoute("/ws", talk), Route("/{name}", show_file)])


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
    live.talking += 1
    try:
        async with _outbox(socket) as put, contextlib.AsyncExitStack() as stack:
            playout = None
            if live.send and live.talking == 1:
                senders = [open_sender(address, live.settings.reactions) for address in live.send]
                playout = stack.enter_context(Playout(senders, COEFFICIENT_NAMES))

            def answer(answer: Answer) -> None:
                put(pack_answer(answer))
                if playout is not None:
                    playout.add(answer.chunk.number, answer.reactions)

            def status(status: Status) -> None:
                put(json.dumps({"face": status.face, "left_out": status.left_out, "says": status.says}))

            session = Session(live.listener, live.settings, answer, status)
            session.__enter__()
            stack.push_async_callback(asyncio.to_thread, session.__exit__)
            await _listen(socket, session, live.settings)
    finally:
        live.talking -= 1


async def _listen(socket: WebSocket, session: Session, settings: Settings) -> None:
    while True:
        try:
            message = await socket.receive()
        except (WebSocketDisconnect, RuntimeError):
            return
        if message["type"] == "websocket.disconnect":
            return
        try:
            if (text := message.get("text")) is not None:
                settings, reset = read_settings(text, settings)
                session.change(settings, reset=reset)
                continue
            content = message.get("bytes") or b""
            if len(content) > LARGEST:
                raise UserError("a message is at most 1 MiB")
            kind, time, content = read_media(content)
        except UserError as error:
            return await socket.close(_BAD, str(error))
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
