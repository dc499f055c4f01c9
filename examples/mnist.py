"""MNIST and its relatives: train, test accuracy, one picture predicted.

python examples/mnist.py                      # on the built-in digits, which are 8x8
python examples/mnist.py data/fashion-mnist   # on a folder of IDX files, gzipped or not
"""

import sys
from pathlib import Path

from PIL import Image

import resnetkit
from resnetkit.data.sources import open_source

EPOCHS = 5


def main(data: str = "digits", out: str | None = None) -> None:
    result = resnetkit.train(data, model="resnet20", epochs=EPOCHS, out=out)
    print(f"accuracy {result.accuracy:.2%} on {result.metrics['split']} ({result.metrics['n']:,} pictures)")

    part = open_source(data).parts["test"]  # a picture to ask about, as it would come: a file of its own
    picture = result.folder / "one.png"
    Image.fromarray(part.read(0).pixels[..., 0]).save(picture)

    model = resnetkit.load(result.folder)  # as tomorrow, in another program: one file has all it needs
    answer = model.predict(picture, top=3)[0]
    print(f"{Path(answer.path).name} is a {model.classes[part.labels[0]]}; the network says:")
    for name, probability in answer.top:
        print(f"  {name:12} {probability:6.2%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
