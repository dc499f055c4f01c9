"""What is kept of each picture to compare it with others: hashes, a few numbers and a thumbnail, never its pixels."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct

from resnetkit.data.parts import Source
from resnetkit.data.survey import Seen, in_threads, look_at

CHUNK = 64  # pictures that a thread looks at in one go
SIDE = 16  # of thumbnails
WAVES = 32  # side of the picture whose waves are hashed
LOW = 9  # the slowest waves of each axis; without those that go along one axis alone, 64 are left
LARGEST = 512  # longest side at which sharpness is measured: what is blurred beyond that, no network sees


@dataclass(frozen=True)
class Prints:
    """A row for each picture, part after part; zeros where a picture cannot be read."""

    exact: NDArray[np.void]  # (n,) 16 bytes, a hash of size and pixels
    waves: NDArray[np.uint64]  # (n,) a perceptual hash: alike for pictures that look alike
    thumbs: NDArray[np.uint8]  # (n, SIDE, SIDE, 3) the picture, stretched
    dark: NDArray[np.float32]  # (n,) grey level, 0..1, that 95 % of the pixels stay below
    bright: NDArray[np.float32]  # (n,) grey level that 95 % of the pixels stay above
    contrast: NDArray[np.float32]  # (n,) standard deviation of the grey levels, 0..1
    sharpness: NDArray[np.float32]  # (n,) variance of the Laplacian as a share of the variance of the grey levels


def look(
    source: Source, workers: int, *, progress: Callable[[int, int], None] | None = None
) -> tuple[list[Seen], Prints]:
    """Decode every picture once, in ``workers`` threads; ``progress`` hears (done, of how many)."""
    places = [(part, i) for part in source.parts.values() for i in range(len(part.names))]
    found, stop = empty(len(places)), threading.Event()

    def look_at_some(start: int) -> list[Seen]:
        seen: list[Seen] = []
        for row in range(start, min(start + CHUNK, len(places))):
            if stop.is_set():
                break
            one, pixels = look_at(*places[row], source.arrays)
            if pixels is not None:
                take(found, row, pixels)
            seen.append(one)
        return seen

    every: list[Seen] = []
    for seen in in_threads(look_at_some, range(0, len(places), CHUNK), workers, stop):
        every += seen
        if progress:
            progress(len(every), len(places))
    return every, found


def empty(n: int) -> Prints:
    numbers = [np.zeros(n, np.float32) for _ in range(4)]
    return Prints(np.zeros(n, "V16"), np.zeros(n, np.uint64), np.zeros((n, SIDE, SIDE, 3), np.uint8), *numbers)


def take(prints: Prints, row: int, pixels: NDArray[np.uint8]) -> None:
    """Fill one row from the pixels (h, w, c) of its picture."""
    if pixels.shape[2] == 3 and (pixels[..., :1] == pixels[..., 1:]).all():
        pixels = pixels[..., :1]  # grey that is stored as colour is the same picture
    content = repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()
    prints.exact[row] = np.void(blake2b(content, digest_size=16).digest())
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    grey = image.convert("L")
    prints.waves[row] = hash_of(np.asarray(grey.resize((WAVES, WAVES), Image.Resampling.BILINEAR), np.float32))
    prints.thumbs[row] = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR).convert("RGB"))
    if max(grey.size) > LARGEST:
        grey.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    levels = np.asarray(grey, np.float32) / np.float32(255)
    prints.bright[row], prints.dark[row] = np.quantile(levels, (0.05, 0.95))
    prints.contrast[row] = levels.std()
    prints.sharpness[row] = sharpness(levels)


def hash_of(grey: NDArray[np.float32]) -> np.uint64:
    """64 bits: which of the slow waves of a picture are stronger than the middle one of them (pHash; Zauner 2010)."""
    waves = dct(dct(grey, axis=0, norm="ortho"), axis=1, norm="ortho")[1:LOW, 1:LOW].ravel()
    return np.packbits(waves > np.median(waves)).view(np.uint64)[0]


def sharpness(levels: NDArray[np.float32]) -> float:
    """Of grey levels (h, w): the variance of their Laplacian by their own. 0 where there is nothing to see."""
    if min(levels.shape) < 3 or not (spread := float(levels.var())):
        return 0.0
    inner = levels[1:-1, 1:-1]
    bends = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:] - 4 * inner
    return float(bends.var()) / spread
