"""The released measures, in `paper` mode, on the same arrays."""

import numpy as np

from reactface_jax import metrics


def test_paper_mode_agrees_with_the_released_code(goldens):
    golden = np.load(goldens / "metrics_a.npz")
    arrays = [golden[name] for name in ("prediction", "speaker", "listener", "neighbours")]
    scores = metrics.compute(*arrays, mode="paper")
    expected = {
        "FRCorr_multiprocess": golden["FRCorr"],
        "FRDist_multiprocess": golden["FRDist"],
        "FRDvs": golden["FRDvs"],
        "FRVar": golden["FRVar"],
        "FRDiv": golden["FRDiv"],
        "FRSyn": golden["FRSyn"],
        "FRSyn_multiprocess": golden["FRSyn_first_sample"],
        # Table II's are averaged over the three samples.
        "FRCorr": golden["FRCorr"] / 3,
        "FRDist": golden["FRDist"] / 3,
    }
    assert scores.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name], float(value), rtol=1e-5, err_msg=name)
