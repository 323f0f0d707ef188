"""Every YAML of every recipe loads; every paper-size model is built without memory and has the size it should."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch
from transformers import BloomConfig, LlamaConfig

from speechllm import build
from speechllm.bin import cli
from speechllm.bin.table_jobs import plan
from speechllm.config import (
    ChatConfig,
    ConformerConfig,
    ConvAdaptorConfig,
    DecodeConfig,
    EspnetEncoderConfig,
    FbankConfig,
    MiniLlmConfig,
    RespondConfig,
    TokenizerConfig,
    TrainCtcConfig,
    TrainEncoderDecoderConfig,
    TrainLlmConfig,
)
from speechllm.errors import UserError
from speechllm.models.llm_loading import empty_llm
from speechllm.score.tables import Runs, read_spec

ROOT = Path(__file__).resolve().parents[1]
CLASSES = {
    "fbank": FbankConfig,
    "tokenizer": TokenizerConfig,
    "train_ctc": TrainCtcConfig,
    "train_llm": TrainLlmConfig,
    "train_encoder_decoder": TrainEncoderDecoderConfig,
    "decode": DecodeConfig,
    "respond": RespondConfig,
    "chat": ChatConfig,
    "llm": MiniLlmConfig,
}
TABLES = sorted(ROOT.glob("egs/*/conf/*/tables/*.yaml"))
YAMLS = sorted(set(ROOT.glob("egs/*/conf/**/*.yaml")) - set(TABLES))
BLOOM_560M = {"hidden_size": 1024, "n_layer": 24, "n_head": 16, "vocab_size": 250880}


def load(path: Path):
    config_class = next(
        c for name, c in CLASSES.items() if path.stem == name or path.stem.startswith(f"{name}_")
    )
    return parse(config_class, "--config", str(path))


def parse(config_class, *argv):
    return cli.parse(cli.config_parser("", config_class, argv), config_class, argv)[0]


@pytest.mark.parametrize("path", TABLES, ids=lambda path: str(path.relative_to(ROOT / "egs")))
def test_overrides_in_tables_are_known(path):
    spec, folder = read_spec(path), path.parents[1]
    runs = Runs(path.stem, folder.name, "t", "", ["en"], "llm")
    assert any(plan(spec, runs)) or all(row.is_preset for row in spec.rows)
    given = [("train_llm", row.llm_opts) for row in spec.rows]
    given += [("train_ctc", options) for options in spec.encoders.values()]
    given += [("llm", options) for options in spec.llms.values()]
    for name, options in given:
        parse(CLASSES[name], "--config", str(folder / f"{name}.yaml"), *shlex.split(options))


def mls_tables(preset: str):
    folder = ROOT / f"egs/mls/conf/{preset}/tables"
    return {path.stem: read_spec(path) for path in sorted(folder.glob("*.yaml"))}


@pytest.mark.parametrize("preset", ["mini", "paper"])
def test_the_same_system_has_the_same_published_figure_in_every_table(preset):
    found = {
        number: [row.published for row in spec.rows if row.is_preset and row.system == "llm"]
        + [values for values in spec.others if values["label"] == "LLaMA-7B"]
        for number, spec in mls_tables(preset).items()
    }
    assert list(found) == ["1", "2", "3", "4", "5", "6"]
    known = {n: [v for v in values if v] for n, values in found.items()}
    assert {n: [v["avg"] for v in values] for n, values in known.items()} == {
        n: [9.7] for n in found
    }
    assert all("unverified" in v["mark"] for values in known.values() for v in values)


@pytest.mark.parametrize("preset", ["mini", "paper"])
def test_the_alignment_loss_is_compared_with_the_same_without_it(preset):
    options = [row.llm_opts.split() for row in mls_tables(preset)["1"].rows]
    (aligned,) = (words for words in options if "--alignment_weight" in words)
    at = aligned.index("--alignment_weight")
    assert aligned[:at] + aligned[at + 2 :] in options


def test_tables_of_the_made_up_world_have_notes_without_figures():
    notes = {number: spec.note for number, spec in mls_tables("mini").items() if spec.note}
    assert notes.keys() == {"1", "2", "3", "4", "6"}
    assert not any(re.search(r"\d\.\d", note) for note in notes.values())  # the next run has others


def count(module, trainable_only=False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: str(p.relative_to(ROOT)))
def test_yaml_loads(path):
    load(path)


@pytest.mark.parametrize(
    "path",
    sorted(ROOT.glob("egs/mls/conf/paper/train_ctc*.yaml")),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_paper_encoder_has_the_remembered_size(path):
    config = load(path)
    with torch.device("meta"):
        model = build.build_ctc_model(config, 1547, 80)
    layers = count(model.speech.encoder.layers)
    D, hidden, kernel = 512, 2048 // 2, 11
    ffn = 2 * D * hidden + hidden + D + 2 * D
    attention = 4 * D * D + 4 * D + 2 * D
    conv = D * 2 * D + 2 * D + D * kernel + D + D * D + D + 4 * D
    assert layers == config.encoder.num_layers * (2 * ffn + attention + conv + 2 * D)
    assert 68e6 < count(model.speech) < 77e6  # "0.07B" of arXiv:2307.11795


@pytest.mark.parametrize(
    "path",
    sorted(ROOT.glob("egs/mls/conf/paper/train_llm*.yaml")),
    ids=lambda p: str(p.relative_to(ROOT)),
)
@pytest.mark.parametrize(
    "llm_config, llm_dim, size, lora",
    [
        # LLaMA-7B: 32 layers, each of q, k, v, o is 4096 x 4096 and gets r (4096 + 4096) parameters
        (LlamaConfig(), 4096, 6_738_415_616, 32 * 4 * 2 * 4096),
        # BLOOM-560M: 24 layers, query_key_value 1024 -> 3072, dense 1024 -> 1024
        (BloomConfig(**BLOOM_560M), 1024, 559_214_592, 24 * (1024 + 3072 + 1024 + 1024)),
    ],
    ids=["llama-7b", "bloom-560m"],
)
def test_paper_speech_llm_is_built_with_the_right_sizes(path, llm_config, llm_dim, size, lora):
    config = load(path)
    encoder = load(path.parent / "train_ctc.yaml").encoder
    with torch.device("meta"):
        llm = empty_llm(llm_config)
        assert count(llm) == size
        speech = build.build_speech_encoder(encoder, config.spec_augment, 80)
        model = build.build_speech_llm(config, speech, llm)
    assert count(model.llm, trainable_only=True) == config.lora.rank * lora
    assert count(model.adaptor) == (512 * config.adaptor.stack_factor + 1) * llm_dim
    assert count(model.speech, trainable_only=True) == count(speech)


def covost2(name: str, *argv):
    path = ROOT / f"egs/covost2/conf/paper/{name}.yaml"
    return parse(CLASSES[name], "--config", str(path), *argv)


def test_paper_audio_encoder_has_four_layers_of_the_stated_sizes():
    config, encoder = covost2("train_llm"), covost2("train_ctc").encoder
    with torch.device("meta"):
        speech = build.build_speech_encoder(encoder, config.spec_augment, 80)
        adaptor = build.build_kind(build.ADAPTORS, config.adaptor, speech.output_dim, 4096)
    D, hidden = 1024, 4096
    layer = 4 * D * D + 4 * D + 2 * D + 2 * D * hidden + hidden + D + 2 * D
    around = (512 + 1) * D + 2 * D + (D + 1) * 4096
    assert count(adaptor) == 4 * layer + around
    assert speech.encoder.time_steps == [(3, 2), (3, 2)]  # stride 4


def millions_in(label: str) -> list[int]:
    """The sizes that the label of a table's row states."""
    return [int(number) for number in re.findall(r"(\d+)M", label)]


