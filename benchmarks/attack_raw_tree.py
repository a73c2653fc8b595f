"""Attacks what `prepare` reads and writes, at random: what ends in a traceback, hangs, is silently wrong or gets lost.

    python benchmarks/attack_raw_tree.py --headers 3000 --tables 600 --trees 150 --sets 150 --disks 60 --kills 60

Files are damaged at random places (bytes, ends, numbers, encodings), commands get options that make no sense, a disk
that is full at a random byte, and SIGKILL at a random moment. Each command runs in a process of its own, forked from
this one, which has imported everything and started nothing. Counted are

- tracebacks: it ended with anything but code 0, or code 2 and one line that begins with "error:";
- hangs: it took longer than --patience;
- silent: it ended with code 0 and a result that is not what the damaged file says, or not what was written;
- lost: a file of the raw tree, or one that is not ours, is gone or changed; or a killed command left half a result.
"""

import contextlib
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro

from data_pipeline.labels.command import labels
from data_pipeline.raw_tree.check import check
from data_pipeline.raw_tree.clip_arrays import (
    NUM_ATTRIBUTES,
    read_attributes,
    read_coefficient_names,
    read_coefficients,
)
from data_pipeline.raw_tree.react2023 import list_splits
from data_pipeline.shards.command import shards
from data_pipeline.shards.verify import verify
from reactface_jax.array_reading import read_npz
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.media.video import VideoWriter

KINDS = ("tracebacks", "hangs", "silent", "lost")
LENGTH, SIZE = 6, 32  # frames, pixels


@dataclass
class Arguments:
    """How many of each attack."""

    headers: int = 300
    """.npy and .npz files with damaged bytes, read as coefficients."""
    tables: int = 100
    """csv and JSON files of a raw tree with damaged text, read."""
    trees: int = 20
    """Raw trees with one damaged file, given to `check` and `shards`."""
    sets: int = 20
    """Shard sets with one damaged file, given to `verify`."""
    disks: int = 8
    """Disks that are full at a random byte, under `shards` and `labels`."""
    kills: int = 8
    """SIGKILLs at a random moment of `shards`, `labels`, `verify` and `check`."""
    seed: int = 0
    patience: float = 60.0
    """Seconds after which a command counts as hanging."""


@dataclass
class Tally:
    """What happened; and the first cases of what must not happen."""

    runs: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def fault(self, kind: str, attack: str, what: str) -> None:
        """Counts a fault."""
        self.faults[kind] += 1
        self.examples.append(f"{kind}: {attack}: {what}")


