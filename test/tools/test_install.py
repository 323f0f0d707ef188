"""tools/install.sh with a stand-in for Python, and tools/check_install.py with the real one."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKE_PYTHON = """#!/bin/bash
# Stands in for python3: makes an environment of two scripts, and writes down what pip is asked for.
log=$FAKE_LOG
case "$1 ${2:-}" in
    "--version "*) echo Python 3.99 ;;
    "-m venv")
        mkdir -p "$3/bin" "$3/lib/python3.99/site-packages"
        cp "$0" "$3/bin/python"
        echo "#!$3/bin/python" >"$3/bin/pip"
        echo "venv" >>"$log"
        ;;
    "-m pip")
        [ "$3" = --version ] && exit 0
        echo "${*:3}" >>"$log"
        if [ -n "${FAKE_SLEEP:-}" ]; then sleep "$FAKE_SLEEP"; fi
        if [ -n "${FAKE_FAIL:-}" ]; then echo "ERROR: no space left"; exit 1; fi
        ;;
    "-m compileall") echo "compile ${!#}" >>"$log" ;;
    "-c "*)
        case "$2" in
            *version_info*) echo "/fake 3.99"; exit "${FAKE_OLD:-0}" ;;
            *ensurepip*) exit "${FAKE_NO_VENV:-0}" ;;
            *importlib.metadata*) echo "${FAKE_TORCH:-2.8.0+cu126}" ;;
        esac
        ;;
    *check_install.py*) echo "check" >>"$log" ;;