def test_paper_baseline_has_the_published_size():
    pytest.importorskip("espnet2")
    with torch.device("meta"):
        model = build.build_encoder_decoder(covost2("train_encoder_decoder"), 5000, 80)
    assert 230e6 < count(model) < 250e6  # "240 M" of arXiv:2307.03917
    spec = read_spec(ROOT / "egs/covost2/conf/paper/tables/5.yaml")
    assert millions_in(spec.rows[0].label) == [round(count(model) / 1e6)]


def test_paper_model_from_scratch_has_the_published_size(tmp_path):
    spec = read_spec(ROOT / "egs/covost2/conf/paper/tables/5.yaml")
    (row,) = [row for row in spec.rows if row.name == "scratch"]
    config = covost2("train_llm", *shlex.split(row.llm_opts))
    LlamaConfig().save_pretrained(tmp_path)
    with torch.device("meta"):
        llm = build.build_llm(config.llm, str(tmp_path))
        ctc = build.build_ctc_model(covost2("train_ctc"), 5000, 80)
        model = build.build_speech_llm(config, ctc.speech, llm, ctc_head=ctc.head)
    assert 140e6 < count(llm, trainable_only=True) == count(llm) < 160e6  # "150 M"
    learns = count(model, trainable_only=True)
    parts = learns, count(llm), count(model.adaptor), count(model) - learns
    assert millions_in(row.label) == [round(n / 1e6) for n in parts]


