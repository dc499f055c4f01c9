"""Oxford's 102 flowers as their authors pack them: a heap of pictures, and two MATLAB files that say what they show."""

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.folders import Walk, as_part
from resnetkit.data.parts import PartName, Source, agree, left_out, ordered
from resnetkit.data.regular import read_whole
from resnetkit.errors import DataError, ResourceError, plain

LIMIT = 1 << 20  # bytes of a MATLAB file; the longer one has 15 thousand
PARTS: dict[PartName, str] = {"train": "trnid", "val": "valid", "test": "tstid"}  # 1,020, 1,020 and 6,149 pictures
FLOWERS = tuple(
    name.strip()
    for name in """
    pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon orchid,
    bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, yellow iris,
    globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire lily, pincushion flower,
    fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers, stemless gentian, artichoke, sweet
    william, carnation, garden phlox, love in the mist, mexican aster, alpine sea holly, ruby-lipped cattleya, cape
    flower, great masterwort, siam tulip, lenten rose, barbeton daisy, daffodil, sword lily, poinsettia, bolero deep
    blue, wallflower, marigold, buttercup, oxeye daisy, common dandelion, petunia, wild pansy, primula, sunflower,
    pelargonium, bishop of llandaff, gaura, geranium, orange dahlia, pink-yellow dahlia?, cautleya spicata, japanese
    anemone, black-eyed susan, silverbush, californian poppy, osteospermum, spring crocus, bearded iris, windflower,
    tree poppy, gazania, azalea, water lily, rose, thorn apple, morning glory, passion flower, lotus, toad lily,
    anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree mallow, magnolia, cyclamen, watercress,
    canna lily, hippeastrum, bee balm, ball moss, foxglove, bougainvillea, camellia, mallow, mexican petunia, bromelia,
    blanket flower, trumpet creeper, blackberry lily
    """.split(",")
)


def open_flowers(root: Path, pictures: Path, classes: Sequence[str] | None, max_pixels: int) -> Source:
    """Find every picture; nothing is decoded yet. The labels count from 1, and so do the pictures' names."""
    kinds = vector(root / "imagelabels.mat", "labels", len(FLOWERS))
    rows = {part: vector(root / "setid.mat", key, len(kinds)) for part, key in PARTS.items()}
    walks = {part: Walk(pictures, [f"image_{i:05d}.jpg" for i in ids]) for part, ids in rows.items()}
    found = {part: [FLOWERS[kinds[i - 1] - 1] for i in ids] for part, ids in rows.items()}
    names, labels = agree(plain(root), found, classes, lambda present: ordered(present, FLOWERS))
    parts = {part: as_part(part, walk, labels[part], max_pixels) for part, walk in walks.items()}
    notes = left_out(FLOWERS, names) if classes is None else []
    return Source(plain(root), "folder", names, parts, False, notes)


def vector(path: Path, key: str, most: int) -> NDArray[np.int64]:
    """The whole numbers from 1 to ``most`` that a MATLAB file keeps under ``key``."""
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise ResourceError("the labels of flowers need scipy, which is missing", "pip install scipy") from error
    data = read_whole(path, LIMIT)
    try:
        found = np.asarray(loadmat(io.BytesIO(data), variable_names=[key])[key])
    except (MatReadError, LookupError, NotImplementedError, OSError, TypeError, ValueError, zlib.error) as error:
        raise DataError(f"{plain(path)} has no readable {key}", "download it again") from error
    if found.dtype.kind not in "ui" or not found.size or found.min() < 1 or found.max() > most:
        raise DataError(f"{plain(path)}: {key} should be whole numbers from 1 to {most:,}", "download it again")
    return found.ravel().astype(np.int64)
