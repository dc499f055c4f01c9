"""What a run leaves open, decided from what the data and the weights say."""

import math
import os
from dataclasses import replace
from pathlib import Path

from resnetkit import modelfile, published
from resnetkit.data.batches import steps_per_epoch
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import UsageError, WeightsError
from resnetkit.finetuning import GENTLE, NONE, SOONER, Mode, mode_of, tapped
from resnetkit.idle import refuse_idle
from resnetkit.layout import lay_out
from resnetkit.modelfile import Card
from resnetkit.plan import with_io
from resnetkit.run import Run
from resnetkit.settings import Facts, Settings
from resnetkit.spec import Sides
from resnetkit.specfile import find, says, title
from resnetkit.tasks import TASKS
from resnetkit.units import each
from resnetkit.zoo import ZOO

SMALL = 64  # pixels: pictures all of one size up to this keep it
# At a batch of 128. Those of the last four were tried on digits, where a quarter of each learns visibly more slowly.
LR = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3, "rmsprop": 2e-4, "lars": 2.0, "lamb": 0.01, "muon": 4e-3}
DECAY = {"sgd": 5e-4, "adam": 1e-4, "adamw": 0.05, "rmsprop": 1e-5, "lars": 1e-4, "lamb": 0.02, "muon": 0.05}
ENOUGH_STEPS = 3000  # of training from nothing: below this the networks here are visibly not done
ENOUGH_EPOCHS = 30
MOST_EPOCHS = 200  # of little data: more looks at the same pictures stop helping


