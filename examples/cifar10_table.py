"""CIFAR-10: train, then count what is right and wrong in each class.

python examples/cifar10_table.py data/cifar10-jpeg   # a folder of parquet files, or of class folders
python examples/cifar10_table.py                     # on the built-in digits, where no CIFAR-10 is at hand
"""

import sys

import resnetkit

EPOCHS = 5


def main(data: str = "digits", out: str | None = None) -> None:
    result = resnetkit.train(data, model="resnet20", epochs=EPOCHS, out=out)
    found = result.model.evaluate(data)  # the test part, each picture once, with the network in evaluation mode
    print(f"{'class':12} {'correct':>8} {'incorrect':>10} {'accuracy':>9} {'precision':>10}")
    for row in [*found.rows, found.total]:
        print(f"{row.name:12} {row.correct:8,} {row.incorrect:10,} {row.recall:9.1%} {row.precision:10.1%}")
    print(f"accuracy {found.accuracy:.2%} on {found.split} ({found.correct:,} of {found.n:,} right)")


if __name__ == "__main__":
    main(*sys.argv[1:])
