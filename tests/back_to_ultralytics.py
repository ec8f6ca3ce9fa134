"""Takes fine-tuned YOLO26 weights back into Ultralytics 8.4: `python back_to_ultralytics.py ours.pt theirs.pt`.

`theirs.pt` is written by Ultralytics itself and opens there with `YOLO("theirs.pt")`. Needs `pip install ultralytics`.
"""

import sys

import torch
from torch import nn
from ultralytics import YOLO

if len(sys.argv) != 3:
    sys.exit(__doc__)
try:
    ours = torch.load(sys.argv[1], weights_only=True)
except Exception:  # torch has many
    sys.exit(f"{sys.argv[1]} is no checkpoint that yolo_ft wrote.")
if not isinstance(ours, dict) or ours.get("family") != "yolo26":
    sys.exit(f"{sys.argv[1]} holds no YOLO26 of yolo_ft; YOLOv5 goes back with back_to_yolov5.py.")
state = ours.get("training", {}).get("ema", ours["state_dict"])  # last.pt holds both; the average is what detects
classes = ours["num_classes"]
theirs = YOLO(f"{ours['family']}{ours['size']}.yaml")  # 80 classes, random weights
head = theirs.model.model[-1]
for branch in (head.cv3, head.one2one_cv3):
    for level in branch:  # as wide as ours, which depends on where our weights began, and with our classes
        width = state["model.23.cv3.0.2.weight"].shape[1]
        if width != level[2].in_channels:
            sys.exit(f"The class branches have {width} channels: fine-tune from weights for 80 classes instead.")
        level[2] = nn.Conv2d(width, classes, 1)
head.nc, head.no, theirs.model.nc, theirs.model.yaml["nc"] = classes, classes + 4, classes, classes
theirs.model.names = dict(ours["names"])
theirs.ckpt = {"train_args": {"imgsz": ours["metadata"].get("imgsz", 640)}}  # what it is asked at there
theirs.model.load_state_dict({key: tensor.float() for key, tensor in state.items()}, strict=True)
theirs.save(sys.argv[2])
print(YOLO(sys.argv[2]).names)