def write_tree(root: Path) -> None:
    """A small raw tree of exactly REACT2023's form, of noise: two pairs to train on, one to validate."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 2), ("val", 1)):
        rows = ["index,speaker_path,listener_path"]
        for number in range(count):
            pair = [f"NoXI/{split}_{number}/{role}_video/1" for role in ("Expert", "Novice")]
            rows.append(",".join([str(number), *pair]))
            for person in pair:
                _write_person(root, person, rng)
        (root / f"{split}.csv").write_text("\n".join([*rows, ""]))
    np.save(root / "mean_face.npy", rng.normal(size=58))
    np.save(root / "std_face.npy", rng.random(58))
    np.save(root / "Approprirate_facial_reaction.npy", np.eye(6))
    (root / "data_indices.csv").write_text("site,chat_index,clip_index\nNoXI,train_0,1\nNoXI,train_1,1\nNoXI,val_0,1\n")
    (root / "coefficient_names.json").write_text(json.dumps([f"n{i}" for i in range(58)]))


def _write_person(root: Path, person: str, rng: np.random.Generator) -> None:
    import wave

    for folder in ("Video_files", "Audio_files", "3D_FV_files", "Emotion"):
        (root / folder / person).parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(root / "Video_files" / f"{person}.mp4", size=(SIZE, SIZE)) as video:
        for _ in range(LENGTH):
            video.write(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8))
    with wave.open(str(root / "Audio_files" / f"{person}.wav"), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(rng.integers(-3000, 3000, 640 * LENGTH).astype("<i2").tobytes())
    np.save(root / "3D_FV_files" / f"{person}.npy", rng.normal(size=(LENGTH, 1, 58)).astype(np.float32))
    header = ",".join(f"a{i}" for i in range(NUM_ATTRIBUTES))
    table = rng.random((LENGTH, NUM_ATTRIBUTES))
    np.savetxt(root / "Emotion" / f"{person}.csv", table, "%.4f", ",", header=header, comments="")


def damaged(content: bytes, rng: np.random.Generator, first: int = 10**9) -> bytes:
    """Bytes changed, cut off, added or doubled; those in the first `first` bytes only."""
    changed, end = bytearray(content), max(1, min(first, len(content)))
    match rng.integers(8):
        case 0:
            return bytes(changed[: rng.integers(len(changed) + 1)])
        case 1:
            place = int(rng.integers(end))
            return bytes(changed[:place] + rng.bytes(int(rng.integers(1, 9))) + changed[place:])
        case 2:
            return rng.bytes(int(rng.integers(200)))
        case 3:
            place, size = int(rng.integers(end)), int(rng.integers(1, 40))
            changed[place : place + size] = bytes(size)
        case _:
            for _ in range(int(rng.choice([1, 1, 2, 6]))):
                letters = list(b"{}()[],:;'\"\n #0123456789eLTF<>|nai-.")
                changed[rng.integers(end)] = rng.choice(letters) if rng.random() < 0.6 else rng.integers(256)
    return bytes(changed)


def damaged_text(content: bytes, rng: np.random.Generator) -> bytes:
    """As `damaged`, or another encoding, delimiter, number or depth."""
    text = content.decode()
    match rng.integers(10):
        case 0:
            return text.encode("utf-16")
        case 1:
            return b"\xef\xbb\xbf" + content
        case 2:
            return text.replace(",", str(rng.choice([";", "\t", "|"]))).encode()
        case 3:
            words = ["nan", "inf", "-inf", "1e300", "", "x", "9" * 5000, "[" * 200_000, "{}", "null", "../../x", "\0"]
            cells = text.split(",")
            cells[rng.integers(len(cells))] = str(rng.choice(words))
            return ",".join(cells).encode()
        case 4:
            lines = text.splitlines()
            del lines[rng.integers(len(lines))]
            return "\n".join(lines).encode()
        case 5:
            return b"[" * int(rng.integers(1, 200_000))
        case _:
            return damaged(content, rng)


# ---- Readers, in this process ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Raises `TimeoutError` in what takes longer."""

    def end(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def read(tally: Tally, attack: str, seconds: float, reader: Callable[[], str]) -> None:
    """Counts what a reader does; it returns what is silently wrong, or an empty string."""
    tally.runs[attack] += 1
    try:
        with patience(seconds):
            wrong = reader()
    except UserError:
        tally.refused[attack] += 1
    except TimeoutError:
        tally.fault("hangs", attack, f"more than {seconds} s")
    except BaseException as error:
        tally.fault("tracebacks", attack, f"{type(error).__name__}: {error}"[:300])
    else:
        if wrong:
            tally.fault("silent", attack, wrong)


def attack_headers(tally: Tally, arguments: Arguments, home: Path, rng: np.random.Generator) -> None:
    """Coefficients whose header is damaged; what is accepted must be what NumPy reads, and finite."""
    path, packed = home / "1.npy", home / "1.npz"
    for number in range(arguments.headers):
        file = io.BytesIO()
        kind = str(rng.choice(["<f4", ">f8", "<f2", "<i4"]))
        array = (rng.normal(size=(7, 58)) * 3).astype(kind)
        if number % 4 == 3:
            np.savez_compressed(file, x=array) if number % 8 == 3 else np.savez(file, x=array)
            packed.write_bytes(damaged(file.getvalue(), rng))
            read(tally, "npz", arguments.patience, lambda: _same_npz(packed))
        else:
            np.save(file, array)
            path.write_bytes(damaged(file.getvalue(), rng, 128 if rng.random() < 0.9 else 10**9))
            read(tally, "npy", arguments.patience, lambda: _same_npy(path))


def _same_npy(path: Path) -> str:
    found = read_coefficients(path)
    if not np.isfinite(found).all():
        return "not finite"
    try:
        expected = np.load(path, allow_pickle=False)
    except Exception as error:  # NumPy's own reader raises all that this attack is about
        return f"NumPy refuses it: {type(error).__name__}"
    same = np.array_equal(found, np.atleast_2d(expected.squeeze()).astype(np.float32))
    return "" if same else "another array than NumPy's"


def _same_npz(path: Path) -> str:
    found = read_npz(path, most_bytes=10**6)
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    return "" if set(found) == names else f"{set(found)} instead of {names}"


def attack_tables(tally: Tally, arguments: Arguments, home: Path, rng: np.random.Generator) -> None:
    """The texts of a tree, one at a time."""
    root = home / "tables"
    write_tree(root)
    names = ["train.csv", "data_indices.csv", "coefficient_names.json"]
    texts = [root / name for name in names] + sorted(root.glob("Emotion/**/*.csv"))[:1] * 2
    for _ in range(arguments.tables):
        path = texts[rng.integers(len(texts))]
        whole = path.read_bytes()
        path.write_bytes(damaged_text(whole, rng))
        read(tally, path.name if path.parent == root else "Emotion csv", arguments.patience, lambda: _read(root, path))  # noqa: B023
        path.write_bytes(whole)


def _read(root: Path, path: Path) -> str:
    """Reads all that a command would read of a text."""
    from data_pipeline.labels.appropriateness import cut

    if path.name == "coefficient_names.json":
        names = read_coefficient_names(root)
        return "" if len(set(names)) == 58 else "not 58 names"
    if path.parent != root:
        array = read_attributes(path)
        numbers = [_numbers(line) for line in path.read_text("utf-8-sig").splitlines()]
        rows = [row for row in numbers if row is not None and row != list(range(NUM_ATTRIBUTES))]
        with np.errstate(over="ignore"):
            same = np.isfinite(array).all() and np.array_equal(array, np.array(rows, np.float64).astype(np.float32))
        return "" if same else "another table than the text's lines of numbers"
    splits = list_splits(root)
    for split in splits:
        cut(root, split)
    return ""


def _numbers(line: str) -> list[float] | None:
    try:
        return [float(cell) for cell in line.split(",")]
    except ValueError:
        return None


# ---- Commands, in processes of their own -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int  # negative: the signal
    errors: str
    hung: bool
    seconds: float


def run(
    command: Callable[[], None], seconds: float, *, kill_after: float | None = None, most_bytes: int | None = None
) -> Ending:
    """Runs a command in a forked process; perhaps killed, perhaps with a limit on each file's size, as a full disk."""
    reading, writing = os.pipe()  # no file, which a limit on sizes would cut
    os.set_blocking(reading, False)
    start, text = time.monotonic(), b""
    child = os.fork()
    if not child:
        _as_command(command, writing, most_bytes)
    os.close(writing)
    deadline = start + (seconds if kill_after is None else kill_after)
    ended = (0, 0)
    while not ended[0]:
        is_late = time.monotonic() >= deadline
        if is_late:
            os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0 if is_late else os.WNOHANG)
        with contextlib.suppress(BlockingIOError):
            text += os.read(reading, 1 << 20)
        time.sleep(0.001)
    os.close(reading)
    code = os.waitstatus_to_exitcode(ended[1])
    hung = is_late and kill_after is None and code == -signal.SIGKILL
    return Ending(code, text.decode(errors="replace"), hung, time.monotonic() - start)


