"""The command line: answers on stdout, errors that say what to do, and no trace of torch where none is needed."""

import importlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from command import ROOT, environment, refused, resnet

import resnetkit
from resnetkit import arguments, cli, doctor
from resnetkit.errors import KitError, UsageError
from resnetkit.flags import COMMON, Parser
from resnetkit.run import HINTS, Run
from resnetkit.runfile import dumps
from resnetkit.verbs.networks import doctor_flags
from resnetkit.verbs.table import SYNONYMS, VERBS
from resnetkit.verbs.training import refuse_beside_resume, requested
from resnetkit.verbs.verb import Verb, say
from resnetkit.zoo import ZOO

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs a Linux shell")


def parser_of(name: str, every: bool = False) -> Parser:
    parser = Parser(name, VERBS[name].usage, VERBS[name].says, every=every)
    VERBS[name].flags(parser)
    return parser


# Answers


def test_version() -> None:
    assert resnet("--version").out == f"resnetkit {resnetkit.__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_every_verb(words: list[str]) -> None:
    answer = resnet(*words)
    assert answer.code == 0
    assert answer.err == ""
    for name, verb in VERBS.items():
        assert f"  {name} " in answer.out
        assert verb.says in answer.out


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["-h"], ["x", "--help", "--epochz"], ["--help-all"]):
        assert cli.main([name, *words]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"usage: resnet {name} ")
        assert max(map(len, out.splitlines())) < 120
        for place in parser_of(name).places:
            assert place.upper() in out.splitlines()[0]


def test_help_of_train_is_short_and_help_all_is_whole() -> None:
    short, whole = parser_of("train").format_help(), parser_of("train", every=True).format_help()
    for name in set(HINTS) - {"data"}:
        flag = f"--{name.replace('_', '-')}"
        assert (f"  {flag} " in short or f"  {flag}," in short) == (name in COMMON)
        assert f"  {flag} " in whole or f"  {flag}," in whole
    for text in ("crop|letterbox|stretch", "[0.5,0.75]", "--clip X", "[none]", "--debug"):
        assert text in whole


def test_models_for_programs_and_people() -> None:
    listing = resnet("models", "--json").document
    assert [set(row) for row in listing] == [{"name", "parameters", "macs", "input", "weights"}] * len(ZOO)
    assert [row["name"] for row in listing] == list(ZOO)
    table = resnet("models").out.splitlines()
    assert table[0].split() == ["name", "input", "weights", "parameters", "multiply-adds"]
    assert len(table) == len(ZOO) + 1
    assert next(line for line in table if line.startswith("resnet50 ")).split()[3] == "25,557,032"
    weights = {row["name"]: row["weights"] for row in listing}
    assert "timm/resnet50.a1_in1k" in weights["resnet50"]
    assert weights["resnet20"] == []


def test_models_by_pattern() -> None:
    assert [row["name"] for row in resnet("models", "plain1*", "--json").document] == ["plain18", "plain110"]
    assert len(resnet("models", "cifar").out.splitlines()) == 7


def test_describe() -> None:
    document = resnet("describe", "resnet18", "--json").document
    assert {"name", "parameters", "macs", "input", "layers"} <= set(document)
    assert document["parameters"] == 11_689_512
    assert resnet("describe", "resnet18", "--size", "192x256", "--json").document["input"] == [3, 192, 256]
    assert "11,689,512" in resnet("describe", "resnet18").out
    assert resnet("describe", "resnet18", "--mermaid").out.startswith("flowchart")


# Errors


