"""The voices: known to espeak-ng, different in each set, and some words sound alike."""

import ctypes
import functools
from pathlib import Path

import numpy as np
import pytest

from speechllm.errors import UserError
from speechllm.mini.grammar import LANGS, vocabulary
from speechllm.mini.voices import (
    SAMPLE_RATE,
    VARIANTS,
    Synthesizer,
    draw_speakers,
    respell,
    utterance,
)

PHONEMES_IPA = 2
words_of = functools.cache(vocabulary)


@pytest.fixture(scope="module")
def synthesizer():
    return Synthesizer()


def phonemes(synthesizer, voice, text):
    library = synthesizer.library
    assert library.espeak_SetVoiceByName(voice.encode()) == 0
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    pointer = ctypes.c_char_p(text.encode())
    found = library.espeak_TextToPhonemes(ctypes.byref(pointer), 1, PHONEMES_IPA).decode()
    return found.replace("\u02c8", "").replace("\u02cc", "")  # stress marks


def variants(set_name):
    return {name for names in VARIANTS[set_name].values() for name in names.split()}


def test_variants_of_the_sets_are_disjoint_and_installed():
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    installed = {path.name for path in folder.iterdir()}
    everything = [name for set_name in VARIANTS for name in variants(set_name)]
    assert len(everything) == len(set(everything))
    assert set(everything) <= installed


@pytest.mark.parametrize("lang", LANGS)
def test_speakers_differ_between_sets(lang):
    sets = {name: draw_speakers(lang, name, 6, seed=1) for name in VARIANTS}
    numbers = [speaker.spk for speakers in sets.values() for speaker in speakers]
    assert len(set(numbers)) == 18
    for name, speakers in sets.items():
        assert {speaker.voice.split("+")[1] for speaker in speakers} <= variants(name)
        assert [speaker.gender for speaker in speakers] == ["F", "M"] * 3


def test_more_speakers_keep_the_first_voices_apart():
    speakers = draw_speakers("de", "train", 40, seed=1)
    sounds = {(s.voice, round(s.rate), round(s.pitch), round(s.pitch_range)) for s in speakers}
    assert len(sounds) == 40


@pytest.mark.parametrize("lang", LANGS)
def test_every_accent_speaks(synthesizer, lang):
    for speaker in draw_speakers(lang, "train", 6, seed=2):
        samples = synthesizer.speak("a e i o u", speaker.voice, 150, 50, 50)
        assert len(samples) > synthesizer.rate / 4


def test_utterance_is_speech_between_near_silence(synthesizer):
    speaker = draw_speakers("en", "test", 1, seed=1)[0]
    text = "the cat sleeps in the sun"
    samples = utterance(synthesizer, speaker, text, np.random.default_rng(1))
    assert samples.dtype == np.int16
    assert 1 < len(samples) / SAMPLE_RATE < 4
    level = np.sqrt(np.mean(samples.astype(float) ** 2))
    edge = samples[: int(0.07 * SAMPLE_RATE)].astype(float)
    assert 0 < np.sqrt(np.mean(edge**2)) < 0.1 * level
    assert 500 < level < 8000 and np.abs(samples.astype(int)).max() < 32767


def test_unknown_voice_is_named(synthesizer):
    with pytest.raises(UserError, match="no voice 'xx\\+f1'"):
        synthesizer.speak("hello", "xx+f1", 150, 50, 50)


def test_text_without_sound_is_named(synthesizer):
    with pytest.raises(UserError, match="said nothing"):
        synthesizer.speak("", "en-us+f1", 150, 50, 50)


@pytest.mark.parametrize(
    "lang, voice, words",
    [
        ("en", "en-us", "sea see"),
        ("en", "en-us", "flour flower"),
        ("en", "en-us", "meat meet"),
        ("en", "en-us", "eight ate"),
        ("en", "en-us", "son sun"),
        ("en", "en-us", "knight night"),
        ("de", "de", "isst ist"),
        ("nl", "nl", "rijst reist"),
        ("fr", "fr", "mer mère"),
        ("fr", "fr", "vert vers verre"),
        ("fr", "fr", "champ chants"),
        ("fr", "fr", "mange mangent"),
        ("fr", "fr", "acheter acheté"),
        ("es", "es-419", "casa caza"),
        ("es", "es", "a ha"),
        ("pl", "pl", "morze może"),
    ],
)
def test_some_words_sound_alike(synthesizer, lang, voice, words):
    assert set(words.split()) <= set(words_of(lang)), "both must occur"
    assert len({phonemes(synthesizer, voice, word) for word in words.split()}) == 1


def test_misread_words_are_respelled(synthesizer):
    assert respell("fr", "le fils voit la fille") == "le fiss voit la fille"
    assert respell("en", "fils") == "fils"
    assert phonemes(synthesizer, "fr", respell("fr", "fils")) == "fis"
