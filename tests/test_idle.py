"""No setting is accepted and ignored: for each field of Run there is a run in which it cannot act, and is refused.

A field without such a run stands in ALWAYS, with the reason why it acts in every run. A new field is in neither list,
and this file says so.
"""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from samples import folder, picture
from test_resolve import CARD, GREY, PHOTOS, SMALL

from resnetkit import cli, job, modelfile, pretrained
from resnetkit.create import create_model
from resnetkit.effect import refuse_idle
from resnetkit.errors import KitError, UsageError
from resnetkit.job import prepare
from resnetkit.layout import lay_out
from resnetkit.modelfile import Card
from resnetkit.plan import with_io
from resnetkit.report import waiting
from resnetkit.resolve import resolve
from resnetkit.run import HINTS, Run
from resnetkit.settings import Facts, Settings
from resnetkit.zoo import find

EVEN = dataclasses.replace(SMALL, counts=(9, 9))
LISTED = dataclasses.replace(PHOTOS, listed=True)
NUMBERS = dataclasses.replace(LISTED, task="numbers", scale=((0.0, 1.0),) * len(PHOTOS.classes))
TAGS = dataclasses.replace(LISTED, task="tags")
ALL: dict[str, Any] = {"teacher": "t", "teacher_share": 1.0}
FEATURES: dict[str, Any] = {"teacher": "t", "teacher_features": 1.0}
GROUPS = dataclasses.replace(CARD, model="resnet50_gn", plan=with_io(lay_out(find("resnet50_gn")), classes=2))
# What a run gives beside the field, on which data, and from which weights; the field is given a value that is not its
# default, so that it would act if it could.
Idle = tuple[dict[str, Any], Facts, Card | None]
IDLE: dict[str, list[Idle]] = {
    "resize": [({"resize": "stretch"}, SMALL, None)],
    "val_share": [({"val_share": 0.2}, PHOTOS, None), ({"val_share": 0.2, "fold": "1/5"}, GREY, None)],
    "fold": [({"fold": "1/5"}, PHOTOS, None)],
    "max_pixels": [({"max_pixels": 10_000}, GREY, None)],
    "on_bad": [({"on_bad": "skip"}, GREY, None)],
    "image_column": [({"image_column": "x"}, PHOTOS, None)],
    "label_column": [({"label_column": "x"}, GREY, None)],
    "part_column": [({"part_column": "x"}, SMALL, None)],
    "group_column": [({"group_column": "x"}, SMALL, None)],
    "weight_column": [({"weight_column": "x"}, PHOTOS, None)],
    "task": [({"task": "classes"}, PHOTOS, None)],
    "separator": [
        ({"separator": ";"}, PHOTOS, None),
        ({"separator": ";"}, LISTED, None),
        ({"separator": ";"}, NUMBERS, None),
        ({"separator": ";", "task": "classes"}, LISTED, None),
    ],
    "smoothing": [({"smoothing": 0.1}, NUMBERS, None), ({"smoothing": 0.1, **ALL}, SMALL, None)],
    "init": [({"init": "fan-in"}, PHOTOS, CARD)],
    "allow_partial": [({"allow_partial": True}, PHOTOS, None)],
    "allow_unpinned": [({"allow_unpinned": True}, PHOTOS, None)],
    "freeze_norms": [
        *(({"freeze_norms": yes}, PHOTOS, None) for yes in (True, False)),
        ({"freeze_norms": True}, PHOTOS, GROUPS),
    ],
    "teacher_share": [({"teacher_share": 0.5}, PHOTOS, None)],
    "teacher_temperature": [
        ({"teacher_temperature": 2.0}, PHOTOS, None),
        ({"teacher_temperature": 2.0, "teacher": "t"}, NUMBERS, None),
        ({"teacher_temperature": 2.0, **FEATURES, "teacher_share": 0.0}, SMALL, None),
    ],
    "teacher_features": [
        ({"teacher_features": 1.0}, PHOTOS, None),
        ({**FEATURES, "batch": 1, "model": "resnet20"}, SMALL, None),
        ({**FEATURES, "batch": 8, "accumulate": 8, "model": "resnet20", "size": 64}, SMALL, None),
    ],
    "loss": [({"loss": "bce", **ALL}, SMALL, None), ({"loss": "focal", **ALL}, TAGS, None)],
    "pull": [({"pull": 0.01}, PHOTOS, None)],
    "repeats": [({"repeats": 2, "crop": "none", "flip": False}, SMALL, None)],
    "patience": [({"patience": 4, "epochs": 5}, SMALL, None), ({"patience": 3, "steps": 300}, SMALL, None)],
    "zero_init": [({"zero_init": True}, PHOTOS, CARD), ({"zero_init": True, "model": "plain20"}, SMALL, None)],
    "momentum": [({"momentum": 0.5, "optimizer": name}, SMALL, None) for name in ("adam", "adamw", "lamb")],
    "nesterov": [
        *(({"nesterov": False, "optimizer": name}, SMALL, None) for name in ("adam", "adamw", "lamb", "lars")),
        ({"nesterov": False, "optimizer": "rmsprop"}, SMALL, None),
        ({"nesterov": True, "momentum": 0.0}, SMALL, None),
    ],
    "decay_all": [({"decay_all": True, "weight_decay": 0.0}, SMALL, None)],
    "schedule": [
        ({"schedule": "plateau", "epochs": 6}, SMALL, None),
        ({"schedule": "plateau", "patience": 5}, SMALL, None),
    ],
    "milestones": [
        *(({"milestones": (0.3,), "schedule": name}, SMALL, None) for name in ("cosine", "linear", "onecycle")),
        ({"milestones": (0.3,), "schedule": "plateau"}, SMALL, None),
    ],
    "plateau_epochs": [
        *(({"plateau_epochs": 2, "schedule": name}, SMALL, None) for name in ("cosine", "multistep", "onecycle")),
        ({"plateau_epochs": 40, "schedule": "plateau", "epochs": 41}, SMALL, None),
    ],
    "gamma": [({"gamma": 0.5, "schedule": name}, SMALL, None) for name in ("cosine", "linear", "onecycle")],
    "focal_gamma": [({"focal_gamma": 1.0, "loss": name}, SMALL, None) for name in ("cross-entropy", "bce")],
    "class_weights": [
        ({"class_weights": "balanced"}, EVEN, None),
        ({"class_weights": "balanced", "sampling": "balanced"}, SMALL, None),
    ],
    "sampling": [({"sampling": "balanced"}, EVEN, None)],
    "drop_path": [({"drop_path": 0.2, "model": "plain20"}, SMALL, None)],
    "crop_scale": [
        ({"crop_scale": 0.5}, SMALL, None),
        *(({"crop_scale": 0.5, "crop": name}, PHOTOS, None) for name in ("pad", "none")),
        ({"crop_scale": 0.5, "resize": "letterbox"}, PHOTOS, None),
    ],
    "policy_strength": [
        ({"policy_strength": 0.5}, SMALL, None),
        ({"policy_strength": 0.5, "policy": "trivialaugment"}, SMALL, None),
    ],
    "policy_count": [
        ({"policy_count": 3}, SMALL, None),
        ({"policy_count": 3, "policy": "trivialaugment"}, SMALL, None),
    ],
    "hue": [
        ({"hue": 0.1}, GREY, None),
        ({"hue": 0.1}, GREY, CARD),
        ({"hue": 0.1}, dataclasses.replace(PHOTOS, grey=True), None),
    ],
    "mixup": [({"mixup": 0.2, "batch": 1, "model": "resnet20"}, SMALL, None)],
    "cutmix": [({"cutmix": 1.0, "batch": 1, "model": "resnet20"}, SMALL, None)],
    "epochs": [({"epochs": 3, "steps": 10}, SMALL, None), ({"epochs": 3, "finetune": "head"}, SMALL, CARD)],
    "steps": [({"steps": 10, "epochs": 3}, SMALL, None), ({"steps": 10, "finetune": "head"}, SMALL, CARD)],
    "budget": [({"budget": "5m", "epochs": 3}, SMALL, None)],
    "finetune": [({"finetune": "full"}, SMALL, None)],
    "frozen": [
        ({"frozen": 1}, SMALL, None),
        ({"frozen": 1, "finetune": "head"}, SMALL, CARD),
        ({"frozen": 1, "finetune": "full"}, SMALL, CARD),
    ],
    "views": [({"views": 3}, SMALL, None)],
    "head_cells": [({"head_cells": 2}, SMALL, None)],
    "accumulate": [({"accumulate": 9, "batch": 8}, SMALL, None)],
    "model": [({"model": "resnet50"}, PHOTOS, CARD)],
}
ALWAYS = {
    "group_pattern": "a group in two parts is refused, and figures are of whole groups",
    "data": "there is no run without",
    "out": "every run has a folder",
    "size": "the network sees pictures of that size",
    "batch": "it is how many pictures a step sees; more than there are is said to be all",
    "weights": "they are what the network begins with",
    "optimizer": "each moves weights in its own way",
    "lr": "every optimizer has a rate",
    "teacher": "its answers or its features are learned; that neither is, is refused by the names of the two",
    "weight_decay": "every optimizer has one",
    "warmup": "every schedule has one",
    "inner_dropout": "every branch has a last convolution",
    "layer_decay": "every network has a head and a stem",
    "clip": "every gradient has a length",
    "ema": "every network has weights",
    "l1": "every network has weights",
    "dropout": "every network has a head",
    "crop": "every picture has edges",
    "flip": "every picture has two sides",
    "policy": "each has operations for grey pictures too",
    "jitter": "grey pictures have brightness and contrast",
    "cutout": "every picture has a part",
    "erase": "every picture has a part",
    "device": "every run is somewhere",
    "precision": "what a device lacks is refused by name",
    "save_every": "every run saves",
    "workers": "every picture is read or varied by a thread",
    "tensorboard": "it is written or it is not",
    "seed": "every run has an order and a beginning",
}
CASES = [(name, *case) for name, cases in IDLE.items() for case in cases]


