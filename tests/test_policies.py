"""Policies draw what their papers say, as far as they say; colours waver and parts are lost as promised."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from peers import peer
from PIL import Image

from resnetkit import dice
from resnetkit.data import erase, jitter, policies
from resnetkit.data.augment import Augment, repaint
from resnetkit.data.operations import as_image, as_pixels, operate
from resnetkit.data.policies import AUGMIX, RANDAUGMENT, TRIVIALAUGMENT, Policy, Space, columns, follow, weights

FILL = {1: np.array([90], np.uint8), 3: np.array([10, 120, 230], np.uint8)}
THEIRS = {"autocontrast": "AutoContrast"}
Call = tuple[str, float]


def some_images(n: int, channels: int = 3, size: int = 16) -> NDArray[np.uint8]:
    rng = np.random.default_rng(n)
    coarse = rng.integers(20, 220, (n, 4, 4, channels), np.uint8)
    return np.repeat(np.repeat(coarse, size // 4, 1), size // 4, 2) + rng.integers(
        0, 20, (n, size, size, channels), np.uint8
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What was asked of operate, which does it all the same."""
    made: list[Call] = []

    def noted(image: Image.Image, operation: Any, amount: float, fill: Any) -> Image.Image:
        made.append((operation, amount))
        return operate(image, operation, amount, fill)

    monkeypatch.setattr(policies, "operate", noted)
    monkeypatch.setattr(jitter, "operate", noted)
    return made


def drawn(policy: Policy, count: int = 1, strength: float = 0.3, n: int = 3000, channels: int = 3) -> None:
    """One small picture after a policy, ``n`` times."""
    image = as_image(some_images(1, channels, 8)[0])
    for u in dice.uniform(np.arange(n), columns(policy, count), 0, policy):
        follow(image, u, policy, count, strength, 0 if channels == 1 else (0, 0, 0))


@pytest.mark.parametrize(
    ("space", "name", "bins"),
    [(RANDAUGMENT, "RandAugment", 31), (TRIVIALAUGMENT, "TrivialAugmentWide", 31), (AUGMIX, "AugMix", 10)],
)
@pytest.mark.parametrize("size", [(224, 224), (64, 48)])
def test_the_ranges_are_those_of_torchvision(space: Space, name: str, bins: int, size: tuple[int, int]) -> None:
    made = getattr(peer("torchvision.transforms.autoaugment"), name)(**({"all_ops": False} if name == "AugMix" else {}))
    wanted = made._augmentation_space(bins, *([] if name == "TrivialAugmentWide" else [size[::-1]]))
    ours = {THEIRS.get(op, "".join(map(str.capitalize, op.split("_")))): op for op in space.operations}
    assert set(ours) == set(wanted)
    for theirs, (levels, signed) in wanted.items():
        op = ours[theirs]
        if levels.ndim == 0 or (name == "AugMix" and op == "posterize"):  # theirs ends with no bits, all black
            continue
        for k, level in enumerate(levels.tolist()):
            plus, minus = (space.amount(op, k / (bins - 1), sign, size) for sign in (1, -1))
            base = 1 if op in policies.BLENDS else 0
            if op.startswith("translate"):
                assert plus == -minus
                assert abs(plus - level) <= 1  # whole pixels
            else:
                assert plus - base == pytest.approx(level, abs=1e-4)
                assert minus - base == pytest.approx(-level if signed else level, abs=1e-4)


def test_the_ends_of_the_ranges() -> None:
    assert [RANDAUGMENT.amount("translate_x", 1.0, -1, (331, 9)), RANDAUGMENT.amount("posterize", 1.0, 1, (9, 9))] == [
        -150,
        4,
    ]
    assert [TRIVIALAUGMENT.amount("translate_y", 1.0, 1, (9, side)) for side in (224, 32, 8)] == [32, 32, 8]
    assert [AUGMIX.amount("posterize", strength, 1, (9, 9)) for strength in (0.0, 0.3, 1.0)] == [4, 3, 1]


@pytest.mark.parametrize("channels", [1, 3])
def test_trivialaugment_takes_one_operation_at_any_of_31_levels(calls: list[Call], channels: int) -> None:
    drawn("trivialaugment", channels=channels)
    assert len(calls) == 3000
    counts = Counter(name for name, _ in calls)
    names = [name for name in TRIVIALAUGMENT.operations if channels == 3 or name != "color"]
    assert set(counts) == set(names)
    assert all(abs(count - 3000 / len(names)) < 75 for count in counts.values())  # five deviations
    ends = {"rotate": 135, "shear_x": 0.99, "shear_y": 0.99, "brightness": 0.99, "contrast": 0.99, "sharpness": 0.99}
    moved = [(amount - (name in policies.BLENDS)) / ends[name] * 30 for name, amount in calls if name in ends]
    levels = Counter(round(abs(level), 6) for level in moved)
    assert set(levels) == set(range(31))
    assert all(abs(count - len(moved) / 31) < 5 * (len(moved) / 31) ** 0.5 for count in levels.values())
    assert abs(np.mean(np.sign(moved))) < 0.15


