"""What a program launches on a GPU, counted by hand."""

from benchmarks.gpu_launches import launches

TEXT = """
%inner (p: f32[8]) -> f32[8] {
  ROOT %never_a_kernel = f32[8]{0} copy(%p)
}
%body.1 (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %fusion.2 = f32[8]{0} fusion(%p), kind=kLoop, calls=%inner
  %call = (f32[2,2]{1,0}, s8[64]{0}) custom-call(%a, %b), custom_call_target="__cublas$lt$matmul"
}
%command_buffer (p: f32[8]) -> f32[8] {
  ROOT %fusion.3 = f32[8]{0} fusion(%p), kind=kLoop, calls=%inner
}
ENTRY %main.6 (t.1: f32[8]) -> f32[8] {
  %copy = bf16[8,1024,1024]{2,1,0} copy(%t.1)
  %small = bf16[8,1024]{1,0} copy(%t.1)
  %input_transpose_fusion = f32[4,1024,1024]{2,1,0} fusion(%t.1), kind=kInput, calls=%inner
  %conv = (f32[8], u8[0]) custom-call(%x), dim_labels=bf012_oi012->bf012, custom_call_target="__cudnn$convForward"
  %while = (s32[], f32[8]{0}) while(%t), condition=%c, body=%body.1, backend_config={"known_trip_count":{"n":"3"}}
  %captured = f32[8]{0} call(%t.1), to_apply=%command_buffer
  ROOT %add.7 = f32[8]{0} add(%copy, %copy)
}
"""


def test_loops_count_as_often_as_they_turn_graphs_too_and_bodies_of_kernels_not_at_all():
    found = launches(TEXT)
    assert found.kinds == {"fusion": 5, "__cublas$lt$matmul": 3, "copy": 2, "__cudnn$convForward": 1}
    assert found.layouts == {"bf012_oi012->bf012": 1}
    assert found.transposes == {"bf16[8,1024,1024]": 1, "f32[4,1024,1024]": 1}
