"""Answers that grow part by part, and the data directory that is made of them."""

import json
from types import SimpleNamespace

import pytest

from speechllm.data.data_dir import Utterance, read_data_dir, write_data_dir
from speechllm.data.responses import (
    Response,
    ResponsePart,
    choose_instruction,
    digest_of_part,
    part_path,
    read_parts,
    write_response_dir,
)
from speechllm.data.tables import read_table, write_table
from speechllm.errors import UserError


def response(utt_id, text="yes", fault="", instruction=""):
    return Response(utt_id, text, instruction, fault, -0.5)


def test_a_part_goes_on_where_it_was_cut_off(tmp_path):
    part = ResponsePart(tmp_path, 2, 1, {"seed": 1})
    part.add([response("a"), response("b", "né")])
    path = part_path(tmp_path, 2, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])  # killed while it wrote b
    again = ResponsePart(tmp_path, 2, 1, {"seed": 1})
    assert again.done == {"a"}
    again.add([response("b", "né")])
    assert path.read_bytes() == whole
    assert again.set_aside is None
    other = ResponsePart(tmp_path, 2, 1, {"seed": 2})  # other settings, other answers
    assert other.done == set() and other.set_aside.read_bytes() == whole


def test_a_damaged_line_is_named(tmp_path, rows):
    settings = {"data": digest_of_part(rows, 1, 1)}
    ResponsePart(tmp_path, 1, 1, settings).add([response("a"), response("b")])
    path = part_path(tmp_path, 1, 1)
    header, first, second = path.read_text().splitlines()
    for damaged in ("garbage", "[1]", '{"utt_id": "a"}'):
        path.write_text(f"{header}\n{damaged}\n{second}\n")
        for read in (
            lambda: ResponsePart(tmp_path, 1, 1, settings),
            lambda: read_parts(tmp_path, 1, rows),
        ):
            with pytest.raises(UserError, match="responses.1-of-1.jsonl:2: not an answer; delete"):
                read()
    path.write_text(f"garbage\n{first}\n")
    with pytest.raises(UserError, match="does not begin with settings; run respond again"):
        read_parts(tmp_path, 1, rows)


class Rows(list):
    """Rows as a manifest has them."""

    path = "data/train/manifest.arrow"

    def row(self, index):
        return self[index]


@pytest.fixture
def rows():
    one = SimpleNamespace(transcript="say", prompt=None, lang="en")
    return Rows(SimpleNamespace(**vars(one) | {"utt_id": utt_id}) for utt_id in "ab")


def test_parts_are_joined_and_must_agree(tmp_path, rows):
    data = {part: digest_of_part(rows, 2, part) for part in (1, 2)}
    for part, utt_id in ((1, "a"), (2, "b")):
        settings = {"seed": 1, "data": data[part]}
        ResponsePart(tmp_path, 2, part, settings).add([response(utt_id, "a\u2028b")])
    settings, responses = read_parts(tmp_path, 2, rows)
    assert settings == {"seed": 1}
    assert responses == {u: response(u, "a\u2028b") for u in "ab"}
    ResponsePart(tmp_path, 2, 2, {"seed": 2, "data": data[2]})
    with pytest.raises(UserError, match="responses.2-of-2.jsonl: made with other settings"):
        read_parts(tmp_path, 2, rows)
    part_path(tmp_path, 2, 2).unlink()
    with pytest.raises(UserError, match="responses.2-of-2.jsonl: this part is missing"):
        read_parts(tmp_path, 2, rows)


@pytest.mark.parametrize("name", ["utt_id", "transcript", "prompt"])
def test_answers_to_other_transcripts_are_not_joined(tmp_path, rows, name):
    for part in (1, 2):
        settings = {"data": digest_of_part(rows, 2, part)}
        ResponsePart(tmp_path, 2, part, settings).add([response("ab"[part - 1])])
    setattr(rows[1], name, "other")
    with pytest.raises(UserError, match="2-of-2.jsonl: answers to other transcripts than data/tr"):
        read_parts(tmp_path, 2, rows)
    again = ResponsePart(tmp_path, 2, 2, {"data": digest_of_part(rows, 2, 2)})
    assert again.done == set()


def test_instructions_go_to_their_share_of_utterances():
    ids = [f"u{i}" for i in range(2000)]
    chosen = [choose_instruction(u, ["one", "two"], 0.25, 1) for u in ids]
    assert abs(sum(map(bool, chosen)) - 500) < 80
    assert abs(chosen.count("one") - chosen.count("two")) < 80
    assert chosen == [choose_instruction(u, ["one", "two"], 0.25, 1) for u in ids]
    assert not any(choose_instruction(u, ["one"], 0.0, 1) for u in ids)
    assert not choose_instruction("u1", [], 1.0, 1)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "train"
    utts = [Utterance(f"s1_{u}", "s1", f"say {u}", "x.flac", "en") for u in "abcd"]
    write_data_dir(folder, utts)
    write_table(folder / "feats.scp", {f"s1_{u}": f"/x.ark:{i}" for i, u in enumerate("abc")})
    write_table(folder / "utt2num_frames", {f"s1_{u}": "100" for u in "abc"})
    write_table(folder / "bad_utts", {"s1_d": "unreadable"})
    (folder / "cmvn.ark").write_bytes(b"cmvn")
    return folder


def test_answers_become_targets_with_the_sources_features(source, tmp_path):
    found = {
        "s1_a": response("s1_a", "A", instruction="repeat"),
        "s1_b": response("s1_b", "B", fault="loop"),
        "s1_c": response("s1_c", "C"),
    }
    about = write_response_dir(source, tmp_path / "out", found, {"model": "m", "licence": "CC0"})
    utts = read_data_dir(tmp_path / "out")
    assert [(u.utt_id, u.text, u.text_src, u.prompt) for u in utts] == [
        ("s1_a", "A", "say a", "repeat"),
        ("s1_c", "C", "say c", ""),
    ]
    assert read_table(tmp_path / "out/feats.scp") == {"s1_a": "/x.ark:0", "s1_c": "/x.ark:2"}
    assert (tmp_path / "out/cmvn.ark").read_bytes() == b"cmvn"
    assert json.loads((tmp_path / "out/responses.json").read_text()) == about
    assert about["left_out"] == {"loop": 1} and about["num_utts"] == 2
    assert about["model"] == "m" and about["licence"] == "CC0" and about["num_instructed"] == 1


def test_an_utterance_without_answer_is_named(source, tmp_path):
    with pytest.raises(UserError, match="s1_a has no response"):
        write_response_dir(source, tmp_path / "out", {}, {})
