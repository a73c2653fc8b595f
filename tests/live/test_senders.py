"""What avatars receive, decoded by independent public parsers, off a real socket."""

import json
import re
import socket
import threading
import time

import numpy as np
import pytest
from pylivelinkface import FaceBlendShape, PyLiveLinkFace
from pythonosc.osc_bundle import OscBundle
from websockets.sync.server import serve

from reactface_jax.errors import UserError
from reactface_jax.live.senders import open_sender
from reactface_jax.live.senders.ifacialmocap import IFacialMocap
from reactface_jax.live.senders.live_link import LiveLink
from reactface_jax.live.senders.pose import Pose
from reactface_jax.live.senders.vmc import Vmc
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES


def pose(number: int = 7, seed: int = 0) -> Pose:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0, 1, 52).astype(np.float32)
    return Pose(number, weights, np.array([0.1, -0.2, 0.3]), np.array([0.4, -0.5, 0.6]))


def test_live_link_as_pylivelinkface_reads_it():
    sent = pose()
    (packet,) = LiveLink("Listener").packets(sent)
    assert len(packet) == 1 + 4 + 36 + 4 + 8 + 4 + 4 + 8 + 1 + 61 * 4
    found, face = PyLiveLinkFace.decode(packet)
    assert found
    assert (face.name, face._frames, face.fps, face._denominator) == ("Listener", 7, 25, 1)
    for shape in FaceBlendShape:
        if shape.value < 52:
            name = shape.name[0].lower() + shape.name[1:]
            assert face.get_blendshape(shape) == pytest.approx(sent.weight(name), abs=1e-6)
    # Down is positive for pitch, the person's right for yaw: turn[1] is to the left.
    head = [face.get_blendshape(FaceBlendShape[f"Head{angle}"]) for angle in ("Yaw", "Pitch", "Roll")]
    np.testing.assert_allclose(head, [0.2, 0.1, 0.3], atol=1e-6)


def test_vmc_as_python_osc_reads_it():
    sent = pose()
    packets = Vmc().packets(sent)
    assert all(len(packet) < 1400 for packet in packets)
    messages = [message for packet in packets for message in OscBundle(packet)]
    values = {m.params[0]: m.params[1] for m in messages if m.address == "/VMC/Ext/Blend/Val"}
    assert list(values) == list(ARKIT_NAMES)
    np.testing.assert_allclose(list(values.values()), sent.weights, atol=1e-6)
    assert messages[0].address == "/VMC/Ext/OK"
    assert messages[-1].address == "/VMC/Ext/Blend/Apply"
    assert sum(m.address.endswith("Apply") for m in messages) == 1
    (bone,) = (m.params for m in messages if m.address == "/VMC/Ext/Bone/Pos")
    x, y, z, w = sent.quaternion
    np.testing.assert_allclose(bone[4:], [x, -y, -z, w], atol=1e-6)
    assert bone[0] == "Head"
    assert [name for name in Vmc(capital=True)._names if name == "JawOpen"] == ["JawOpen"]


def test_quaternion_is_the_turn():
    nod = Pose(0, np.zeros(52, np.float32), np.array([0.5, 0, 0]), np.zeros(3))
    np.testing.assert_allclose(nod.quaternion, [np.sin(0.25), 0, 0, np.cos(0.25)], atol=1e-12)


def test_ifacialmocap_is_read_by_its_grammar():
    sent = pose()
    (packet,) = IFacialMocap().packets(sent)
    text = packet.decode()
    assert text.count("=") == 1
    assert text.endswith("|")
    shapes, bones = text.split("=")
    read = {name: int(percent) for name, percent in re.findall(r"(\w+)-(\d{1,3})\|", shapes)}
    assert len(read) == 52
    assert read["mouthSmile_L"] / 100 == pytest.approx(sent.weight("mouthSmileLeft"), abs=0.0051)
    assert read["jawLeft"] / 100 == pytest.approx(sent.weight("jawLeft"), abs=0.0051)
    head = [float(x) for x in re.search(r"head#([^|]+)", bones).group(1).split(",")]
    np.testing.assert_allclose(head[:3], np.degrees(sent.turn), atol=1e-4)
    np.testing.assert_allclose(head[3:], [0.05334, -0.06667, 0.08], atol=1e-5)  # metres


def test_ifacialmocap_never_repeats_itself():
    """Receivers take identical packets for lost tracking."""
    still = [IFacialMocap().packets(pose(number=number))[0] for number in (0, 1, 2)]
    assert still[0] != still[1] != still[2]


