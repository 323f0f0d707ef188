"""What all commands share: how they end, and how YAML and flags fill a dataclass."""

import argparse
import difflib
import operator
import os
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

from speechllm.config import kinds_of
from speechllm.errors import UserError

BOUNDS = {
    "least": (operator.ge, "at least"),
    "above": (operator.gt, "above"),
    "most": (operator.le, "at most"),
    "below": (operator.lt, "below"),
}


def run(main):
    """Call ``main()``; a UserError becomes one line on stderr and exit status 1, anything else keeps its traceback.

    Every process of a run tells its own, as some meet what others do not.
    """
    try:
        main()
    except UserError as error:
        rank = os.environ.get("RANK", "0")
        where = "" if rank == "0" else f"rank {rank}: "
        print(f"{where}error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # nobody reads on, as behind a pipe to head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is flushed at exit
        sys.exit(141)


def one_line(error: UserError) -> str:
    """The message, also of an error in a loader's worker, whose whole traceback torch makes the message."""
    mark = f"{UserError.__module__}.{UserError.__name__}: "
    return str(error).rpartition(mark)[2].strip()


def check_apart(source: str, out: str):
    """Raise a UserError if what is written to ``out`` would lie in the data directory that it is made from."""
    if os.path.realpath(source) == os.path.realpath(out):
        raise UserError(f"{out}: is the data directory itself; name another folder to write to")


def config_parser(description: str, config_class, argv=None):
    """A parser with ``--config FILE.yaml`` and one flag per field of a (nested) dataclass: ``--optim.lr 1e-4``.

    Of a part that has kinds (see config.py) it takes the fields of the kind that ``argv`` asks for.

    Raises:
        UserError: a config file that is missing or is not a mapping, or an unknown kind.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file; later flags win over it")
    kinds, types = kinds_of(config_class), get_type_hints(config_class)
    defaults = vars(config_class())
    for field in fields(config_class):
        section = types[field.name]
        if field.name in kinds:
            section = chosen_kind(field.name, kinds[field.name], arguments(argv))
        if is_dataclass(section):
            parser.add_class_arguments(section, field.name)
        else:
            parser.add_argument(f"--{field.name}", type=section, default=defaults[field.name])
    return parser


def add_training_arguments(parser):
    """The flags that every training command has."""
    parser.add_argument("--train_dir", required=True, help="data directory with manifest.arrow")
    parser.add_argument(
        "--valid_dir", required=True, help="another one, which is decoded while training"
    )
    parser.add_argument(
        "--exp_dir", required=True, help="folder for checkpoints and logs; a run in it is continued"
    )
    parser.add_argument(
        "--overwrite",
        type=bool,
        default=False,
        help="replace a run with another config in --exp_dir",
    )


def preparation_parser(description: str, corpora: str, langs: str | None = None, subsets=()):
    """The flags that every recipe's local/prepare_data.py has.

    Args:
        corpora: what the folder of the corpus is.
        langs: languages where none are named, "" if they must be; None: a corpus of one language, without --langs.
        subsets: that the training set has, "full" among them; none: without --subset.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_dir", help="data directory to write")
    parser.add_argument("--corpora", required=True, help=corpora)
    if langs is not None:
        told = f"ISO codes{f' ({langs})' if langs else ''}"
        parser.add_argument("--langs", default=langs, required=not langs, help=told)
    parser.add_argument("--set", required=True, choices=("train", "dev", "test"))
    if subsets:
        told = "limited supervision: of the training set only (full)"
        parser.add_argument("--subset", default="full", choices=subsets, help=told)
    return parser


def arguments(argv) -> list[str]:
    """The command line, each ``--flag=value`` as two words."""
    words = sys.argv[1:] if argv is None else argv
    return [part for w in words for part in (w.split("=", 1) if w.startswith("--") else [w])]


def chosen_kind(section: str, kinds: dict[str, type], argv: list[str]) -> type:
    """The dataclass of the kind that the last of YAML and flags names, by default the first one."""
    name = next(iter(kinds))
    for flag, value in zip(argv, argv[1:], strict=False):
        if flag == f"--{section}.type":
            name = value
        elif flag == "--config":
            name = type_in_yaml(value, section) or name
    if name not in kinds:
        near = difflib.get_close_matches(name, kinds, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(kinds)}"
        raise UserError(f"{section}.type: there is no {section} {name!r}; {hint}")
    return kinds[name]


def type_in_yaml(path: str, section: str) -> str | None:
    """The value of ``type`` in a section of a config file, if it has one."""
    sections = [node for key, node in compose(path).value if key.value == section]
    keys = [pair for node in sections if node.id == "mapping" for pair in node.value]
    types = [node.value for key, node in keys if key.value == "type" and node.id == "scalar"]
    return types[-1] if types else None


def parse(parser, config_class, argv=None):
    """Read flags and YAML before any work is done.

    Returns:
        the dataclass, and a namespace with the flags that are not part of it.

    Raises:
        UserError: an unknown or repeated key, or a value of the wrong type.
    """
    words = arguments(argv)
    for flag, value in zip(words, words[1:], strict=False):
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
    config = config_class(**{name: objects[name] for name in names})
    check_numbers(config)
    return config, args


def check_numbers(config, prefix: str = ""):
    """Raise a UserError if a number of a config is outside the bounds of its field, see ``config.number``."""
    for field in fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        if is_dataclass(value):
            check_numbers(value, f"{name}.")
        elif type(value) in (int, float):
            check_number(name, value, **field.metadata.get("bounds", {"least": 0}))


def check_number(name: str, value, **bounds):
    """Raise a UserError if a number is outside some bounds: least=, above=, most=, below=."""
    if not all(BOUNDS[kind][0](value, bound) for kind, bound in bounds.items()):
        told = " and ".join(f"{BOUNDS[kind][1]} {bound}" for kind, bound in bounds.items())
        raise UserError(f"{name}: {value} should be {told}")


def check_draws(config):
    """Raise a UserError if a DrawConfig limits what is drawn and draws nothing."""
    if config.top_p != 1 and config.temperature == 0:
        raise UserError(
            f"top_p {config.top_p:g} is without effect at temperature 0, where nothing is drawn; "
            "give a temperature above 0, or no top_p"
        )


def read_config(config_class, path: str):
    """The dataclass that a YAML file fills; its defaults where ``path`` is empty."""
    argv = ["--config", path] if path else []
    return parse(config_parser("", config_class, argv), config_class, argv)[0]


def check_mel_bins(features, saved: dict):
    """Raise a UserError if features have another number of mel bins than a checkpoint's config says."""
    if features.num_mel_bins != saved["num_mel_bins"]:
        raise UserError(
            f"--fbank_config has {features.num_mel_bins} mel bins, the model {saved['num_mel_bins']}; "
            "give its own fbank.yaml"
        )


def known_keys(parser) -> list[str]:
    """Every key that a config file of this parser may have, dotted."""
    return [action.dest for action in parser._actions if action.dest not in ("help", "config")]


def explain(text: str, known: list[str]) -> str:
    """One line from a parser's message, with the nearest key where an unknown one is named."""
    text = " ".join(text.split())
    for word in text.split():
        name = word[2:].split("=")[0].rstrip(":")
        if word.startswith("--") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            return f"{text}; did you mean --{near[0]}?" if near else text
    return text


def compose(path: str):
    """The YAML nodes of a config file, which know their lines.

    Raises:
        UserError: it is missing, is not YAML or not a mapping.
    """
    import yaml

    if not Path(path).is_file():
        raise UserError(f"{path}: no such config file")
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if root is None or root.id != "mapping":
        raise UserError(f"{path}: a config file must be a mapping of keys to values")
    return root


def check_yaml(path: str, known: list[str]):
    """Refuse a file that is missing, is not YAML, repeats a key or has an unknown one.

    Raises:
        UserError: naming file, line and key.
    """
    nodes = [("", compose(path), True)]
    while nodes:
        prefix, node, is_section = nodes.pop()  # below a value that is a mapping, any key is right
        seen = set()
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            where = f"{path}:{key.start_mark.line + 1}"
            if name in seen:
                raise UserError(f"{where}: key {name!r} stands twice; remove one")
            seen.add(name)
            holds_keys = any(k.startswith(f"{name}.") for k in known)
            if is_section and name not in known and not holds_keys:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UserError(f"{where}: unknown key {name!r}{hint}")
            if value.id == "mapping":
                nodes.append((f"{name}.", value, holds_keys))
            elif holds_keys:
                raise UserError(f"{where}: {name!r} must be a mapping of keys to values")
