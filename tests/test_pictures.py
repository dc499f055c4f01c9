"""Pictures show what they are asked for: any number of classes, any names, any number of epochs, without a warning."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from PIL import Image
from samples import picture

from resnetkit.metrics import Counts
from resnetkit.report import fonts, pictures
from resnetkit.report.fonts import Face, labelled
from resnetkit.report.pictures import (
    best_row,
    confusion_picture,
    curves_picture,
    round_step,
    shaded,
    sweep_picture,
)
from resnetkit.report.tables import Cell
from resnetkit.run import Run
from resnetkit.training import Note, training


def confused(classes: int, each: int = 40) -> Counts:
    """Most pictures right, some taken for the next class and a few for any."""
    rng = np.random.default_rng(classes)
    shares = np.full((classes, classes), 0.1 / classes) + 0.7 * np.eye(classes) + 0.2 * np.roll(np.eye(classes), 1, 1)
    return np.stack([rng.multinomial(each, row / row.sum()) for row in shares])


def letters(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that a test makes, as they are saved."""
    kept: list[Figure] = []
    save = pictures.save

    def keep(figure: Figure, path: Path) -> None:
        kept.append(figure)
        save(figure, path)

    monkeypatch.setattr(pictures, "save", keep)
    return kept


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with nothing but matplotlib's own font."""
    monkeypatch.setattr(fonts, "installed", lambda: iter(()))


