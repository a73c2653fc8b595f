"""The fields of LFI, "Let's Face It" (methods/lfi)."""

from dataclasses import dataclass

from reactface_jax.config.ranges import Count, Positive, Probability, Section, Share, Weight, require


@dataclass(frozen=True)
class LfiConfig(Section, name="lfi"):
    """The flow and its training; the defaults are the release's, without own speech."""

    channels: Count = 58  # coefficients of a frame; the original has 56
    history: Count = 5  # own frames that are seen
    face_window: Count = 24  # frames of the other person's face that are seen
    speech_window: Count = 16
    face_width: Count = 256  # of the GRU over the other person's face
    speech_width: Count = 256
    flow_steps: Count = 16
    condition_width: Count = 512
    hidden_width: Count = 128  # of the GRU in each flow step
    own_speech: bool = False  # the original sees its own speech too; here a listener is silent
    window: Count = 80  # frames of a training window; the first of them, as many as are seen, are not learnt
    face_dropout: Share = 0.6  # of whole frames of the other person
    speech_dropout: Share = 0.3
    noise: Weight = 0.0  # on standardised faces in training: channels that stand still have no density without it
    mismatched_rate: Probability = 0.1  # of batches in which the other person is somebody else's
    mismatched_weight: Weight = 0.1  # of what makes them unlikely
    learning_rate: Positive = 1e-5
    b1: Share = 0.9
    b2: Share = 0.9999
    decay: Share = 0.72992  # of the learning rate, every decay_steps
    decay_steps: Count = 20_712  # three epochs of all windows of train.csv's 2634 rows at batch 256
    clip_norm: Positive = 20.0  # of the global gradient
    statistics_batches: Count = 16  # training batches that means and deviations are measured on
    released: bool = False  # the original's log-determinants of actnorm and of the linear map: times the channels

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.channels % 2 == 0, f"lfi.channels {self.channels} must be even: the flow splits a frame in halves")
        require(
            self.window > self.context,
            f"lfi.window {self.window} must be above {self.context}, the frames that are seen before the first answer",
        )

    @property
    def context(self) -> int:
        """Frames before the first one that is answered."""
        return max(self.history, self.face_window, self.speech_window)