def _as_command(command: Callable[[], None], errors: int, most_bytes: int | None) -> None:
    """What the child does: as the command line, with everything on stderr kept."""
    code = 1
    try:
        os.dup2(errors, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if most_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
        reports_user_errors(command)()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def succeed(command: Callable[[], None]) -> None:
    """Runs a command that nothing disturbs; here too in a process of its own, since this one must start no threads."""
    if (ending := run(command, 600)).code:
        raise RuntimeError(ending.errors)


def judge(tally: Tally, attack: str, ending: Ending) -> bool:
    """Counts an ending; whether it was a success."""
    tally.runs[attack] += 1
    last = (ending.errors.strip().splitlines() or [""])[-1]
    if ending.hung:
        tally.fault("hangs", attack, f"more than {ending.seconds:.0f} s")
    elif ending.code == 2 and "error: " in last and "Traceback" not in ending.errors:
        tally.refused[attack] += 1
    elif ending.code != 0:
        tally.fault("tracebacks", attack, f"code {ending.code}: {ending.errors[-600:]}")
    return ending.code == 0


def state(root: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def restore(root: Path, content: dict[str, bytes]) -> None:
    """Brings a folder back to a state."""
    import shutil

    shutil.rmtree(root, ignore_errors=True)
    for name, whole in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(whole)


def attack_trees(tally: Tally, arguments: Arguments, home: Path, rng: np.random.Generator) -> None:
    """One file of a tree damaged or gone: `check` and `shards` refuse it, or write a set that `verify` accepts."""
    root, out, rows = home / "damaged", home / "from_damaged", home / "left_out.csv"
    write_tree(root)
    whole = state(root)
    names = sorted(whole)
    for _ in range(arguments.trees):
        name = names[rng.integers(len(names))]
        if rng.random() < 0.1:
            (root / name).unlink()
        else:
            is_text = name.endswith((".csv", ".json"))
            (root / name).write_bytes((damaged_text if is_text else damaged)(whole[name], rng))
        before = state(root)
        judge(tally, "check", run(lambda: check(str(root), str(rows), max_bad=2), arguments.patience))
        made = judge(tally, "shards", run(lambda: shards(str(root), str(out), 1, True, max_bad=2), arguments.patience))
        if made and run(lambda: verify(str(out)), arguments.patience).code:
            tally.fault("silent", "shards", f"of a damaged {name} are not what `verify` accepts")
        if state(root) != before:
            tally.fault("lost", "shards", f"files of the tree, with a damaged {name}")
        restore(root, whole)


def attack_sets(tally: Tally, arguments: Arguments, home: Path, rng: np.random.Generator) -> None:
    """One file of a shard set damaged or gone: `verify` finds it."""
    root, out = home / "tree_of_set", home / "set"
    write_tree(root)
    succeed(lambda: shards(str(root), str(out), 1))
    whole = state(out)
    names = sorted(whole)
    for _ in range(arguments.sets):
        name = names[rng.integers(len(names))] if rng.random() < 0.8 else "description.json"
        if rng.random() < 0.1:
            (out / name).unlink()
            same = False
        else:
            content = (damaged_text if name.endswith(".json") else damaged)(whole[name], rng)
            (out / name).write_bytes(content)
            same = content == whole[name] or (name == "description.json" and _same_json(content, whole[name]))
        ending = run(lambda: verify(str(out)), arguments.patience)
        if judge(tally, "verify", ending) and not same:
            tally.fault("silent", "verify", f"accepts a damaged {name}")
        restore(out, whole)


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one.decode("utf-8-sig")) == json.loads(other))
    except (ValueError, RecursionError):
        return False


