"""From configs to the training loop."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers import FRAMES_PER_WORD, make_number_set, tiny_speech_llm
from speechllm.bin.recognize import Output
from speechllm.bin.training import (
    heard_at_once,
    hidden_matrices,
    limit_steps,
    masking_shares,
    mean_score,
    validator,
)
from speechllm.config import OptimConfig
from speechllm.data.manifest import Manifest
from speechllm.errors import UserError
from speechllm.train.distributed import Setup


def setup(world_size):
    return Setup(rank=0, world_size=world_size, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("max_epochs", "accum", "world_size", "expected"),
    [(0, 1, 1, 500), (2, 1, 1, 20), (2, 2, 1, 10), (2, 1, 4, 5), (1000, 1, 1, 500), (1, 3, 1, 4)],
)
def test_little_data_take_fewer_steps(max_epochs, accum, world_size, expected):
    # 10 batches of 2,000 frames per pass
    optim = OptimConfig(max_steps=500, max_epochs=max_epochs, accum=accum)
    assert limit_steps(optim, 20_000, 2_000, setup(world_size)).max_steps == expected


def test_muon_gets_matrices_but_no_embeddings_and_output_layers():
    model = tiny_speech_llm()
    model.llm.finetune_all()
    chosen = {id(p) for p in hidden_matrices(model)}
    names = {name for name, p in model.named_parameters() if id(p) in chosen}
    assert "adaptor.proj.weight" in names and any("q_proj" in name for name in names)
    assert not any("embed" in name or "lm_head" in name or "norm" in name for name in names)
    assert all(p.ndim == 2 for p in hidden_matrices(model))


@pytest.mark.parametrize(
    ("beta", "expected"),
    [(0.0, [0.5, 0.5, 0.0]), (1.0, [0.5, 0.125, 0.0]), (0.5, [0.5, 0.25, 0.0])],
)
def test_languages_with_less_speech_are_masked_less(beta, expected, capsys):
    """Eight hours of one language, two of another, none of a third."""
    manifest = SimpleNamespace(
        lang_ids=np.array([0, 0, 1, 2]),
        num_frames=np.array([5, 3, 2, 9]),
        langs=["en", "pl", "xx"],
    )
    shares = masking_shares(manifest, np.array([0, 1, 2]), 0.5, beta, setup(1))
    assert list(shares.values()) == pytest.approx(expected)
    assert "en 0.500, pl" in capsys.readouterr().out


def test_no_masking_says_nothing(capsys):
    manifest = SimpleNamespace(lang_ids=np.array([0]), num_frames=np.array([5]), langs=["en"])
    assert masking_shares(manifest, np.array([0]), 0.0, 0.5, setup(1)) == {"en": 0.0}
    assert capsys.readouterr().out == ""


def test_chinese_is_scored_by_characters_where_the_tokenizer_says_so():
    pairs = [("en", "他们今天在港口卖苹果", "他们今天在港口卖香蕉")]
    assert mean_score(pairs, "bleu", "zh") > 50 > mean_score(pairs, "bleu")


def test_a_tokenizer_that_is_not_there_stops_before_the_training():
    with pytest.raises(UserError, match="BLEU tokenizer '14a'"):
        validator("nowhere", None, None, None, 1, 1, setup(1), 30.0, "bleu", "14a")


def test_validation_hears_no_utterance_that_is_longer_than_a_window(tmp_path, capsys):
    num_words = {"s-a": 3, "s-b": 200, "s-c": 5, "s-d": 6, "s-e": 201}
    make_number_set(tmp_path / "dev", {u: "7 " * (n - 1) + "7" for u, n in num_words.items()})
    heard = []

    def recognize(rows):
        heard.extend(row.utt_id for row in rows)
        return [Output(row.text, "ok") for row in rows]

    def validate(window):
        heard.clear()
        options = (lambda row: row.text, torch.nn.Linear(1, 1), 1000, 100, setup(1))
        return validator(tmp_path / "dev", recognize, *options, window)(0)

    longest = 5 * FRAMES_PER_WORD / 100  # seconds
    assert validate(longest) == {"wer": 0.0}
    assert sorted(heard) == [u for u, n in num_words.items() if n <= 5]
    told = capsys.readouterr().out
    assert told.count("left out: 3 of 5 utterances of ") == 1 and "first: s-b" in told
    validate(0.0)
    assert sorted(heard) == list(num_words) and capsys.readouterr().out == ""
    manifest = Manifest(tmp_path / "dev/manifest.arrow")
    assert heard_at_once(manifest, 80.0, tell=False).tolist() == [0, 1, 2, 3]
    with pytest.raises(UserError, match="dev/manifest.arrow: all 5 utterances are longer than"):
        heard_at_once(manifest, 1.0)