@pytest.mark.parametrize(("count", "strength"), [(1, 0.0), (2, 0.3), (3, 1.0)])
def test_randaugment_takes_count_operations_at_one_strength(calls: list[Call], count: int, strength: float) -> None:
    drawn("randaugment", count, strength, n=1400)
    assert len(calls) == 1400 * count
    counts = Counter(name for name, _ in calls)
    assert set(counts) == set(RANDAUGMENT.operations)
    assert all(abs(found - 100 * count) < 5 * (100 * count) ** 0.5 for found in counts.values())
    for name, ends in (("rotate", 30), ("shear_x", 0.3), ("brightness", 0.9)):
        base = 1 if name == "brightness" else 0
        found = {round(amount - base, 6) for called, amount in calls if called == name}
        assert found == {round(sign * strength * ends, 6) for sign in (1, -1)}
    if count > 1:
        pairs = Counter(zip([name for name, _ in calls[::count]], [name for name, _ in calls[1::count]], strict=True))
        assert len(pairs) > 180  # of 196: the second does not follow from the first


def test_augmix_has_chains_of_one_to_three_operations(calls: list[Call]) -> None:
    drawn("augmix", 3, 0.4, n=500)
    assert {name for name, _ in calls} == set(AUGMIX.operations)
    assert len(calls) == pytest.approx(500 * 3 * 2, rel=0.04)  # two at the mean
    turns = np.array([amount for name, amount in calls if name == "rotate"])
    assert np.abs(turns).max() <= 0.4 * 30
    assert np.abs(turns).mean() == pytest.approx(0.2 * 30, rel=0.1)
    assert abs((turns > 0).mean() - 0.5) < 0.1


