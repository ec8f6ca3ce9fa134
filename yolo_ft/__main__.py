"""`python -m yolo_ft` is `yolo-ft`."""

import sys

from yolo_ft.cli import main

if __name__ == "__main__":
    sys.exit(main())