def attack_commands(tally: Tally, arguments: Arguments, home: Path, rng: np.random.Generator) -> None:
    """Full disks, kills, and folders where nothing may be lost. A command that is run again completes its work."""
    root, out = home / "raw", home / "out"
    write_tree(root)
    (home / "work").mkdir()
    (home / "work" / "thesis.tex").write_text("years")
    kept = {folder: state(home / folder) for folder in ("raw", "work")}
    succeed(lambda: shards(str(root), str(home / "expected"), 1))
    expected = state(home / "expected")
    succeed(lambda: labels(root, "coefficients", 2, splits=("train",), out=home / "expected_labels"))
    expected_labels = state(home / "expected_labels")
    label_folder = home / "labels"

    commands: dict[str, Callable[[], None]] = {
        "shards": lambda: shards(str(root), str(out), 1, True),
        "labels": lambda: labels(root, "coefficients", 2, splits=("train",), out=label_folder, overwrite=True),
        "verify": lambda: verify(str(home / "expected")),
        "check": lambda: check(str(root), str(home / "rows.csv")),
    }
    usual = {name: run(command, arguments.patience).seconds for name, command in commands.items()}

    def whole(attack: str) -> None:
        """What must hold at any moment, however a command ended."""
        for folder, before in kept.items():
            if state(home / folder) != before:
                tally.fault("lost", attack, f"files of {folder}")
        if out.exists() and state(out) != expected:
            tally.fault("lost", attack, "half a shard set stands at --out")
        if state(home / "expected") != expected:
            tally.fault("lost", attack, "files of a set that was only read")

    def completes(attack: str, name: str) -> None:
        """The command again, undisturbed."""
        ending = run(commands[name], arguments.patience)
        if ending.code:
            tally.fault("tracebacks", attack, f"{name} does not go on: {ending.errors[-600:]}")
        whole(attack)
        found = {key: content for key, content in state(label_folder).items() if key.endswith(".npy")}
        if name == "labels" and found != {k: v for k, v in expected_labels.items() if k.endswith(".npy")}:
            tally.fault("silent", attack, "other labels than an undisturbed run's")

    for _ in range(arguments.kills):
        name = str(rng.choice(list(commands), p=[0.5, 0.3, 0.1, 0.1]))
        run(commands[name], arguments.patience, kill_after=float(rng.uniform(0, 1.1)) * usual[name])
        tally.runs["kills"] += 1
        whole("kills")
        completes("kills", name)
    for _ in range(arguments.disks):
        name = str(rng.choice(["shards", "labels"]))
        most = int(2 ** rng.uniform(0, 15))
        judge(tally, "full disk", run(commands[name], arguments.patience, most_bytes=most))
        whole("full disk")
        completes("full disk", name)
    for folder in (root, home, root / "x", home / "work", home / "work" / "thesis.tex", home / "work/thesis.tex/x"):
        for overwrite in (False, True):
            command = lambda: shards(str(root), str(folder), 1, overwrite)  # noqa: B023, E731
            if judge(tally, "folders", run(command, arguments.patience)):
                tally.fault("lost", "folders", f"shards --out {folder} was accepted")
            whole("folders")
    for degree, weight, average in (
        (np.nan, 0, 1),
        (np.inf, 0, 1),
        (2, np.nan, 1),
        (2, np.inf, 1),
        (2, -1, 1),
        (2, 0, 0),
    ):
        command = lambda: labels(root, "coefficients", degree, weight, average, out=home / "no")  # noqa: B023, E731
        if judge(tally, "options", run(command, arguments.patience)):
            tally.fault("silent", "options", f"labels with degree {degree}, weight {weight}, average {average}")
        whole("options")
    left = [path.name for path in home.iterdir() if path.name.endswith(".partial")]
    if left:
        tally.fault("lost", "commands", f"leftovers: {left}")


