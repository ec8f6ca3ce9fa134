"""The exercises of lesson 06: the size of a split, films that leak, a distance by hand."""

from __future__ import annotations

from yolo_ft.report.answers import Exercise

ROWS = (
    Exercise(
        "06.1",
        1,
        2,
        "A set has 700 images. How many of them does `split` put into validation, if nothing else is said?",
        140,
        "Below 1,000 images a fifth is held out, because fewer would measure too badly.",
        (
            (70, "A tenth is for sets of 1,000 images and more."),
            (560, "So many are trained on; the question was how many validate."),
        ),
        (
            "The default has two shares, one for small sets and one for large ones.",
            "The limit between them is 1,000 images.",
            "700 images are few: a fifth of them.",
        ),
    ),
    Exercise(
        "06.2",
        2,
        5,
        "60 films of 5 frames each are split at random, frame by frame: 240 frames train, 60 validate. What is the "
        "probability that a validation frame has at least one frame of its own film in training? (0 to 1, four "
        "decimals)",
        0.9986,
        "All four others would have to be in validation as well, which happens in 0.14 % of the cases.",
        (
            *((each, "That is the probability for one given frame; there are four others.") for each in (0.8, 0.8027)),
            *((each, "That is the share of frames that validate, whatever film it is.") for each in (0.2, 0.1973)),
            (0.0014, "That is the probability that none is. The question was at least one."),
            *((each, "That is the probability that all four train. One is enough.") for each in (0.4096, 0.413)),
        ),
        (
            "Ask the opposite: when has it none?",
            "Its four siblings must all be among the other 59 validation frames.",
            "1 − (59 · 58 · 57 · 56) / (299 · 298 · 297 · 296), nearly 1 − 0.2⁴.",
        ),
        tolerance=0.0003,
    ),
    Exercise(
        "06.3",
        3,
        8,
        "In your set half of the objects are small and half are large. In the source all are small. How large is the "
        "Jensen–Shannon distance of these two histograms? (to 0.01)",
        0.558,
        "0.311 bits of divergence, and the distance is its square root.",
        (
            (0.311, "That is the divergence in bits; the distance is its square root."),
            (0.464, "The logarithm is to base 2 (bits), so that 1 is the largest distance."),
            (0.5, "That is the share of objects in other bins (the total variation), another distance."),
            (0.789, "Take the mean of the two relative entropies, not their sum."),
        ),
        (
            "The histogram in the middle between (0.5, 0.5) and (1, 0) is (0.75, 0.25).",
            "Relative entropy of each to the middle: Σ p · log2(p / middle); a bin with p = 0 adds nothing.",
            "0.5 · log2(0.5 / 0.75) + 0.5 · log2(0.5 / 0.25) = 0.208; log2(1 / 0.75) = 0.415; the root of the mean.",
        ),
        tolerance=0.01,
    ),
)
