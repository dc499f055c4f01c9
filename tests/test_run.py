"""A run is one value: checked as it is made, the same in Python, in JSON and as flags."""

import dataclasses
import math
import typing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetkit import flags
from resnetkit.aliases import ALIASES, meant
from resnetkit.effect import refuse_idle
from resnetkit.errors import UsageError
from resnetkit.run import HINTS, LIMITS, Run, kind_of, notes, override, spell, wanted
from resnetkit.runfile import dumps, loads, read_file
from resnetkit.zoo import ZOO

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
    lambda text: text not in {"auto", "none"}
)


def values(name: str) -> st.SearchStrategy[Any]:
    """Anything that a field allows."""
    kind, optional = kind_of(name)
    low, high, without = -math.inf, math.inf, set[float]()
    for sign, end in LIMITS.get(name, ()):
        low, high = (end, high) if sign.startswith(">") else (low, end)
        without |= {end} if len(sign) == 1 else set()
    share = st.floats(
        None if low == -math.inf else low, None if high == math.inf else high, allow_nan=False, allow_infinity=False
    ).filter(lambda x: x not in without)
    found: st.SearchStrategy[Any] = TEXTS
    if typing.get_origin(kind) is Literal:
        found = st.sampled_from(typing.get_args(kind))
    elif name == "model":
        found = st.sampled_from([name for name in ZOO if ZOO[name].ndim == 2])
    elif name == "budget":
        found = st.sampled_from(["90", "90s", "5m", "1.5h"])
    elif name == "fold":
        found = st.sampled_from(["1/2", "5/5", "10/100"])
    elif name == "group_pattern":
        found = st.sampled_from([r"patient\d+", "_(.*)_"])
    elif name == "device":
        found = st.sampled_from(["auto", "cpu", "cuda", "cuda:3", "mps"])
    elif typing.get_origin(kind) is tuple:
        found = st.sets(share, min_size=1).map(lambda parts: tuple(sorted(parts)))
    elif kind is int:
        found = st.integers(int(low), int(high))
    elif kind is float:
        found = share
    elif kind is bool:
        found = st.booleans()
    return found | st.none() if optional else found


@st.composite
def runs(draw: st.DrawFn) -> Run:
    chosen = draw(st.sets(st.sampled_from(list(HINTS)))) - draw(
        st.sampled_from([{"epochs", "budget"}, {"steps", "budget"}, {"epochs", "steps"}])
    )
    chosen -= draw(st.sampled_from([{"group_column"}, {"group_pattern"}]))
    return Run(**{name: draw(values(name)) for name in chosen})


def typed(run: Run) -> list[str]:
    """The words that make ``run`` out of the defaults."""
    words = []
    for name in HINTS:
        value, flag = getattr(run, name), name.replace("_", "-")
        if value == getattr(Run, name):
            continue
        if name == "data":
            words += ["--", value]
        elif isinstance(value, bool):
            words.insert(0, f"--{flag}" if value else f"--no-{flag}")
        else:
            words.insert(0, f"--{flag}={spell(value, name)}")
    return words


@settings(max_examples=150)
@given(run=runs(), chosen=st.sets(st.sampled_from(list(HINTS))))
def test_json_brings_back_the_same_run(run: Run, chosen: set[str]) -> None:
    assert loads(dumps(run, chosen)) == (run, frozenset(chosen))


@settings(max_examples=100)
@given(run=runs())
def test_flags_bring_back_the_same_run(run: Run) -> None:
    parser = flags.Parser("train", "DATA", "")
    parser.word("data", "", "maybe")
    parser.settings(name for name in HINTS if name != "data")
    words = typed(run)
    found = flags.given(parser.read(words))
    assert override(Run(), found) == run
    assert set(found) == {name for name in HINTS if getattr(run, name) != getattr(Run, name)}


def test_every_field_has_a_note() -> None:
    said = notes(Run)
    assert list(said) == list(HINTS)
    for note in said.values():
        assert 5 < len(note) < 100
        assert not note.endswith(".")
        assert note.isascii()


def test_every_number_has_a_range() -> None:
    numbers = {
        name for name in HINTS if kind_of(name)[0] in (int, float) or typing.get_origin(kind_of(name)[0]) is tuple
    }
    assert set(LIMITS) == numbers


