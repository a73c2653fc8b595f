"""Attacks what `prepare` reads and writes, at random: what ends in a traceback, hangs, is silently wrong or gets lost.

    python benchmarks/attack_raw_tree.py --headers 3000 --tables 600 --trees 60 --sets 100 --disks 30 --kills 60

Files are damaged at random places (bytes, ends, numbers, encodings), commands get options that make no sense, a disk
that is full at a random byte, and SIGKILL at a random moment. Each command runs in a process of its own, forked from
this one, which has imported everything and started nothing. Counted are

- tracebacks: it ended with anything but code 0, or code 2 and one line that begins with "error:";
- hangs: it took longer than --patience;
- silent: it ended with code 0 and a result that is not what the damaged file says, or not what was written;
- lost: a file of the raw tree, or one that is not ours, is gone or changed; or a killed command left half a result.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro
from attack_readers import attack_headers, attack_tables
from damaged_trees import KINDS, Arguments, Ending, Tally, damaged, damaged_text, judge, write_tree

import data_pipeline.shards.write  # noqa: F401  TensorFlow, which commands import late: here once for all processes
from data_pipeline.labels.appropriateness import neighbours
from data_pipeline.labels.command import labels
from data_pipeline.raw_tree.check import check
from data_pipeline.shards.command import shards
from data_pipeline.shards.verify import verify
from reactface_jax.errors import reports_user_errors

# ---- Commands, in processes of their own -----------------------------------------------------------------------------


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
    # Compiled here, once, and not in every process that is forked; the threads of this call have ended before that.
    neighbours([np.random.default_rng(n).normal(size=(4, 58)).astype(np.float32) for n in range(4)], 2)
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
