"""timm's own tests of its models, run on ours: every network whose name both have.

timm's tests are not part of this project: clone github.com/huggingface/pytorch-image-models, and name the clone. They
run in a temporary copy, where timm's create_model answers with our network, and the lists of models hold the names that
both have. Left out are tests of one named model that is not ours, and those that download weights. A name that timm has
with several tags of weights is tested once, since the network is the same.

    python -m benchmarks.timm_tests pytorch-image-models
    python -m benchmarks.timm_tests pytorch-image-models --only "resnet18 or resnet50" --theirs
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOWNLOADS = ("test_model_inference", "test_model_load_pretrained", "test_model_features_pretrained")

# Written into the copy. It stands between timm's tests and timm.
CONFTEST = """
import json
import os
import sys
import warnings

sys.path.insert(0, os.environ["TESTS"])
from peers import peer

peer("torchvision")
timm = peer("timm")

import resnetkit
from timm.models._features import FeatureGetterNet

OURS = set(resnetkit.list_models())
listed, created = timm.list_models, timm.create_model


def list_models(*arguments, **settings):
    return sorted({name.partition(".")[0] for name in listed(*arguments, **settings)} & OURS)


def list_pretrained(*arguments, **settings):
    return []


def create_model(name, pretrained=False, feature_cls=None, **settings):
    if feature_cls == "getter":  # timm's wrapper, which prunes a model and asks it for its intermediates
        model = resnetkit.create_model(name)
        cfg = model.pretrained_cfg
        model = FeatureGetterNet(model, out_indices=(0, 1, 2, 3, 4))
        model.pretrained_cfg = model.default_cfg = cfg
        return model
    assert feature_cls is None
    return resnetkit.create_model(name, pretrained, **settings)


timm.list_models, timm.list_pretrained = list_models, list_pretrained
if not os.environ.get("THEIRS"):
    timm.create_model = create_model


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout: of a plugin that is not needed here")


def pytest_collection_modifyitems(config, items):
    kept = [item for item in items if item.originalname not in os.environ["DOWNLOADS"].split()]
    kept = [item for item in kept if hasattr(item, "callspec") and item.callspec.params.get("model_name") in OURS]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        crash = getattr(report.longrepr, "reprcrash", None)
        why = crash.message if crash else str(report.longrepr or "")
        line = {"test": report.nodeid.rpartition("::")[2], "outcome": report.outcome, "why": why}
        with open(os.environ["REPORT"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\\n")
"""


def run(clone: Path, only: str, theirs: bool) -> list[dict[str, str]]:
    """What became of each test: its name, its outcome, and why where it did not pass."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(clone / "timm", copy / "timm")
        (copy / "tests").mkdir()
        shutil.copy(clone / "tests" / "test_models.py", copy / "tests")
        shutil.copy(clone / "pyproject.toml", copy)  # which declares the markers
        (copy / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        report = copy / "report.jsonl"
        changes = {"TESTS": str(ROOT / "tests"), "REPORT": str(report), "DOWNLOADS": " ".join(DOWNLOADS)}
        paths = [str(copy), str(ROOT), os.environ.get("PYTHONPATH", "")]
        changes |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "THEIRS": "1" if theirs else ""}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-W",
            "ignore",
            "tests/test_models.py",
        ]
        done = subprocess.run(
            [*command, *(["-k", only] if only else [])], cwd=copy, env=os.environ | changes, check=False
        )
        if done.returncode > 1 or not report.exists():
            sys.exit(f"pytest ended with {done.returncode} and no answer")
        return [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]


def show(answers: list[dict[str, str]]) -> None:
    """A line for each test function, the share that passed, and why others did not."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        counts[answer["test"].partition("[")[0]][answer["outcome"]] += 1
    print(f"\n{'test':45} passed failed skipped")
    for test, count in counts.items():
        print(f"{test:45} {count['passed']:6} {count['failed']:6} {count['skipped']:7}")
    total = sum(counts.values(), Counter[str]())
    share = total["passed"] / max(1, total.total())
    print(f"{'all':45} {total['passed']:6} {total['failed']:6} {total['skipped']:7}   {share:.1%} pass")
    for answer in answers:
        if answer["outcome"] != "passed":
            print(f"{answer['outcome']} {answer['test']}: {(answer['why'].splitlines() or ['?'])[0]}")
    print(f"left out, since they download weights: {', '.join(DOWNLOADS)}")


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("clone", type=Path, help="a clone of timm")
    reader.add_argument("--only", default="", help="what pytest takes behind -k")
    reader.add_argument("--theirs", action="store_true", help="timm's own networks, to see what fails by itself")
    asked = reader.parse_args()
    show(run(asked.clone, asked.only, asked.theirs))


if __name__ == "__main__":
    main()
