"""Every command and every program in the READMEs runs as it stands there, and both languages show the same ones."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import environment, resnet

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[str]:
    return [line for block in blocks(name, "sh") for line in block.splitlines() if line.strip()]


def test_both_languages_show_the_same_commands() -> None:
    assert commands(READMES[0]) == commands(READMES[1])
    code = [[re.sub("#.*", "", block) for block in blocks(name, "python")] for name in READMES]
    assert code[0] == code[1]
    assert len(commands(READMES[0])) >= 8


@pytest.mark.slow
def test_the_commands_run(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(data_dir)
    (tmp_path / "mine.json").write_text(*blocks(READMES[0], "json"))
    for line in commands(READMES[0]):
        program, *words = shlex.split(line)
        assert program == "resnet"
        done = resnet(*words, cwd=tmp_path, timeout=400)
        assert done.code == 0, (line, done.err)
        assert done.out.strip()


@pytest.mark.slow
def test_the_program_runs(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(data_dir)
    for code in blocks(READMES[0], "python"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment({}), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "val" in done.stdout or "test" in done.stdout
