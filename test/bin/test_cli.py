"""How commands end, and what their configs take."""

import shlex
import subprocess
import sys

import pytest
from torch.utils.data import Dataset

from speechllm.bin import chat, cli, respond
from speechllm.config import DrawConfig, RespondConfig
from speechllm.data.collate import make_loader
from speechllm.errors import UserError


class Unreadable(Dataset):
    def __getitem__(self, index):
        try:
            raise OSError("gone")
        except OSError as error:
            raise UserError("feats.ark: cannot be read; extract it again") from error


def refuse():
    raise UserError("feats.ark: cannot be read; extract it again")


def read_in_a_worker():
    next(iter(make_loader(Unreadable(), [[0]], list, num_workers=1)))


@pytest.mark.parametrize("main", [refuse, read_in_a_worker])
@pytest.mark.parametrize(("rank", "begin"), [("0", ""), ("3", "rank 3: ")])
def test_an_error_is_one_line_on_every_rank(main, rank, begin, monkeypatch, capsys):
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(SystemExit) as end:
        cli.run(main)
    assert end.value.code == 1
    line = f"{begin}error: feats.ark: cannot be read; extract it again\n"
    assert capsys.readouterr().err == line


def test_a_reader_that_goes_away_ends_a_command_quietly():
    """As ``head`` does."""
    script = "from speechllm.bin import cli\ncli.run(lambda: print('line\\n' * 100_000))"
    command = f"{sys.executable} -c {shlex.quote(script)} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "line\n141\n" and done.stderr == ""


def test_what_is_written_does_not_replace_what_it_is_made_from(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    cli.check_apart(tmp_path / "data", tmp_path / "other")
    for out in ("data", "link", "data/../data"):
        with pytest.raises(
            UserError, match="is the data directory itself; name another folder to write to"
        ):
            cli.check_apart(tmp_path / "data", tmp_path / out)


def test_an_llm_that_only_writes_cannot_be_trained():
    argv = ["--llm_name", "x", "--data_dir", "x", "--out", "x"]
    config, _ = cli.parse(
        respond.get_parser(argv), RespondConfig, [*argv, "--llm.dtype", "float16"]
    )
    assert config.llm.dtype == "float16"
    with pytest.raises(UserError, match="llm.finetune"):
        cli.parse(respond.get_parser(argv), RespondConfig, [*argv, "--llm.finetune", "true"])


@pytest.mark.parametrize(
    "main, argv",
    [
        (chat.main, ["--model", "none"]),
        (respond.main, ["--llm_name", "none", "--data_dir", "none", "--out", "none"]),
    ],
    ids=["chat", "respond"],
)
@pytest.mark.parametrize(
    "options, message",
    [
        (["--temperature", ".nan"], "temperature: nan should be at least 0"),
        (["--temperature", "-1"], "temperature: -1.0 should be at least 0"),
        (["--temperature", "1", "--top_p", "1.5"], "top_p: 1.5 should be above 0 and at most 1"),
        (["--temperature", "1", "--top_p", ".nan"], "top_p: nan should be above 0 and at most 1"),
        (["--top_p", "0.9"], "top_p 0.9 is without effect at temperature 0.* above 0, or no top_p"),
    ],
)
def test_how_words_are_drawn_is_checked_before_a_model_is_loaded(main, argv, options, message):
    with pytest.raises(UserError, match=message) as error:
        main([*argv, *options])
    assert "\n" not in str(error.value)


def test_words_can_be_drawn_from_likely_ones():
    cli.check_draws(DrawConfig(temperature=0.7, top_p=0.9))
    cli.check_draws(DrawConfig(temperature=0.0, top_p=1.0))
