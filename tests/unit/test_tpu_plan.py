"""The TPU's compiler as a tool: what is read from its text, and what it makes of F-Enc's first layer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hlo_text import instructions

ROOT = Path(__file__).parents[2]
TEXT = """
%body.1 (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %fusion.2 = f32[8]{0:T(128)} fusion(%p), calls=%f, metadata={op_name="jit(e)/body/add"}, "estimated_cycles":"70",
}
%unused (p: f32[8]) -> f32[8] {
  %copy.9 = f32[8]{0} copy(%p), backend_config={"window_config":{"estimated_cycles":"9999"}}
}
ENTRY %main.6 (t.1: f32[8]) -> f32[8] {
  %copy = bf16[1,2]{1,0:T(8,128)S(1)} copy(%t.1), metadata={op_name="t"}, {"estimated_cycles":"100"}
  %while = (s32[]{:T(128)}, f32[8]{0:T(128)}) while(%t), condition=%c, body=%body.1, {"known_trip_count":{"n":"3"}}
  ROOT %add.7 = f32[8]{0} add(%copy, %copy)
}
"""


CONDITION = """
%c (p.1: (s32[], f32[8])) -> pred[] {
  %constant.5 = s32[]{:T(128)} constant(3)
  %p.1 = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %n = s32[]{:T(128)} get-tuple-element(%p.1), index=0
  ROOT %lt.4 = pred[]{:T(512)} compare(%n, %constant.5), direction=LT, metadata={op_name="jit(e)/while/cond/lt"}
}
"""
WITHOUT_COUNT = TEXT.replace(', {"known_trip_count":{"n":"3"}}', "")


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        (TEXT, 3),
        (CONDITION + WITHOUT_COUNT, 3),
        (WITHOUT_COUNT + CONDITION, 3),
        (CONDITION.replace("(%n, %constant.5)", "(s32[] %n, s32[] %constant.5)") + WITHOUT_COUNT, 3),
        (CONDITION.replace("constant(3)", "constant(9)") + TEXT, 3),
        (CONDITION.replace("%constant.5)", "%other)") + WITHOUT_COUNT, 1),
        (CONDITION.replace("direction=LT", "direction=NE") + WITHOUT_COUNT, 1),
        (WITHOUT_COUNT, 1),
    ],
)
def test_a_loop_counts_as_often_as_the_compiler_or_its_condition_says(text, turns):
    """The TPU's compiler writes no counts: they are read from the conditions, unless those compare something else."""
    assert text.count("while(") == 1
    times = {one.name: times for one, times in instructions(text, into=("while",))}
    assert times["fusion.2"] == turns
    assert times["copy"] == times["add.7"] == 1
    assert "copy.9" not in times


def test_operations_are_read_with_their_loops(tmp_path):
    """In a process of its own, since a plan's settings are made before JAX is imported."""
    (tmp_path / "text").write_text(CONDITION + WITHOUT_COUNT)
    code = (
        "import json, sys\nfrom benchmarks.tpu_plan import operations\n"
        "print(json.dumps(operations(open(sys.argv[1]).read())))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path / "text")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert json.loads(done.stdout) == [
        [210, "fusion", "f32[8]", "jit(e)/body/add"],
        [100, "copy", "bf16[1,2]", "t"],
    ]


@pytest.mark.long
def test_the_first_layer_and_the_reactions_have_the_form_that_a_tpu_wants(tmp_path):
    """By the compiler's own plan for a v5e: conv1 and conv2 in fewer cycles than native, and a table that stays."""
    pytest.importorskip("libtpu", reason="the extra tpu-plan is not installed")
    out = tmp_path / "plans.json"
    command = [sys.executable, "-m", "benchmarks.tpu_plan", "pieces", "--json", str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [*command, "--model.dtype", "bfloat16"], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    plans = {plan["name"]: plan for plan in json.loads(out.read_text())}
    for part in ("forward", "kernel gradient"):
        native, ours = plans[f"conv1 native, {part}"], plans[f"conv1 ours, {part}"]
        assert 10 * ours["cycles"] < native["cycles"], part
        assert 3 * ours["memory"]["temporaries"] < native["memory"]["temporaries"], part
    for part, times in (("forward", 1), ("kernel gradient", 2), ("input gradient", 8)):
        native, ours = plans[f"conv2 native, {part}"], plans[f"conv2 ours, {part}"]
        assert times * ours["cycles"] < native["cycles"], part
    reactions = plans["appropriate reactions"]["memory"]
    assert reactions["arguments"] > 400 * 2**20
    assert reactions["temporaries"] < 2**20
