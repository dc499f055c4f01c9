"""Every verb by its name, and what other tools call them."""

from resnetkit.verbs.answering import eval_flags, evaluate, predict, predict_flags
from resnetkit.verbs.benching import BENCH, bench, bench_flags
from resnetkit.verbs.checking import check, check_flags
from resnetkit.verbs.comparing import compare, compare_flags
from resnetkit.verbs.embedding import embed, embed_flags, nearest, nearest_flags, verify, verify_flags
from resnetkit.verbs.explaining import explain, explain_flags
from resnetkit.verbs.exporting import EXPORT, export, export_flags
from resnetkit.verbs.networks import (
    IMPORT,
    describe,
    describe_flags,
    doctor_flags,
    examine,
    import_flags,
    import_weights,
    list_recipes,
    models,
    models_flags,
    recipes_flags,
)
from resnetkit.verbs.rates import find_lr, lr_flags
from resnetkit.verbs.sweeping import sweep, sweep_flags
from resnetkit.verbs.training import train, train_flags
from resnetkit.verbs.verb import Verb
from resnetkit.verbs.weights import list_weights, weights_flags

VERBS = {
    "train": Verb("DATA [--model NAME] [--out DIR] ...", "learn to tell pictures apart", train_flags, train),
    "eval": Verb(
        "MODEL DATA [--split PART] [--out DIR] [--json]", "measure a model on labelled pictures", eval_flags, evaluate
    ),
    "predict": Verb(
        "MODEL PATH... [--top K] [--json]", "name the classes of pictures and videos", predict_flags, predict
    ),
    "compare": Verb(
        "A B DATA [--split PART] [--json]", "see which of two models is better, and where", compare_flags, compare
    ),
    "explain": Verb(
        "MODEL PATH... [--method NAME] [--class NAME] [--out DIR] [--json]",
        "show where in a picture an answer comes from",
        explain_flags,
        explain,
    ),
    "embed": Verb("MODEL DATA --out FILE", "write the features of pictures", embed_flags, embed),
    "nearest": Verb(
        "MODEL EMBEDDINGS PATH... [--top K] [--json]", "find the pictures most like others", nearest_flags, nearest
    ),
    "verify": Verb(
        "MODEL PAIRS [--roc FILE] [--json]", "tell pairs of the same from others, as with faces", verify_flags, verify
    ),
    "check": Verb(
        "DATA [--model MODEL] [--folds N] [--fix LIST.csv] [--json]",
        "find what is wrong with the data",
        check_flags,
        check,
    ),
    "sweep": Verb(
        "DATA --lr 0.01,0.1 ... [--trials N] [--out DIR]", "try several values of settings", sweep_flags, sweep
    ),
    "lr": Verb(
        "DATA [--model NAME] [--out DIR] ... [--json]", "find a learning rate in a few steps", lr_flags, find_lr
    ),
    "import": Verb(IMPORT, "make a model file of foreign weights", import_flags, import_weights),
    "export": Verb(EXPORT, "take a model to another library or runtime", export_flags, export),
    "bench": Verb(BENCH, "measure how fast a model answers here, in every way", bench_flags, bench),
    "recipes": Verb("[--json]", "list ways to train that have a name", recipes_flags, list_recipes),
    "models": Verb("[PATTERN] [--json]", "list the networks that have a name", models_flags, models),
    "weights": Verb(
        "[PATTERN] [--verify] [--json]", "list the weights that others published", weights_flags, list_weights
    ),
    "describe": Verb(
        "MODEL [--size N] [--mermaid] [--json]", "show what a network is made of", describe_flags, describe
    ),
    "doctor": Verb("[--json]", "say what this machine offers", doctor_flags, examine),
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