@pytest.mark.parametrize(("scheme", "step"), [("livelink", 0), ("vmc", 1), ("ifacialmocap", 1)])
def test_reactions_reach_their_sockets(scheme: str, step: int):
    """A blink of a single frame among them."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(1 + step)]
    try:
        port = bind_in_a_row(sockets)
        sender = open_sender(f"{scheme}://127.0.0.1:{port}", 2)
        for number in range(5):
            sender.send(sender.packets([pose(number), pose(number, seed=1)]))
        per_frame = {"livelink": 2, "vmc": len(Vmc().packets(pose())), "ifacialmocap": 1}[scheme]
        for one in sockets:
            assert len([one.recv(2048) for _ in range(5 * per_frame)]) == 5 * per_frame
        assert sender.sent == 5
        sender.close()
    finally:
        for one in sockets:
            one.close()


def test_localhost_is_where_receivers_listen(monkeypatch: pytest.MonkeyPatch):
    """On IPv4, also where the system names ::1 first."""
    six, four = ("::1", 0, 0, 0), ("127.0.0.1", 0)
    found = [(socket.AF_INET6, socket.SOCK_DGRAM, 17, "", six), (socket.AF_INET, socket.SOCK_DGRAM, 17, "", four)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sender = open_sender(f"ifacialmocap://localhost:{receiver.getsockname()[1]}", 1)
        sender.send(sender.packets([pose()]))
        assert receiver.recv(2048).startswith(b"browDown_L-")
        sender.close()


def bind_in_a_row(sockets: list[socket.socket]) -> int:
    for port in range(40_000, 41_000, 2):
        try:
            for k, one in enumerate(sockets):
                one.settimeout(5)
                one.bind(("127.0.0.1", port + k))
            return port
        except OSError:
            for k in range(len(sockets)):
                sockets[k].close()
                sockets[k] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    raise AssertionError("no free ports")


def test_json_frames_over_a_websocket():
    received: list[str] = []
    done = threading.Event()

    def take(connection) -> None:
        for message in connection:
            received.append(message)
            if len(received) >= 2:
                done.set()

    with serve(take, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sender = open_sender(f"ws://127.0.0.1:{server.socket.getsockname()[1]}", 2)
        number = 0
        while not done.wait(0.02) and number < 3000:  # frames from before the connection are left out
            sender.send(sender.packets([pose(number), pose(number, seed=1)]))
            number += 1
        sender.close()
        server.shutdown()
    first, second = (json.loads(message) for message in received[:2])
    assert (first["subject"], second["subject"]) == ("Listener", "Listener2")
    assert first["weights"]["jawOpen"] == pytest.approx(pose().weight("jawOpen"), abs=1e-6)
    assert first["frame"] == second["frame"]


@pytest.mark.parametrize("real_time", [True, False])
def test_a_websocket_gets_the_last_frames(real_time: bool):
    """Also three times as many as wait at most, where time does not matter."""
    received: list[int] = []
    ended, early, end = threading.Event(), 1000, time.monotonic() + 60

    def take(connection) -> None:
        for message in connection:
            received.append(json.loads(message)["frame"])
        ended.set()

    with serve(take, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sender = open_sender(f"ws://127.0.0.1:{server.socket.getsockname()[1]}", 2, real_time=real_time)
        while real_time and not received:  # frames from before the connection are left out
            assert time.monotonic() < end
            sender.send(sender.packets([pose(early), pose(early, seed=1)]))
            time.sleep(0.02)
        count = 20 if real_time else 75
        for number in range(count):
            sender.send(sender.packets([pose(number), pose(number, seed=1)]))
        sender.close()
        assert ended.wait(60)
        server.shutdown()
    before = received.count(early)
    assert received[before:] == [number for number in range(count) for _ in range(2)]
    assert sender.sent == count + before // 2


def test_a_websocket_that_talks_is_not_lost():
    """Whatever it says, its pings are answered."""
    answered: list[bool] = []
    ended = threading.Event()

    def take(connection) -> None:
        for number in range(100):
            connection.send(str(number))
        answered.append(connection.ping().wait(60))
        ended.set()

    with serve(take, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sender = open_sender(f"ws://127.0.0.1:{server.socket.getsockname()[1]}", 1)
        assert ended.wait(60)
        sender.close()
        server.shutdown()
    assert answered == [True]


def test_nobody_there_costs_nothing():
    for address in ("livelink://127.0.0.1:9", "vmc://127.0.0.1:9", "ifacialmocap://127.0.0.1:9", "ws://127.0.0.1:9"):
        sender = open_sender(address, 1)
        for number in range(100):
            sender.send(sender.packets([pose(number)]))
        sender.close()
        assert sender.sent == (0 if address.startswith("ws") else 100)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("unreal://127.0.0.1", "is no address of an avatar; give livelink://"),
        ("livelink://", "is no address of an avatar"),
        ("livelink://127.0.0.1:99999", "is no address"),
        ("vmc://127.0.0.1?names=Upper", "names is arkit"),
        ("vmc://127.0.0.1?name=capital", "name is no option"),
        ("ws://127.0.0.1", "names no port"),
        ("ifacialmocap://127.0.0.1:65535", "reach port 65536"),
        ("livelink://no-such-host.invalid", "has no address"),
    ],
)
def test_addresses_that_are_none(address: str, said: str):
    with pytest.raises(UserError, match=re.escape(said)):
        open_sender(address, 2)