def test_mini_table_states_the_sizes_and_frames_of_its_rows(tmp_path):
    """Of the encoder-decoder and of decoder-only from random weights, and rows on equally much audio."""
    pytest.importorskip("espnet2")
    folder = ROOT / "egs/covost2/conf/mini"
    rows = {row.name: row for row in read_spec(folder / "tables/5.yaml").rows}
    units = load(folder / "tokenizer.yaml").vocab_size + 1  # with the blank
    sizes, small = {}, load(folder / "llm.yaml")
    encoder_decoder = load(folder / "train_encoder_decoder.yaml")
    llama = LlamaConfig(
        hidden_size=small.dim,
        num_hidden_layers=small.num_layers,
        num_attention_heads=small.num_heads,
        intermediate_size=small.ffn_dim,
        vocab_size=small.vocab_size,
    )
    llama.save_pretrained(tmp_path)

    def llm_config(name, *files):
        flags = [word for file in files for word in ("--config", str(folder / file))]
        return parse(TrainLlmConfig, *flags, *shlex.split(rows[name].llm_opts))

    with torch.device("meta"):
        sizes["encoder_decoder"] = [count(build.build_encoder_decoder(encoder_decoder, units, 80))]
        for name in ("scratch", "scratch_equal"):
            config = llm_config(name, "train_llm.yaml")
            llm = build.build_llm(config.llm, str(tmp_path))
            ctc = build.build_ctc_model(load(folder / "train_ctc.yaml"), units, 80)
            model = build.build_speech_llm(config, ctc.speech, llm, ctc_head=ctc.head)
            learns = count(model, trainable_only=True)
            sizes[name] = [learns, count(llm), count(model.adaptor), count(model) - learns]
        config = llm_config("llm", "train_llm.yaml")
        whole = build.build_speech_llm(config, ctc.speech, empty_llm(llama), ctc_head=ctc.head)
    assert sizes["scratch_equal"][0] == pytest.approx(sizes["encoder_decoder"][0], rel=0.03)
    sizes["llm"] = [count(whole), count(whole, trainable_only=True)]
    for name in ("encoder_decoder_as_llm", "encoder_decoder_as_scratch"):
        sizes[name] = sizes["encoder_decoder"]
    for name, numbers in sizes.items():
        stated = re.findall(r"([\d.]+)M", rows[name].label)
        assert stated == [f"{number / 1e6:.1f}" for number in numbers]

    def frames(config):
        return config.optim.max_steps, config.data.batch_frames

    phases = ["train_llm.yaml", "train_llm_frozen.yaml"]
    random = ("scratch", "scratch_equal")
    seen = {name: [frames(llm_config(name, *phases[:1]))] for name in random}
    seen["llm"] = [frames(llm_config("llm", *phases)), frames(llm_config("llm", *phases[:1]))]
    for name in sizes.keys() - seen.keys():
        words = shlex.split(rows[name].opts)
        options = words[words.index("--baseline_opts") + 1].split() if words else []
        file = str(folder / "train_encoder_decoder.yaml")
        seen[name] = [frames(parse(TrainEncoderDecoderConfig, "--config", file, *options))]
    for name, batches in seen.items():
        steps = " and then ".join(f"{number:,}" for number, _ in batches)
        assert rows[name].label.endswith(f"; {steps} x {batches[0][1]:,} frames")
    heard = {name: sum(a * b for a, b in batches) for name, batches in seen.items()}
    assert heard["encoder_decoder_as_llm"] == heard["llm"] > heard["encoder_decoder"]
    assert heard["encoder_decoder_as_scratch"] == heard["scratch"] == heard["scratch_equal"]