def square_font(path: Path, letters: str, empty: str = "") -> Face:
    """A font that draws each of these letters as a full square, and lists others for which it has nothing to draw."""
    pen = TTGlyphPen(None)
    for move, point in (("moveTo", (0, 0)), ("lineTo", (0, 800)), ("lineTo", (800, 800)), ("lineTo", (800, 0))):
        getattr(pen, move)(point)
    pen.closePath()
    square, blank = pen.glyph(), TTGlyphPen(None).glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square", "empty"])
    font.setupCharacterMap({**{ord(c): "square" for c in letters}, **{ord(c): "empty" for c in empty}})
    font.setupGlyf({".notdef": blank, "square": square, "empty": blank})
    font.setupHorizontalMetrics(dict.fromkeys((".notdef", "square", "empty"), (1000, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return Face(str(path))


@pytest.fixture
def one_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a font for one Chinese letter, and one that cannot be read."""
    faces = [Face(str(tmp_path / "broken.ttf")), square_font(tmp_path / "cat.ttf", "\u732b")]
    monkeypatch.setattr(fonts, "installed", lambda: iter(faces))


@pytest.mark.parametrize("classes", [2, 10, 31, 100, 1000])
def test_any_number_of_classes(tmp_path: Path, classes: int) -> None:
    confusion_picture(tmp_path / "a.png", confused(classes), [f"class {i}" for i in range(classes)])
    with Image.open(tmp_path / "a.png") as image:
        assert 300 < image.width < 2500
        assert 300 < image.height < 2500
        red, _, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.int16), 2, 0)
    assert (blue - red > 80).sum() >= classes
    assert (red - blue > 30).sum() >= classes


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        confusion_picture(tmp_path / name, confused(5), list("abcde"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_colours_say_right_wrong_and_nothing() -> None:
    colours = shaded(np.array([[8, 2, 0], [0, 0, 0], [5, 0, 5]]), 1)
    assert colours[0, 0, 2] > colours[0, 0, 0] + 0.3  # blue
    assert colours[0, 1, 0] > colours[0, 1, 2] + 0.3  # orange
    assert colours[0, 2].tolist() == [1, 1, 1]
    assert (colours[1] == pictures.NOTHING).all()
    assert colours[2, 0, 1] < colours[0, 1, 1]  # half of a row is darker than a fifth


def test_neighbours_that_share_a_cell_are_right_only_where_they_are() -> None:
    nearly = np.array([[0, 4, 0, 0], [4, 0, 0, 0], [0, 0, 4, 0], [0, 0, 0, 4]])
    colours = shaded(nearly, 2)
    assert colours[0, 0].tolist() == [1, 1, 1]
    assert colours[1, 1, 2] > colours[1, 1, 0] + 0.3


def test_few_classes_have_their_counts(tmp_path: Path, drawn: list[Figure]) -> None:
    table = np.array([[1200, 7], [0, 30]])
    confusion_picture(tmp_path / "a.png", table, ["ants", "bees"])
    (axes,) = drawn[0].axes
    assert letters(axes)[:3] == ["1,200", "7", "30"]
    assert "99.43% right: 1,230 of 1,237" in letters(axes)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ants", "bees"]


def test_more_classes_have_their_mistakes_in_a_list(tmp_path: Path, drawn: list[Figure]) -> None:
    table = 50 * np.eye(40, dtype=int)
    table[3, 9], table[5, 1] = 12, 13
    confusion_picture(tmp_path / "a.png", table, [f"c{i}" for i in range(40)])
    texts = letters(drawn[0].axes[0])
    assert [texts[i] for i in range(1, 5)] == ["13", "c5  \u2192  c1", "12", "c3  \u2192  c9"]


def test_no_mistakes_and_no_pictures(tmp_path: Path, drawn: list[Figure]) -> None:
    confusion_picture(tmp_path / "a.png", 5 * np.eye(40, dtype=int), [f"c{i}" for i in range(40)])
    confusion_picture(tmp_path / "b.png", np.zeros((3, 3), int), list("abc"))
    assert letters(drawn[0].axes[0])[0] == "100.00% right: 200 of 200"
    assert any("grey: no pictures" in text for text in letters(drawn[1].axes[0]))


def test_names_are_never_formulas(tmp_path: Path) -> None:
    names = ["$x_1$", "$\\frac{$", "100 %", "a\nb", "n" * 300, "_"]
    confusion_picture(tmp_path / "a.png", confused(6), names)
    assert labelled(names)[0][:4] == ["$x_1$", "$\\frac{$", "100 %", "a\\nb"]


@pytest.mark.usefixtures("no_fonts")
def test_without_a_font_a_class_has_its_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["\u732b", "dog", "\u72d7"]
    assert labelled(names) == (["#0", "dog", "#2"], ["DejaVu Sans"])
    confusion_picture(tmp_path / "a.png", confused(3), names)
    assert caplog.records == []


@pytest.mark.usefixtures("one_font")
def test_with_a_font_a_class_has_its_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels, families = labelled(["\u732b", "dog", "\u72d7"])
    assert labels == ["\u732b", "dog", "#2"]
    assert len(families) == 2
    confusion_picture(tmp_path / "cat.png", confused(2), ["\u732b", "dog"])
    assert caplog.records == []
    with Image.open(tmp_path / "cat.png") as image:
        dark = np.asarray(image.convert("L")) < 60
    solid = dark[:-6, :-6].copy()
    for step in range(1, 6):
        solid &= dark[step : step - 6, step : step - 6]
    assert solid[:, :100].any(), "the square that stands for the letter is not left of the matrix"


# As people name their classes: simplified and traditional Chinese, Japanese, Korean, Arabic, Persian with a joiner,
# Hebrew, Hindi, Thai, Tamil, Cyrillic, emoji that are joined and chosen.
SCRIPTS = {
    "\u732b": True, "\u7e41\u9ad4\u4e2d\u6587": True, "\u65e5\u672c\u8a9e\u306e\u306d\u3053": True,
    "\ud55c\uad6d\uc5b4": True, "\u0642\u0637\u0629": False, "\u0645\u06cc\u200c\u0634\u0648\u062f": False,
    "\u05d7\u05ea\u05d5\u05dc": False, "\u092c\u093f\u0932\u094d\u0932\u0940": True, "\u0e41\u0e21\u0e27": True,
    "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd": True, "\u043a\u043e\u0448\u043a\u0430": True,
    "\U0001f431": True, "\U0001f469\u200d\U0001f692\u2764\ufe0f": True,
}  # fmt: skip


@pytest.mark.parametrize("classes", [13, 39, 195])
def test_names_in_any_script_are_drawn(tmp_path: Path, classes: int, caplog: pytest.LogCaptureFixture) -> None:
    """With the extra fonts every letter has a glyph; matplotlib warns of one that has none, which is an error here."""
    names = [*SCRIPTS, *(f"{name} {i}" for i in range(13, classes, 13) for name in SCRIPTS)]
    labels, families = labelled(names)
    assert not [label for label in labels if label.startswith("#")]
    files = [findfont(FontProperties(family=[family])) for family in families]
    drawn = set().union(*(FT2Font(file.path, face_index=file.face_index).get_charmap() for file in files))
    assert {ord(c) for label in labels for c in label} <= drawn
    confusion_picture(tmp_path / "a.png", confused(classes), names)
    assert caplog.records == []
    assert fonts.note(names) == []


def test_names_read_from_the_right_keep_arrows_and_numbers_in_place() -> None:
    for name, forward in SCRIPTS.items():
        (label,), _ = labelled([name])
        assert (label[0] == label[-1] == fonts.APART) == (not forward)
        assert label.strip(fonts.APART) == name.replace("\ufe0f", "")


@pytest.mark.usefixtures("no_fonts")
def test_what_would_bring_the_letters_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fonts.note(["ant", "#1", "b\u00e9", "\u0642\u0637\u0629"]) == []  # matplotlib's own font has these
    assert fonts.note(["\u732b", "dog", "\u72d7"])[0].startswith("2 of 3 classes are numbers in the pictures")
    assert "install a font" in fonts.note(["\u732b"])[0]
    monkeypatch.setattr(fonts, "EXTRA", ("no_such_package",))
    assert 'pip install "resnetkit[fonts]"' in fonts.note(["\u732b"])[0]
    assert list(fonts.packaged()) == []


@pytest.mark.usefixtures("no_fonts")
def test_a_run_says_what_would_bring_the_letters(tmp_path: Path) -> None:
    for name, colour in (("\u732b", 20), ("dog", 220)):
        for i in range(8):
            picture(tmp_path / "data" / name / f"{i}.png", (colour, i, 0))
    run = Run(data=str(tmp_path / "data"), model="resnet20", size=8, steps=1, batch=4, out=str(tmp_path / "run"))
    notes = [event.text for event in training(run) if isinstance(event, Note)]
    assert notes[-1].startswith("1 of 2 classes are numbers in the pictures")


def test_one_font_for_all_is_better_than_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, both = square_font(tmp_path / "a.ttf", "\u732b"), square_font(tmp_path / "b.ttf", "\u732b\u72d7")
    other = square_font(tmp_path / "c.ttf", "\u9e1f")
    monkeypatch.setattr(fonts, "installed", lambda: iter([first, other, both]))
    assert fonts.fonts(set("\u732b\u72d7")) == (["DejaVu Sans", fonts.family_of(both)], set())
    families, missing = fonts.fonts(set("\u732b\u72d7\u9e1f\u9c7c"))
    assert families == ["DejaVu Sans", fonts.family_of(both), fonts.family_of(other)]
    assert missing == {"\u9c7c"}


def test_a_letter_without_an_outline_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    face = square_font(tmp_path / "a.ttf", "\u732b", empty="\u72d7")
    monkeypatch.setattr(fonts, "installed", lambda: iter([face]))
    assert labelled(["\u732b", "\u72d7"])[0] == ["\u732b", "#1"]


def test_words_of_a_sweep_are_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    words = ["$x_1$", "\u732b", "\u0e41\u0e21\u0e27"]
    sweep_picture(tmp_path / "a.png", ["data"], [({"data": word}, 0.5) for word in words])
    assert sorted(text.get_text() for text in drawn[0].axes[0].get_xticklabels()) == sorted(words)


def test_the_fonts_of_this_machine_can_be_read() -> None:
    faces = list(fonts.installed())
    assert faces
    assert not [face for face in faces if "lastresort" in face.file.lower()]
    assert any("a" in fonts.letters_of(face) for face in faces)


def test_pyplot_is_never_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, numpy, pathlib; from resnetkit.report.pictures import *\n"
        f"confusion_picture(pathlib.Path({str(tmp_path / 'a.png')!r}), numpy.eye(2, dtype=int), ['a', 'b'])\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


EPOCHS: list[dict[str, Cell]] = [
    {"epoch": 1, "train_loss": 2.0, "train_accuracy": 0.3, "val_loss": 1.9, "val_accuracy": 0.40, "lr": 0.1},
    {"epoch": 2, "train_loss": 1.0, "train_accuracy": 0.6, "val_loss": 1.2, "val_accuracy": 0.55, "lr": 0.05},
    {"epoch": 3, "train_loss": 0.8, "train_accuracy": 0.7, "val_loss": 1.1, "val_accuracy": 0.55, "lr": 0.01},
    {"epoch": 4, "train_loss": 0.7, "train_accuracy": 0.8, "val_loss": 1.3, "val_accuracy": 0.50, "lr": 0.0},
]


@pytest.mark.parametrize("rows", [1, 2, 4, 60])
def test_curves_of_any_length(tmp_path: Path, drawn: list[Figure], rows: int) -> None:
    many = [{**EPOCHS[i % 4], "epoch": i + 1} for i in range(rows)]
    curves_picture(tmp_path / "a.png", many)
    loss, accuracy, lr = drawn[0].axes
    assert [line.get_label() for line in loss.lines[:2]] == ["training", "validation"]
    assert list(np.asarray(loss.lines[1].get_ydata())) == [row["val_loss"] for row in many]
    assert list(np.asarray(accuracy.lines[0].get_ydata())) == [row["train_accuracy"] for row in many]
    assert list(np.asarray(lr.lines[0].get_ydata())) == [row["lr"] for row in many]
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_the_best_epoch_is_marked(tmp_path: Path, drawn: list[Figure]) -> None:
    assert best_row(EPOCHS) == 2  # as accurate as the second, with less loss
    assert best_row([*EPOCHS, {"epoch": 5, "val_accuracy": 0.55, "val_loss": float("nan")}]) == 2
    curves_picture(tmp_path / "a.png", EPOCHS)
    accuracy = drawn[0].axes[1]
    assert accuracy.get_title(loc="right") == "best: 55.00% at epoch 3"
    assert list(np.asarray(accuracy.lines[-1].get_xdata())) == [3]


def test_gaps_are_left_out(tmp_path: Path, drawn: list[Figure]) -> None:
    rows: list[dict[str, Cell]] = [
        {"epoch": 1, "train_loss": float("nan"), "val_accuracy": None, "lr": 0.1},
        {"epoch": 2, "train_loss": 0.5, "lr": 0.1},
        {"epoch": 3, "train_loss": float("inf"), "val_accuracy": float("nan"), "lr": 0.1},
    ]
    curves_picture(tmp_path / "a.png", rows)
    assert best_row(rows) is None
    assert np.isnan(drawn[0].axes[0].lines[0].get_ydata()).tolist() == [True, False, True]
    assert drawn[0].axes[1].lines[:] == []
    assert drawn[0].axes[1].get_title(loc="right") == ""


@pytest.mark.parametrize(
    ("classes", "step"), [(151, 20), (200, 20), (250, 20), (400, 50), (999, 100), (1000, 100), (21841, 2000)]
)
def test_ticks_stand_at_round_numbers(classes: int, step: int) -> None:
    assert round_step(classes) == step
