"""ReactFace as it reacts: configs/demo.py with other losses, and features and biases that let it follow the speaker.

Command:   reactface train --config reacting --workdir runs/demo/run --data.dir runs/demo/shards
Hardware:  2 CPU cores.
Time:      6 minutes: 1 of warm-up, 1.5 to compile, then 2 steps a second with JAX_NUM_CPU_DEVICES=2, one device a core.
Expected:  `make demo` stops it after 300 steps: FRCorr 2.25, every smile answered (README.md). Longer, on more data,
           with wider features: docs/does_it_react.md, "Eyes first".

docs/does_it_react.md has what each change does. The published design stays configs/demo.py; here its reactions are one,
as they nearly are there.
"""

from reactface_jax.config import load_config

config = load_config(
    "demo",
    [
        *("--loss.pose", "1"),  # expressions are what can be learnt from the speaker
        *("--loss.diversity", "0", "--train.num-reactions", "1"),  # it would only learn an offset
        *("--model.past", "window"),  # training sees the past that the prefix protocol will show
        *("--model.bias-period", "1"),  # each frame of the past counts less than the one after it
        *("--model.alignment", "point_to_point", "--model.face-alignment", "point_to_point"),
        *("--model.memory", "past"),  # attention sees the same when more frames come
        *("--train.video-warmup", "300"),  # F-Enc learns to see first
    ],
)