@pytest.mark.parametrize("number", ["1", "2", "5"])
def test_tables_of_the_small_world_have_notes_without_figures(number):
    note = read_spec(ROOT / f"egs/covost2/conf/mini/tables/{number}.yaml").note
    assert note and not re.search(r"\d[.,]\d", note)  # figures change with runs


def test_sizes_that_a_family_does_not_have_are_named(tmp_path):
    LlamaConfig().save_pretrained(tmp_path)
    config = parse(TrainLlmConfig, "--llm.from_scratch", "true", "--llm.sizes.num_eyes", "2")
    with pytest.raises(UserError, match="llm.sizes: the config of a llama has no 'num_eyes'"):
        build.build_llm(config.llm, str(tmp_path))


def test_a_second_config_file_changes_only_what_it_names():
    folder = ROOT / "egs/covost2/conf/mini"
    files = ["--config", str(folder / "train_llm.yaml"), "--lora.rank", "16"]
    both = parse(TrainLlmConfig, *files, "--config", str(folder / "train_llm_frozen.yaml"))
    alone = parse(TrainLlmConfig, *files)
    assert alone.lora.rank == 16 and both.lora.rank == 0
    assert both.adaptor == alone.adaptor and both.optim.lr == alone.optim.lr
    assert both.optim.max_steps < alone.optim.max_steps


