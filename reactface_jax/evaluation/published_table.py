"""Table II of the paper (Luo et al., IEEE TVCG 2024): REACT2023's test split, 10 reactions, one A100."""

NUM_CLIPS, NUM_FRAMES = 1612, 750

COLUMNS = ("FRDvs", "FRVar", "FRDiv", "FRRea", "FRCorr", "FRSyn", "FPS")

TABLE_II: dict[str, tuple[float | None, ...]] = {
    "GT": (0.0374, 0.0120, None, 282.03, 9.480, 48.46, None),
    "Mirror": (0.0374, 0.0120, 0.0, 282.03, 0.936, 42.65, None),
    "Random": (0.0415, 0.0202, 0.0041, 477.49, 0.127, 45.82, None),
    "NN motion": (0.0420, 0.0199, 0.0, 452.38, 0.334, 46.90, 15.36),
    "NN audio": (0.0464, 0.0218, 0.0, 496.25, 0.017, 47.67, 3.32),
    "Trans-AE": (0.0063, 0.0003, 0.0, 599.35, 0.245, 45.01, 119.73),
    "LFI": (0.0247, 0.0109, 0.0138, 734.06, 0.048, 45.92, 24.15),
    "Ng et al.": (0.0015, 0.0102, 0.0003, 691.24, 0.059, 45.70, 91.75),
    "Zhou et al.": (0.0106, 0.0039, 0.0, 527.47, 0.104, 45.24, 150.14),
    "ReactFace": (0.0409, 0.0159, 0.0395, 424.46, 0.197, 43.94, 54.96),
}

ORDER = (
    "GT",
    "Mirror",
    "delayed-mirror",
    "Random",
    "Random uniform",
    "Random segment",
    "MeanSeq",
    "MeanFr",
    "linear",
    "NN motion",
    "NN audio",
    "Trans-AE",
    "LFI",
    "Ng et al.",
    "Zhou et al.",
    "Trans-VAE",
    "BeLFusion",
    "ReactFace",
    "Listener",
)
"""Table II's order, with the rows that it lacks beside what they resemble."""
