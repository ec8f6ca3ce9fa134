"""Which public data sets there are, where they lie and under which licence they may be used. Lesson 06.

Every fact is from the pages that its entry names. No address was tried when this list was written, for want of a
network: it stands as the page gives it. A digest is one that a page publishes; without one the first copy's is
recorded (`fetch.record`).
"""

from __future__ import annotations

from dataclasses import dataclass

ASSETS = "https://github.com/ultralytics/assets/releases/download/v0.0.0"
DOCS = "https://docs.ultralytics.com/datasets/detect"
OXFORD = "https://thor.robots.ox.ac.uk/pascal/VOC"
VOC_TERMS = "photographs terms of Flickr"
VOC_FOLDERS = ("Annotations", "JPEGImages", "ImageSets/Main")
VOC_HASHES = "https://github.com/pytorch/vision/blob/main/torchvision/datasets/voc.py"
COCO_TERMS = "https://cocodataset.org/#termsofuse"
COCO_HASHES = "https://github.com/tensorflow/datasets/blob/master/tensorflow_datasets/url_checksums/coco.txt"
COCO_CLASSES = tuple(
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush".split(",")
)
VOC_CLASSES = tuple(
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor".split()
)
PPE_CLASSES = tuple("helmet gloves vest boots goggles none Person no_helmet no_goggle no_gloves no_boots".split())


@dataclass(frozen=True)
class Archive:
    """A file of a set: its address, the name it is kept under, about how many bytes, and its published hash if any.

    `only`: the one member that is unpacked; empty for all.
    """

    url: str
    name: str
    size: int
    digest: str | None = None
    only: str = ""


@dataclass(frozen=True)
class Entry:
    """One set. `images`: how many per split. `pages`: where its facts and its licence stand.

    `folders`: {split: folder of images} of a set with YOLO labels, for which a `data.yaml` is written; empty for
    Pascal VOC and COCO. `needs`: the folders by which these are known.
    """

    name: str
    about: str
    images: dict[str, int]
    classes: tuple[str, ...]
    licence: str
    pages: tuple[str, ...]
    archives: tuple[Archive, ...]
    folders: dict[str, str]
    needs: tuple[str, ...] = ()

    @property
    def megabytes(self) -> float:
        """About how much is downloaded, in units of 10^6 bytes."""
        return sum(archive.size for archive in self.archives) / 1e6

    @property
    def hashes(self) -> str:
        """With what the download is compared, in words."""
        published = all(archive.digest for archive in self.archives)
        return "hash published" if published else "hash recorded at the first download"

    def __str__(self) -> str:
        images = ", ".join(f"{count:,} {split}" for split, count in self.images.items())
        return (
            f"{self.name}: {self.about}. Images: {images}; classes: {len(self.classes)}; download: about "
            f"{self.megabytes:,.0f} MB.\n  Licence: {self.licence}\n  Source: {' '.join(self.pages)}"
        )


def _yolo(*splits: str) -> dict[str, str]:
    return {split: f"images/{split}" for split in splits}


SETS = {
    entry.name: entry
    for entry in (
        Entry(
            "coco8",
            "the first 8 photographs of COCO train2017, to see that everything runs",
            {"train": 4, "val": 4},
            COCO_CLASSES,
            "labels CC BY 4.0, photographs terms of Flickr, package AGPL-3.0",
            (f"{DOCS}/coco8/", "https://huggingface.co/datasets/Ultralytics/COCO8", COCO_TERMS),
            (Archive(f"{ASSETS}/coco8.zip", "coco8.zip", 1_000_000),),
            _yolo("train", "val"),
        ),
        Entry(
            "coco128",
            "the first 128 photographs of COCO train2017; the validation images are the training images",
            {"train": 128},
            COCO_CLASSES,
            "labels CC BY 4.0, photographs terms of Flickr",
            (f"{DOCS}/coco128/", COCO_TERMS),
            (Archive(f"{ASSETS}/coco128.zip", "coco128.zip", 7_000_000),),
            {"train": "images/train2017", "val": "images/train2017"},
        ),
        Entry(
            "coco-val2017",
            "the validation photographs of COCO 2017, to measure what a COCO checkpoint knows or forgot",
            {"val": 5000},
            COCO_CLASSES,
            "labels CC BY 4.0, photographs terms of Flickr",
            ("https://cocodataset.org/#download", COCO_TERMS, COCO_HASHES),
            (
                Archive(
                    "http://images.cocodataset.org/zips/val2017.zip",
                    "val2017.zip",
                    815_585_330,
                    "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
                ),
                Archive(
                    "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
                    "annotations_trainval2017.zip",
                    252_907_541,
                    "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
                    "annotations/instances_val2017.json",
                ),
            ),
            {},
            ("annotations", "val2017"),
        ),
        Entry(
            "bccd",
            "blood cells under the microscope; many red cells are not labelled",
            {"train": 205, "val": 87, "test": 72},
            ("Platelets", "RBC", "WBC"),
            "MIT",
            ("https://github.com/Shenggan/BCCD_Dataset", "https://www.tensorflow.org/datasets/catalog/bccd"),
            (Archive("https://github.com/Shenggan/BCCD_Dataset/archive/v1.0.zip", "bccd.zip", 7_880_000),),
            {},
            VOC_FOLDERS,
        ),
        Entry(
            "medical-pills",
            "pills on a table, one class",
            {"train": 92, "val": 23},
            ("pill",),
            "AGPL-3.0",
            (f"{DOCS}/medical-pills/",),
            (Archive(f"{ASSETS}/medical-pills.zip", "medical-pills.zip", 8_000_000),),
            _yolo("train", "val"),
        ),
        Entry(
            "construction-ppe",
            "helmets, gloves, vests, boots and goggles on construction sites, worn or missing",
            {"train": 1132, "val": 143, "test": 141},
            PPE_CLASSES,
            "AGPL-3.0",
            (f"{DOCS}/construction-ppe/",),
            (Archive(f"{ASSETS}/construction-ppe.zip", "construction-ppe.zip", 178_400_000),),
            _yolo("train", "val", "test"),
        ),
        Entry(
            "voc2007",
            "photographs of everyday scenes, the classic benchmark",
            {"train": 2501, "val": 2510, "test": 4952},
            VOC_CLASSES,
            VOC_TERMS,
            ("http://host.robots.ox.ac.uk/pascal/VOC/voc2007/", VOC_HASHES),
            (
                Archive(
                    f"{OXFORD}/voc2007/VOCtrainval_06-Nov-2007.tar",
                    "VOCtrainval_06-Nov-2007.tar",
                    460_032_000,
                    "c52e279531787c972589f7e41ab4ae64",
                ),
                Archive(
                    f"{OXFORD}/voc2007/VOCtest_06-Nov-2007.tar",
                    "VOCtest_06-Nov-2007.tar",
                    451_020_800,
                    "b6e924de25625d8de591ea690078ad9f",
                ),
            ),
            {},
            VOC_FOLDERS,
        ),
        Entry(
            "voc2012",
            "photographs of everyday scenes, larger than voc2007 and without labels for its test images",
            {"train": 5717, "val": 5823},
            VOC_CLASSES,
            VOC_TERMS,
            ("http://host.robots.ox.ac.uk/pascal/VOC/voc2012/", VOC_HASHES),
            (
                Archive(
                    f"{OXFORD}/voc2012/VOCtrainval_11-May-2012.tar",
                    "VOCtrainval_11-May-2012.tar",
                    1_999_639_040,
                    "6cd6e144f989b92b3379bac3b3de84fd",
                ),
            ),
            {},
            VOC_FOLDERS,
        ),
    )
}