def test_the_ranges() -> None:
    said = {name: wanted(name).removeprefix("a whole number, ").removeprefix("a finite number, ") for name in LIMITS}
    assert said == {
        "size": "at least 8 and at most 4096, or auto",
        "val_share": "more than 0 and less than 1",
        "max_pixels": "at least 1024 and at most 10000000000",
        "frozen": "at least 1 and at most 100, or auto",
        "views": "at least 1 and at most 1000, or auto",
        "head_cells": "at least 0 and at most 64, or auto",
        "epochs": "at least 1 and at most 1000000, or auto",
        "steps": "at least 1 and at most 1000000000, or auto",
        "batch": "at least 1 and at most 1000000, or auto",
        "patience": "at least 1 and at most 1000000, or none",
        "accumulate": "at least 1 and at most 1000000, or auto",
        "ema": "more than 0 and less than 1, or none",
        "lr": "more than 0 and at most 1000000, or auto",
        "momentum": "at least 0 and less than 1",
        "weight_decay": "at least 0 and at most 1000000, or auto",
        "warmup": "at least 0 and less than 1, or auto",
        "plateau_epochs": "at least 1 and at most 1000000",
        "milestones": "numbers, more than 0 and less than 1",
        "gamma": "more than 0 and less than 1",
        "clip": "more than 0, or none",
        "smoothing": "at least 0 and less than 1, or auto",
        "layer_decay": "more than 0 and at most 1",
        "pull": "at least 0 and at most 1000000",
        "teacher_share": "at least 0 and at most 1",
        "teacher_temperature": "more than 0 and at most 1000",
        "teacher_features": "at least 0 and at most 1000000",
        "dropout": "at least 0 and less than 1",
        "inner_dropout": "at least 0 and less than 1",
        "drop_path": "at least 0 and less than 1",
        "l1": "at least 0 and at most 1000000",
        "focal_gamma": "more than 0 and at most 100",
        "crop_scale": "more than 0 and at most 1",
        "policy_strength": "at least 0 and at most 1",
        "policy_count": "at least 1 and at most 10, or auto",
        "jitter": "at least 0 and at most 1",
        "hue": "at least 0 and at most 0.5",
        "cutout": "at least 0 and less than 1",
        "erase": "at least 0 and at most 1",
        "repeats": "at least 1 and at most 1000",
        "mixup": "at least 0 and at most 100",
        "cutmix": "at least 0 and at most 100",
        "workers": "at least 0 and at most 256, or auto",
        "seed": "at least 0 and at most 9223372036854775807",
        "save_every": "at least 0",
    }


def test_a_run_is_frozen_and_plain() -> None:
    run = Run(data=Path("photos"), lr=1, milestones=[0.25, 0.5], seed=np.int64(3), warmup=np.float32(0.25))  # type: ignore[arg-type]
    assert (run.data, run.lr, run.milestones, run.seed, run.warmup) == ("photos", 1.0, (0.25, 0.5), 3, 0.25)
    assert [type(value) for value in (run.data, run.lr, run.seed, run.warmup)] == [str, float, int, float]
    assert hash(run) == hash(dataclasses.replace(run))
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.lr = 2.0  # type: ignore[misc]


def outside() -> list[tuple[str, Any]]:
    """For every field what lies beyond each end of its range, and what is of another kind."""
    found: list[tuple[str, Any]] = []
    for name in HINTS:
        kind, optional = kind_of(name)
        wrap = (lambda x: (x,)) if typing.get_origin(kind) is tuple else (lambda x: x)
        for sign, end in LIMITS.get(name, ()):
            beyond = end if len(sign) == 1 else end - 1 if sign == ">=" else end + 1
            found.append((name, wrap(beyond)))
        if name in LIMITS:
            found += [(name, wrap(bad)) for bad in (math.nan, math.inf, -math.inf, "ten", True, 10**400)]
        if kind is int:
            found.append((name, 2.5))
        if not optional:
            found.append((name, None))
        found.append((name, [[]]))
        if kind is bool:
            found += [(name, 1), (name, "yes")]
        if kind is str:
            found += [(name, 3), (name, b"x"), (name, "a\0b")]
        if typing.get_origin(kind) is Literal:
            found += [(name, "sdg"), (name, 0)]
    return [*found, ("milestones", ()), ("milestones", "0.5"), ("milestones", 0.5)]


@pytest.mark.parametrize(("name", "value"), outside(), ids=lambda value: str(value)[:20])
def test_values_outside_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        Run(**{name: value})
    assert caught.value.what.startswith(f"{name} is ")
    assert "it takes" in caught.value.what
    assert name in caught.value.fix


