"""The launch scripts: their syntax, and the command that each ends in, with stand-ins for what it calls."""

import os
import pathlib
import subprocess

import pytest

LAUNCH = pathlib.Path(__file__).parents[2] / "launch"
SCRIPTS = sorted(LAUNCH.glob("*.sh"))


def run(script: str, *words: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", str(LAUNCH / script), *words], capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.fixture
def bin_folder(tmp_path):
    """Programs that print how they were called instead of doing it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("srun", "python", "gcloud"):
        program = folder / name
        program.write_text(f'#!/bin/bash\necho {name} "$@"\nexit ${{CODE:-0}}\n')
        program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_there_are_scripts_and_bash_can_read_them():
    assert len(SCRIPTS) == 3
    for script in SCRIPTS:
        assert subprocess.run(["bash", "-n", str(script)], capture_output=True).stderr == b""
        assert os.access(script, os.X_OK)


@pytest.mark.parametrize("script", [script.name for script in SCRIPTS])
def test_too_few_words_get_the_usage(script):
    called = run(script, "only")
    assert called.returncode == 2
    assert called.stderr.startswith("usage: ")


def test_slurm_starts_a_process_a_gpu(tmp_path, bin_folder):
    called = run("slurm_gpu.sh", "c.py", str(tmp_path / "run"), "shards", "--mesh.fsdp", "8", **bin_folder)
    assert called.stdout.startswith("srun --kill-on-bad-exit=1 python train.py --config c.py")
    assert called.stdout.rstrip().endswith("--data.dir shards --resume --mesh.fsdp 8")
    assert (tmp_path / "run").is_dir()


def test_a_node_knows_the_first_one_and_its_number(tmp_path, bin_folder):
    called = run("gpu_nodes.sh", "node0:1234", "2", "1", "c.py", str(tmp_path / "run"), "shards", **bin_folder)
    assert "--hosts.coordinator node0:1234 --hosts.count 2 --hosts.index 1" in called.stdout
    assert called.returncode == 0
    refused = run("gpu_nodes.sh", "a:1", "2", "1", "c.py", str(tmp_path / "run"), "shards", CODE="2", **bin_folder)
    assert refused.returncode == 2  # a mistake of the user's is not repeated


def test_a_slice_runs_on_all_workers(tmp_path, bin_folder):
    called = run(
        "tpu_slice.sh", "me", "z", "4", "c.py", "/mnt/my run", "/mnt/shards", "--mesh.fsdp", "-1", **bin_folder
    )
    assert called.stdout.startswith("gcloud compute tpus tpu-vm ssh me --zone z --worker=all --command mkdir -p ")
    assert r"--workdir /mnt/my\ run --data.dir /mnt/shards --resume --hosts.count 4 --mesh.fsdp -1" in called.stdout