def decide(given: dict[str, Any], facts: Facts, card: Card | None) -> Settings:
    run = Run(data="data", weights="none" if card is None else "best.safetensors", **given)
    refuse_idle(run, frozenset(given))
    return resolve(run, frozenset(given), facts, card)


def test_every_field_can_be_idle_or_says_why_not() -> None:
    assert not set(IDLE) & set(ALWAYS)
    assert set(IDLE) | set(ALWAYS) == set(HINTS)


@pytest.mark.parametrize(("name", "given", "facts", "card"), CASES, ids=[f"{c[0]} {c[1]}"[:70] for c in CASES])
def test_an_idle_setting_is_refused(name: str, given: dict[str, Any], facts: Facts, card: Card | None) -> None:
    with pytest.raises(KitError) as caught:
        decide(given, facts, card)
    assert caught.value.code in (2, 4)
    assert name.replace("_", "-") in caught.value.what or name in caught.value.what or name in ("accumulate", "model")
    assert caught.value.fix


@pytest.mark.parametrize("name", IDLE)
def test_as_a_default_it_is_nobodys_wish(name: str) -> None:
    """What was not given is not refused, in the runs in which it would be if it were."""
    for given, facts, card in IDLE[name]:
        assert decide({key: value for key, value in given.items() if key != name}, facts, card)


