"""Who may import whom: the layers of the package, and where the large libraries may be used."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "speechllm"
LAYERS = {  # part of the package: parts it may import, beside itself
    "__init__": set(),
    "errors": set(),
    "config": {"errors"},
    "data": {"errors"},
    "models": {"errors"},
    "train": {"errors"},
    "decode": {"errors"},
    "score": {"errors"},
    "analysis": {"errors"},
    "mini": {"errors"},
    "build": {"errors", "config", "data", "models"},
    "load": {"errors", "config", "models", "build"},
}
LIBRARIES = {  # library: the only files that may import it
    "transformers": {"models/kv_cache.py", "models/llm_loading.py", "mini/llm.py"},
    "peft": {"models/adapters.py"},
    "espnet": {"models/baselines.py", "models/espnet_encoder.py"},
    "espnet2": {"models/baselines.py", "models/espnet_encoder.py"},
}
SLOW = ("torch", "numpy", "transformers", "pyarrow", "matplotlib", "sentencepiece", "soundfile")


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def commands() -> list[Path]:
    """The modules of speechllm/bin that can be run; the others are what these share."""
    paths = sorted((PACKAGE / "bin").glob("*.py"))
    return [path for path in paths if "__main__" in path.read_text(encoding="utf-8")]


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Line and full dotted name of every import in a file, those inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def test_the_layers_of_the_package_are_kept():
    wrong = []
    for path in source_files():
        inside = path.relative_to(PACKAGE)
        part = inside.parts[0].removesuffix(".py")
        if part == "bin":
            continue
        assert part in LAYERS, f"{inside}: this part of the package is in no layer"
        for line, name in imports_of(path):
            words = name.split(".")
            if words[0] == "speechllm" and words[1] not in LAYERS[part] | {part}:
                wrong.append(f"{inside}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_large_libraries_are_imported_in_one_place():
    wrong = []
    for path in source_files():
        inside = str(path.relative_to(PACKAGE))
        for line, name in imports_of(path):
            library = name.split(".")[0]
            if library in LIBRARIES and inside not in LIBRARIES[library]:
                wrong.append(f"{inside}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def check_install():
    """The module tools/check_install.py, which knows what is needed and what is optional."""
    spec = importlib.util.spec_from_file_location("check_install", ROOT / "tools/check_install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared_in_setup() -> dict[str, str]:
    """Distribution and lowest version of every entry of install_requires."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "install_requires":
            return dict(entry.split(">=") for entry in ast.literal_eval(node.value))
    raise AssertionError("setup.py has no install_requires")


def test_every_imported_package_is_declared():
    known = {module for module, _ in check_install().NEEDED.values()}
    known |= {"speechllm", *sys.stdlib_module_names}
    known |= {"espnet", "espnet2", "flashlight"}  # optional
    recipes = [path for path in ROOT.glob("egs/*/local/*.py")]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in [*source_files(), *recipes]
        for line, name in imports_of(path)
        if name.split(".")[0] not in known
    ]
    assert not wrong, "declare these in setup.py and tools/check_install.py:\n" + "\n".join(wrong)


def test_setup_and_check_install_name_the_same_packages():
    needed = {name: lowest for name, (_, lowest) in check_install().NEEDED.items()}
    assert declared_in_setup() == needed


def test_every_needed_package_is_pinned():
    pins = {}
    for line in (ROOT / "tools/constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, version = line.split(";")[0].strip().split("==")
            pins.setdefault(name.lower().replace("_", "-"), []).append(version)
    install = check_install()
    for name in [*install.NEEDED, *install.OPTIONAL]:
        assert name.lower() in pins, f"tools/constraints.txt does not pin {name}"
    for name, lowest in declared_in_setup().items():
        for version in pins[name.lower()]:
            assert not install.is_older(version, lowest), f"{name}=={version} is below {lowest}"


def test_help_loads_no_slow_library():
    script = (
        "import importlib, sys\n"
        f"for name in {[path.stem for path in commands()]!r}:\n"
        "    module = importlib.import_module(f'speechllm.bin.{name}')\n"
        "    module.get_parser()\n"
        f"    slow = [m for m in {SLOW!r} if m in sys.modules]\n"
        "    if slow: sys.exit(f'speechllm.bin.{name} --help loads {slow}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", commands(), ids=lambda path: path.stem)
def test_commands_have_the_common_shape(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {"get_parser", "main"} <= functions
    assert f"speechllm.bin.{path.stem}" in (ast.get_docstring(tree) or ""), "no command line"