@pytest.mark.parametrize(
    "text, message",
    [
        ("optim:\n  lrr: 1\n", r"x.yaml:2: unknown key 'optim.lrr'; did you mean 'optim.lr'\?"),
        ("optim:\n  lr: fast\n", "optim.lr.*fast"),
        ("optim:\n  lr: 1\n  lr: 2\n", "x.yaml:3: key 'optim.lr' stands twice"),
        ("- 1\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("optim: [\n", "not YAML"),
        ("\nencoder: conformer\n", "x.yaml:2: 'encoder' must be a mapping"),
        ("encoder: {typ: espnet}", r"unknown key 'encoder.typ'; did you mean 'encoder.type'\?"),
        ("encoder: {type: esp}", "encoder.type: there is no encoder 'esp'; did you mean 'espnet'"),
        ("encoder: {type: rnn}", "there is no encoder 'rnn'; choose from conformer, espnet"),
        ("encoder: {type: [rnn]}", "encoder.type"),
        ("encoder: {type: espnet, nam: x}", "did you mean 'encoder.name'"),
        ("encoder: {type: espnet, dim: 144}", "unknown key 'encoder.dim'"),
        ("encoder: {options: {output_size: 3}}", "unknown key 'encoder.options'"),
        ("encoder: {type: espnet, options: {a: 1, a: 2}}", "'encoder.options.a' stands twice"),
        ("encoder: {num_layers: many}", "encoder.num_layers.*many"),
        ("optim: {lr: -1e-3}", "optim.lr: -0.001 should be at least 0"),
        ("intermediate_weight: 1.5", "intermediate_weight: 1.5 should be at least 0 and at most 1"),
        ("encoder: {num_heads: 0}", "encoder.num_heads: 0 should be at least 1"),
        ("optim: {beta2: 1.0}", "optim.beta2: 1.0 should be at least 0 and below 1"),
        ("train: {valid_utts: 0}", "train.valid_utts: 0 should be at least 1"),
        ("data: {batch_frames: 0}", "data.batch_frames: 0 should be at least 1"),
    ],
)
def test_wrong_config_is_one_clear_line(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        parse(TrainCtcConfig, "--config", str(path))
    assert "\n" not in str(error.value)


def test_the_type_of_a_section_decides_its_keys(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("encoder: {type: espnet, name: conformer, options: {output_size: 8}}\n")
    expected = EspnetEncoderConfig(name="conformer", options={"output_size": 8})
    assert parse(TrainCtcConfig, "--config", str(path)).encoder == expected
    longer = parse(TrainCtcConfig, f"--config={path}", "--encoder.options.num_blocks", "3").encoder
    assert longer.options == {"output_size": 8, "num_blocks": 3}
    path.write_text("encoder: {dim: 8}\n")
    assert parse(TrainCtcConfig, "--config", str(path)).encoder == ConformerConfig(dim=8)
    adaptor = parse(TrainLlmConfig, "--adaptor.type=conv", "--adaptor.stride", "3").adaptor
    assert adaptor == ConvAdaptorConfig(stride=3)
    with pytest.raises(UserError, match="--adaptor.stack_factor"):
        parse(TrainLlmConfig, "--adaptor.type", "conv", "--adaptor.stack_factor", "3")


def test_help_shows_the_flags_of_the_chosen_kind():
    shown = cli.config_parser("", TrainLlmConfig, ["--adaptor.type", "qformer"]).format_help()
    assert "--adaptor.num_queries" in shown and "--adaptor.stack_factor" not in shown


@pytest.mark.parametrize(
    ("flag", "nearest"), [("optim.lrr", "optim.lr"), ("optim.warmup", "optim.warmup_steps")]
)
def test_unknown_flag_names_the_nearest(flag, nearest):
    with pytest.raises(UserError, match=rf"--{flag}.*did you mean --{nearest}\?"):
        parse(TrainCtcConfig, f"--{flag}", "1")


def test_missing_config_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.yaml: no such config file"):
        parse(TrainCtcConfig, "--config", str(tmp_path / "nowhere.yaml"))


def test_a_config_without_a_file_has_its_defaults(tmp_path):
    assert cli.read_config(DecodeConfig, "") == DecodeConfig()
    (tmp_path / "decode.yaml").write_text("extra_tokens: 3\n")
    config = cli.read_config(DecodeConfig, str(tmp_path / "decode.yaml"))
    assert config == DecodeConfig(extra_tokens=3)


def test_numbers_in_scientific_notation_are_numbers(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("optim:\n  lr: 2e-3\n")
    assert parse(TrainCtcConfig, "--config", str(path)).optim.lr == 0.002


@pytest.mark.parametrize(
    ("config_class", "flag", "value", "message"),
    [
        (TrainLlmConfig, "distill_weight", "2", "at most 1"),
        (TrainLlmConfig, "valid_tokenize", "14a", "14a"),
        (DecodeConfig, "repetition_penalty", "0", "above 0"),
        (MiniLlmConfig, "warmup_steps", "0", "at least 1"),
        (RespondConfig, "leave_out", "[refusals]", "refusals"),
    ],
)
def test_values_outside_their_bounds_are_named(config_class, flag, value, message):
    with pytest.raises(UserError, match=f"{flag}.*{message}"):
        parse(config_class, f"--{flag}", value)


def test_a_length_penalty_may_be_negative():
    assert parse(DecodeConfig, "--length_penalty", "-1").length_penalty == -1


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("extract_fbank", ["--nj", "0", "--data_dir", "x"], "--nj: 0 should be at least 1"),
        (
            "decode_ngram",
            ["--tune_utts", "0", "--model", "x", "--dev_dir", "x", "--out", "x", "x"],
            "--tune_utts: 0 should be at least 1",
        ),
    ],
)
def test_numbers_of_commands_are_checked_before_any_work(name, flags, message):
    command = importlib.import_module(f"speechllm.bin.{name}")
    with pytest.raises(UserError, match=message):
        command.main(flags)


def test_features_of_another_size_than_the_models_are_refused():
    cli.check_mel_bins(FbankConfig(), {"num_mel_bins": 80})
    with pytest.raises(UserError, match="--fbank_config has 80 mel bins, the model 40"):
        cli.check_mel_bins(FbankConfig(), {"num_mel_bins": 40})
