"""What the analysis of a speech LLM reports, on sets of a few utterances."""

import json
from types import SimpleNamespace

import pytest
import torch

from helpers import EOS_ID, tiny_speech_llm
from speechllm import load
from speechllm.analysis.alignment import cosine_matrix, path_similarity
from speechllm.bin import analyse, recognize
from speechllm.bin.analyse import alignments, describe_alignment
from speechllm.data.ark import plain_bytes
from speechllm.data.compile import compile_manifest
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.data.manifest import Manifest
from speechllm.data.rows import Row
from speechllm.data.tables import write_table
from speechllm.errors import UserError


@pytest.mark.parametrize("option", ["num_plots", "listen_utts", "robust_utts"])
def test_less_than_no_utterances_are_refused(option):
    options = ["--model", "none", "--out", "none", f"--{option}", "-1", "none"]
    with pytest.raises(UserError, match=f"--{option}: -1 should be at least 0"):
        analyse.main(options)


class Numbers:
    """A tokenizer of texts that are token ids."""

    eos_id, tokenizer = EOS_ID, SimpleNamespace(convert_ids_to_tokens=str)

    def encode(self, text):
        return [int(word) for word in text.split()]


def make_set(folder, texts: dict[str, tuple[str, str]]) -> list[Row]:
    """Rows of a data directory of noise from {utt_id: (language, text)}."""
    utts = (Utterance(u, "s", text, f"{u}.wav", lang) for u, (lang, text) in texts.items())
    write_data_dir(folder, utts)
    generator, positions = torch.Generator().manual_seed(0), {}
    with open(folder / "feats.ark", "wb") as ark:
        for utt_id in texts:
            ark.write(f"{utt_id} ".encode())
            positions[utt_id] = f"{folder}/feats.ark:{ark.tell()}"
            ark.write(plain_bytes(torch.randn(130, 20, generator=generator).numpy()))
    write_table(folder / "feats.scp", positions)
    write_table(folder / "utt2num_frames", dict.fromkeys(texts, "130"))
    compile_manifest(folder, folder / "manifest.arrow")
    manifest = Manifest(folder / "manifest.arrow")
    return [manifest.row(i) for i in range(len(manifest))]


def test_sharpness_compares_with_the_text_before_in_the_same_language(tmp_path):
    texts = {"s-a": ("en", "5 6 7"), "s-b": ("de", "9 8"), "s-c": ("en", "11 12 4 3")}
    rows, model = make_set(tmp_path, texts | {"s-d": ("en", "")}), tiny_speech_llm()
    with torch.no_grad():
        found = alignments(model, Numbers(), rows, set(), tmp_path, "cpu")
        speech, lens = model.encode(*recognize.load_feats([rows[2]], "cpu"))
        embedded = [model.llm.embed(torch.tensor(ids)) for ids in ([11, 12, 4, 3], [5, 6, 7])]
    report = found["alignment"]
    assert report["num_utts"] == 3 and found["lengths"]["all"]["tokens"] == 4 + 3 + 5
    assert report["sharpness"]["de"] is None and report["monotonicity"]["de"] is not None
    assert report["sharpness"]["all"] == report["sharpness"]["en"]
    heard = speech[0, : lens[0]].numpy()
    own, before = (path_similarity(cosine_matrix(heard, text.numpy())) for text in embedded)
    assert report["sharpness"]["en"] == pytest.approx(own - before, abs=1e-5)


def test_what_the_adaptor_gives_is_measured_without_soft_text_too(tmp_path):
    texts = {"s-a": ("en", "5 6 7"), "s-b": ("en", "9 8"), "s-c": ("en", "11 12 4 3")}
    rows = make_set(tmp_path, texts)
    model = tiny_speech_llm(ctc_head=torch.nn.Linear(16, 9), soft_text=True)
    model.soft_text.embeddings.data.normal_()
    model.adaptor.proj.weight.data.normal_()

    def report():
        with torch.no_grad():
            return alignments(model, Numbers(), rows, set(), tmp_path, "cpu")["alignment"]

    both = report()
    alone = both.pop("adaptor_alone")
    assert "of the adaptor without soft text monotonicity" in describe_alignment(
        both | {"adaptor_alone": alone}
    )
    model.soft_text = None
    assert report() == {"num_utts": 3, **alone}
    assert alone["sharpness"]["all"] != both["sharpness"]["all"]


@pytest.mark.parametrize(("text", "monotonicity"), [("5", "unknown"), ("5 6 7", None)])
def test_a_set_of_one_utterance_is_analysed(tmp_path, monkeypatch, capsys, text, monotonicity):
    make_set(tmp_path / "test", {"s-a": ("en", text)})
    saved = {"config": {"adaptor": {"type": "stack"}}, "num_mel_bins": 20}
    model = tiny_speech_llm()
    monkeypatch.setattr(load, "load_speech_llm", lambda folder, llm: (model, saved, tmp_path))
    monkeypatch.setattr(recognize, "text_side", lambda *args: (Numbers(), None, None))
    (tmp_path / "fbank.yaml").write_text("num_mel_bins: 20\n")
    options = ["--model", "x", "--out", tmp_path / "out", "--robust_utts", 0]
    options += ["--fbank_config", tmp_path / "fbank.yaml", tmp_path / "test"]
    analyse.main([str(word) for word in options])
    printed = capsys.readouterr().out
    assert ", sharpness unknown\n" in printed
    report = json.loads((tmp_path / "out/alignment.json").read_text())
    assert report["num_utts"] == 1 and report["sharpness"] == {"all": None, "en": None}
    known = monotonicity or f"{report['monotonicity']['all']:.3f}"
    assert printed.startswith(f"monotonicity {known}, ")
    assert (report["monotonicity"]["en"] is None) == (monotonicity == "unknown")


def test_what_is_known_of_the_alignment_is_printed():
    report = {"monotonicity": {"all": 0.98765}, "sharpness": {"all": -0.126}}
    assert describe_alignment(report) == "monotonicity 0.988, sharpness -0.13"