esac
"""


@pytest.fixture
def install(tmp_path):
    """A function that runs install.sh in a copy of the project and returns the stand-in's log."""
    project, bin_dir, log = tmp_path / "my project", tmp_path / "bin", tmp_path / "log"
    (project / "tools").mkdir(parents=True)
    bin_dir.mkdir()
    for name in ("setup.py", "tools/install.sh", "tools/constraints.txt"):
        shutil.copy(ROOT / name, project / name)
    for (
        tool
    ) in "bash cat cp dirname env flock grep head mkdir mv rm sed sha256sum sleep tail".split():
        (bin_dir / tool).symlink_to(shutil.which(tool))
    (bin_dir / "python3").write_text(FAKE_PYTHON)
    (bin_dir / "python3").chmod(0o755)

    def run_install(*options, code=0, **env):
        log.write_text("")
        done = subprocess.run(
            [project / "tools" / "install.sh", *options],
            env={"PATH": str(bin_dir), "FAKE_LOG": str(log), **env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        run_install.output, run_install.error = done.stdout, done.stderr
        return log.read_text().splitlines()

    run_install.project, run_install.bin, run_install.log = project, bin_dir, log
    return run_install


def test_a_fresh_install_makes_the_environment_and_checks_it(install):
    calls = install()
    assert calls[0] == "venv" and calls[-1] == "check"
    assert "--no-deps -c tools/constraints.txt setuptools espnet" in calls[1]
    assert calls[2].endswith("-e .[test,ngram]")
    assert (install.project / "tools/venv/.installed").exists()


def test_packages_are_compiled_where_python_would_not_keep_what_it_compiles(install):
    assert not any(call.startswith("compile") for call in install())
    packages = install.project / "tools/venv/lib/python3.99/site-packages"
    assert f"compile {packages}" in install(PYTHONDONTWRITEBYTECODE="1")


def test_nothing_is_done_or_said_where_all_is_up_to_date(install):
    install()
    assert install("--if-needed") == [] and install.output == ""
    with (install.project / "tools/constraints.txt").open("a") as f:
        f.write("# changed\n")
    assert "check" in install("--if-needed")
    assert install("--if-needed") == []


def test_an_interrupted_install_goes_on(install):
    install(FAKE_FAIL="1", code=1)
    assert "ERROR: no space left" in install.error and "install.log" in install.error
    packages = install.project / "tools/venv/lib/python3.99/site-packages"
    for name in ("whole-1.0.dist-info", "half-1.0.dist-info", "~alf"):
        (packages / name).mkdir()
    (packages / "whole-1.0.dist-info/RECORD").touch()
    calls = install("--if-needed")
    assert "venv" not in calls and calls[-1] == "check"
    assert [p.name for p in packages.iterdir()] == ["whole-1.0.dist-info"]


def test_an_environment_without_pip_or_moved_is_made_again(install):
    install()
    (install.project / "tools/venv/bin/pip").unlink()
    assert install()[0] == "venv"
    (install.project / "tools/venv/bin/pip").write_text("#!/elsewhere/tools/venv/bin/python\n")
    assert install()[0] == "venv"


def test_another_build_of_torch_is_kept_in_later_runs(install):
    calls = install("--torch-index", "file:///index", "--torch", "2.8.0", "--bench")
    assert "install --index-url file:///index torch==2.8.0" in calls
    assert "install --index-url file:///index --no-deps torchaudio==2.8.*" in calls
    assert calls[-2].endswith("-e .[test,ngram,bench]")
    constraints = (install.project / "tools/venv/constraints.txt").read_text().splitlines()
    assert "torch==2.8.0+cu126" in constraints and "torch==2.12.1" not in constraints
    assert not [line for line in constraints if line.startswith(("nvidia-", "triton", "cuda-"))]
    assert [line for line in constraints if line.startswith("transformers==")]
    assert install("--if-needed") == []
    assert "install --index-url file:///index torch==2.8.0" in install()


def test_a_recent_torch_takes_the_tested_torchaudio(install):
    calls = install("--torch-index", "file:///index", FAKE_TORCH="2.12.1+cpu")
    assert "install --index-url file:///index torch<=2.12.1" in calls
    assert "install --index-url file:///index --no-deps torchaudio==2.11.0" in calls


def test_two_at_once_wait_for_each_other(install):
    env = {"PATH": str(install.bin), "FAKE_LOG": str(install.log), "FAKE_SLEEP": "0.5"}
    command = [install.project / "tools/install.sh", "--if-needed"]
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("another installation is running" in output for output in outputs) == 1
    assert install.log.read_text().splitlines().count("check") == 1


def test_an_install_that_was_killed_is_waited_for(install):
    env = {"PATH": str(install.bin), "FAKE_LOG": str(install.log), "FAKE_SLEEP": "1"}
    install.log.write_text("")
    first = subprocess.Popen([install.project / "tools/install.sh"], env=env)
    while "install" not in install.log.read_text():
        time.sleep(0.02)
    first.kill()  # its pip lives on
    first.wait()
    assert "check" in install("--if-needed")
    assert "another installation is running" in install.output


@pytest.mark.parametrize(
    "options, env, message",
    [
        (["--pyton", "x"], {}, "no such option '--pyton'; see --help"),
        (["--torch"], {}, "option '--torch' needs a value; see --help"),
        ([], {"FAKE_OLD": "1"}, "no Python of version 3.10 or later was found; install one"),
        (["--python", "/no/py"], {}, "--python should name a Python of version 3.10 or later"),
        ([], {"FAKE_NO_VENV": "1"}, "has no venv module; install it"),
    ],
)
def test_what_is_missing_is_named_in_one_line(install, options, env, message):
    assert install(*options, code=1, **env) == []
    assert len(install.error.splitlines()) == 1
    assert install.error.startswith("tools/install.sh: ") and message in install.error
    assert not (install.project / "tools/venv").exists()


def test_help_is_the_header(install):
    assert install("--help") == []
    assert "--torch-index URL" in install.output and "set -euo" not in install.output


def check(*options, python=sys.executable):
    command = [python, str(ROOT / "tools/check_install.py"), *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_check_shows_versions_and_audio_formats():
    done = check()
    assert done.returncode == 0, done.stderr
    rows = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert rows["audio"].startswith("wav flac mp3 opus")
    assert re.match(r"\d+\.\d+", rows["torch"]) and re.match(r"1\.\d+", rows["espeak-ng"])
    assert check("--quick").stdout == ""


def test_check_names_what_is_missing(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    for options in ([], ["--quick"]):
        done = check(*options, python=str(tmp_path / "bare/bin/python"))
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1 and "torch (missing)" in done.stderr


def test_install_options_do_not_leak_from_the_environment(install):
    calls = install(torch="1.0", torch_index="file:///bad", bench="true", python="/bad")
    assert calls[-2].endswith("-e .[test,ngram]") and not any(
        "file:///bad" in call for call in calls
    )
