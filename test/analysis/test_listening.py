"""Audio that is not the utterance's own, text without audio, and how both are alike."""

import json
from types import SimpleNamespace

import pytest
import torch

from helpers import EOS_ID, tiny_llama, tiny_speech_llm
from speechllm import load
from speechllm.analysis.alignment import cosine_matrix, path_similarity
from speechllm.analysis.listening import silenced, with_other_audio
from speechllm.bin import analyse, recognize
from speechllm.bin.analyse import alignments, describe_alignment
from speechllm.bin.listening import describe_writing, listening, next_tokens, writing
from speechllm.bin.recognize import Output, load_feats
from speechllm.data.ark import plain_bytes
from speechllm.data.compile import compile_manifest
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.data.fbank import Fbank
from speechllm.data.manifest import Manifest
from speechllm.data.rows import Row
from speechllm.data.tables import write_table
from speechllm.errors import UserError
from speechllm.models.adapters import add_lora


@pytest.mark.parametrize("num_rows", [2, 3, 8])
def test_all_keep_their_text_and_none_its_audio(num_rows):
    rows = [
        Row(f"u{i}", "s", f"text {i}", None, None, "en", f"{i}.ark", 10 + i, 100 + i)
        for i in range(num_rows)
    ]
    heard = with_other_audio(rows)
    assert [r.text for r in heard] == [r.text for r in rows]
    assert all(a.ark != b.ark for a, b in zip(rows, heard, strict=True))
    audio = {(r.ark, r.offset, r.num_frames) for r in rows}
    assert {(r.ark, r.offset, r.num_frames) for r in heard} == audio


def test_the_other_audio_is_of_the_same_language_where_there_is_some():
    langs = ["de", "de", "en", "en", "en", "fr"]
    rows = [
        Row(f"u{i}", "s", "", None, None, lang, f"{lang} {i}", i, 9) for i, lang in enumerate(langs)
    ]
    heard = [row.ark for row in with_other_audio(rows)]
    assert [ark.split()[0] for ark in heard[:5]] == langs[:5]
    assert sorted(heard[:5]) == [row.ark for row in rows[:5]]
    assert heard[5] != rows[5].ark
    alone = [Row(f"u{i}", "s", "", None, None, lang, lang, i, 9) for i, lang in enumerate("abc")]
    assert sorted(row.ark for row in with_other_audio(alone)) == ["a", "b", "c"]
    assert all(a.ark != b.ark for a, b in zip(alone, with_other_audio(alone), strict=True))


def test_silence_is_the_filterbank_of_zeros():
    loaded = torch.randn(2, 50, 80), torch.tensor([50, 31])
    feats, lens = silenced(lambda rows, device: loaded)([], "cpu")
    assert lens.tolist() == [50, 31]
    zeros = Fbank()(torch.zeros(16000))
    torch.testing.assert_close(feats[0], zeros[:50], atol=1e-3, rtol=0)


def test_one_utterance_has_no_other():
    with pytest.raises(ValueError, match="one utterance"):
        with_other_audio([Row("u", "s", "text", None, None, "en", "a.ark", 0, 100)])


def test_words_are_compared_with_the_utterances_own_text():
    """A recognizer that reads the name of the archive and writes the text that belongs to it."""
    rows = [
        Row(f"u{i}", "s", f"text {i}", None, None, "en", f"{i}.ark", 0, 100 + i) for i in range(4)
    ]

    def make_recognizer(load):
        silent = load is not load_feats
        texts = ["" if silent else f"text {i}" for i in range(4)]
        return lambda batch: [Output(texts[int(row.ark[0])], "ok") for row in batch]

    report = listening(make_recognizer, rows, batch_frames=150)
    assert report == {
        "num_utts": 4,
        "metric": "wer",
        "own": 0.0,
        "shuffled": 50.0,
        "silent": 100.0,
        "own_against_shuffled": {"value": -100.0, "low": -100.0, "high": -100.0},
    }
    report = listening(make_recognizer, rows, batch_frames=150, metric="chrf")
    assert report["own"] == pytest.approx(100) and report["silent"] == 0
    assert 0 < report["shuffled"] < 100
    gain = report["own_against_shuffled"]  # in points
    assert gain["value"] == pytest.approx(100 - report["shuffled"], abs=1e-3)
    assert 0 < gain["low"] <= gain["value"] <= gain["high"]


def test_an_interval_says_how_sure_it_is_that_the_audio_is_heard():
    """One that hears 6 of 8 utterances, and one that always writes what one of them says."""
    rows = [Row(f"u{i}", "s", f"w{i}", None, None, "en", f"{i}.ark", 0, 100) for i in range(8)]

    def report(texts):
        def make_recognizer(load):
            return lambda batch: [Output(texts[int(row.ark[0])], "ok") for row in batch]

        return listening(make_recognizer, rows, batch_frames=1000)["own_against_shuffled"]

    heard = report([f"w{i}" if i < 6 else "w" for i in range(8)])
    assert heard["value"] == -75.0 and heard["low"] < -75 < heard["high"] < 0
    deaf = report(["w0"] * 8)  # right once, whatever it hears
    assert deaf == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_writing_sees_what_the_adapters_change():
    llm, base = tiny_llama(), tiny_llama()
    add_lora(llm.model, 4, 8.0, 0.0, ())
    rows = [[1, 5, 6, 7], [1, 9, 3]]
    same = writing(llm, base, rows, "cpu")
    assert same["agreement"] == 1 and same["equal_without_adapters"]
    assert same["perplexity"] == same["perplexity_without_adapters"]
    for name, p in llm.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(0))
    other = writing(llm, base, rows, "cpu")
    assert other["agreement"] < 1 and other["perplexity"] != same["perplexity"]
    assert other["equal_without_adapters"]
    assert other["perplexity_without_adapters"] == same["perplexity"]
    log_probs = base.model(torch.tensor([[1, 5, 6, 7]])).logits[0].log_softmax(-1)
    nlls, _ = next_tokens(base, rows[:1], "cpu")
    expected = [-float(log_probs[i, token]) for i, token in enumerate([5, 6, 7])]
    assert nlls[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_an_llm_that_is_not_the_one_before_is_told_loudly():
    llm, base = tiny_llama(), tiny_llama()
    rows = [[1, 5, 6, 7], [1, 9, 3]]
    same = writing(llm, base, rows, "cpu")
    assert "bit by bit that of the LLM before" in describe_writing(same, finetuned=False)
    with torch.no_grad():
        next(llm.parameters()).add_(0.1)
    report = writing(llm, base, rows, "cpu")
    assert not report["equal_without_adapters"]
    told = describe_writing(report, finetuned=False).splitlines()
    assert told[0].startswith(f"perplexity of text {report['perplexity']:.2f}, without")
    assert told[1].startswith("WARNING: without the adapters it is NOT the LLM before")
    told = describe_writing(report, finetuned=True)
    assert "expected: llm.finetune is true" in told and "WARNING" not in told


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
