"""What other tools call our settings, so that their words lead to ours."""

import re
from collections.abc import Collection

from resnetkit.errors import nearest

# What other tools call these things: ours, then theirs. The first of ours that a verb has is suggested.
ALIASES = {
    "data": "data-dir data-path dataset train-dir train-data input root",
    "size": "imgsz img-size image-size input-size img resolution crop-size",
    "batch": "batch-size bs b per-device-train-batch-size train-batch-size",
    "epochs": "epoch num-epochs n-epochs max-epochs num-train-epochs e",
    "steps": "max-steps num-steps iterations iters max-iter",
    "lr": "lr0 learning-rate base-lr lr-base max-lr",
    "weight_decay": "wd decay l2",
    "pull": "l2-sp l2sp sp-alpha l2-sp-alpha starting-point",
    "optimizer": "opt optim",
    "schedule": "sched scheduler lr-scheduler lr-schedule cos-lr",
    "warmup": "warmup-epochs warmup-steps lr-warmup-epochs warmup-ratio",
    "momentum": "mom opt-momentum",
    "milestones": "lr-steps lr-milestones decay-milestones decay-epochs",
    "plateau_epochs": "patience-epochs lr-patience plateau-patience",
    "gamma": "lr-gamma decay-rate lrf",
    "smoothing": "label-smoothing",
    "loss": "criterion loss-fn loss-function objective",
    "focal_gamma": "focal-loss-gamma fl-gamma",
    "teacher": "distill distillation kd teacher-model teacher-path teacher-weights distill-from kd-model-name",
    "teacher_share": "distillation-alpha kd-alpha distill-weight kd-weight distillation-weight distill-loss-weight",
    "teacher_temperature": "temperature distillation-tau distill-temperature kd-temperature kd-t tau",
    "teacher_features": "feature-distill feature-loss hint-weight similarity-weight distill-features",
    "class_weights": "class-weight weight-classes auto-class-weights",
    "sampling": "sampler oversample balance weighted-sampler balanced-sampling",
    "patience": "early-stopping early-stopping-patience es-patience",
    "accumulate": "accum grad-accum grad-accum-steps gradient-accumulation-steps accumulate-grad-batches accum-iter",
    "ema": "model-ema ema-decay model-ema-decay",
    "layer_decay": "layer-wise-lr-decay llrd layer-lr-decay",
    "dropout": "drop drop-rate dropout-rate",
    "inner_dropout": "block-dropout conv-dropout wrn-dropout",
    "drop_path": "drop-path-rate stochastic-depth stochastic-depth-prob drop-connect",
    "l1": "l1-penalty l1-reg l1-lambda l1-weight",
    "clip": "clip-grad grad-clip clip-norm max-grad-norm clip-grad-norm gradient-clip-val",
    "freeze_norms": "freeze-bn freeze-batchnorm freeze-batch-norm bn-eval frozen-bn norm-eval",
    "weights": "pretrained initial-checkpoint checkpoint checkpoint-path ckpt load",
    "model": "arch architecture network net backbone model-name checkpoint weights ckpt",
    "out": "output output-dir out-dir save-dir name project o experiment results-dir results-file output-file",
    "device": "gpu gpus cuda accelerator no-cuda use-gpu",
    "precision": "amp amp-dtype half fp16 bf16 fp32 dtype mixed-precision",
    "tensorboard": "tb log-tb tensorboard-log use-tensorboard",
    "workers": "num-workers threads j n-workers",
    "seed": "random-seed random-state manual-seed",
    "val_share": "val-split val-pct valid-pct validation-split train-val-split val-ratio val-fraction",
    "zero_init": "zero-init-residual zero-init-last zero-gamma",
    "image_column": "image-col path-column path-col filename-column x-col input-key",
    "label_column": "label-col target-column target-col class-column y-col target-key",
    "part_column": "split-column split-col set-column",
    "group_column": "group-col groups patient-column",
    "group_pattern": "group-regex group-re name-pattern",
    "on_bad": "on-bad-lines on-error ignore-errors skip-errors skip-bad skip-corrupt skip-broken ignore-corrupt",
    "fold": "folds k-folds kfold k-fold n-splits cv n-folds num-folds cross-validation",
    "flip": "hflip fliplr horizontal-flip",
    "crop_scale": "scale min-scale",
    "policy": "auto-augment autoaugment aa ra rand-augment randaug trivial-augment ta-wide augmix",
    "policy_strength": "ra-magnitude rand-magnitude magnitude augmix-severity severity",
    "policy_count": "ra-ops rand-ops num-ops ra-n augmix-width mixture-width",
    "jitter": "color-jitter colour-jitter hsv-s hsv-v",
    "hue": "hsv-h color-jitter-hue",
    "cutout": "cutout-length cutout-size",
    "erase": "random-erase random-erasing reprob re-prob erasing",
    "repeats": "aug-repeats repeated-aug ra-reps ra-sampler num-repeats repetitions",
    "mixup": "mixup-alpha mix-up",
    "cutmix": "cutmix-alpha cut-mix",
    "resume": "continue",
    "run": "config cfg c",
    "top": "topk top-k k",
    "path": "source input image images img infer-imgs file files video videos",
    "split": "subset",
    "every": "vid-stride frame-stride frame-interval stride skip-frames",
    "smooth": "window smoothing-window",
    "json": "format",
    "src": "source input checkpoint weights pretrained",
}


def meant(name: str, known: Collection[str]) -> str | None:
    """Which of the ``known`` names somebody means who writes another tool's name, or other dashes."""
    same = (ours for ours in known if squash(ours) == squash(name))
    theirs = (ours for ours, others in ALIASES.items() if ours in known and squash(name) in map(squash, others.split()))
    return next(same, None) or next(theirs, None)


def guess(name: str, known: Collection[str]) -> str:
    """``; did you mean size?`` -- or nothing."""
    ours = meant(name, known)
    return f"; did you mean {ours}?" if ours else nearest(name, known)


def squash(name: str) -> str:
    return re.sub(r"[-_.]", "", name).lower()
