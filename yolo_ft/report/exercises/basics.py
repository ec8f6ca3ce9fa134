"""The exercises of lessons 01-05: names, freezing, training, reading results, comparing."""

from __future__ import annotations

from yolo_ft.report.answers import Exercise

ROWS = (
    Exercise(
        "01.1",
        1,
        3,
        "Write the full name of the weight of the 3×3 convolution in the second bottleneck of layer 4.",
        "model.4.m.1.cv2.conv.weight",
        "`m` lists the bottlenecks from 0, and `cv2` is the 3×3 convolution of each.",
        (
            ("model.4.m.2.cv2.conv.weight", "Lists count from 0: the second bottleneck is m.1; m.2 is the third."),
            ("model.4.m.1.cv1.conv.weight", "cv1 is the 1×1 convolution of a bottleneck; the 3×3 one is cv2."),
        ),
        (
            "Filter the parameter table by `model.4.m`.",
            "A bottleneck has two convolutions, cv1 and cv2. Which one has a shape that ends in 3, 3?",
            "The first bottleneck's is model.4.m.0.cv2.conv.weight.",
        ),
    ),
    Exercise(
        "01.2",
        2,
        4,
        "A detector for 3 classes: how many output channels has `model.24.m.0.weight`?",
        24,
        "3 anchors × (4 box numbers + 1 objectness + 3 classes).",
        (
            (9, "That is 3 anchors × 3 classes: every anchor also predicts four box numbers and objectness."),
            (8, "That is one anchor. Each of the three anchors of a level has its own eight outputs."),
            (255, "That is the count for 80 classes: 3 × (5 + 80)."),
        ),
        (
            "Count what one anchor has to say about one place: where, whether, what.",
            "Where: 4 numbers. Whether: 1. What: one per class. And there are three anchors per place.",
            "3 × (4 + 1 + number of classes).",
        ),
    ),
    Exercise(
        "01.3",
        3,
        8,
        "By how many parameters, counted as single numbers, does YOLOv5n shrink when the number of classes goes from "
        "80 to 20?",
        81_180,
        "60 classes × 3 anchors × (64 + 128 + 256 weights and 3 biases).",
        (
            (80_640, "The weights are right, but each output channel also has a bias: 3 levels, 3 × 60 each."),
            (27_060, "Every class has one output per anchor, and there are three anchors at each level."),
        ),
        (
            "Only layer 24 depends on the number of classes; it has one 1×1 convolution with bias per level.",
            "The three convolutions read 64, 128 and 256 channels. One output channel costs its inputs plus one.",
            "Each class costs 3 × (64 + 1) + 3 × (128 + 1) + 3 × (256 + 1) numbers.",
        ),
    ),
    Exercise(
        "02.1",
        1,
        2,
        "Which layers does `model.freeze([10])` freeze? Answer with a list of layer indices.",
        [10],
        "A list means exactly these layers; a number n means the first n.",
        (
            (list(range(10)), "That is freeze(10), the number. In brackets it is a list: exactly layer 10."),
            (list(range(11)), "Neither form does that: the number 10 means layers 0–9, the list [10] means layer 10."),
        ),
        (
            "Compare the printed report of freeze(10) with that of freeze([0, 3]).",
            "The brackets make it a list of layers instead of a count of layers.",
            "freeze([5]) would freeze layer 5 and nothing else.",
        ),
    ),
    Exercise(
        "02.2",
        2,
        4,
        "A frozen prefix holds 75 % of the forward FLOPs. How many times faster is a training step at best, "
        "if its outputs are not cached?",
        2.0,
        "3 / (3 − 2 · 0.75): the prefix still runs forward.",
        (
            (4.0, "That is 1 / (1 − p), with cached outputs. Without a cache the prefix still runs forward."),
            (3.0, "That needs everything to be frozen: the quarter above still pays all three passes."),
            (4 / 3, "That is 1 / p. What counts is the work that remains: 3 − 2p of 3."),
        ),
        (
            "A step costs three units: forward, gradient of the inputs, gradient of the weights.",
            "The frozen share p pays one unit instead of three, the rest pays three.",
            "3 / (p · 1 + (1 − p) · 3).",
        ),
        tolerance=0.005,
    ),
    Exercise(
        "02.3",
        3,
        6,
        "A weight is 1.0, its stored velocity 0.5, its gradient is set to zero. SGD with learning rate 0.1, momentum "
        "0.9 and weight decay 0.01 makes one step. What is the weight now?",
        0.954,
        "velocity 0.9 · 0.5 + 0.01 · 1.0 = 0.46, and 1 − 0.1 · 0.46 = 0.954.",
        (
            (1.0, "A zero gradient is not a missing one: velocity and decay still move the weight."),
            (0.955, "The velocity is there, the decay is missing: it adds 0.01 · 1.0 to the gradient."),
            (0.999, "The decay is there, the velocity is missing: 0.9 · 0.5 of it survives."),
        ),
        (
            "SGD with momentum: g = gradient + decay · w, then v = momentum · v + g, then w = w − rate · v.",
            "g = 0 + 0.01 · 1.0.",
            "v = 0.9 · 0.5 + 0.01.",
        ),
        tolerance=1e-4,
    ),
    Exercise(
        "03.1",
        1,
        2,
        "A dataset has 130 images, a batch holds 16, and no image is left out. How many batches is one epoch?",
        9,
        "Eight full batches and one of 2 images.",
        (
            (8, "That drops the last 2 images; the last batch is simply smaller."),
            (8.125, "Batches are whole: the last one is smaller, but it is one."),
        ),
        ("Divide, then think about the remainder.", "130 = 8 × 16 + 2.", "The 2 images left make a batch too."),
    ),
    Exercise(
        "03.2",
        2,
        4,
        "An averaged weight (EMA, decay 0.9) is 1.0; the raw weight stays at 0.0. What is the average after two steps?",
        0.81,
        "Each step keeps 0.9 of the average: 0.9 × 0.9.",
        (
            (0.9, "That is one step; there were two."),
            (0.8, "The decay multiplies: 10 % of what is left goes each time, not 10 % of the start."),
            (0.01, "The roles are swapped: a decay of 0.9 keeps 90 % of the average, not 10 %."),
        ),
        (
            "average = decay · average + (1 − decay) · raw.",
            "After one step it is 0.9.",
            "0.9 · 0.9 + 0.1 · 0.0.",
        ),
        tolerance=1e-4,
    ),
    Exercise(
        "03.3",
        3,
        6,
        "SGD with classical momentum 0.9 (the step is rate × velocity, no Nesterov) has run for long on a constant "
        "gradient. A resume restores the weights but forgets the velocity. By what factor is its first step too small?",
        10,
        "The velocity had grown to g / (1 − 0.9) = 10 g; a fresh one starts at g.",
        (
            (1, "The weights are the same, but the step is rate × velocity, and the velocity is gone."),
            (0.9, "That is one step's share; the velocity is a sum: 1 + 0.9 + 0.81 + …"),
            (9, "The sum 1 + 0.9 + 0.81 + … has the first term too."),
            (10 / 1.9, "That is Nesterov's step, g + 0.9 · velocity; the classical step is the velocity alone."),
            (0.1, "That is the inverse: the share of the step that is left."),
        ),
        (
            "Write the velocity after many steps as a sum: g + 0.9 g + 0.81 g + …",
            "A geometric series: 1 + q + q² + … = 1 / (1 − q).",
            "1 / (1 − 0.9).",
        ),
        tolerance=0.05,
    ),
    Exercise(
        "04.1",
        1,
        3,
        "What is the IoU of the boxes (0, 0, 10, 10) and (5, 0, 15, 10), given as corners?",
        1 / 3,
        "They share 50 of the 150 pixels that they cover together.",
        (
            (0.5, "That is the shared area over one box. The union of both is 150."),
            (0.25, "That is the shared area over 200: the sum of both counts the overlap twice."),
        ),
        ("Shared area over covered area.", "The shared part is 5 × 10.", "Together they cover 100 + 100 − 50."),
        tolerance=0.005,
    ),
    Exercise(
        "04.2",
        2,
        4,
        "Six objects; a detector returns four boxes, and three of them match three different objects. What is its F1?",
        0.6,
        "Precision 3/4, recall 3/6: 2 · 0.75 · 0.5 / (0.75 + 0.5).",
        (
            (0.75, "That is the precision: it does not see the three missed objects."),
            (0.5, "That is the recall: it does not see the false box."),
            (0.625, "That is the plain average of precision and recall; F1 is their harmonic mean."),
        ),
        (
            "Precision: matched boxes over boxes. Recall: matched objects over objects.",
            "Precision is 3/4, recall is 3/6.",
            "F1 = 2 · P · R / (P + R).",
        ),
        tolerance=0.001,
    ),
    Exercise(
        "04.3",
        3,
        8,
        "Two objects. Ranked by confidence, the detections are: right, wrong, right. What is the average precision?",
        0.8333,
        "Up to recall 0.5 the precision is 1; from there to 1.0 the best that follows is 2/3.",
        (
            (0.7222, "That averages the precision over the detections; AP is an area over recall."),
            (0.6667, "That is the precision at the end; AP is the area under the whole curve."),
            (
                0.75,
                "That keeps the 1/2 of the dip; at each recall the best precision at that or a higher recall counts.",
            ),
        ),
        (
            "Recall rises only with a right detection: to 0.5 with the first, to 1.0 with the third.",
            "Take at each recall the best precision at that recall or a higher one.",
            "0.5 · 1 + 0.5 · 2/3.",
        ),
        tolerance=0.003,
    ),
    Exercise(
        "05.1",
        1,
        3,
        "mAP50 of arm A for seeds 0–2: 0.50, 0.54, 0.52. Arm B: 0.49, 0.52, 0.51. What is the mean paired difference "
        "B − A?",
        -0.0133,
        "(−0.01 − 0.02 − 0.01) / 3.",
        (
            (0.0133, "The sign is turned round: B − A, and B is lower for every seed."),
            (-0.04, "That is the sum of the differences; divide by the three seeds."),
        ),
        ("Subtract within each seed first.", "The differences are −0.01, −0.02 and −0.01.", "Their mean."),
        tolerance=0.0005,
    ),
    Exercise(
        "05.2",
        2,
        3,
        'Three seeds give differences of +0.01, +0.02 and +0.01. By this course\'s rule, is the claim "confirmed", '
        '"not confirmed" or "not decided"?',
        "not decided",
        "Under five seeds nothing is claimed: three equal signs come by chance once in four times.",
        (
            ("confirmed", "Three equal signs come by chance once in four times; a claim needs five seeds."),
            ("not confirmed", "Too little evidence for a claim is not evidence against it."),
        ),
        (
            "How many seeds does a claim need here?",
            "Toss three coins: how often do all three agree?",
            "Too few seeds decide neither for nor against.",
        ),
        accepted=("not decided by this budget", "undecided"),
    ),
    Exercise(
        "05.3",
        3,
        6,
        "Freezing makes the training step 3 times faster, but the step is only 60 % of an epoch; the rest is loading "
        "and validation. How many times faster is the epoch?",
        1 / 0.6,
        "0.4 stays, 0.6 becomes 0.2: 1 / 0.6.",
        (
            (3.0, "Only the step is faster; loading and validation take as long as before."),
            (1.8, "That is 0.6 × 3. Times add up, speeds do not: add what each part takes now."),
            (2.2, "That is 0.4 + 0.6 × 3, a mean of speeds. Add what each part takes now."),
        ),
        (
            "Call the old epoch 1.0: the step takes 0.6 of it, the rest 0.4.",
            "After freezing, the step takes 0.2.",
            "1 / (0.4 + 0.2).",
        ),
        tolerance=0.04,
    ),
)
