"""Takes fine-tuned YOLOv5 weights back into YOLOv5: `python back_to_yolov5.py ours.pt theirs.pt`.

Put this file into your clone of YOLOv5, or use it as it is after `pip install yolov5`. `theirs.pt` then opens there:
`--weights theirs.pt` of its `train.py`, `val.py`, `detect.py` and `export.py`.
"""

import sys
from pathlib import Path

import torch

try:
    from models import yolo  # the clone
except ImportError:
    from yolov5.models import yolo

if len(sys.argv) != 3:
    sys.exit(__doc__)
try:
    ours = torch.load(sys.argv[1], weights_only=True)
except Exception:  # torch has many
    sys.exit(f"{sys.argv[1]} is no checkpoint that yolo_ft wrote.")
if not isinstance(ours, dict) or ours.get("family") != "yolov5":
    sys.exit(f"{sys.argv[1]} holds no YOLOv5 of yolo_ft; YOLO26 goes back with back_to_ultralytics.py.")
config = Path(yolo.__file__).with_name(f"{ours['family']}{ours['size']}.yaml")
theirs = yolo.DetectionModel(str(config), nc=ours["num_classes"])
state = ours.get("training", {}).get("ema", ours["state_dict"])  # last.pt holds both; the average is what detects
theirs.load_state_dict({key: tensor.float() for key, tensor in state.items()}, strict=True)
theirs.names = dict(ours["names"])
torch.save({"model": theirs}, sys.argv[2])  # every digit; their own files have half as many
print(theirs.names)
