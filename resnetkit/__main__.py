"""``python -m resnetkit`` is ``resnet``."""

import sys

from resnetkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
