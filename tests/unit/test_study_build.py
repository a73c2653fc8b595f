"""A study's folder from folders of videos and from an evaluation: what is in it, and each mistake's sentence."""

import base64
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.evaluation.page.packing import Track, pack_tracks, text
from reactface_jax.evaluation.page.recordings import record
from reactface_jax.media.audio import read_audio
from reactface_jax.media.video import VideoWriter, read_video
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL
from reactface_jax.study import command, composing
from reactface_jax.study.answers import begin_file
from reactface_jax.study.composing import in_square
from reactface_jax.study.sources import EvaluationPage
from reactface_jax.study.study_file import read_study

SIDE = 48  # smaller than it is: the videos are written sooner
CLIPS = {"anna": 6, "bert": 9, "cleo": 9}
"""Frames of each clip."""
SHADES = {"ours": 60, "mirror": 120, "speakers": 200}


@pytest.fixture(autouse=True)
def small_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composing, "SIDE", SIDE)


def film(path: Path, shade: int, frames: int, sound: bool = False) -> None:
    path.parent.mkdir(exist_ok=True)
    voice = (0.4 * np.sin(np.arange(frames * 640) / 8)).astype(np.float32) if sound else None
    with VideoWriter(path, size=(48, 32), audio=voice) as writer:
        for _ in range(frames):
            writer.write(np.full((48, 32, 3), shade, np.uint8))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name, shade in SHADES.items():
        for number, (clip, frames) in enumerate(CLIPS.items()):
            film(folder / name / f"{clip}.mp4", shade + 10 * number, frames, sound=name == "speakers")
    return folder


def methods_of(films: Path) -> tuple[str, ...]:
    return f"ours={films / 'ours'}", f"mirror={films / 'mirror'}"