def resolve(run: Run, given: frozenset[str], facts: Facts, card: Card | None = None) -> Settings:
    """Every setting as it will be used. Raises UsageError for a given setting that can have no effect.

    ``card`` is that of the weights to start from, where they have one.
    """
    reasons: dict[str, str] = {}
    model = network(run, given, facts, card, reasons)
    preprocess = geometry(run, given, facts, card, model, reasons)
    base = lay_out(find(model)) if card is None else card.plan
    plan = with_io(base, channels=preprocess.channels, classes=len(facts.classes))
    scratch = card is None
    mode = NONE if scratch else mode_of(run, given, plan, facts.pictures, preprocess.size)
    plan = tapped(run, plan, mode, facts.pictures)
    batch = batch_size(run, facts, preprocess, mode, reasons)
    parts = run.accumulate or 1
    if run.repeats > batch:
        raise UsageError(
            f"a batch of {batch} has no room for {run.repeats} times a picture", f"--repeats {batch} or less"
        )
    if parts > batch:
        raise UsageError(f"a batch of {batch} has not {parts} parts", f"--accumulate {batch} or less")
    frozen = norms_frozen(run)
    few = batch == 1 or (parts > 1 and batch // parts < 3)  # some part may be a single picture
    if few and not frozen and all(math.ceil(side / plan.reduction) == 1 for side in preprocess.size):
        raise UsageError(
            f"so few pictures at a time leave batch normalisation one value a channel in {model}",
            "--batch 2 or more, and with --accumulate N at least 3 N",
        )
    epoch_steps = steps_per_epoch(facts.pictures, batch)
    kind = TASKS[facts.task]
    loss = kind.losses[0] if run.loss == "auto" else run.loss
    if loss not in kind.losses:
        raise UsageError(f"the loss {loss} is not for {kind.name}", f"--loss {' or '.join(kind.losses)}")
    # The squares of the first errors are large: at the full rate they throw a network off.
    usual = LR[run.optimizer] * batch / 128 * GENTLE[mode.name] * (0.1 if loss == "mse" else 1)
    crop = run.crop
    if crop == "auto":
        whole = preprocess.resize != "crop" or facts.task == "numbers"  # which may be places, sizes, or how many
        crop = "none" if whole else "pad" if facts.uniform else "resized"
    wary = why_not_mirrored(facts)
    if run.flip is None:
        reasons["flip"] = f"{wary}; --flip mirrors all the same" if wary else "a mirrored picture is as good"
    usual_smoothing = 0.1 if facts.task == "classes" else 0.0
    settings = Settings(
        run=run,
        model=title(model),
        plan=plan,
        classes=facts.classes,
        preprocess=preprocess,
        measure=scratch,
        batch=batch,
        epoch_steps=epoch_steps,
        steps=0 if mode.name == "head" else length(run, facts.pictures, epoch_steps, mode, reasons),
        lr=run.lr or usual,
        weight_decay=DECAY[run.optimizer] if run.weight_decay is None else run.weight_decay,
        warmup=(0.3 if run.schedule == "onecycle" else 0.05) if run.warmup is None else run.warmup,
        loss=loss,
        smoothing=usual_smoothing if run.smoothing is None or facts.task == "numbers" else run.smoothing,
        class_weights=balance(facts.counts) if run.class_weights == "balanced" else None,
        crop=crop,
        flip=run.flip if run.flip is not None else not wary,
        freeze_norms=frozen,
        task=facts.task,
        scale=facts.scale,
        mode=mode,
        reasons=reasons,
    )
    if run.lr is None:
        gentle = ["gentle with given weights"] if GENTLE[mode.name] < 1 else []
        gentle += ["a tenth for squares"] if loss == "mse" else []
        reasons["lr"] = ", ".join([f"{run.optimizer} at a batch of {batch}", *gentle])
    refuse_idle(settings, given, facts)
    return settings


def norms_frozen(run: Run) -> bool:
    """Whether batch norms keep their statistics: the one place where that is decided."""
    return bool(run.freeze_norms)


def why_not_mirrored(facts: Facts) -> str:
    """Why pictures are not mirrored where nobody says, or nothing."""
    if facts.task == "numbers":
        return "a number may depend on the side"
    signs = all(len(name) == 1 and name.isalnum() for name in facts.classes)
    return f"the {TASKS[facts.task].name} are digits or letters, which mirroring may change" if signs else ""


def network(run: Run, given: frozenset[str], facts: Facts, card: Card | None, reasons: dict[str, str]) -> str:
    if card is not None:
        refuse_other(run, given, card.model)
        reasons["model"] = "the network of the weights"
        return card.model
    find(run.model)  # refuses unknown names
    refuse_other_classes(run, facts)
    small = f"{run.model}_cifar"
    if "model" not in given and facts.uniform and small in ZOO:
        reasons["model"] = f"{run.model} with a 3x3 stem: the pictures are small"
        return small
    return run.model


def refuse_other_classes(run: Run, facts: Facts) -> None:
    """UsageError where a network of somebody's own says how many classes it has, and the data has others."""
    classes = says(run.model, "classes")
    if classes not in (None, len(facts.classes)):
        what = f"{title(run.model)} says classes {classes}, and the data has {len(facts.classes)}"
        raise UsageError(what, "leave classes out of the network: the data says how many there are")


def refuse_other(run: Run, given: frozenset[str], model: str) -> None:
    """WeightsError where a network was asked for that is not the ``model`` of the weights."""
    if "model" in given and title(run.model) != model:
        raise WeightsError(
            f"{run.weights} holds a {model}, not a {title(run.model)}", f"--model {model}, or leave --model out"
        )


def refuse_weights(run: Run, given: frozenset[str]) -> None:
    """What weights make useless or impossible, as far as a look at their name or card shows: before data is read.

    Raises UsageError for a setting without effect, WeightsError for weights of another network, or for no file.
    """
    if run.weights in ("none", "auto"):
        return
    if published.is_meant(run.weights):
        row = published.want(run.weights).row
        model, whole = row.network, "published weights fit whole"
        published.refuse_clips(row)
    else:
        path = Path(run.weights)
        path = path / "best.safetensors" if os.path.isdir(path) else path
        if not modelfile.is_ours(path):
            return
        model, whole = modelfile.read_card(path).model, "a model file fits whole"
    refuse_other(run, given, model)
    if run.allow_partial:
        raise UsageError(f"--allow-partial would have no effect: {whole}", "leave it out")


def geometry(
    run: Run, given: frozenset[str], facts: Facts, card: Card | None, model: str, reasons: dict[str, str]
) -> Preprocess:
    """How a picture becomes input: as asked for, else as it is if small, else as the weights or the network say."""
    if run.size is not None:
        size = (run.size, run.size)
    elif facts.uniform:
        size, reasons["size"] = facts.uniform, "all pictures have it"
    elif card is not None:
        size, reasons["size"] = card.preprocess.size, "the size of the weights"
    else:
        size, reasons["size"] = two_sides(find(model).size), f"the size {title(model)} is made for"
    known = card.preprocess if card else None
    colours = 1 if facts.grey else facts.channels
    channels = says(run.model, "channels") or (max(known.channels, colours) if known else facts.channels)
    if known and known.channels != channels:  # the first convolution is adapted, and says so
        known = replace(known, channels=channels, mean=spread(known.mean, channels), std=spread(known.std, channels))
    return Preprocess(
        size=size,
        resize=run.resize if known is None or "resize" in given else known.resize,
        crop=1.0 if max(size) <= SMALL else known.crop if known else 0.875,
        interpolation=known.interpolation if known else "bilinear",
        mean=known.mean if known else (0.0,) * channels,
        std=known.std if known else (1.0,) * channels,
        channels=channels,
    )


def spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """The same for another number of channels: their mean, in each."""
    return (sum(values) / len(values),) * channels


def two_sides(size: Sides) -> tuple[int, int]:
    height, width = each(size, 2)
    return height, width


def batch_size(run: Run, facts: Facts, preprocess: Preprocess, mode: Mode, reasons: dict[str, str]) -> int:
    if run.batch is not None:
        if run.batch > facts.pictures:
            stays = f", and the learning rate stays {run.lr:g}" if run.lr is not None else ""
            reasons["batch"] = f"there are only {facts.pictures} pictures: every step sees all of them{stays}"
        return min(run.batch, facts.pictures)
    most = 128 if max(preprocess.size) <= SMALL else 32
    least = 32 if mode.keeps_maps else 8  # steps behind maps are so short that few large ones are quicker
    batch = min(most, max(least, 2 ** int(math.log2(max(1, facts.pictures / 12)))), facts.pictures)
    reasons["batch"] = f"for {facts.pictures} pictures of {preprocess.size[0]}x{preprocess.size[1]}"
    return batch


def balance(counts: tuple[int, ...]) -> tuple[float, ...]:
    """Weights by which every class that has pictures counts the same, and a picture 1 on average."""
    present = sum(count > 0 for count in counts)
    return tuple(sum(counts) / (present * count) if count else 0.0 for count in counts)


def length(run: Run, pictures: int, epoch_steps: int, mode: Mode, reasons: dict[str, str]) -> int:
    if run.steps is not None:
        return run.steps
    if run.epochs is not None:
        return run.epochs * epoch_steps
    share = SOONER[mode.name]
    enough = math.ceil(ENOUGH_STEPS / share / epoch_steps)
    epochs = min(max(enough, ENOUGH_EPOCHS // share), MOST_EPOCHS // share)
    start = {"none": "from nothing", "full": "from weights"}.get(mode.name, "the last of it, from weights")
    reasons["steps"] = f"{epochs} epochs of {pictures} pictures: {start}, at least {ENOUGH_STEPS // share} steps or "
    reasons["steps"] += f"{ENOUGH_EPOCHS // share} epochs, at most {MOST_EPOCHS // share} epochs"
    return epochs * epoch_steps
