"""``python -m resnetkit`` is ``resnet``."""

from resnetkit.cli import run

if __name__ == "__main__":
    run()
