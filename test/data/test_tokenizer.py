import pytest

from speechllm.bin import train_tokenizer
from speechllm.data.tokenizer import BLANK_ID, CtcTokenizer, cut_unspaced, train
from speechllm.errors import UserError

WORDS = (
    "der große hund läuft über die straße zażółć gęślą jaźń l'élève où ça señor niño ação "
    "wheel-chair i've perché het paard wordt moe zeven fietsen"
).split()
TEXTS = [
    " ".join(WORDS[(i * 7 + k * k) % len(WORDS)] for k in range(3 + i % 5)) for i in range(400)
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train(TEXTS, tmp_path_factory.mktemp("units") / "units.model", 60)


@pytest.mark.parametrize("model_type", ["unigram", "bpe", "char"])
def test_decoding_gives_the_text_back(tmp_path, model_type):
    tokenizer = train(TEXTS, tmp_path / "units.model", 80, model_type)
    for text in [*TEXTS[:50], "straße", "a", "", "ćśń ßéç"]:
        units = tokenizer.encode(text)
        assert all(BLANK_ID < unit < tokenizer.vocab_size for unit in units)
        assert tokenizer.unk_id not in units
        assert tokenizer.decode(units) == text


UNSPACED = {  # a text, and where pieces end at the latest
    "我的朋友在北京 tea": "我 的 朋 友 在 北 京 tea",
    "ひらがなとカタカナー": "ひ ら が な と カ タ カ ナ ー",
    "ภาษาไทยง่ายมาก": "ภา ษา ไทย ง่าย มาก",
    "ភាសា": "ភា សា",
    "wheel-chair l'élève": "wheel-chair l'élève",
    "доброе утро": "доброе утро",
}


@pytest.mark.parametrize("text", UNSPACED)
def test_texts_without_spaces_are_cut(text):
    assert cut_unspaced(text).replace("\t", " ") == UNSPACED[text]


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_no_piece_is_a_phrase_of_a_language_without_spaces(tmp_path, model_type):
    texts = list(UNSPACED) * 30
    tokenizer = train(texts, tmp_path / "units.model", 200, model_type)
    for text in texts[:6]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    for piece in tokenizer.unit_texts():
        assert "\t" not in piece
        assert len([c for c in piece if "\u3040" < c < "\u9fff"]) <= 1
        assert len([c for c in piece if "\u0e00" < c < "\u0e7f"]) <= 4
    assert len(tokenizer.encode("我的朋友在北京")) >= 7
    if model_type == "bpe":  # others keep their words
        assert len(tokenizer.encode("tea")) == len(tokenizer.encode("доброе")) == 1


def test_size_counts_the_blank(tokenizer):
    assert tokenizer.vocab_size == 61
    assert {unit for text in TEXTS for unit in tokenizer.encode(text)} <= set(range(2, 61))


def test_blanks_are_left_out_of_the_text(tokenizer):
    units = tokenizer.encode("der hund")
    with_blanks = [BLANK_ID] + [u for unit in units for u in (unit, BLANK_ID)]
    assert tokenizer.decode(with_blanks) == "der hund"


def test_same_text_gives_the_same_model(tmp_path):
    first = train(TEXTS, tmp_path / "a.model", 100)
    again = train(iter(TEXTS), tmp_path / "b.model", 100)
    assert (tmp_path / "a.model").read_bytes() == (tmp_path / "b.model").read_bytes()
    assert first.encode("der hund") == again.encode("der hund")


def test_characters_never_seen_become_the_unknown_unit(tokenizer):
    units = tokenizer.encode("der 猫 hund")
    assert tokenizer.unk_id in units
    assert tokenizer.decode(units).split()[0] == "der"
    assert tokenizer.decode(units).split()[-1] == "hund"
    assert tokenizer.unknown_characters("der 猫 hund und 犬") == ["犬", "猫"]
    assert tokenizer.unknown_characters("der hund") == []


def test_text_is_not_rewritten(tmp_path):
    texts = ["ﬁn ² ½ … „x“ Ａ é"] * 10  # compatibility characters and a combining accent
    tokenizer = train(texts, tmp_path / "units.model", 40)
    assert tokenizer.decode(tokenizer.encode(texts[0])) == texts[0]


@pytest.mark.parametrize("model_type", ["unigram", "bpe", "char"])
def test_more_units_than_the_text_supports_become_fewer(tmp_path, capsys, model_type):
    tokenizer = train(TEXTS, tmp_path / "units.model", 5000, model_type)
    assert tokenizer.vocab_size < 1000
    assert f"supports {tokenizer.vocab_size - 1} pieces, not 5000" in capsys.readouterr().out
    assert tokenizer.decode(tokenizer.encode(TEXTS[0])) == TEXTS[0]


def test_fewer_units_than_characters_is_an_error_with_the_number_to_use(tmp_path):
    with pytest.raises(UserError, match=r"vocab_size 5 is too small: .* set it to (\d+)") as error:
        train(TEXTS, tmp_path / "units.model", 5)
    least = int(str(error.value).split("set it to ")[1].split()[0])
    assert train(TEXTS, tmp_path / "units.model", least).vocab_size == least + 1


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(UserError, match="none.model: no such tokenizer"):
        CtcTokenizer(tmp_path / "none.model")
    (tmp_path / "bad.model").write_bytes(b"not a model")
    with pytest.raises(UserError, match="bad.model: not a SentencePiece model"):
        CtcTokenizer(tmp_path / "bad.model")
    with pytest.raises(UserError, match="no text to train"):
        train(["", " "], tmp_path / "x.model", 10)


def test_long_sentences_are_not_left_out(tmp_path):
    long = " ".join(WORDS * 40) + " ω"
    assert train([*TEXTS, long], tmp_path / "units.model", 100).unknown_characters("ω") == []


def test_command_reads_kaldi_tables(tmp_path, capsys):
    lines = [f"utt{i:04} {text}\n" for i, text in enumerate(TEXTS)]
    (tmp_path / "text").write_text("".join(lines), encoding="utf-8")
    out = tmp_path / "exp" / "units.model"
    train_tokenizer.main(
        ["--text", str(tmp_path / "text"), "--out", str(out), "--vocab_size", "60"]
    )
    assert f"{out}: 61 units" in capsys.readouterr().out
    assert CtcTokenizer(out).vocab_size == 61
