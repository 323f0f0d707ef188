"""A recipe that utils/new_recipe.sh writes, from a folder of audio with transcripts to results."""

import json
import subprocess

import pytest
from audio_files import noise, write_audio
from recipes.conftest import run

from speechllm.score.tables import read_spec

SMALL = [
    "--mini_llm_opts", "--max_steps 2 --dim 32 --ffn_dim 48 --num_layers 1",
    "--ctc_opts", "--optim.max_steps 3 --train.valid_every 3 --flat_start 2",
    "--llm_opts", "--optim.max_steps 2 --train.valid_every 2",
    "--decode_opts", "--num_beams 1 --ctc_weight 0 --max_tokens_per_second 2",
]  # fmt: skip
WORDS = {
    "ru": "доброе утро сколько это стоит где вокзал сегодня тепло".split(),
    "ar": "صباح الخير كم السعر أين المحطة اليوم دافئ".split(),
    "zh": "早上好 多少钱 车站在哪里 今天很暖和".split(),
}


def write_corpus(folder, lang: str, num_utts=24):
    """Audio of noise, with sentences of the language; Chinese is written without spaces."""
    (folder / "clips").mkdir(parents=True)
    words, lines = WORDS[lang], []
    for i in range(num_utts):
        write_audio(folder / f"clips/{i}.wav", noise(1.5 + 0.1 * (i % 5), seed=i))
        text = ("" if lang == "zh" else " ").join(words[(i + k) % len(words)] for k in range(3))
        lines.append(f"clips/{i}.wav\t{text}\n")
    (folder / "transcripts.tsv").write_text("".join(lines), encoding="utf-8")


def new_recipe(toolkit, *options: str, check=True) -> str:
    done = subprocess.run(
        [str(toolkit / "utils/new_recipe.sh"), *options], capture_output=True, text=True
    )
    assert (done.returncode == 0) == check, done.stderr
    return done.stdout if check else done.stderr


@pytest.mark.parametrize(("lang", "last"), [("zh", "7"), ("ru", "1"), ("ar", "1")])
def test_a_new_recipe_goes_from_transcripts_to_results(toolkit, tmp_path, lang, last):
    write_corpus(tmp_path / "corpus", lang)
    assert f"egs/mine_{lang} is written" in new_recipe(
        toolkit, "--from", "mls", "--name", f"mine_{lang}", "--lang", lang
    )
    recipe = toolkit / f"egs/mine_{lang}"
    options = ["--corpora", str(tmp_path / "corpus"), *SMALL, "--stop_stage", last]
    run(recipe / "run.sh", *options)
    texts = (recipe / "data/mini/train/text").read_text(encoding="utf-8")
    assert any(word in texts for word in WORDS[lang])
    if last == "1":
        return
    rows = json.loads((recipe / "exp/mini/results.json").read_text())
    found = {
        (r["system"], r["metric"]): r["value"]
        for r in rows
        if (r["set"], r["lang"], r["normalised"]) == ("test", lang, True)
    }
    assert {("ctc", "wer"), ("llm", "wer"), ("ctc", "cer"), ("llm", "cer")} <= found.keys()
    if (
        lang == "zh"
    ):  # characters are its words; an LLM that has hardly learnt may write Latin ones too
        assert found["ctc", "wer"] == found["ctc", "cer"]


def test_what_a_new_recipe_says_and_refuses(toolkit):
    new_recipe(toolkit, "--name", "mine", "--lang", "uk be")
    recipe = toolkit / "egs/mine"
    helped = run(recipe / "run.sh", "--help")
    assert "mine: teach an LLM to transcribe speech in uk be" in helped
    assert "--subset" not in helped and "--corpus_opts" not in helped and "(uk be)" in helped
    assert "made-up" not in helped and "small sizes on a CPU" in helped
    assert "--subset" not in run(recipe / "run_table.sh", "--help")
    paths = sorted(recipe.glob("conf/*/tables/*.yaml"))
    specs = [read_spec(path) for path in paths]
    assert len(specs) == 12 and not any(row.published for spec in specs for row in spec.rows)
    assert not any(spec.others for spec in specs)
    tables = "".join(path.read_text() for path in paths)
    assert "name: ctc_lm" in tables  # the rows of egs/mls but for what is known of its corpus
    foreign = ("published", "subset", "made-up", "supervision", "note", "small world")
    assert not any(word in tables for word in foreign)
    assert "limited supervision" not in run(recipe / "run_table.sh", "--help")
    assert (recipe / "run.sh").read_text().count("\n") <= 130
    assert "MLS" not in (recipe / "run.sh").read_text() + (recipe / "run_table.sh").read_text()
    output = run(recipe / "run.sh", check=False)
    assert (
        output.splitlines()[-1]
        == "./run.sh: --corpora should name the folder of the corpus, got ''"
    )
    for options, message in (
        (["--name", "mine", "--lang", "uk"], "egs/mine exists"),
        (["--name", "a/b", "--lang", "uk"], "--name should be a word"),
        (["--name", "other", "--lang", "Ukrainian"], "--lang should be an ISO code"),
        (["--name", "other", "--lang", "uk", "--from", "none"], "--from should be a recipe"),
    ):
        error = new_recipe(toolkit, *options, check=False)
        assert message in error and len(error.splitlines()) == 1
    assert not list((toolkit / "egs").glob("other*"))
