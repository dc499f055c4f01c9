"""Every verb by its name, and what other tools call them."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from resnetkit.verbs.verb import BENCH, EXPORT, IMPORT, Verb


def late(room: str, *names: str) -> list[Callable[..., Any]]:
    """Functions of a room, which is loaded when one of them is called: the words of one verb need no other's."""

    def called(name: str, *given: Any) -> Any:
        return getattr(import_module(f"resnetkit.verbs.{room}"), name)(*given)

    return [partial(called, name) for name in names]


VERBS = {
    "train": Verb(
        "DATA [--model NAME] [--out DIR] ...", "learn to tell pictures apart", *late("training", "train_flags", "train")
    ),
    "eval": Verb(
        "MODEL DATA [--split PART] [--out DIR] [--json]",
        "measure a model on labelled pictures",
        *late("answering", "eval_flags", "evaluate"),
    ),
    "predict": Verb(
        "MODEL PATH... [--top K] [--json]",
        "name the classes of pictures and videos",
        *late("answering", "predict_flags", "predict"),
    ),
    "compare": Verb(
        "A B DATA [--split PART] [--json]",
        "see which of two models is better, and where",
        *late("comparing", "compare_flags", "compare"),
    ),
    "explain": Verb(
        "MODEL PATH... [--method NAME] [--class NAME] [--out DIR] [--json]",
        "show where in a picture an answer comes from",
        *late("explaining", "explain_flags", "explain"),
    ),
    "embed": Verb(
        "MODEL DATA --out FILE", "write the features of pictures", *late("embedding", "embed_flags", "embed")
    ),
    "nearest": Verb(
        "MODEL EMBEDDINGS PATH... [--top K] [--json]",
        "find the pictures most like others",
        *late("embedding", "nearest_flags", "nearest"),
    ),
    "verify": Verb(
        "MODEL PAIRS [--roc FILE] [--json]",
        "tell pairs of the same from others, as with faces",
        *late("embedding", "verify_flags", "verify"),
    ),
    "check": Verb(
        "DATA [--model MODEL] [--folds N] [--fix LIST.csv] [--json]",
        "find what is wrong with the data",
        *late("checking", "check_flags", "check"),
    ),
    "sweep": Verb(
        "DATA --lr 0.01,0.1 ... [--trials N] [--out DIR]",
        "try several values of settings",
        *late("sweeping", "sweep_flags", "sweep"),
    ),
    "lr": Verb(
        "DATA [--model NAME] [--out DIR] ... [--json]",
        "find a learning rate in a few steps",
        *late("rates", "lr_flags", "find_lr"),
    ),
    "import": Verb(IMPORT, "make a model file of foreign weights", *late("networks", "import_flags", "import_weights")),
    "export": Verb(EXPORT, "take a model to another library or runtime", *late("exporting", "export_flags", "export")),
    "bench": Verb(
        BENCH, "measure how fast a model answers here, in every way", *late("benching", "bench_flags", "bench")
    ),
    "recipes": Verb(
        "[--json]", "list ways to train that have a name", *late("networks", "recipes_flags", "list_recipes")
    ),
    "models": Verb(
        "[PATTERN] [--json]", "list the networks that have a name", *late("networks", "models_flags", "models")
    ),
    "weights": Verb(
        "[PATTERN] [--verify] [--json]",
        "list the weights that others published",
        *late("weights", "weights_flags", "list_weights"),
    ),
    "describe": Verb(
        "MODEL [--size N] [--mermaid] [--json]",
        "show what a network is made of",
        *late("networks", "describe_flags", "describe"),
    ),
    "doctor": Verb("[--json]", "say what this machine offers", *late("networks", "doctor_flags", "examine")),
}
SYNONYMS = {
    "fit": "train",
    "tune": "sweep",
    "search": "sweep",
    "hpo": "sweep",
    "finetune": "train",
    "find-lr": "lr",
    "lr-find": "lr",
    "lrfind": "lr",
    "lr-finder": "lr",
    "lr_find": "lr",
    "audit": "check",
    "inspect": "check",
    "val": "eval",
    "validate": "eval",
    "evaluate": "eval",
    "test": "eval",
    "diff": "compare",
    "versus": "compare",
    "vs": "compare",
    "infer": "predict",
    "inference": "predict",
    "classify": "predict",
    "gradcam": "explain",
    "grad-cam": "explain",
    "cam": "explain",
    "visualize": "explain",
    "heatmap": "explain",
    "embeddings": "embed",
    "features": "embed",
    "similar": "nearest",
    "neighbors": "nearest",
    "pairs": "verify",
    "benchmark": "bench",
    "speed": "bench",
    "latency": "bench",
    "profile": "bench",
    "convert": "import",
    "list": "models",
    "ls": "models",
    "zoo": "models",
    "pretrained": "weights",
    "checkpoints": "weights",
    "info": "describe",
    "show": "describe",
    "summary": "describe",
    "checks": "doctor",
    "env": "doctor",
    "version": "--version",
    "help": "--help",
}
