"""What all commands share: how they end, and how YAML and flags fill a dataclass."""

import difflib
import os
import sys
from pathlib import Path

from speechllm.errors import UserError


def run(main):
    """Call ``main()``; a UserError becomes one line on stderr and exit status 1, anything else keeps its traceback."""
    try:
        main()
    except UserError as error:
        if os.environ.get("RANK", "0") == "0":  # every process of a run meets the same error
            print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def config_parser(description: str, config_class):
    """A parser with ``--config FILE.yaml`` and one flag per field of a (nested) dataclass: ``--optim.lr 1e-4``."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file; later flags win over it")
    parser.add_class_arguments(config_class)
    return parser


def parse(parser, config_class, argv=None):
    """Read flags and YAML before any work is done.

    Returns:
        the dataclass, and a namespace with the flags that are not part of it.

    Raises:
        UserError: an unknown or repeated key, or a value of the wrong type.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    for flag, value in zip(argv, argv[1:], strict=False):
        if flag == "--config":
            check_yaml(value, known_keys(parser))
    try:
        args = parser.parse_args(argv)
        objects = parser.instantiate(args)
    except SystemExit:
        raise
    except Exception as error:  # jsonargparse raises several kinds, all with a readable text
        raise UserError(explain(str(error), known_keys(parser))) from error
    names = config_class.__dataclass_fields__
    return config_class(**{name: objects[name] for name in names}), args


def known_keys(parser) -> list[str]:
    """Every key that a config file of this parser may have, dotted."""
    return [action.dest for action in parser._actions if action.dest not in ("help", "config")]


def explain(text: str, known: list[str]) -> str:
    """One line from a parser's message, with the nearest key where an unknown one is named."""
    text = " ".join(text.split())
    for word in text.split():
        if word.startswith("--") and word[2:] not in known:
            near = difflib.get_close_matches(word[2:].split("=")[0], known, 1)
            return f"{text}; did you mean --{near[0]}?" if near else text
    return text


def check_yaml(path: str, known: list[str]):
    """Refuse a file that is missing, is not YAML, repeats a key or has an unknown one.

    Raises:
        UserError: naming file, line and key.
    """
    import yaml

    if not Path(path).is_file():
        raise UserError(f"{path}: no such config file")
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: a config file must be a mapping of keys to values")
    nodes = [("", root)]
    while nodes:
        prefix, node = nodes.pop()
        seen = set()
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            where = f"{path}:{key.start_mark.line + 1}"
            if name in seen:
                raise UserError(f"{where}: key {name!r} stands twice; remove one")
            seen.add(name)
            if name not in known and not any(k.startswith(f"{name}.") for k in known):
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UserError(f"{where}: unknown key {name!r}{hint}")
            if isinstance(value, yaml.MappingNode):
                nodes.append((f"{name}.", value))
