import numpy as np
import pytest
import torch
from audio_files import make_data_dir

from speechllm.bin import extract_fbank
from speechllm.data.ark import read_ark
from speechllm.data.collate import collate_ctc, collate_llm, make_loader, pad_feats
from speechllm.data.compile import compile_manifest
from speechllm.data.dataset import CtcDataset, LlmDataset
from speechllm.data.fitness import find_too_short, find_unknown, frames_needed
from speechllm.data.manifest import Manifest
from speechllm.data.sampler import plan_batches
from speechllm.data.tables import read_table, write_table
from speechllm.data.tokenizer import train
from speechllm.models.subsampling import Subsampling


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = make_data_dir(tmp_path_factory.mktemp("data") / "train", seconds=0.9)
    extract_fbank.main(["--data_dir", str(path)])
    compile_manifest(path, path / "manifest.arrow")
    return path


@pytest.fixture(scope="module")
def manifest(data_dir):
    return Manifest(data_dir / "manifest.arrow")


@pytest.fixture(scope="module")
def tokenizer(data_dir):
    texts = list(read_table(data_dir / "text").values())
    return train(texts * 20, data_dir / "units.model", 24)


def test_ctc_batch_holds_each_utterance_and_zeros(manifest, tokenizer):
    dataset = CtcDataset(manifest, tokenizer)
    batch = collate_ctc([dataset[i] for i in (3, 0)])
    assert batch["utt_ids"] == [manifest.row(3).utt_id, manifest.row(0).utt_id]
    for b, i in enumerate((3, 0)):
        row, n, u = manifest.row(i), batch["feat_lens"][b], batch["unit_lens"][b]
        assert n == row.num_frames
        assert torch.equal(batch["feats"][b, :n], read_ark(row.ark, row.offset))
        assert not batch["feats"][b, n:].any() and not batch["units"][b, u:].any()
        assert tokenizer.decode(batch["units"][b, :u].tolist()) == row.text
    assert batch["feats"].shape == (2, manifest.num_frames[3], 80)
    assert batch["feats"].dtype == torch.float32 and batch["units"].dtype == torch.long


def test_llm_batch_numbers_the_audio_of_the_whole_batch():
    def utterance(utt_id, lens, prompt, target):
        feats = [torch.full((n, 2), float(n)) for n in lens]
        return {"utt_id": utt_id, "feats": feats, "prompt": prompt, "target": torch.tensor(target)}

    bos = torch.tensor([1])
    batch = collate_llm(
        [
            utterance("a", [3], [0, bos], [7, 2]),
            utterance("b", [5, 4], [bos, 1, bos, 0], [8, 9, 2]),
            utterance("c", [], [bos], [2]),
            utterance("d", [2], [0, bos], [6, 2]),
        ]
    )
    assert batch["utt_ids"] == ["a", "b", "c", "d"]
    assert batch["feat_lens"].tolist() == [3, 5, 4, 2]
    assert batch["feats"].shape == (4, 5, 2)
    for s, n in enumerate([3, 5, 4, 2]):
        assert (batch["feats"][s, :n] == n).all() and not batch["feats"][s, n:].any()
    audio = [[p for p in parts if isinstance(p, int)] for parts in batch["prompts"]]
    assert audio == [[0], [2, 1], [], [3]]
    assert [t.tolist() for t in batch["targets"]] == [[7, 2], [8, 9, 2], [2], [6, 2]]


def test_llm_dataset_calls_what_it_was_given(manifest):
    bos = torch.tensor([1])
    dataset = LlmDataset(manifest, lambda row: [0, bos], lambda row: [len(row.text), 2])
    utt = dataset[2]
    row = manifest.row(2)
    assert utt["utt_id"] == row.utt_id and utt["prompt"] == [0, bos]
    assert utt["target"].tolist() == [len(row.text), 2] and utt["target"].dtype == torch.long
    assert torch.equal(utt["feats"][0], read_ark(row.ark, row.offset))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loader_follows_the_plan(manifest, tokenizer, num_workers):
    plan = plan_batches(manifest.num_frames, 250, 1, 0)
    assert len(plan) > 2
    loader = make_loader(CtcDataset(manifest, tokenizer), plan[1:], collate_ctc, num_workers)
    loaded = [batch["utt_ids"] for batch in loader]
    assert loaded == [[manifest.row(i).utt_id for i in batch] for batch in plan[1:]]