def test_weights_of_chains_are_from_dirichlet() -> None:
    found = np.array([weights(u) for u in dice.uniform(np.arange(4000), 3, 0, "weights")])
    assert np.allclose(found.sum(1), 1)
    assert found.min() >= 0
    assert found.mean(0) == pytest.approx([1 / 3] * 3, abs=0.015)
    assert found.var(0) == pytest.approx([1 / 18] * 3, rel=0.1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_augmix_is_a_convex_mix(monkeypatch: pytest.MonkeyPatch, channels: int, count: int) -> None:
    """With an operation that inverts, a chain of two is the picture and any other its negative."""
    monkeypatch.setattr(
        policies,
        "operate",
        lambda image, *_: image.point([255 - value for value in range(256)] * len(image.getbands())),
    )
    pixels = some_images(1, channels)[0]
    for u in dice.uniform(np.arange(50), columns("augmix", count), 0, "augmix"):
        chains = u[1:].reshape(count, -1)
        kept = [1 + int(length * 3) == 2 for length in chains[:, 1]]
        share = u[0] * float(weights(chains[:, 0]) @ ~np.array(kept))  # of the negative
        wanted = (1 - share) * pixels + share * (255.0 - pixels)
        found = as_pixels(follow(as_image(pixels), u, "augmix", count, 0.3, 0))
        assert np.abs(found - wanted).max() <= 0.51


def test_jitter_is_that_of_torchvision() -> None:
    f = peer("torchvision.transforms.v2.functional")
    image = as_image(some_images(1)[0])
    names = ("brightness", "contrast", "saturation", "hue")
    orders = set()
    for u in dice.uniform(np.arange(300), jitter.COLUMNS, 0, "jitter"):
        order = np.argsort(u[4:]).tolist()
        orders.add(tuple(order))
        amounts = [0.6 + 0.8 * u[0], 0.6 + 0.8 * u[1], 0.6 + 0.8 * u[2], round((0.2 * u[3] - 0.1) * 255) / 255]
        wanted = image
        for k in order:
            shade = amounts[k] + (1e-6 * np.sign(amounts[k]) if k == 3 else 0)  # theirs rounds towards zero
            wanted = getattr(f, f"adjust_{names[k]}")(wanted, shade)
        assert np.array_equal(as_pixels(jitter.jitter(image, u, 0.4, 0.1)), as_pixels(wanted))
    assert len(orders) == 24


@pytest.mark.parametrize(
    ("strength", "hue", "channels", "names"),
    [
        (0.4, 0.0, 3, {"brightness", "contrast", "color"}),
        (0.0, 0.1, 3, {"hue"}),
        (0.4, 0.1, 3, {"brightness", "contrast", "color", "hue"}),
        (0.4, 0.0, 1, {"brightness", "contrast"}),
    ],
)
def test_jitter_stays_within_its_strength(
    calls: list[Call], strength: float, hue: float, channels: int, names: set[str]
) -> None:
    image = as_image(some_images(1, channels, 8)[0])
    for u in dice.uniform(np.arange(1000), jitter.COLUMNS, 0, "jitter"):
        jitter.jitter(image, u, strength, hue)
    assert Counter(name for name, _ in calls) == dict.fromkeys(names, 1000)
    for name in names:
        amounts = np.array([amount for called, amount in calls if called == name])
        middle, reach = (0, hue) if name == "hue" else (1, strength)
        assert np.abs(amounts - middle).max() <= reach
        assert np.abs(amounts - middle).max() > 0.98 * reach
        assert amounts.mean() == pytest.approx(middle, abs=0.06 * reach)


@pytest.mark.parametrize(("height", "width", "share", "side"), [(32, 32, 0.5, 16), (8, 20, 0.5, 4), (9, 9, 0.01, 1)])
def test_cutout_wipes_a_square_out_of_every_picture(height: int, width: int, share: float, side: int) -> None:
    images = np.full((2000, height, width, 3), 255, np.uint8)
    u = dice.uniform(np.arange(2000), erase.CUTOUT_COLUMNS, 0, "cutout")
    gone = (erase.cutout(images, u, share, FILL[3]) == FILL[3]).all(-1)
    assert ((images == 255).all(-1) == ~gone).all()
    down, across = gone.any(2).sum(1), gone.any(1).sum(1)
    assert (gone.sum((1, 2)) == down * across).all(), "it is a rectangle"
    assert down.max() == across.max() == side
    assert min(down.min(), across.min()) == max(1, side // 2), "half of it may lie outside"
    middle = gone[:, height // 2, width // 2].mean()
    assert middle == pytest.approx(side * side / (height * width), abs=0.03)
    assert gone[:, 0, 0].any()
    assert gone[:, -1, -1].any()


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_erasing_takes_a_rectangle_from_its_share_of_the_pictures(share: float) -> None:
    n, height, width = 3000, 40, 60
    images = np.full((n, height, width, 1), 255, np.uint8)
    u = dice.uniform(np.arange(n), erase.ERASE_COLUMNS, 0, "erase")
    gone = erase.erase(images, u, share, FILL[1])[..., 0] == FILL[1]
    hit = gone.any((1, 2))
    assert hit.mean() == pytest.approx(share, abs=0.03)
    down, across = gone[hit].any(2).sum(1), gone[hit].any(1).sum(1)
    assert (gone[hit].sum((1, 2)) == down * across).all(), "it is a rectangle"
    area, ratio = down * across / (height * width), across / down
    assert 0.017 < area.min() < 0.03
    assert 0.31 < area.max() < 0.345
    assert 0.25 < ratio.min() < 0.35
    assert 2.9 < ratio.max() < 4
    assert abs(np.log(ratio).mean()) < 0.1
    assert gone[:, 20, 30].mean() > 1.5 * gone[:, 0, 0].mean()
    assert gone[:, [0, -1]].any((0, 2)).all()
    assert gone[:, :, [0, -1]].any((0, 1)).all()


EACH = {
    "randaugment": Augment(policy="randaugment"),
    "trivialaugment": Augment(policy="trivialaugment"),
    "augmix": Augment(policy="augmix", policy_count=3),
    "jitter": Augment(jitter=0.4),
    "hue": Augment(hue=0.1),
    "cutout": Augment(cutout=0.25),
    "erase": Augment(erase=0.5),
    "one operation": Augment(policy="randaugment", policy_count=1),
    "strong": Augment(policy="randaugment", policy_strength=0.9),
    "one chain": Augment(policy="augmix", policy_count=1),
    "strong augmix": Augment(policy="augmix", policy_count=3, policy_strength=0.9),
    "all": Augment(policy="augmix", policy_count=3, jitter=0.4, hue=0.1, cutout=0.25, erase=0.5),
}


def test_every_setting_changes_the_pictures() -> None:
    seen = {images.tobytes() for images in (repainted(augment) for augment in EACH.values())}
    assert repainted(Augment()).tobytes() == some_images(8).tobytes()
    assert len(seen | {some_images(8).tobytes()}) == len(EACH) + 1


@pytest.mark.parametrize(("name", "channels"), [(name, c) for name in EACH for c in (1, 3) if (name, c) != ("hue", 1)])
def test_a_picture_varies_by_seed_epoch_and_number_alone(name: str, channels: int) -> None:
    augment = EACH[name]
    whole = repainted(augment, channels)
    assert whole.shape == (8, 16, 16, channels)
    assert whole.dtype == np.uint8
    some = [5, 0, 3]
    index = np.array(some)
    part = repaint(some_images(8, channels)[some], index, augment, FILL[channels], seed=1, epoch=2)
    assert np.array_equal(part, whole[some])
    assert not np.array_equal(whole, some_images(8, channels))
    for seed, epoch in ((1, 3), (2, 2)):
        assert not np.array_equal(repainted(augment, channels, seed=seed, epoch=epoch), whole)


def test_each_purpose_has_numbers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else where a square is wiped out would tell where a rectangle is."""
    places = []

    def noted(index: NDArray[np.int64], count: int, *place: object) -> NDArray[np.float64]:
        places.append(place)
        return uniform(index, count, *place)

    uniform = dice.uniform
    monkeypatch.setattr(dice, "uniform", noted)
    repainted(EACH["all"])
    assert places == [(1, purpose, 2) for purpose in ("policy", "jitter", "cutout", "erase")]


def repainted(augment: Augment, channels: int = 3, *, seed: int = 1, epoch: int = 2) -> NDArray[np.uint8]:
    return repaint(some_images(8, channels), np.arange(8), augment, FILL[channels], seed=seed, epoch=epoch)
