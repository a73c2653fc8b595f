"""The launch scripts: their syntax, and the command that each ends in, with stand-ins for what it calls."""

import ast
import os
import pathlib
import subprocess
import time
import tomllib

import pytest
import yaml

from reactface_jax.commands import train
from reactface_jax.config import Config
from reactface_jax.training import hosts

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
    for name in ("srun", "python", "gcloud", "scontrol"):
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


@pytest.mark.parametrize(("given", "cores"), [({"SLURM_CPUS_PER_TASK": "6"}, "6"), ({}, "12")])
def test_slurm_gives_each_process_its_cores(tmp_path, bin_folder, given, cores):
    """srun reads SRUN_CPUS_PER_TASK, and no SLURM_CPUS_PER_TASK."""
    (pathlib.Path(bin_folder["PATH"].split(":")[0]) / "srun").write_text("#!/bin/bash\necho $SRUN_CPUS_PER_TASK\n")
    called = run("slurm_gpu.sh", "c.py", str(tmp_path / "run"), "shards", **bin_folder, **given)
    assert called.stdout == f"{cores}\n"


def test_a_node_knows_the_first_one_and_its_number(tmp_path, bin_folder):
    called = run("gpu_nodes.sh", "node0:1234", "2", "1", "c.py", str(tmp_path / "run"), "shards", **bin_folder)
    assert "--hosts.coordinator node0:1234 --hosts.count 2 --hosts.index 1" in called.stdout
    assert called.returncode == 0
    refused = run("gpu_nodes.sh", "a:1", "2", "1", "c.py", str(tmp_path / "run"), "shards", CODE="2", **bin_folder)
    assert refused.returncode == 2  # a mistake of the user's is not repeated


def test_a_node_whose_job_was_stopped_starts_again(tmp_path, bin_folder):
    folder, codes = pathlib.Path(bin_folder["PATH"].split(":")[0]), tmp_path / "codes"
    codes.write_text(f"{hosts.LOST}\n0\n")
    (folder / "python").write_text(f"#!/bin/bash\ncode=$(head -1 {codes}); sed -i 1d {codes}; echo $code; exit $code\n")
    (folder / "sleep").write_text("#!/bin/bash\n")
    (folder / "sleep").chmod(0o755)
    called = run("gpu_nodes.sh", "node0:1", "2", "0", "c.py", str(tmp_path / "run"), "shards", **bin_folder)
    assert (called.returncode, called.stdout.split()) == (0, ["75", "0"])


def test_a_slice_runs_on_all_workers(tmp_path, bin_folder):
    called = run(
        "tpu_slice.sh", "me", "z", "4", "c.py", "/mnt/my run", "/mnt/shards", "--mesh.fsdp", "-1", **bin_folder
    )
    assert called.stdout.startswith("gcloud compute tpus tpu-vm ssh me --zone z --worker=all --command mkdir -p ")
    assert r"--workdir /mnt/my\ run --data.dir /mnt/shards --resume --hosts.count 4 --mesh.fsdp -1" in called.stdout


def test_a_slice_tries_again_but_not_with_a_mistake(bin_folder):
    words = ("me", "z", "4", "c.py", "/mnt/run", "/mnt/shards")
    lost = run("tpu_slice.sh", *words, CODE=str(hosts.LOST), TRIES="3", PAUSE="0", **bin_folder)
    assert (lost.returncode, lost.stdout.count("gcloud")) == (75, 3)
    mistaken = run("tpu_slice.sh", *words, CODE="2", TRIES="3", PAUSE="0", **bin_folder)
    assert (mistaken.returncode, mistaken.stdout.count("gcloud")) == (2, 1)


@pytest.mark.parametrize(("code", "requeued"), [(0, True), (hosts.LOST, True), (2, False)])
def test_slurm_saves_before_its_time_is_up_and_queues_again(tmp_path, bin_folder, code, requeued):
    """The scheduler's signal reaches this script, which passes it on and waits for what the processes end with."""
    folder = pathlib.Path(bin_folder["PATH"].split(":")[0])
    pid, saved = tmp_path / "pid", tmp_path / "saved"
    (folder / "srun").write_text(
        f"#!/bin/bash\ntrap 'touch {saved}; exit {code}' TERM\necho $$ >{pid}.part; mv {pid}.part {pid}\n"
        "while true; do sleep 0.05; done\n"
    )
    (folder / "scancel").write_text(f"#!/bin/bash\n[ $1 = --signal=TERM ] && [ $2 = 77 ] && kill -TERM $(cat {pid})\n")
    (folder / "scancel").chmod(0o755)
    command = ["bash", str(LAUNCH / "slurm_gpu.sh"), "c.py", str(tmp_path / "run"), "shards"]
    environment = {**os.environ, **bin_folder, "SLURM_JOB_ID": "77"}
    job = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    while not pid.exists():
        assert job.poll() is None
        time.sleep(0.02)
    job.terminate()
    said, _ = job.communicate(timeout=60)
    assert saved.exists()
    assert said == ("scontrol requeue 77\n" if requeued else "")
    assert job.returncode == (0 if requeued else code)


def test_the_jobset_starts_a_process_a_host_with_flags_that_exist():
    (job,) = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())["spec"]["replicatedJobs"]
    pods = job["template"]["spec"]
    assert pods["parallelism"] == pods["completions"] == 4
    (container,) = pods["template"]["spec"]["containers"]
    assert container["command"] == ["reactface", "train"]
    arguments, config = train.parse(container["args"])
    assert arguments.resume
    assert isinstance(config, Config)
    chips = job["replicas"] * pods["completions"] * container["resources"]["limits"]["google.com/tpu"]
    assert config.train.batch_size % chips == 0


def test_the_jobset_may_write_checkpoints_into_its_bucket():
    (job,) = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]
    assert pod["metadata"]["annotations"] == {"gke-gcsfuse/volumes": "true"}  # mounts; a word, not a truth value
    assert pod["spec"]["serviceAccountName"] == "SERVICE_ACCOUNT"
    (volume,) = pod["spec"]["volumes"]
    options = volume["csi"]["volumeAttributes"]["mountOptions"].split(",")
    assert options == ["implicit-dirs", "rename-dir-limit=200000"]


def test_the_image_copies_what_is_there_and_installs_extras_that_exist():
    lines = (LAUNCH / "Containerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert {"pyproject.toml", "reactface_jax", "configs"} <= set(copied)
    assert all((LAUNCH.parent / name).exists() for name in copied)
    (call,) = (
        node
        for node in ast.walk(ast.parse((LAUNCH.parent / "setup.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    (folders,) = (ast.literal_eval(word.value) for word in call.keywords if word.arg == "package_dir")
    assert folders
    assert set(folders.values()) <= set(copied)
    extras = tomllib.loads((LAUNCH.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"tpu", "cuda", "data"} <= extras.keys()
    assert any('".[${EXTRA},data]"' in line for line in lines)