def test_folders_are_copied_under_blind_names(films: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "study"
    command.build(methods_of(films), out, pairs=6, ratings=2, participants=3)
    assert "2 methods, 3 clips, 3 plans of 10 pages" in capsys.readouterr().out
    study = read_study(out)
    assert study.methods == ("ours", "mirror")
    assert study.clips == ("anna", "bert", "cleo")
    for trial in (trial for plan in study.plans for trial in plan):
        for method, video in zip(trial.methods, trial.videos, strict=True):
            original = films / method / f"{trial.clip}.mp4"
            assert (out / "videos" / video).read_bytes() == original.read_bytes()
    assert len(list((out / "videos").iterdir())) == 6
    assert list((out / "results").iterdir()) == []


def test_the_page_does_not_know_who_is_who(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    command.build(methods_of(films), out, speakers=films / "speakers", pairs=4, speaker_trials=2, participants=2)
    page = (out / "index.html").read_text()
    about = json.loads(re.search(r'id="about">(.*?)</script>', page)[1])  # type: ignore[index]
    assert [len(plan) for plan in about["plans"]] == [8, 8]
    for word in ("mirror", "ours", "anna", "wrong"):
        assert word not in json.dumps(about)
    assert {"choose" in trial for plan in about["plans"] for trial in plan if trial["kind"] == "speaker"} == {False}
    assert not re.search(r"(src|href)=[\"']?http|@import|//cdn", page)


def test_speakers_stand_beside_their_listeners(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    command.build(methods_of(films), out, speakers=films / "speakers", pairs=6, speaker_trials=9, participants=2)
    study = read_study(out)
    numbers = {clip: number for number, clip in enumerate(CLIPS)}
    others = set()
    for trial in {trial for plan in study.plans for trial in plan}:
        videos = [read_video(out / "videos" / name) for name in trial.videos]
        for place, (method, video) in enumerate(zip(trial.methods, videos, strict=True)):
            shades = [half[:, 16:32, 16:32].mean() for half in (video[:, :, :SIDE], video[:, :, SIDE:])]
            assert shades[0] == pytest.approx(SHADES["speakers"] + 10 * numbers[trial.clip], abs=3)
            number = round((shades[1] - SHADES[method]) / 10)
            if trial.kind == "speaker" and place != trial.right:
                assert number != numbers[trial.clip]
                others.add((trial.clip, number))
            else:
                assert number == numbers[trial.clip]
        if trial.kind == "speaker":  # no length betrays the right one
            assert len(videos[0]) == len(videos[1])
    assert sorted(number for _, number in others) == [0, 1, 2]  # every clip is once the wrong one
    assert np.abs(read_audio(out / "videos" / study.plans[0][0].videos[0])).max() > 0.2


def test_a_study_is_known_by_what_is_asked_and_shown(films: Path, tmp_path: Path, monkeypatch) -> None:
    """The same input built again is the same study, whatever an encoder writes; anything else is another one."""

    def compose(speakers, clip, listener, path, most_frames=None):
        path.write_bytes(os.urandom(9))  # an encoder's bytes change with the number of cores
        return 6

    monkeypatch.setattr(composing, "compose", compose)
    questions = tmp_path / "questions.json"
    questions.write_text('[{"name": "realism", "pair": "Who is real?", "rating": "How real?"}]')
    changed = tmp_path / "changed"
    for name in ("mirror", "speakers"):
        shutil.copytree(films / name, changed / name)
        (changed / name / "bert.mp4").write_bytes((films / name / "anna.mp4").read_bytes())
    other = f"ours={films / 'ours'}", f"mirror={changed / 'mirror'}"

    def identity(methods: tuple[str, ...] = methods_of(films), **given: object) -> str:
        command.build(methods, tmp_path / "study", **{"participants": 2} | given)
        found = read_study(tmp_path / "study").id
        assert json.dumps(found) in (tmp_path / "study" / "index.html").read_text()
        return found

    films_of, others = {"speakers": films / "speakers"}, {"speakers": changed / "speakers"}
    variants = [{}, {"participants": 3}, {"pairs": 4}, {"title": "Pilot"}, {"questions": questions}, {"seed": 1}]
    variants += [{"methods": other}, films_of, others, films_of | {"methods": other}]
    first = [identity(**variant) for variant in variants]
    assert len(set(first)) == len(variants)
    assert [identity(**variant) for variant in (variants[0], films_of)] == [first[0], first[7]]


def test_a_picture_keeps_its_proportions() -> None:
    square = in_square(np.full((48, 32, 3), 200, np.uint8))
    assert square.shape == (SIDE, SIDE, 3)
    columns = np.flatnonzero(square[SIDE // 2, :, 0] > 100)
    assert (columns[0], columns[-1]) == (8, 39)


def test_hemvip_gets_a_page_for_each_question(films: Path, tmp_path: Path) -> None:
    """Types, fields and names as HEMVIP's scripts read them."""
    out, address = tmp_path / "study", "https://videos.example/"
    command.build(
        methods_of(films),
        out,
        speakers=films / "speakers",
        pairs=2,
        speaker_trials=1,
        ratings=1,
        checks=1,
        participants=2,
        video_address=address,
    )
    assert sorted(path.name for path in (out / "hemvip").iterdir()) == ["subj_001.json", "subj_002.json"]
    content = json.loads((out / "hemvip" / "subj_001.json").read_text())
    assert content["remoteService"] == "/save"
    first, *pages, last = content["pages"]
    assert (first["type"], last["type"], last["writeResults"]) == ("generic", "finish", True)
    assert sorted(page["type"] for page in pages) == ["video"] * 4 + ["videopc"] * (2 * 4 + 1 + 1)
    assert len({page["id"] for page in pages}) == len(pages)
    for page in pages:
        assert len(page["stimuli"]) == (1 if page["type"] == "video" else 2)
        assert all(url.startswith(address) and url.endswith(".mp4") for _, url in page["stimuli"])
    (check,) = [page for page in pages if "_att_" in page["stimuli"][0][0]]
    side = next(trial.right for trial in read_study(out).plans[0] if trial.kind == "check")
    assert check["stimuli"][0][0] == f"check_att_{('Left', 'Right')[side]}_is_clearly_better"  # type: ignore[index]


# ---- Evaluations


def evaluation(folder: Path, methods: tuple[str, ...] = ("ours",), recorded: bool = True) -> Path:
    """A report.html with what a study reads of it: two clips of 5 frames."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    names = [*ARKIT_NAMES, *(f"r{i}" for i in range(6))]
    voice = (9000 * np.sin(np.arange(5 * 640) / 8)).astype(np.int16)
    clips, scripts = [], []
    for clip in range(2):
        faces = (NEUTRAL + generator.uniform(0, 0.05, (2 + len(methods), 5, 58))).astype(np.float32)
        tracks = [Track("speaker", "Speaker", faces[0]), Track("listener", "Real listener", faces[1])]
        tracks += [Track("reaction", "Reaction 1", faces[2 + m], name) for m, name in enumerate(methods)]
        about, content = pack_tracks(tracks)
        clips.append({"clip": clip, "name": f"NoXI/{clip}", "recorded": recorded} | about)
        scripts.append(f'<script type="text/plain" id="tracks-{clip}">{text(content)}</script>')
        frames = [np.full((64, 64, 3), shade, np.uint8) for shade in (90, 180)]
        video = base64.b64encode(record([frames[0]] * 5, [frames[1]] * 5, voice, 5)).decode()
        scripts.append(f'<script type="text/plain" id="recording-{clip}">{video}</script>')
    page = json.dumps({"channels": names, "methods": list(methods), "clips": clips})
    scripts.append(f'<script type="application/json" id="page">{page}</script>')
    (folder / "report.html").write_text("\n".join(scripts))
    return folder


def test_an_evaluations_reactions_are_drawn_beside_its_speakers(tmp_path: Path, monkeypatch) -> None:
    drawn = []

    class Drawer:
        def __init__(self, names):
            assert list(names[:52]) == list(ARKIT_NAMES)

        def pictures(self, coefficients):
            drawn.append(coefficients)
            for frame in range(coefficients.shape[1]):
                yield [np.full((64, 64, 3), 20 * frame, np.uint8)]

        def close(self):
            pass

    monkeypatch.setattr("reactface_jax.rendering.listener_drawers.HeadDrawer", Drawer)
    run, out = evaluation(tmp_path / "run"), tmp_path / "study"
    command.build((f"ours={run}", f"GT={run}"), out, pairs=2, participants=1)
    study = read_study(out)
    assert study.clips == ("NoXI-0", "NoXI-1")
    page = EvaluationPage(run)
    expected = [page.coefficients(clip, name)[None] for name in ("ours", "GT") for clip in study.clips]
    np.testing.assert_array_equal(np.concatenate(drawn), np.concatenate(expected))
    video = read_video(out / "videos" / study.plans[0][0].videos[0])
    assert len(video) == 5
    assert video[:, 16:32, 16:32].mean() == pytest.approx(90, abs=3)
    np.testing.assert_allclose(video[:, 16:32, SIDE + 16 : SIDE + 32].mean((1, 2, 3)), 20 * np.arange(5), atol=4)
    with (run / "report.html").open("a") as file:  # another evaluation is another study
        file.write("\n")
    command.build((f"ours={run}", f"GT={run}"), out, pairs=2, participants=1)
    assert read_study(out).id != study.id


def test_the_pages_coefficients_come_back(tmp_path: Path) -> None:
    run = evaluation(tmp_path / "run", ("one", "two"))
    generator = np.random.default_rng(0)
    faces = (NEUTRAL + generator.uniform(0, 0.05, (4, 5, 58))).astype(np.float32)
    page = EvaluationPage(run)
    for name, face in zip(("GT", "one", "two"), faces[1:], strict=True):
        np.testing.assert_allclose(page.coefficients("NoXI-0", name), face, atol=2e-5)
    with pytest.raises(UserError, match="has no reaction of three to NoXI-0"):
        page.coefficients("NoXI-0", "three")


# ---- Mistakes


def test_mistakes_have_sentences(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"

    def refused(message: str, *methods: str, **given: object) -> None:
        with pytest.raises(UserError, match=message):
            command.build(methods or methods_of(films), out, **given)  # type: ignore[arg-type]
        assert not out.exists()

    ours = f"ours={films / 'ours'}"
    refused("--methods ours does not fit; give NAME=FOLDER", "ours")
    refused("--methods has ours twice", ours, ours)
    refused("is no folder; give a folder of videos", ours, f"b={tmp_path / 'none'}")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "a.avi").write_bytes(b"x")
    refused(r"has no video that browsers play \(.mp4, .m4v, .webm\)", ours, f"b={empty}")
    (empty / "anna.mp4").write_bytes(b"x")
    refused("b has no clip bert and 1 more, which ours has; all methods", ours, f"b={empty}")
    refused("--speakers .* has no video bert and 1 more; speakers' files", speakers=empty)
    (empty / "anna.webm").write_bytes(b"x")
    refused("has anna.mp4 and anna.webm, one clip twice", ours, f"b={empty}")
    refused("--participants 0 is out of range", participants=0)
    refused("--speaker-trials 501 is out of range", speaker_trials=501)
    refused("--seed -1 is out of range", seed=-1)
    refused("nothing is asked", pairs=0)
    refused("pairs need two methods", ours)
    refused("--speaker-trials shows speakers with wrong listeners", speaker_trials=2)
    one = tmp_path / "one"
    film(one / "anna.mp4", 9, 2)
    refused("needs a second clip", f"a={one}", f"b={one}", speakers=one, speaker_trials=2)
    refused("lie in each other", ours, f"b={tmp_path}")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "report.html").write_text("<html>")
    refused("is no page of an evaluation, or is damaged", ours, f"b={damaged}")
    refused("has no recordings of its speakers", ours, f"b={evaluation(tmp_path / 'silent', recorded=False)}")
    run = evaluation(tmp_path / "run", ("one", "two"))
    refused("evaluates one, two, and not three; name one of them, or GT", ours, f"three={run}")


def test_questions_of_ones_own(films: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "study", tmp_path / "questions.json"

    def refused(content: str, message: str) -> None:
        path.write_text(content)
        with pytest.raises(UserError, match=message):
            command.build(methods_of(films), out, questions=path)

    refused("[]", "is no list of 1 to 12 questions")
    refused('[{"name": "a", "pair": "b"}]', "question 1, lacks a text for name, pair or rating")
    refused('[{"name": "A b", "pair": "b", "rating": "c"}]', "the name 'A b' is taken, or has other signs")
    path.write_text('[{"name": "warmth", "pair": "Who is warmer?", "rating": "How warm?"}]')
    command.build(methods_of(films), out, questions=path, participants=1)
    assert "Who is warmer?" in (out / "index.html").read_text()


def test_a_study_with_answers_is_never_replaced(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    command.build(methods_of(films), out, participants=1)
    command.build(methods_of(films), out, participants=2)  # nobody has answered
    study = read_study(out)
    assert len(study.plans) == 2
    begin_file(out / "results", study, "anna", 0)
    with pytest.raises(UserError, match="is not a study without answers, so it is not replaced"):
        command.build(methods_of(films), out)
    assert (out / "results" / "anna.jsonl").exists()


def test_a_failure_leaves_nothing(films: Path, tmp_path: Path, monkeypatch) -> None:
    def fails(*args):
        raise UserError("no space")

    monkeypatch.setattr(composing, "compose", fails)
    with pytest.raises(UserError, match="no space"):
        command.build(methods_of(films), tmp_path / "study", speakers=films / "speakers")
    assert list(tmp_path.iterdir()) == []
