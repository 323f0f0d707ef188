import pytest

from speechllm.errors import UserError
from speechllm.score.inputs import read_hypotheses, read_reference, read_statuses, read_table

FILES = {
    "text": "de_1_a hallo welt\nen_1_a hello world\nen_1_b\nen_2_a good night\n",
    "utt2lang": "de_1_a de\nen_1_a en\nen_1_b en\nen_2_a en\n",
    "utt2spk": "de_1_a de_1\nen_1_a en_1\nen_1_b en_1\nen_2_a en_2\n",
}


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "test"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def hyp_dir(tmp_path):
    folder = tmp_path / "hyp"
    folder.mkdir()
    (folder / "text").write_text("en_2_a good\nen_1_b\nen_1_a hello  world\nde_1_a hallo\n")
    return folder


def test_reference_keeps_empty_texts_and_the_order_of_languages(data_dir):
    reference = read_reference(data_dir, ["en", "de"])
    assert reference.utt_ids == ["de_1_a", "en_1_a", "en_1_b", "en_2_a"]
    assert reference.texts == ["hallo welt", "hello world", "", "good night"]
    assert reference.spk_ids == ["de_1", "en_1", "en_1", "en_2"]
    assert reference.order == ["en", "de"]
    assert read_reference(data_dir).order == ["de", "en"]
    assert reference.of_lang("en") == [1, 2, 3]


def test_hypotheses_come_in_the_order_of_the_reference(data_dir, hyp_dir):
    assert read_hypotheses(hyp_dir, read_reference(data_dir)) == [
        "hallo",
        "hello  world",
        "",
        "good",
    ]
    # a hypothesis in a language nobody asked for is no stranger
    assert read_hypotheses(hyp_dir, read_reference(data_dir, ["de"])) == ["hallo"]


def test_missing_hypotheses_are_counted_and_the_first_is_named(data_dir, hyp_dir):
    (hyp_dir / "text").write_text("en_1_a hello\nde_1_a hallo\n")
    with pytest.raises(
        UserError, match=r"hyp/text: 2 of 4 utterances .* first: en_1_b; decode again"
    ):
        read_hypotheses(hyp_dir, read_reference(data_dir))


def test_unknown_hypotheses_are_counted_and_the_first_is_named(data_dir, hyp_dir):
    with (hyp_dir / "text").open("a") as file:
        file.write("en_9_z x\nen_9_y x\n")
    with pytest.raises(UserError, match=r"2 hypotheses have no utterance in .*test, first: en_9_y"):
        read_hypotheses(hyp_dir, read_reference(data_dir))


def test_statuses(data_dir, hyp_dir):
    reference = read_reference(data_dir)
    assert read_statuses(hyp_dir, reference) is None
    (hyp_dir / "utt2status").write_text("".join(f"{u} ok\n" for u in reference.utt_ids))
    assert read_statuses(hyp_dir, reference) == ["ok"] * 4
    (hyp_dir / "utt2status").write_text("de_1_a ok\nen_1_a maybe\n")
    with pytest.raises(UserError, match="status of en_1_a is 'maybe', should be ok or max_length"):
        read_statuses(hyp_dir, reference)


def test_directory_without_utt2lang_is_of_the_one_language_named(data_dir):
    (data_dir / "utt2lang").unlink()
    assert read_reference(data_dir, ["fr"]).langs == ["fr"] * 4
    with pytest.raises(UserError, match="utt2lang: no such file"):
        read_reference(data_dir)


def test_wrong_directories_are_refused(data_dir):
    with pytest.raises(UserError, match="no utterance of language 'nl', only de en"):
        read_reference(data_dir, ["en", "nl"])
    (data_dir / "utt2spk").write_text("en_1_a en_1\n")
    with pytest.raises(UserError, match="utt2spk: 3 of 4 utterances .* first: de_1_a"):
        read_reference(data_dir)
    for name in FILES:
        (data_dir / name).write_text("")
    with pytest.raises(UserError, match="text: no utterance"):
        read_reference(data_dir)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a x\n\nb y\n", ":2: empty line"),
        (b"a x\nb y\na z\n", ":3: utterance a a second time"),
        (b"a x\nb \xff\n", "byte 6 is not UTF-8"),
    ],
)
def test_wrong_tables_name_the_line(tmp_path, content, message):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_table(tmp_path / "text")


def test_a_file_in_the_place_of_a_folder_is_named(data_dir, tmp_path):
    with pytest.raises(UserError, match=r"test/text: is no folder; name the one that holds text$"):
        read_reference(data_dir / "text")
    with pytest.raises(UserError, match=r"test/text: is no folder; name the one that holds text$"):
        read_hypotheses(data_dir / "text", read_reference(data_dir))
    (tmp_path / "outer/text").mkdir(parents=True)
    with pytest.raises(UserError, match="outer/text: is a folder, should be a file"):
        read_table(tmp_path / "outer/text")


def test_windows_line_ends_are_no_part_of_the_text(tmp_path):
    (tmp_path / "text").write_bytes(b"a x y\r\nb\r\n")
    assert read_table(tmp_path / "text") == {"a": "x y", "b": ""}