@pytest.mark.parametrize(
    ("words", "mentions"),
    [
        ("trian d", "'trian' did you mean train?"),
        ("val m d", "'val' did you mean eval?"),
        ("frobnicate", "'frobnicate' --help"),
        ("--epochz", "'--epochz'"),
        ("train", "needs DATA"),
        ("train d --epochz 3", "--epochz did you mean --epochs?"),
        ("train d --epoch 3", "--epoch did you mean --epochs?"),
        ("train d --epochs ten", "--epochs 'ten' whole number"),
        ("train d --epochs 2.5", "--epochs 2.5 whole number"),
        ("train d --epochs", "--epochs needs a value"),
        ("train d --epochs 0", "--epochs 0 at least 1"),
        ("train d --epochs --json", "--epochs needs a value"),
        ("train d --lr nan", "--lr nan finite"),
        ("train d --lr inf", "--lr inf finite"),
        ("train d --lr -1", "--lr -1 more than 0"),
        ("train d --lr -1e3", "--lr -1000 more than 0"),
        ("train d --lr 0", "--lr 0 more than 0"),
        ("train d --batch -4", "--batch -4 at least 1"),
        ("train d --batch 1000000000", "--batch at most 1000000"),
        ("train d --size 7", "--size 7 at least 8"),
        ("train d --size 100000", "--size at most 4096"),
        ("train d --workers 1000", "--workers at most 256"),
        ("train d --workers -1", "--workers at least 0"),
        ("train d --warmup 1", "--warmup less than 1"),
        ("train d --smoothing 1.5", "--smoothing less than 1"),
        ("train d --seed -1", "--seed at least 0"),
        ("train d --seed 9223372036854775808", "--seed at most 9223372036854775807"),
        ("train d --model resnet51", "'resnet51' did you mean resnet5"),
        ("train d --device gpu", "'gpu' cuda"),
        ("train d --optimizer sdg", "--optimizer 'sdg' sgd, adamw"),
        ("train d --milestones a,b", "--milestones 'a,b' numbers"),
        ("train d --epochs 3 --steps 30", "epochs and steps"),
        ("train d --gamma 0.5", "--gamma would have no effect"),
        ("train d --flip=yes", "--flip takes no value"),
        ("train d e", "one word too many: e"),
        ("train d epochs=3", "'epochs=3' write --epochs 3"),
        ("train d lr0=0.1", "'lr0=0.1' write --lr 0.1"),
        ("train data=photos", "write photos alone"),
        ("train d --imgsz 32", "--imgsz did you mean --size?"),
        ("train d --img-size 32", "did you mean --size?"),
        ("train d --batch-size 32", "did you mean --batch?"),
        ("train d -b 32", "did you mean --batch?"),
        ("train d --lr0 0.1", "did you mean --lr?"),
        ("train d --learning-rate 0.1", "did you mean --lr?"),
        ("train d --wd 0", "did you mean --weight-decay?"),
        ("train d --weight_decay 0", "did you mean --weight-decay?"),
        ("train d --amp", "did you mean --precision?"),
        ("train d --pretrained", "did you mean --weights?"),
        ("train d --output x", "did you mean --out?"),
        ("train --data-dir d", "--data-dir DATA stands without a flag"),
        ("train --resume runs/x --epochs 3", "--resume runs/x --epochs"),
        ("train --resume runs/x --run run.json", "--run cannot"),
        ("train --resume runs/x --dry-run", "--dry-run cannot"),
        ("train --run missing.json", "missing.json cannot be read"),
        ("eval", "needs MODEL, DATA"),
        ("eval m", "needs DATA"),
        ("eval m d --split tset", "--split 'tset' did you mean test?"),
        ("eval m d --workers x", "--workers 'x'"),
        ("eval m d --device gpu", "'gpu' cuda"),
        ("eval m d --precision fp8", "--precision 'fp8' fp32"),
        ("eval --checkpoint m d", "MODEL stands without a flag"),
        ("eval m d --jsn", "did you mean --json?"),
        ("predict", "needs MODEL"),
        ("predict m", "needs pictures --from"),
        ("predict m a --top 0", "--top '0' 1"),
        ("predict m a --topk 3", "did you mean --top?"),
        ("predict m a --json --csv", "--json and --csv"),
        ("predict m - -", "- stands there twice"),
        ("predict m source=a", "write a alone"),
        ("import w.pth", "needs --model"),
        ("import w.pth --model resnet20", "needs --out"),
        ("import w.pth --model resnet21 --out o", "'resnet21' did you mean resnet"),
        ("import w.pth --model resnet20 --out o --mean 0.5,x", "--mean '0.5,x'"),
        ("import w.pth --model resnet20 --out o --std 0", "--std '0'"),
        ("import w.pth --model resnet20 --out o --crop 0.5,0.5", "--crop one number"),
        ("import w.pth --model resnet20 --out o --classes names.txt", "'names.txt' neither a file nor a list"),
        ("import w.pth --model resnet20 --out o --classes a,b,a", "'a' twice"),
        ("models resnet999", "'resnet999' resnet models"),
        ("models a b", "one word too many: b"),
        ("describe", "needs MODEL"),
        ("describe resnet51", "'resnet51' did you mean resnet5"),
        ("describe resnet18 --size 0", "--size '0'"),
        ("describe resnet18 --size 1x2x3", "--size '1x2x3'"),
        ("describe resnet18 --size 10x", "--size '10x' whole number"),
        ("describe resnet18 --size 10xa", "--size '10xa' whole number"),
        ("describe RESNETRS50", "'RESNETRS50' did you mean resnetrs50"),
        ("train d --model WRN_28_10", "'WRN_28_10' did you mean wrn_28_10"),
        ("describe resnet18 --mermaid --json", "--mermaid --json"),
    ],
)
def test_usage_errors(words: str, mentions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    code = cli.main(words.split())
    monkeypatch.undo()
    what, fix, *more = err.getvalue().splitlines()
    assert (code, out.getvalue(), more) == (2, "", [])
    assert what.startswith("error: ")
    assert fix.startswith("fix: ")
    place = 0
    for mention in parts_of(mentions):
        assert mention in err.getvalue()[place:]
        place = err.getvalue().index(mention, place)
    assert list(tmp_path.iterdir()) == []


def parts_of(mentions: str) -> Sequence[str]:
    """Words that stand there in this order; ``did you mean x?`` stands together."""
    before, question, after = mentions.partition("did you mean ")
    return [*before.split(), *([question + after] if question else [])]


@pytest.mark.parametrize(
    ("words", "mentions"),
    [
        (["trian", "d"], ["trian", "train"]),
        (["train", "d", "--epochz", "3"], ["--epochz", "--epochs"]),
        (["train", "d", "--epochs", "ten"], ["--epochs", "ten", "whole number"]),
        (["train", "d", "--lr", "nan"], ["--lr", "nan"]),
        (["train", "d", "epochs=3"], ["--epochs 3"]),
        (["describe", "resnet51"], ["resnet51", "resnet50"]),
        (["models", "\x1b[31m\n\u4e2d"], ["\\x1b[31m\\n\u4e2d"]),
        (["models", "--js"], ["--js", "--json"]),
    ],
)
def test_the_error_contract_from_outside(words: list[str], mentions: list[str]) -> None:
    refused(resnet(*words, env={"PYTHONUTF8": "1"}), 2, *mentions)


@pytest.mark.parametrize("words", [["--debug", "describe", "resnet51"], ["describe", "--debug", "resnet51"]])
def test_debug_shows_where_an_error_came_from(words: list[str]) -> None:
    answer = resnet(*words)
    assert answer.code == 2
    assert "Traceback" in answer.err
    assert answer.err.splitlines()[-2].startswith("error: ")


def test_words_after_two_dashes_are_no_flags() -> None:
    asked = parser_of("predict").read(["m", "--top", "3", "--", "--debug", "-x.jpg", "a=b", "top=3"])
    assert (asked.model, asked.path, asked.top) == ("m", ["--debug", "-x.jpg", "a=b", "top=3"], "3")
    refused(resnet("describe", "--", "--debug"), 2, "--debug")


def test_words_and_flags_mix() -> None:
    asked = parser_of("predict").read(["--json", "m", "a", "--top=3", "b", "-"])
    assert (asked.model, asked.path, asked.top, asked.json) == ("m", ["a", "b", "-"], "3", True)
    assert parser_of("models").read([]).pattern is None
    assert parser_of("models").read(["--json", "--"]).pattern is None


def test_a_file_named_like_a_setting_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("top=3").touch()
    assert parser_of("predict").read(["m", "top=3"]).path == ["top=3"]
    assert parser_of("predict").read(["m", "angle=3"]).path == ["angle=3"]


# What went wrong within a verb


@pytest.mark.parametrize(
    ("error", "code", "mentions"),
    [
        (KitError("it is so", "do this"), 1, "error: it is so\nfix: do this\n"),
        (
            ZeroDivisionError("by zero"),
            1,
            "error: a bug in resnet: ZeroDivisionError: by zero\nfix: run it again with --debug",
        ),
        (AssertionError(), 1, "a bug in resnet: AssertionError"),
        (MemoryError(), 5, "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 5, "memory"),
        (RuntimeError("shapes differ"), 1, "a bug in resnet: RuntimeError: shapes differ"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 5, "No module named 'torch'"),
        (ModuleNotFoundError("No module named 'resnetkit.x'", name="resnetkit.x"), 1, "a bug in resnet"),
        (OSError(28, "No space left on device", "a/b"), 5, "error: a/b: No space left on device\nfix: free some space"),
        (PermissionError(13, "Permission denied", "a\nb"), 5, "error: a\\nb: Permission denied\n"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_every_error_ends_in_a_sentence(
    error: BaseException, code: int, mentions: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_asked: object, _out: object) -> int:
        raise error

    monkeypatch.setitem(VERBS, "doctor", Verb("", "", doctor_flags, fail))
    assert cli.main(["doctor"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert mentions in shown.err
    assert bool(shown.err) == bool(mentions)


def test_torch_out_of_memory_is_a_resource_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    class Torch:
        pass

    Torch.OutOfMemoryError = OutOfMemoryError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", Torch)
    assert cli.explained(OutOfMemoryError("CUDA out of memory.")).code == 5
    assert cli.explained(RuntimeError("CUDA error")).code == 1


def test_what_a_library_prints_is_no_part_of_the_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def chat(_asked: object, out: io.StringIO) -> int:
        print("a library says hello")
        say(out, {"a": "\u4e2d"})
        return 3

    monkeypatch.setitem(VERBS, "doctor", Verb("", "", doctor_flags, chat))  # type: ignore[arg-type]
    assert cli.main(["doctor"]) == 3
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"a": "\u4e2d"}
    assert "hello" in shown.err


# Streams


def test_any_letter_on_any_terminal() -> None:
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict", "PYTHONCOERCECLOCALE": "0"}
    answer = resnet("models", "\u4e2d", env=narrow)
    refused(answer, 2, "\\udce4\\udcb8\\udcad")  # the bytes of the letter, which such a terminal cannot name
    refused(resnet("models", "\u4e2d", env={"PYTHONUTF8": "1", "PYTHONIOENCODING": "ascii:strict"}), 2, "\\u4e2d")


def test_any_answer_on_any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="gbk", errors="strict"))
    cli.steady_streams()
    say(sys.stdout, "\u4e2d \U0001f600")
    sys.stdout.flush()
    assert raw.getvalue().decode("gbk") == "\u4e2d \\U0001f600" + os.linesep


def test_json_stays_json_on_any_terminal() -> None:
    for encoding in ("ascii", "gbk", "utf-8"):
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
        say(out, {"path": "\u4e2d\U0001f600 caf\udce9"})
        out.flush()
        assert json.loads(raw.getvalue().decode(encoding)) == {"path": "\u4e2d\U0001f600 caf\udce9"}


def test_a_reader_that_leaves_early() -> None:
    """As ``| head``: a long answer, and nobody to read it."""
    command = [sys.executable, "-m", "resnetkit", "describe", "resnet1202", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment({})) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A shell line in which "$@" is the command."""
    return subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-m", "resnetkit"],
        capture_output=True,
        text=True,
        env=environment({}),
        timeout=60,
        check=False,
    )


@LINUX
@pytest.mark.parametrize(("closed", "heard"), [("<&-", True), (">&-", False), ("2>&-", True), ("<&- >&- 2>&-", False)])
def test_streams_that_are_closed(closed: str, heard: bool) -> None:
    done = shell(f'"$@" models resnet50 {closed}')
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("resnet50 " in done.stdout) == heard


LEAVING = """
import atexit, sys, threading, time
from resnetkit import cli
atexit.register(print, "the last word")
if {working}:
    threading.Thread(target=lambda: (time.sleep(0.3), print("done", file=sys.__stdout__))).start()
sys.argv = ["resnet", "models", "no such network"]
cli.run()
"""


@pytest.mark.parametrize(("working", "said"), [(False, ["the last word"]), (True, ["done", "the last word"])])
def test_the_process_ends_at_once_but_leaves_nothing_undone(working: bool, said: list[str]) -> None:
    code = LEAVING.format(working=working)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split("\n")[:-1]) == (2, said), done.stderr
    assert "no such network" in done.stderr


@LINUX
def test_a_full_disk_under_the_answer() -> None:
    done = shell('"$@" models > /dev/full')
    assert done.returncode == 5
    assert done.stderr.startswith("error: No space left on device\nfix: free some space")
    assert len(done.stderr.splitlines()) == 2


# Settings


def test_settings_of_a_file_are_given_and_flags_come_before_them(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(dumps(Run(data="digits", lr=0.2, epochs=3, seed=7, out="runs/a"), {"lr", "epochs", "out"}))
    run, chosen = requested(parser_of("train").read(["--run", str(file), "--lr=0.4", "--no-flip"]))
    assert run == Run(data="digits", lr=0.4, epochs=3, seed=7, flip=False)
    assert chosen == {"lr", "epochs", "flip"}
    run, chosen = requested(parser_of("train").read(["photos", "--run", str(file), "--epochs", "auto", "--steps", "9"]))
    assert run == Run(data="photos", lr=0.2, steps=9, seed=7)
    assert chosen == {"data", "lr", "epochs", "steps"}


def test_a_file_of_settings_needs_data_from_somewhere(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(dumps(Run(), set()))
    with pytest.raises(UsageError, match="needs DATA"):
        requested(parser_of("train").read(["--run", str(file)]))


def test_only_workers_and_moved_data_may_stand_beside_resume() -> None:
    refuse_beside_resume(parser_of("train").read(["moved", "--resume", "runs/x", "--workers", "2", "--json"]))


def test_lines_of_a_list(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_bytes(b"\xef\xbb\xbfa b.jpg\r\n\n caf\xe9\nlast")
    assert arguments.lines_of(str(file), "--from") == ["a b.jpg", " caf\udce9", "last"]
    with pytest.raises(KitError, match="is not text in UTF-8, UTF-16 or GBK"):
        arguments.class_names(str(file))
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "gbk"):
        file.write_bytes("机场\r\n\n鸟".encode(encoding))
        assert arguments.class_names(str(file)) == ("机场", "鸟")
    assert arguments.class_names("cat, dog") == ("cat", "dog")
    for bad in (tmp_path, tmp_path / "no"):
        with pytest.raises(KitError, match="is not a file"):
            arguments.lines_of(str(bad), "--from")
    file.write_bytes(b"\x89PNG\0")
    with pytest.raises(KitError, match="is not text"):
        arguments.class_names(str(file))
    with pytest.raises(KitError, match="is not text"):
        arguments.lines_of(str(file), "--from")


@pytest.mark.parametrize("target", ["w.safetensors", "letter.txt"])
def test_import_writes_over_nothing_but_model_files(tmp_path: Path, target: str) -> None:
    for name in ("w.safetensors", "letter.txt"):
        (tmp_path / name).write_bytes(b"weights")
    answer = resnet("import", "w.safetensors", "--model", "resnet20", "--out", target, cwd=tmp_path)
    refused(answer, 2, f"{target} is there and is not a model file")
    assert (tmp_path / target).read_bytes() == b"weights"


# The doctor


def test_doctor_names_a_setting_that_cannot_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETKIT_MAPS", "many")
    done = resnet("doctor")
    assert done.code == 0
    assert "RESNETKIT_MAPS is 'many', which is no number of GB" in done.out
    assert "of at most ? GB" in done.out


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: None if name in ("pyarrow", "pillow") else "1.0")
    monkeypatch.setitem(sys.modules, "resnetkit.engine.device", None)  # as if torch were broken
    report = doctor.examine()
    assert report["extras"]["data"] == {
        "present": False,
        "missing": ["pyarrow"],
        "install": 'pip install "resnetkit[data]"',
    }
    assert [problem["fix"].split(" (")[0] for problem in report["problems"]] == [
        "pip install torch",
        "pip install pillow",
    ]
    assert report["device"] is None
    text = doctor.table(report)
    assert 'pip install "resnetkit[data]"' in text
    assert "pip install pillow" in text


def test_doctor_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["resnetkit"] == resnetkit.__version__
    assert report["device"] in report["devices"]
    assert report["precision"] in ("fp32", "bf16", "fp16")
    assert report["threads"] >= 1
    assert report["packages"]["torch"]
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr()
    assert re.search(rf"^device +{re.escape(report['device'])} \(", shown.out, re.MULTILINE)
    assert shown.err == ""


def test_doctor_knows_the_packages_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(lines: list[str]) -> tuple[str, ...]:
        return tuple(line.partition(">")[0] for line in lines)

    assert names(project["dependencies"]) == doctor.CORE
    extras = project["optional-dependencies"]
    assert {name: names(extras[name]) for name in doctor.EXTRAS} == doctor.EXTRAS


def test_every_verb_is_where_the_table_says() -> None:
    for verb in VERBS.values():
        for function in (verb.flags, verb.act):
            assert isinstance(function, partial)
            closed = inspect.getclosurevars(function.func).nonlocals
            assert callable(getattr(importlib.import_module(f"resnetkit.verbs.{closed['room']}"), function.args[0]))


def test_a_verb_loads_no_room_of_another() -> None:
    program = "import sys; from resnetkit.cli import main; main(['predict', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert "resnetkit.verbs.answering" in loaded
    assert not {"resnetkit.verbs.training", "resnetkit.verbs.networks", "numpy", "torch"} & set(loaded)


def test_synonyms_lead_to_verbs() -> None:
    assert set(SYNONYMS.values()) <= {*VERBS, "--version", "--help"}
    assert not set(SYNONYMS) & set(VERBS)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("src --mean .485 .456 .406 --out f", "mean", ".485,.456,.406"),
        ("src --mean .485,.456,.406 --out f", "mean", ".485,.456,.406"),
        ("--mean .485 .456 .406 src --out f", "mean", ".485,.456,.406"),
        ("--mean .485,.456,.406 src", "mean", ".485,.456,.406"),
        ("src --classes cat dog --model resnet20", "classes", "cat,dog"),
        ("src --classes=cat,dog --model resnet20", "classes", "cat,dog"),
    ],
)
def test_several_values_stand_with_commas_or_blanks(words: str, name: str, value: str) -> None:
    asked = parser_of("import").read(words.split())
    assert (getattr(asked, name), asked.src) == (value, "src")


def test_several_values_of_a_setting() -> None:
    asked = parser_of("train").read("--milestones 0.3 0.6 photos --schedule multistep".split())
    assert (asked.milestones, asked.data) == ("0.3,0.6", "photos")


def test_a_flag_that_is_there_twice_is_refused() -> None:
    refused(resnet("train", "digits", "--lr", "0.1", "--lr", "0.2"), 2, "'--lr=0.1' and '--lr=0.2' cannot both hold")
    refused(resnet("train", "digits", "--flip", "--no-flip"), 2, "'--flip' and '--no-flip' cannot both hold")