@pytest.mark.parametrize(
    ("made", "mentions"),
    [
        ({"model": "resnet51"}, "did you mean resnet5"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"device": "cuda:"}, "device is 'cuda:'"),
        ({"epochs": 3, "steps": 100}, "epochs and steps"),
        ({"epochs": 3, "budget": "5m"}, "budget and epochs"),
        ({"budget": "soon"}, "budget is 'soon'"),
        *(({"fold": text}, f"fold is '{text}'") for text in ("3", "0/5", "6/5", "1/1", "1/101", "-1/5", "1/5 ")),
        ({"group_pattern": "("}, r"group_pattern '\(' is no regular expression"),
        ({"group_pattern": "x", "group_column": "y"}, "group_column and group_pattern both say"),
        ({"budget": "0.1s"}, "budget is '0.1s'"),
        ({"milestones": (0.5, 0.5)}, "do not rise"),
        ({"milestones": (0.75, 0.5)}, "do not rise"),
    ],
)
def test_settings_that_cannot_be_meant(made: dict[str, Any], mentions: str) -> None:
    with pytest.raises(UsageError, match=mentions):
        Run(**made)


@pytest.mark.parametrize(
    ("name", "mentions"),
    [
        ("lerning_rate", "learning_rate|lr"),
        ("imgsz", "size"),
        ("batch_size", "batch"),
        ("epochz", "epochs"),
        ("lr0", "lr"),
    ],
)
def test_unknown_settings_are_refused_with_a_suggestion(name: str, mentions: str) -> None:
    with pytest.raises(UsageError) as caught:
        override(Run(), {name: 1})
    assert f"'{name}'" in caught.value.what
    if name != "lerning_rate":
        assert caught.value.what.endswith(f"; did you mean {mentions}?")
    assert "weight_decay" in caught.value.fix


def test_override_changes_what_it_is_told() -> None:
    assert override(Run(seed=1), {"lr": 0.2, "size": 32}) == Run(seed=1, lr=0.2, size=32)


def test_other_tools_names_are_ours_in_other_words() -> None:
    for ours, theirs in ALIASES.items():
        for name in theirs.split():
            assert meant(name, [ours]) == ours
    assert meant("Weight-Decay", HINTS) == "weight_decay"
    others = "mixup-alpha cutmix-alpha random-erase reprob color-jitter auto-augment aa ra-magnitude".split()
    wanted_names = "mixup cutmix erase erase jitter policy policy policy_strength".split()
    assert [meant(name, HINTS) for name in others] == wanted_names
    assert meant("checkpoint", ["model", "data"]) == "model"
    assert meant("checkpoint", HINTS) == "weights"
    assert meant("colour", HINTS) is None


@pytest.mark.parametrize(
    ("run", "given_names", "idle"),
    [
        (Run(), {"milestones"}, "milestones"),
        (Run(), {"gamma"}, "gamma"),
        (Run(schedule="multistep"), {"milestones", "gamma"}, ""),
        (Run(schedule="linear"), {"gamma"}, "gamma"),
        (Run(schedule="onecycle"), {"plateau_epochs"}, "plateau-epochs"),
        (Run(schedule="multistep"), {"plateau_epochs"}, "plateau-epochs"),
        (Run(schedule="plateau"), {"milestones"}, "milestones"),
        (Run(schedule="plateau", patience=5), {"schedule", "patience"}, "schedule"),
        (Run(schedule="plateau", patience=3, plateau_epochs=3), {"plateau_epochs", "schedule"}, "plateau-epochs"),
        (Run(schedule="plateau", patience=6), {"schedule", "patience"}, ""),
        (Run(schedule="plateau"), {"plateau_epochs", "gamma", "warmup"}, ""),
        (Run(optimizer="adamw"), {"momentum"}, "momentum"),
        (Run(optimizer="lamb"), {"momentum"}, "momentum"),
        (Run(optimizer="rmsprop"), {"nesterov"}, "nesterov"),
        (Run(optimizer="lars"), {"momentum"}, ""),
        (Run(optimizer="muon"), {"momentum", "nesterov"}, ""),
        (Run(optimizer="adamw"), {"nesterov"}, "nesterov"),
        (Run(optimizer="adamw"), {"optimizer", "lr"}, ""),
        (Run(momentum=0), {"momentum"}, ""),
        (Run(momentum=0, nesterov=True), {"momentum", "nesterov"}, "nesterov"),
        (Run(momentum=0, nesterov=False), {"momentum", "nesterov"}, ""),
        (Run(), {"focal_gamma"}, "focal-gamma"),
        (Run(loss="focal"), {"focal_gamma", "smoothing"}, ""),
        (Run(crop="pad"), {"crop_scale"}, "crop-scale"),
        (Run(crop="auto"), {"crop_scale"}, ""),
        (Run(), {"policy_strength"}, "policy-strength"),
        (Run(policy="trivialaugment"), {"policy", "policy_strength"}, "policy-strength"),
        (Run(policy="trivialaugment"), {"policy_count"}, "policy-count"),
        (Run(policy="randaugment"), {"policy_count", "policy_strength"}, ""),
        (Run(policy="augmix"), {"policy_count", "policy_strength"}, ""),
        (Run(model="plain20"), {"zero_init"}, "zero-init"),
        (Run(model="resnet20"), {"zero_init"}, ""),
        (Run(model="plain20", drop_path=0.1), {"drop_path"}, "drop-path"),
        (Run(model="resnet20", drop_path=0.1), {"drop_path"}, ""),
    ],
)
def test_given_settings_without_effect_are_refused(run: Run, given_names: set[str], idle: str) -> None:
    if not idle:
        refuse_idle(run, given_names)
        return
    with pytest.raises(UsageError, match=f"--{idle} would have no effect"):
        refuse_idle(run, given_names)