def attack(arguments: Arguments) -> Tally:
    """All attacks."""
    tally = Tally()
    rng = np.random.default_rng(arguments.seed)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            attack_trees: arguments.trees,
            attack_sets: arguments.sets,
            attack_commands: arguments.disks + arguments.kills,
            attack_headers: arguments.headers,
            attack_tables: arguments.tables,
        }
        for part in (part for part, count in parts.items() if count):
            home = Path(folder) / part.__name__
            home.mkdir()
            part(tally, arguments, home.resolve(), rng)
            print(
                f"{part.__name__}: {time.monotonic() - start:.0f} s, {dict(tally.faults)}", file=sys.stderr, flush=True
            )
    return tally


def main() -> None:
    """Prints a table, the first faults in words, and ends with code 1 if there are any."""
    tally = attack(tyro.cli(Arguments, description=__doc__))
    print("| attack | runs | refused in one sentence |\n|---|---|---|")
    for name, count in tally.runs.items():
        print(f"| {name} | {count} | {tally.refused[name]} |")
    print(", ".join(f"{kind} {tally.faults[kind]}" for kind in KINDS))
    for example in tally.examples[:20]:
        print(example, file=sys.stderr)
    raise SystemExit(bool(tally.examples))


if __name__ == "__main__":
    main()
