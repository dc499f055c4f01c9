"""What a run leaves open is decided for good reasons, and a setting that could do nothing is refused."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from resnetkit.data.augment import Augment
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import UsageError, WeightsError
from resnetkit.finetuning import GENTLE
from resnetkit.layout import lay_out
from resnetkit.modelfile import Card
from resnetkit.plan import with_io
from resnetkit.resolve import resolve
from resnetkit.run import Run
from resnetkit.settings import Facts, Settings
from resnetkit.telling import variation
from resnetkit.zoo import find

PHOTOS = Facts(pictures=244, classes=("ants", "bees"), uniform=None, channels=3, has_val=True, arrays=False)
SMALL = Facts(pictures=45000, classes=("cat", "dog"), uniform=(32, 32), channels=3, has_val=False, arrays=False)
GREY = Facts(pictures=54000, classes=tuple("0123456789"), uniform=(28, 28), channels=1, has_val=False, arrays=True)
CARD = Card(
    model="resnet20",
    plan=dataclasses.replace(lay_out(find("resnet20")), classes=2),
    classes=("ants", "wasps"),
    preprocess=Preprocess(size=(32, 32), crop=1.0, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), channels=3),
)


def decide(facts: Facts, card: Card | None = None, **given: Any) -> Settings:
    run = Run(data="data", **given)
    if card is not None:
        run = replace(run, weights="best.safetensors")
    return resolve(run, frozenset(given), facts, card)


def test_photographs_are_seen_at_the_size_of_the_network() -> None:
    settings = decide(PHOTOS)
    assert settings.model == "resnet18"
    assert settings.preprocess.size == (224, 224)
    assert settings.preprocess.crop == 0.875
    assert (settings.crop, settings.flip, settings.preprocess.channels) == ("resized", True, 3)
    assert settings.plan.classes == 2


def test_small_pictures_keep_their_size_and_get_a_small_stem() -> None:
    settings = decide(SMALL)
    assert settings.model == "resnet18_cifar"
    assert settings.preprocess.size == (32, 32)
    assert (settings.preprocess.crop, settings.crop) == (1.0, "pad")


def test_a_network_that_was_asked_for_is_not_exchanged() -> None:
    assert decide(SMALL, model="resnet18").model == "resnet18"


def test_grey_arrays_have_one_channel_and_digits_are_not_mirrored() -> None:
    settings = decide(GREY)
    assert settings.preprocess.channels == settings.plan.channels == 1
    assert settings.flip is False
    assert decide(GREY, flip=True).flip is True


@pytest.mark.parametrize("pictures", [2, 5, 17, 129, 1293])
def test_a_run_has_enough_steps_however_few_the_pictures(pictures: int) -> None:
    settings = decide(replace(PHOTOS, pictures=pictures))
    assert settings.batch <= pictures
    assert settings.epoch_steps >= 1
    assert settings.steps >= min(3000, 200 * settings.epoch_steps)
    assert f"{pictures} pictures" in settings.reasons["steps"]


def test_epochs_and_steps_say_the_length() -> None:
    assert decide(SMALL, epochs=3).steps == 3 * 352
    assert decide(SMALL, steps=77).steps == 77
    with pytest.raises(UsageError, match="epochs and steps"):
        decide(SMALL, epochs=3, steps=77)


def test_a_batch_larger_than_the_data_is_all_of_it_and_said() -> None:
    settings = decide(replace(PHOTOS, pictures=12), batch=64)
    assert (settings.batch, settings.epoch_steps) == (12, 1)
    assert "12 pictures" in settings.reasons["batch"]


def test_a_batch_of_one_is_refused_where_norms_could_not_work() -> None:
    facts = replace(SMALL, uniform=(8, 8))
    with pytest.raises(UsageError, match="so few pictures"):
        decide(facts, batch=1, model="resnet18_cifar")
    assert decide(SMALL, batch=1, model="resnet20").batch == 1


def test_weights_bring_their_network_their_channels_and_their_scale() -> None:
    settings = decide(PHOTOS, CARD)
    assert settings.model == "resnet20"
    assert settings.preprocess.size == (32, 32)
    assert settings.preprocess.mean == CARD.preprocess.mean
    assert not settings.measure
    assert decide(GREY, CARD).preprocess.channels == 3
    assert decide(PHOTOS, CARD, size=64).preprocess.size == (64, 64)
    usual = decide(PHOTOS)
    assert settings.lr / settings.batch == pytest.approx(usual.lr / usual.batch * GENTLE[settings.mode.name])
    full = decide(PHOTOS, CARD, finetune="full")
    assert full.lr == pytest.approx(0.3 * usual.lr)
    assert settings.steps < decide(PHOTOS, model="resnet20").steps


def test_colour_is_learned_in_colour_whatever_the_weights_have_seen() -> None:
    grey_eyes = dataclasses.replace(
        CARD,
        preprocess=replace(CARD.preprocess, channels=1, mean=(0.3,), std=(0.2,)),
        plan=with_io(CARD.plan, channels=1),
    )
    shown = decide(PHOTOS, grey_eyes)
    assert (shown.preprocess.channels, shown.plan.channels) == (3, 3)
    assert shown.preprocess.mean == (0.3,) * 3
    assert decide(replace(PHOTOS, grey=True), grey_eyes).preprocess.channels == 1
    assert decide(GREY, CARD).preprocess.mean == CARD.preprocess.mean  # grey as three equal channels


def test_a_network_of_somebodys_own_has_its_own_channels_and_the_classes_of_the_data() -> None:
    one = '{"like": "resnet20", "name": "resnet20", "channels": 1}'
    assert decide(PHOTOS, model=one).plan.channels == 1
    seen = decide(PHOTOS, CARD, model=one).preprocess
    assert seen.channels == 1
    assert seen.mean == pytest.approx((0.2,))
    assert decide(GREY, model='{"like": "resnet20", "channels": 3}').plan.channels == 3
    with pytest.raises(UsageError, match="says classes 7, and the data has 2"):
        decide(PHOTOS, model='{"like": "resnet20", "classes": 7}')


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(WeightsError, match="resnet20, not a resnet50"):
        decide(PHOTOS, CARD, model="resnet50")


@pytest.mark.parametrize(
    ("facts", "given"),
    [
        (PHOTOS, {"val_share": 0.2}),
        (SMALL, {"crop_scale": 0.5}),
        (SMALL, {"resize": "letterbox"}),
        (GREY, {"max_pixels": 10_000}),
        (SMALL, {"schedule": "plateau", "epochs": 6}),
        (replace(SMALL, counts=(9, 9)), {"class_weights": "balanced"}),
        (SMALL, {"repeats": 3, "crop": "none", "flip": False}),
        (replace(SMALL, counts=(9, 9)), {"sampling": "balanced"}),
        (SMALL, {"patience": 4, "epochs": 5}),
        (SMALL, {"plateau_epochs": 40, "schedule": "plateau", "epochs": 41}),
    ],
)
def test_a_setting_without_effect_is_refused(facts: Facts, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(given)).replace("_", "-")):
        decide(facts, **given)
    assert decide(facts)  # as a default it is nobody's wish


def test_hue_and_mixing_are_refused_where_they_can_do_nothing() -> None:
    with pytest.raises(UsageError, match="--hue would have no effect: the pictures are grey"):
        decide(GREY, hue=0.1)
    with pytest.raises(UsageError, match="--hue would have no effect"):
        decide(GREY, CARD, hue=0.1)  # grey pictures shown to a network in colour
    with pytest.raises(UsageError, match="--hue would have no effect: the pictures are grey"):
        decide(replace(PHOTOS, grey=True), hue=0.1)
    for name in ("mixup", "cutmix"):
        with pytest.raises(UsageError, match=f"--{name} would have no effect"):
            decide(SMALL, model="resnet20", batch=1, **dict[str, Any]({name: 1.0}))
    assert decide(GREY, hue=0.0, jitter=0.4).augment.jitter == 0.4
    assert decide(SMALL, hue=0.1, mixup=0.2, cutmix=1.0).augment.hue == 0.1


def test_nothing_more_varies_unless_asked_for() -> None:
    for facts in (PHOTOS, SMALL, GREY):
        settings = decide(facts)
        assert settings.augment == Augment(crop=settings.crop, flip=settings.flip, policy_count=0)
        assert settings.run.mixup == settings.run.cutmix == 0


def test_policies_have_their_usual_count() -> None:
    counts = [decide(SMALL, policy=name).augment.policy_count for name in ("randaugment", "trivialaugment", "augmix")]
    assert counts == [2, 1, 3]
    assert decide(SMALL, policy="augmix", policy_count=5).augment.policy_count == 5


def test_class_weights_come_from_the_pictures_to_train_on() -> None:
    assert decide(replace(SMALL, counts=(30, 10)), class_weights="balanced").class_weights == pytest.approx((2 / 3, 2))
    assert decide(replace(SMALL, counts=(30, 10))).class_weights is None


def test_a_batch_is_not_cut_into_more_parts_than_it_has_pictures() -> None:
    with pytest.raises(UsageError, match="has not 9 parts"):
        decide(SMALL, batch=8, accumulate=9)
    with pytest.raises(UsageError, match="so few pictures"):
        decide(replace(SMALL, uniform=(8, 8)), batch=8, accumulate=4, model="resnet18_cifar")
    assert decide(SMALL, batch=8, accumulate=4).batch == 8
    with pytest.raises(UsageError, match="no room for 9 times a picture"):
        decide(SMALL, batch=8, repeats=9)
    still: dict[str, Any] = {"repeats": 3, "crop": "none", "flip": False}
    for more in ({"crop": "pad"}, {"flip": True}, {"jitter": 0.1}, {"mixup": 0.2}, {"policy": "augmix"}):
        assert decide(SMALL, None, **(still | more)).batch == 128


def test_plateau_needs_one_epoch_more_than_it_waits() -> None:
    assert decide(SMALL, schedule="plateau", epochs=7).run.plateau_epochs == 5


def test_milestones_within_the_warmup_are_refused() -> None:
    with pytest.raises(UsageError, match="lies within the warmup"):
        decide(SMALL, schedule="multistep", milestones=(0.04, 0.5))
    assert decide(SMALL, schedule="multistep", milestones=(0.04, 0.5), warmup=0.04)


def test_the_warmup_is_longer_under_onecycle() -> None:
    warmups = [decide(SMALL, schedule=name).warmup for name in ("cosine", "plateau", "onecycle")]
    assert warmups == [0.05, 0.05, 0.3]
    assert decide(SMALL, schedule="onecycle", warmup=0.1).warmup == 0.1


@pytest.mark.parametrize("given", [{"zero_init": True}, {"init": "fan-in"}])
def test_first_weights_say_nothing_to_given_ones(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the weights are given"):
        decide(PHOTOS, CARD, **given)


def test_a_batch_that_shrinks_says_that_the_rate_does_not() -> None:
    many = 10 * SMALL.pictures
    assert "the learning rate" not in decide(SMALL, batch=many).reasons["batch"]
    settings = decide(SMALL, batch=many, lr=0.4)
    assert (settings.batch, settings.lr) == (SMALL.pictures, 0.4)
    assert settings.reasons["batch"].endswith("and the learning rate stays 0.4")


def test_a_given_rate_and_decay_are_used_as_they_are() -> None:
    settings = decide(SMALL, lr=0.123, weight_decay=0.0, optimizer="adamw")
    assert (settings.lr, settings.weight_decay) == (0.123, 0.0)


def test_letterbox_shows_whole_pictures_in_training_too() -> None:
    settings = decide(PHOTOS, resize="letterbox")
    assert (settings.preprocess.resize, settings.crop) == ("letterbox", "none")


def test_the_line_of_what_varies_names_all_that_is_on() -> None:
    why = "a mirrored picture is as good"
    assert variation(decide(SMALL)) == f"crop pad, flip yes ({why})"
    assert variation(decide(GREY, flip=True)) == "crop pad, flip yes"
    rich = decide(
        SMALL,
        policy="randaugment",
        jitter=0.4,
        hue=0.1,
        cutout=0.5,
        erase=0.25,
        mixup=0.2,
        cutmix=1.0,
        policy_strength=0.7,
    )
    named = "randaugment 2 x 0.7, jitter 0.4, hue 0.1, cutout 0.5, erase 0.25, mixup 0.2 or cutmix 1"
    assert variation(rich) == f"crop pad, flip yes ({why}), {named}"
    assert variation(decide(SMALL, policy="trivialaugment", cutmix=1.0)).endswith("), trivialaugment, cutmix 1")
    assert variation(decide(SMALL, policy="augmix")).endswith("), augmix 3 x 0.3")