@pytest.mark.parametrize("name", ["schedule", "gamma", "plateau_epochs"])
def test_a_plateau_that_cannot_come_leaves_its_settings_idle(name: str) -> None:
    """Each of them alone, as where a recipe brings the others."""
    run = Run(data="data", schedule="plateau", gamma=0.5, plateau_epochs=9, epochs=10)
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} would have no effect: 9 epochs without"):
        resolve(run, frozenset({name}), SMALL)


def test_grey_pictures_in_files_have_no_hue(tmp_path: Path) -> None:
    """Every one of them: one in colour is enough for hue to act."""
    for i in range(8):
        picture(tmp_path / f"{'ab'[i % 2]}/{i}.png", 20 * i)
    run = Run(data=str(tmp_path), hue=0.1, model="resnet20")
    with pytest.raises(UsageError, match="--hue would have no effect: the pictures are grey"):
        prepare(run, frozenset({"hue"}))
    assert prepare(Run(data=str(tmp_path), model="resnet20"), frozenset()).settings.preprocess.channels == 3
    folder(tmp_path, "a/9.png", "b/9.png")
    assert prepare(run, frozenset({"hue"})).settings.augment.hue == 0.1


def test_what_weights_forbid_is_known_before_the_data_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "run" / "best.safetensors"
    own.parent.mkdir()
    modelfile.save(own, create_model("resnet20", num_classes=2).state_dict(), CARD)
    monkeypatch.setattr(job, "open_source", lambda *_, **__: pytest.fail("the data is not to be opened"))
    monkeypatch.setattr(pretrained, "obtain", lambda *_: pytest.fail("nothing is to be fetched"))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model": "resnet32"}, "holds a resnet20, not a resnet32"),
        ({"allow_partial": True}, "--allow-partial would have no effect: a model file fits whole"),
        ({"init": "fan-in"}, "--init would have no effect: the weights are given"),
        ({"zero_init": True}, "--zero-init would have no effect: the weights are given"),
    ]
    cases += [({**given, "weights": str(own.parent)}, says) for given, says in cases]
    cases += [
        ({"weights": "torchvision/resnet18", "model": "resnet34"}, "holds a resnet18, not a resnet34"),
        ({"weights": "torchvision/resnet18", "allow_partial": True}, "no effect: published weights fit whole"),
        ({"weights": "torchvision/r3d_18.kinetics400_v1"}, "is not for pictures"),
        ({"weights": "auto", "allow_partial": True}, "no effect: weights that were not named fit whole"),
        ({"weights": str(tmp_path / "none.pth")}, "none.pth does not exist"),
    ]
    for given, says in cases:
        with pytest.raises(KitError, match=says):
            prepare(Run(data="data", **{"weights": str(own), **given}), frozenset(given))
    # The command says so before it fetches a data set.
    monkeypatch.setattr(waiting, "fetch", lambda *_: pytest.fail("the data is not to be fetched"))
    assert cli.main(["train", "digits", "--weights", str(own), "--model", "resnet32"]) == 4
