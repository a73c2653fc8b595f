"""A study's server in a process of its own, over its socket: what it hands out, stores, refuses and survives."""

import contextlib
import errno
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactface_jax.errors import UserError
from reactface_jax.study import command
from reactface_jax.study.answers import Answers, begin_file, read_all, read_answers
from reactface_jax.study.design import Amounts, Stimuli, plan_trials
from reactface_jax.study.questions import QUESTIONS
from reactface_jax.study.server import Collector, Refused
from reactface_jax.study.study_file import RESULTS, VIDEOS, Study, read_study, write_study

ROOT = Path(__file__).parents[2]
METHODS, CLIPS = ("ours", "mirror"), ("a", "b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cells = list(itertools.product(METHODS, CLIPS))
    names = {cell: f"v{number}.mp4" for number, cell in enumerate(cells)}
    plans = plan_trials(Stimuli(METHODS, CLIPS, names, {}, {}), Amounts(2, 0, 1, 1), participants=2, seed=0)
    write_study(Study("s1", "A <b>study</b>", 0, True, METHODS, CLIPS, QUESTIONS, tuple(map(tuple, plans))), tmp_path)
    for name in (RESULTS, VIDEOS):
        (tmp_path / name).mkdir()
    for name in names.values():
        (tmp_path / VIDEOS / name).write_bytes(bytes(range(100)))
    return tmp_path


@contextlib.contextmanager
def server(folder: Path) -> Iterator[tuple[int, subprocess.Popen]]:
    code = (
        f"from reactface_jax.study import command; command.main(['serve', '--study', {str(folder)!r}, '--port', '0'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield int(re.search(r"127\.0\.0\.1:(\d+)", line)[1]), process  # type: ignore[index]
        finally:
            process.kill()


def ask(port: int, path: str, content: object = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        body = None if content is None else content if isinstance(content, bytes) else json.dumps(content).encode()
        connection.request("GET" if body is None else "POST", path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()


def says(port: int, path: str, content: object, headers: dict[str, str] | None = None) -> tuple[int, str]:
    status, body = ask(port, path, content, headers)
    return status, json.loads(body)["says"]


def answers_to(trial: dict) -> dict[str, int]:
    return {name: trial.get("choose", 1) for name in trial["asked"]}


def test_a_participant_from_beginning_to_end_across_a_kill(folder: Path) -> None:
    study = read_study(folder)
    with server(folder) as (port, process):
        status, page = ask(port, "/")
        assert status == 200
        assert b"A &lt;b&gt;study&lt;/b&gt;" in page
        assert b"mirror" not in page
        assert b"on the left somebody who speaks" in page
        status, body = ask(port, "/begin", {"participant": "anna"})
        begun = json.loads(body)
        assert begun["answered"] == []
        trials = begun["trials"]
        assert ask(port, f"/{VIDEOS}/{trials[0]['videos'][0]}", headers={"Range": "bytes=10-19"}) == (
            206,
            bytes(range(10, 20)),
        )
        for number in (0, 1):
            sent = {"participant": "anna", "trial": number, "answers": answers_to(trials[number]), "seconds": 2.5}
            assert ask(port, "/answer", sent)[0] == 200
        process.send_signal(signal.SIGKILL)
        process.wait()
    path = folder / RESULTS / "anna.jsonl"
    with path.open("a") as file:  # as if killed in the middle of a line
        file.write('{"trial": 2, "answ')
    before = path.read_text()

    with server(folder) as (port, process):
        begun = json.loads(ask(port, "/begin", {"participant": "anna"})[1])
        assert begun["answered"] == [0, 1]
        assert begun["trials"] == trials
        again = {"participant": "anna", "trial": 0, "answers": {name: 2 for name in trials[0]["asked"]}, "seconds": 1}
        assert ask(port, "/answer", again)[0] == 200  # which it has: nothing is written
        assert path.read_text() == before
        for number in (2, 3):
            sent = {"participant": "anna", "trial": number, "answers": answers_to(trials[number]), "seconds": "x"}
            assert ask(port, "/answer", sent)[0] == 200
        assert path.read_text().startswith(before)
        # The next one gets the plan that nobody has.
        ask(port, "/begin", {"participant": "bert"})
        with pytest.raises(UserError, match="is writing into"):
            command.serve(folder, port=0)
    found = read_answers(path, study)
    assert found.by_trial == {number: answers_to(trial) for number, trial in enumerate(trials)}
    assert {found.plan, read_answers(folder / RESULTS / "bert.jsonl", study).plan} == {0, 1}


def test_what_the_server_refuses(folder: Path) -> None:
    with server(folder) as (port, _):
        for path in ("/study.json", f"/{VIDEOS}/study.json", f"/{VIDEOS}/..%2Fstudy.json", f"/{RESULTS}/anna.jsonl"):
            assert ask(port, path)[0] == 404
        trials = json.loads(ask(port, "/begin", {"participant": "anna"})[1])["trials"]
        good = {"participant": "anna", "trial": 0, "answers": answers_to(trials[0]), "seconds": 1}
        for path, content, message in (
            ("/begin", {"participant": "../x"}, "The code in the address does not fit"),
            ("/begin", {"participant": 5}, "The code in the address does not fit"),
            ("/begin", b"{", "The answer is no JSON."),
            ("/begin", [], "The answer is no JSON object."),
            ("/answer", good | {"participant": "nobody"}, "Nobody began under this code"),
            ("/answer", good | {"trial": 4}, "The study has no such page"),
            ("/answer", good | {"trial": True}, "The study has no such page"),
            ("/answer", good | {"answers": {}}, "the answers must be to realism"),
            ("/answer", good | {"answers": {name: 9 for name in good["answers"]}}, "an answer must be 1 to 5"),
        ):
            status, said = says(port, path, content)
            assert status == 400
            assert message in said
        assert says(port, "/answer", b" " * 70_000) == (413, "The answer is too long.")
        public = {"Origin": "https://study.example.org"}
        for headers in (
            {"Origin": "http://elsewhere.example"},
            {"Origin": "null"},  # a page from disk
            public,
            public | {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},  # of another name under example.org
            {"Host": "study.example.org", "Sec-Fetch-Site": "cross-site"} | public,
        ):
            assert says(port, "/answer", good, headers) == (403, "Another page may not answer here.")
        assert len((folder / RESULTS / "anna.jsonl").read_text().splitlines()) == 1


def test_people_take_part_through_a_web_server_with_https(folder: Path) -> None:
    """Browsers name the public address, and the server in front asks for 127.0.0.1, or passes the public name on."""
    public, browser = {"Origin": "https://study.example.org"}, {"Sec-Fetch-Site": "same-origin"}
    with server(folder) as (port, _):
        for name, headers in (
            ("anna", public | browser),
            ("bert", public | {"Host": "study.example.org"}),  # a browser that says nothing of sites
            ("cleo", public | {"Host": "study.example.org"} | browser),
        ):
            status, body = ask(port, "/begin", {"participant": name}, headers)
            assert status == 200
            trial = json.loads(body)["trials"][0]
            sent = {"participant": name, "trial": 0, "answers": answers_to(trial), "seconds": 1}
            assert ask(port, "/answer", sent, headers)[0] == 200
        assert len(list((folder / RESULTS).glob("*.jsonl"))) == 3


def test_whom_a_full_disk_stops_begins_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, results, written = read_study(folder), folder / RESULTS, []

    def write(descriptor: int, content: bytes) -> int:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(content[:9])
        return os.pwrite(descriptor, content[:9], 0)

    collector = Collector(study, folder)
    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space left"):
            collector.begin("anna")
    assert list(results.iterdir()) == []
    assert collector.begin("anna") == (0, [])
    with pytest.raises(FileExistsError):
        begin_file(results, study, "anna", 1)


def test_half_a_first_line_stops_no_server(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    study, results = read_study(folder), folder / RESULTS
    begin_file(results, study, "anna", 1)
    half = (results / "anna.jsonl").read_bytes()[:30]
    for name, content in (("bert", half), ("cleo", b""), ("dora", half + b'\n{"trial": 0, "answers": {"check": 1}}\n')):
        (results / f"{name}.jsonl").write_bytes(content)
    assert read_all(results, study) == [Answers("anna", 1)]
    assert Collector(study, folder).begin("emil") == (0, [])
    with pytest.raises(Refused, match="A damaged file of answers has this code"):
        Collector(study, folder).begin("bert")
    for name in ("bert", "cleo", "dora"):
        assert f"{name}.jsonl has no whole first line, so it is left out" in caplog.text


def test_a_file_system_without_links_takes_whole_files_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    study, results = read_study(folder), folder / RESULTS
    monkeypatch.setattr(os, "link", link)
    begin_file(results, study, "anna", 1)
    with pytest.raises(FileExistsError):
        begin_file(results, study, "anna", 0)
    assert [path.name for path in results.iterdir()] == ["anna.jsonl"]
    assert read_answers(results / "anna.jsonl", study).plan == 1


def test_mistakes_have_sentences(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--port 70000 is out of range"):
        command.serve(folder, port=70000)
    with pytest.raises(UserError, match="give a folder that `reactface study build` wrote"):
        command.serve(tmp_path / "none")
