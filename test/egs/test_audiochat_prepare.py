"""MLS English with and without dialogues of its own."""

import importlib.util
import json
from pathlib import Path

import pytest
from audio_files import make_mls

from speechllm.data.data_dir import read_data_dir
from speechllm.data.dialogue import read_dialogues
from speechllm.errors import UserError

SCRIPT = Path(__file__).resolve().parents[2] / "egs" / "audiochat" / "local" / "prepare_data.py"
SAID = {"977_5_000000": "the baker sells bread", "977_5_000001": "who sells bread"}


@pytest.fixture(scope="module")
def prepare():
    spec = importlib.util.spec_from_file_location("prepare_audiochat", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_every_utterance_of_a_real_corpus_is_a_dialogue(tmp_path, prepare):
    for set_name in ("train", "test"):
        make_mls(tmp_path, SAID, "mls_english_opus", set_name)
        prepare(["--corpora", str(tmp_path), "--set", set_name, str(tmp_path / set_name)])
    assert not (tmp_path / "train/dialogues.jsonl").exists()
    dialogues = read_dialogues(tmp_path / "test/dialogues.jsonl")
    utts = read_data_dir(tmp_path / "test")
    assert [d.dialogue_id for d in dialogues] == [u.utt_id for u in utts]
    for dialogue, utt in zip(dialogues, utts, strict=True):
        (part,) = dialogue.audio_parts
        assert (part.audio, part.transcript) == (utt.audio, utt.text)
    assert not (tmp_path / "test/several.jsonl").exists()
    instructed = read_dialogues(tmp_path / "test/instructed.jsonl")
    reminded = read_dialogues(tmp_path / "test/reminded.jsonl")
    for plain, told, after in zip(dialogues, instructed, reminded, strict=True):
        (part,) = plain.audio_parts
        (turn,) = told.turns
        assert turn.parts[0].text and turn.parts[1:] == (part,) and not told.answer
        before, answer, last = after.turns
        assert part.transcript in before.parts[0].text and answer.role == "assistant"
        assert last == plain.turns[0]


def test_dialogues_of_the_corpus_keep_their_audio(tmp_path, prepare):
    set_dir = make_mls(tmp_path, SAID, set_name="test")
    turns = []
    for handle, text in SAID.items():
        turns.append({"role": "user", "audio": f"audio/977/5/{handle}.flac", "transcript": text})
        turns.append({"role": "assistant", "text": "i see"})
    lines = [{"id": "one", "turns": turns[:1]}, {"id": "two", "turns": turns[:3], "answer": "x"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (set_dir / "dialogues.jsonl").write_text(text)
    prepare(["--corpora", str(tmp_path), "--set", "test", str(tmp_path / "data")])
    dialogues = read_dialogues(tmp_path / "data/dialogues.jsonl")
    assert dialogues == read_dialogues(set_dir / "dialogues.jsonl")
    assert read_dialogues(tmp_path / "data/several.jsonl") == dialogues[1:]
    (alone,) = read_dialogues(tmp_path / "data/instructed.jsonl")  # the other has several turns
    assert alone.dialogue_id == "one"
    (set_dir / "instructed.jsonl").write_text(text)
    prepare(["--corpora", str(tmp_path), "--set", "test", str(tmp_path / "data")])
    assert read_dialogues(tmp_path / "data/instructed.jsonl") == dialogues
    (set_dir / "dialogues.jsonl").write_text(text.replace("000001.flac", "000009.flac"))
    with pytest.raises(UserError, match="dialogues.jsonl:2: turn 3: no audio file .*000009.flac"):
        prepare(["--corpora", str(tmp_path), "--set", "test", str(tmp_path / "data")])
