"""Data sets with a name of their own: where each file is, how long it is, its SHA-256, and how it is opened.

No address could be tried when the table was written, and no hash in it was made by us: each is from
``tensorflow_datasets/url_checksums`` or Keras' ``datasets``, and was found again in places that do not copy them;
torchvision and Paddle give MD5 sums for files of the same sizes. Beside each stands what of it was seen as a file.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class File:
    """A file as it is published."""

    name: str
    size: int  # bytes
    sha256: str
    urls: tuple[str, ...]  # tried in this order
    archive: bool = False


@dataclass(frozen=True)
class Known:
    """A data set that is fetched by its name."""

    name: str
    title: str
    licence: str
    reader: Literal["idx", "cifar", "imagenette", "flowers"]
    files: tuple[File, ...]
    root: str = "."  # where the reader looks, seen from the data set's folder in the cache
    classes: tuple[str, ...] = ()  # where the files do not say them


def idx_files(places: tuple[str, ...], *rows: tuple[str, int, str]) -> tuple[File, ...]:
    """The four files that MNIST and all that look like it are made of, which lie side by side."""
    return tuple(File(name, size, sha256, tuple(place + name for place in places)) for name, size, sha256 in rows)


def archive(size: int, sha256: str, *urls: str) -> tuple[File, ...]:
    return (File(urls[0].rpartition("/")[2], size, sha256, urls, archive=True),)


NETTE = (
    "n01440764 tench", "n02102040 English springer", "n02979186 cassette player", "n03000684 chain saw",
    "n03028079 church", "n03394916 French horn", "n03417042 garbage truck", "n03425413 gas pump",
    "n03445777 golf ball", "n03888257 parachute",
)  # fmt: skip
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
S3, OXFORD = "https://s3.amazonaws.com/fast-ai-imageclas/", "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
BAIDU, BAIDU_FLOWERS = "https://dataset.bj.bcebos.com/", "https://paddlemodels.bj.bcebos.com/flowers/"
IMAGENET = "research and teaching only, as ImageNet's terms say"

TABLE = {
    known.name: known
    for known in (
        Known(
            "mnist",
            "70,000 handwritten digits, 28x28, grey (LeCun, Cortes, Burges)",
            "CC BY-SA 3.0, as it is commonly given",
            "idx",
            idx_files(  # tensorflow/datasets mnist.txt; seen: all but the training pictures
                (
                    "https://storage.googleapis.com/cvdf-datasets/mnist/",
                    "https://ossci-datasets.s3.amazonaws.com/mnist/",
                    BAIDU + "mnist/",
                ),
                (
                    "train-images-idx3-ubyte.gz",
                    9912422,
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                ),
                (
                    "train-labels-idx1-ubyte.gz",
                    28881,
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                ),
                (
                    "t10k-images-idx3-ubyte.gz",
                    1648877,
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                ),
                (
                    "t10k-labels-idx1-ubyte.gz",
                    4542,
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                ),
            ),
        ),
        Known(
            "fashion-mnist",
            "70,000 pieces of clothing, 28x28, grey (Xiao, Rasul, Vollgraf 2017)",
            "MIT",
            "idx",
            idx_files(  # tensorflow/datasets fashion_mnist.txt; seen: all four (tests/test_known.py)
                (
                    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                    BAIDU + "fashion_mnist/",
                ),
                (
                    "train-images-idx3-ubyte.gz",
                    26421880,
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                ),
                (
                    "train-labels-idx1-ubyte.gz",
                    29515,
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                ),
                (
                    "t10k-images-idx3-ubyte.gz",
                    4422102,
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                ),
                (
                    "t10k-labels-idx1-ubyte.gz",
                    5148,
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
            ),
            classes=CLOTHES,
        ),
        Known(
            "cifar10",
            "60,000 photographs of 10 classes, 32x32 (Krizhevsky 2009)",
            "none is given; cite the report",
            "cifar",
            archive(  # Keras' cifar10.py; not seen
                170498071,
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                BAIDU + "cifar/cifar-10-python.tar.gz",
            ),
            "unpacked/cifar-10-batches-py",
        ),
        Known(
            "cifar100",
            "60,000 photographs of 100 classes, 32x32 (Krizhevsky 2009)",
            "none is given; cite the report",
            "cifar",
            archive(  # Keras' cifar100.py; not seen
                169001437,
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                BAIDU + "cifar/cifar-100-python.tar.gz",
            ),
            "unpacked/cifar-100-python",
        ),
        Known(
            "imagenette",
            "13,394 photographs of 10 classes of ImageNet, short side 320 (fast.ai, second version)",
            IMAGENET,
            "imagenette",
            archive(  # tensorflow/datasets imagenette.txt and FastAI.jl; not seen
                341553947,
                "5020a9130cea0348272823cb12d2db7e981c6f2afa3dce71ccd5b8013005c55e",
                S3 + "imagenette2-320.tgz",
            ),
            "unpacked/imagenette2-320",
            NETTE,
        ),
        Known(
            "imagenette-160",
            "the same with the short side 160",
            IMAGENET,
            "imagenette",
            archive(  # tensorflow/datasets imagenette.txt and FastAI.jl; not seen
                98948031,
                "88daccb09b6fce93f45e6c09ddeb269cce705549e6bff322092a2a5a11489863",
                S3 + "imagenette2-160.tgz",
            ),
            "unpacked/imagenette2-160",
            NETTE,
        ),
        Known(
            "flowers",
            "8,189 photographs of 102 kinds of flowers (Nilsback & Zisserman 2008)",
            "none is given; the photographs belong to who took them",
            "flowers",
            (  # tensorflow/datasets oxford_flowers102.txt; seen: both MATLAB files
                *archive(
                    344862509,
                    "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
                    OXFORD + "102flowers.tgz",
                    BAIDU_FLOWERS + "102flowers.tgz",
                ),
                File(
                    "imagelabels.mat",
                    502,
                    "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
                    (OXFORD + "imagelabels.mat", BAIDU_FLOWERS + "imagelabels.mat"),
                ),
                File(
                    "setid.mat",
                    14989,
                    "46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
                    (OXFORD + "setid.mat", BAIDU_FLOWERS + "setid.mat"),
                ),
            ),
            "unpacked/jpg",
        ),
    )
}