def test_frames_needed_are_those_below_which_ctc_loss_is_infinite():
    rng = np.random.default_rng(0)
    log_probs = torch.randn(40, 1, 4).log_softmax(-1)
    for _ in range(300):
        num_frames = int(rng.integers(1, 36))
        units = rng.integers(1, 4, rng.integers(1, 14)).tolist()
        loss = torch.nn.functional.ctc_loss(
            log_probs[:num_frames], torch.tensor([units]), [num_frames], [len(units)]
        )
        assert (frames_needed(units) > num_frames) == bool(torch.isinf(loss))


def test_too_short_utterances_are_found_with_a_message(manifest, tokenizer):
    output_lens = Subsampling(8).subsample_lens
    found = find_too_short(manifest, tokenizer, output_lens)
    too_short = []
    for i in range(len(manifest)):
        row = manifest.row(i)
        units = tokenizer.encode(row.transcript)
        frames = int(output_lens(torch.tensor([row.num_frames])))
        if frames_needed(units) > frames:
            message = f"{row.utt_id}: {len(units)} units do not fit into {frames} encoder frames"
            too_short.append((i, message))
    assert found == too_short and 0 < len(found) < len(manifest)
    last = np.array([len(manifest) - 1])
    assert find_too_short(manifest, tokenizer, output_lens, last) == []
    assert find_too_short(manifest, tokenizer, lambda lens: 0 * lens, last)[0][0] == last[0]


def test_unknown_characters_are_counted(data_dir, tmp_path, tokenizer):
    texts = read_table(data_dir / "text")
    utt_ids = list(texts)
    for name in ("wav.scp", "utt2spk", "spk2utt", "utt2lang", "feats.scp", "utt2num_frames"):
        (tmp_path / name).write_bytes((data_dir / name).read_bytes())
    changed = {utt_ids[0]: "ω text ω", utt_ids[2]: "number ω 猫"}
    write_table(tmp_path / "text", texts | changed)
    compile_manifest(tmp_path, tmp_path / "manifest.arrow")
    manifest = Manifest(tmp_path / "manifest.arrow")
    assert find_unknown(manifest, tokenizer) == {"ω": 2, "猫": 1}
    assert CtcDataset(manifest, tokenizer)[0]["units"].tolist().count(tokenizer.unk_id) == 2


def test_units_of_every_audio_part_go_along(manifest, tokenizer):
    encode_target = lambda row: [2]  # noqa: E731
    encode_units = lambda row: tokenizer.encode(row.transcript)  # noqa: E731
    dataset = LlmDataset(manifest, lambda row: [0], encode_target, encode_units)
    batch = collate_llm([dataset[0], dataset[3]])
    wanted = [tokenizer.encode(manifest.row(i).transcript) for i in (0, 3)]
    assert batch["unit_lens"].tolist() == [len(units) for units in wanted]
    for row, units in zip(batch["units"].tolist(), wanted, strict=True):
        assert row[: len(units)] == units and not any(row[len(units) :])


def test_every_utterance_brings_its_languages_share_of_masking(manifest):
    masking = {lang: 0.25 + i for i, lang in enumerate(manifest.langs)}
    dataset = LlmDataset(manifest, lambda row: [0], lambda row: [2], masking=masking)
    batch = collate_llm([dataset[i] for i in (3, 0)])
    assert batch["target_masking"].tolist() == [masking[manifest.row(i).lang] for i in (3, 0)]
    plain = LlmDataset(manifest, lambda row: [0], lambda row: [2])
    assert "target_masking" not in collate_llm([plain[0]])


def test_features_are_padded_with_zeros():
    padded, lens = pad_feats([torch.ones(3, 2), torch.ones(5, 2)])
    assert lens.tolist() == [3, 5] and padded.shape == (2, 5, 2)
    assert padded[0].sum(1).tolist() == [2, 2, 2, 0, 0] and padded[1].min() == 1