def test_rare_classes_are_made_up_for_once() -> None:
    with pytest.raises(UsageError, match="class_weights and sampling"):
        refuse_idle(Run(class_weights="balanced", sampling="balanced"), {"sampling"})


def test_a_file_without_given_gave_all_it_holds() -> None:
    assert loads('{"format": 1, "settings": {"epochs": 3}}') == (Run(epochs=3), frozenset({"epochs"}))
    assert loads('{"format": 1, "settings": {"epochs": 3}, "given": []}') == (Run(epochs=3), frozenset())


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("", "not proper JSON"),
        ("epochs: 3", "not proper JSON"),
        ("[" * 100_000, "not proper JSON"),
        ("[]", '"settings"'),
        ('{"format": 1}', '"settings"'),
        ('{"format": 1, "settings": []}', '"settings"'),
        ('{"settings": {}}', '"format"'),
        ('{"format": 2, "settings": {}}', '"format" 2'),
        ('{"format": 1, "settings": {}, "epochs": 3}', "unknown entries: epochs"),
        ('{"format": 1, "settings": {"epochs": 3, "epochs": 4}}', "'epochs' stands there twice"),
        ('{"format": 1, "settings": {"lr": NaN}}', "NaN is not a number"),
        ('{"format": 1, "settings": {"lr": -Infinity}}', "-Infinity is not a number"),
        ('{"format": 1, "settings": {"lr": 1e999}}', "mine.json: lr is inf"),
        ('{"format": 1, "settings": {"epochs": "ten"}}', "mine.json: epochs is 'ten'"),
        ('{"format": 1, "settings": {"epochs": 3.0}}', "mine.json: epochs is 3.0"),
        ('{"format": 1, "settings": {"epochs": true}}', "mine.json: epochs is True"),
        ('{"format": 1, "settings": {"seed": ' + "9" * 5000 + "}}", "not proper JSON"),
        ('{"format": 1, "settings": {"lerning_rate": 1}}', "mine.json: there is no setting 'lerning_rate'"),
        ('{"format": 1, "settings": {"imgsz": 32}}', "did you mean size?"),
        ('{"format": 1, "settings": {}, "given": ["imgsz"]}', '"given"'),
        ('{"format": 1, "settings": {}, "given": "lr"}', '"given"'),
        ('{"format": 1, "settings": {}, "given": [[]]}', '"given"'),
    ],
)
def test_files_that_say_no_run(text: str, mentions: str) -> None:
    with pytest.raises(UsageError) as caught:
        loads(text, "mine.json")
    assert "mine.json" in caught.value.what
    assert mentions in caught.value.what
    assert len(caught.value.what) < 500


def test_reading_a_file(tmp_path: Path) -> None:
    run = Run(data="\u732b\u548c\u72d7", epochs=3)
    file = tmp_path / "run.json"
    file.write_bytes(b"\xef\xbb\xbf" + dumps(run, {"epochs"}).encode())  # as some editors save it
    assert read_file(file) == (run, frozenset({"epochs"}))
    assert "\u732b" in file.read_text("utf-8-sig"), "people can read it"


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "binary", "huge"])
def test_files_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "run.json"
    if kind == "folder":
        file.mkdir()
    elif kind != "missing":
        file.write_bytes(
            {"empty": b"", "binary": b"\x89PNG\r\n\xff\xfe", "huge": dumps(Run(), ()).encode() + b" " * (2 << 20)}[kind]
        )
    with pytest.raises(UsageError) as caught:
        read_file(file)
    assert str(file) in caught.value.what
