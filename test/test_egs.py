"""What every recipe and every shell script has in common."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHELLCHECK = Path(sys.executable).parent / "shellcheck"
MAX_LINES = 130


def is_ours(path: Path) -> bool:
    """Not installed, and not written by a run."""
    inside = path.relative_to(ROOT).parts
    made = inside[0] == "egs" and len(inside) > 2 and inside[2] in ("data", "exp", "downloads")
    return not made and not (inside[0] == "tools" and inside[1].startswith("venv"))


SCRIPTS = [path for path in [*sorted(ROOT.rglob("*.sh")), ROOT / ".ci" / "run"] if is_ours(path)]
RECIPES = sorted(ROOT.glob("egs/*/run.sh"))
each_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
each_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.parent.name)


def run_recipe(path: Path, *options: str):
    """Run a recipe as a user would, with the Python of this test."""
    return subprocess.run(
        [str(path), *options],
        env={**os.environ, "SPEECHLLM_PYTHON": sys.executable},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def documented_options(path: Path) -> list[str]:
    """The options at the start of the lines of a header comment."""
    header = path.read_text(encoding="utf-8").split("\n\n")[0]
    lines = re.findall(r"^# +(--.*?)(?:  |$)", header, flags=re.MULTILINE)
    return [name for line in lines for name in re.findall(r"(?<!\S)--(\w+)", line)]


@each_script
def test_scripts_have_no_syntax_error(path):
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@each_script
def test_shellcheck_finds_nothing(path):
    if not SHELLCHECK.exists():
        pytest.skip("shellcheck is not installed; tools/install.sh does it")
    done = subprocess.run(
        [str(SHELLCHECK), "--shell", "bash", str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@each_script
def test_scripts_that_are_run_can_be_run(path):
    first_line = path.read_text(encoding="utf-8").split("\n")[0]
    is_run = first_line.startswith("#!")
    assert os.access(path, os.X_OK) == is_run, "executable bit and first line (#!...) disagree"


@each_recipe
def test_recipes_are_short(path):
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= MAX_LINES, f"{num_lines} lines"


@each_recipe
def test_recipes_define_no_function_and_stop_at_errors(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(function\s|\w+\s*\(\))", text, flags=re.MULTILINE)
    assert "\nset -euo pipefail\n" in text


@each_recipe
def test_help_prints_the_header(path):
    done = run_recipe(path, "--help")
    assert done.returncode == 0, done.stderr
    header = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines()[1:]
    assert done.stdout.splitlines() == [line[1:].removeprefix(" ") for line in header]
    for name in ("--stage", "--stop_stage", "--preset", "--tag"):
        assert name in done.stdout


@each_recipe
def test_documented_options_have_a_default(path):
    text = path.read_text(encoding="utf-8")
    options = documented_options(path)
    assert len(options) > 3
    missing = [name for name in options if not re.search(rf"(^|\s){name}=", text, re.MULTILINE)]
    assert not missing


@each_recipe
def test_an_unknown_option_is_named_in_one_line(path):
    done = run_recipe(path, "--stop-stagee", "3")
    expected = "./run.sh: no such option '--stop-stagee'; see --help\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


@each_recipe
@pytest.mark.parametrize("preset", ["huge", "mini/tables", ".."])
def test_an_unknown_preset_is_named_in_one_line(path, preset):
    done = run_recipe(path, "--preset", preset)
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and f"got '{preset}'" in done.stderr


@each_recipe
def test_every_stage_starts_ends_and_is_in_the_help(path):
    text = path.read_text(encoding="utf-8")
    stages = re.findall(r'run_stage (\d+[a-z]?) "([^"]+)"', text)
    whole = [int(number) for number, _ in stages if number.isdigit()]
    assert whole == list(range(len(whole)))
    assert text.count("finish_stage") == len(stages)
    header = " ".join(line.lstrip("# ") for line in text.split("\n\n")[0].splitlines())
    for number, title in stages:
        assert f"{number} {title}" in header, f"stage {number} is not in the help, or not by name"


@each_recipe
def test_commands_in_recipes_exist(path):
    for name in re.findall(r"speechllm\.bin\.(\w+)", path.read_text(encoding="utf-8")):
        assert (ROOT / "speechllm" / "bin" / f"{name}.py").exists(), name


def test_no_symlinks_and_nothing_large_in_git():
    done = subprocess.run(["git", "ls-files", "-sz"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    entries = [entry.split("\t") for entry in done.stdout.split("\0") if entry]
    assert [name for mode, name in entries if mode.startswith("120000")] == []
    sizes = {name: (ROOT / name).stat().st_size for _, name in entries if (ROOT / name).exists()}
    assert [name for name, size in sizes.items() if size > 500_000] == []
