"""How a line of the terminal becomes a turn."""

import pytest

from speechllm.bin.chat import parse_line
from speechllm.data.dialogue import Part
from speechllm.errors import UserError


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("who's there? /audiobook /x/audio", ["who's there? /audiobook /x/audio"]),
        ("/audio a.flac", [("a.flac",)]),
        ("/audio a.flac what was that?", [("a.flac",), "what was that?"]),
        (
            "sum up /audio /audio/a.flac and /audio b.flac",
            ["sum up", ("/audio/a.flac",), "and", ("b.flac",)],
        ),
        ("/audio a.flac /audio b.flac it's over", [("a.flac",), ("b.flac",), "it's over"]),
        (
            """/audio "my cat.flac" and /audio my\\ dog#1.flac""",
            [("my cat.flac",), "and", ("my dog#1.flac",)],
        ),
        (" \n", []),
    ],
)
def test_text_and_audio_come_in_any_order(line, parts):
    expected = [Part(text=p) if isinstance(p, str) else Part(audio=p[0]) for p in parts]
    assert parse_line(line) == tuple(expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/audio", "which file"),
        ("say /audio /audio b.flac", "which file"),
        ("/audio bob's.flac", "/audio bob's.flac: No closing quotation; quote as in a shell"),
    ],
)
def test_a_missing_file_and_an_open_quote_are_named(line, message):
    with pytest.raises(UserError, match=message):
        parse_line(line)
