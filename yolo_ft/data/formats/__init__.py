"""Reading and writing data sets: YOLO, Pascal VOC, COCO, the exports of labelling tools; tiles of an image."""
