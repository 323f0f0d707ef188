"""The made-up sentences: correct, distinct, repeatable, and never in two splits."""

import math
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from speechllm.errors import UserError
from speechllm.mini.grammar import LANGS, Grammar, sentences, spoken, vocabulary, written
from speechllm.mini.scene import NounPhrase, Relative, Scene
from speechllm.mini.world import draw_scene

A_FISH = NounPhrase("fish", "a", adjective="big")
EIGHT_APPLES = NounPhrase("apple", "zero", plural=True, count=8)
THE_CATS = NounPhrase("cat", plural=True)
SCENES = {
    "past": Scene("catch", (NounPhrase("fisherman", adjective="old"),), (A_FISH,), past=True),
    "present": Scene("eat", (NounPhrase("girl", plural=True),), (EIGHT_APPLES,), place="in_garden"),
    "time first": Scene(
        "buy",
        (NounPhrase("mother"),),
        (NounPhrase("bread", "zero"),),
        time="morning",
        time_first=True,
    ),
    "negated": Scene("sleep", (THE_CATS,), place="under_tree", negated=True),
    "can": Scene("swim", (NounPhrase("boy"),), place="in_sea", modal=True),
    "owner": Scene("be", (NounPhrase("dog", owner="boy"),), predicate="big"),
    "relative": Scene(
        "travel",
        (NounPhrase("baker", plural=True),),
        place="to_city",
        relative=Relative("sell", NounPhrase("bread", "zero", adjective="fresh")),
    ),
    "waiting": Scene("wait", (NounPhrase("child"), NounPhrase("dog")), (NounPhrase("teacher"),)),
}
EXPECTED = {
    "past": {
        "en": "the old fisherman caught a big fish",
        "de": "der alte fischer hat einen großen fisch gefangen",
        "nl": "de oude visser heeft een grote vis gevangen",
        "fr": "le vieux pêcheur a pêché un grand poisson",
        "es": "el pescador viejo ha pescado un pez grande",
        "it": "il vecchio pescatore ha pescato un grande pesce",
        "pt": "o pescador velho pescou um peixe grande",
        "pl": "stary rybak złowił dużą rybę",
    },
    "present": {
        "en": "the girls eat eight apples in the garden",
        "de": "die mädchen essen acht äpfel im garten",
        "nl": "de meisjes eten acht appels in de tuin",
        "fr": "les filles mangent huit pommes dans le jardin",
        "es": "las chicas comen ocho manzanas en el jardín",
        "it": "le ragazze mangiano otto mele in giardino",
        "pt": "as meninas comem oito maçãs no jardim",
        "pl": "dziewczynki jedzą osiem jabłek w ogrodzie",
    },
    "time first": {
        "en": "in the morning the mother buys bread",
        "de": "am morgen kauft die mutter brot",
        "nl": "'s ochtends koopt de moeder brood",
        "fr": "le matin la mère achète du pain",
        "es": "por la mañana la madre compra pan",
        "it": "al mattino la madre compra pane",
        "pt": "de manhã a mãe compra pão",
        "pl": "rano matka kupuje chleb",
    },
    "negated": {
        "en": "the cats do not sleep under the tree",
        "de": "die katzen schlafen nicht unter dem baum",
        "nl": "de katten slapen niet onder de boom",
        "fr": "les chats ne dorment pas sous l'arbre",
        "es": "los gatos no duermen bajo el árbol",
        "it": "i gatti non dormono sotto l'albero",
        "pt": "os gatos não dormem debaixo da árvore",
        "pl": "koty nie śpią pod drzewem",
    },
    "can": {
        "en": "the boy can swim in the sea",
        "de": "der junge kann im meer schwimmen",
        "nl": "de jongen kan in zee zwemmen",
        "fr": "le garçon peut nager dans la mer",
        "es": "el chico puede nadar en el mar",
        "it": "il ragazzo può nuotare nel mare",
        "pt": "o menino pode nadar no mar",
        "pl": "chłopiec może pływać w morzu",
    },
    "owner": {
        "en": "the boy's dog is big",
        "de": "der hund des jungen ist groß",
        "nl": "de hond van de jongen is groot",
        "fr": "le chien du garçon est grand",
        "es": "el perro del chico es grande",
        "it": "il cane del ragazzo è grande",
        "pt": "o cachorro do menino é grande",
        "pl": "pies chłopca jest duży",
    },
    "relative": {
        "en": "the bakers who sell fresh bread travel to the city",
        "de": "die bäcker die frisches brot verkaufen reisen in die stadt",
        "nl": "de bakkers die vers brood verkopen reizen naar de stad",
        "fr": "les boulangers qui vendent du pain frais voyagent vers la ville",
        "es": "los panaderos que venden pan fresco viajan a la ciudad",
        "it": "i fornai che vendono pane fresco viaggiano verso la città",
        "pt": "os padeiros que vendem pão fresco viajam para a cidade",
        "pl": "piekarze którzy sprzedają świeży chleb jadą do miasta",
    },
    "waiting": {
        "en": "the child and the dog wait for the teacher",
        "de": "das kind und der hund warten auf die lehrerin",
        "nl": "het kind en de hond wachten op de lerares",
        "fr": "l'enfant et le chien attendent la maîtresse",
        "es": "el niño y el perro esperan a la maestra",
        "it": "il bambino e il cane aspettano la maestra",
        "pt": "a criança e o cachorro esperam a professora",
        "pl": "dziecko i pies czekają na nauczycielkę",
    },
}
LETTERS = {
    "en": "'",
    "de": "äöüß",
    "nl": "'",
    "fr": "éèêàâçîœ'",
    "es": "áéíóñ",
    "it": "àèò'",
    "pt": "áàãçéêóõ",
    "pl": "ąćęłńóśż",
}


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("name", SCENES)
def test_scene_is_said_correctly(name, lang):
    assert spoken(lang, SCENES[name]) == EXPECTED[name][lang]


@pytest.mark.parametrize(
    "lang, text",
    [
        ("en", "The bakers who sell fresh bread travel to the city."),
        ("de", "Die Bäcker, die frisches Brot verkaufen, reisen in die Stadt."),
        ("pl", "Piekarze, którzy sprzedają świeży chleb, jadą do miasta."),
    ],
)
def test_written_form_has_capitals_and_punctuation(lang, text):
    assert written(lang, SCENES["relative"]) == text


def test_dutch_capital_stands_after_the_apostrophe():
    assert written("nl", SCENES["time first"]) == "'s Ochtends koopt de moeder brood."


@pytest.mark.parametrize("lang", LANGS)
def test_sentences_are_distinct_transcripts_of_four_to_ten_words(lang):
    found = sentences(lang, 500, seed=3)
    assert len({sentence.text for sentence in found}) == 500
    for sentence in found:
        for text in (sentence.text, sentence.english):
            assert 4 <= len(text.split()) <= 10
            assert text == text.lower() and re.fullmatch(
                r"[^\W\d_]([^\W\d_]|[' -])+", text.strip("'")
            )
        assert sentence.lang == lang and sentence.english
        assert lang != "en" or sentence.english == sentence.text


@pytest.mark.parametrize("lang", LANGS)
def test_vocabulary_covers_the_sentences_and_the_orthography(lang):
    words = vocabulary(lang)
    assert 160 <= len(words) <= 260
    used = {word for sentence in sentences(lang, 500, seed=8) for word in sentence.text.split()}
    assert used <= set(words)
    assert set(LETTERS[lang]) <= set("".join(words))


@pytest.mark.parametrize("lang", LANGS)
def test_training_sentences_contain_every_common_word(lang):
    training = {
        word for s in sentences(lang, 650, seed=1, split="train") for word in s.text.split()
    }
    test_words = [
        word for s in sentences(lang, 300, seed=1, split="test") for word in s.text.split()
    ]
    unseen = [word for word in test_words if word not in training]
    assert len(unseen) / len(test_words) < 0.01


def test_splits_share_no_text_in_any_language():
    rng = random.Random("splits")
    scenes = [draw_scene(rng) for _ in range(15_000)]
    for lang in LANGS:
        seen: dict[str, str] = {}
        for scene in scenes:
            assert seen.setdefault(spoken(lang, scene), scene.split) == scene.split
    shares = [sum(scene.split == name for scene in scenes) for name in ("train", "dev", "test")]
    assert shares[0] > 0.7 * len(scenes) and min(shares[1:]) > 0.05 * len(scenes)


def test_translations_of_a_test_sentence_are_in_no_training_text():
    english = {s.english for s in sentences("de", 300, seed=1, split="test")}
    training = {s.english for lang in LANGS for s in sentences(lang, 1500, seed=1, split="train")}
    assert not english & training


def test_sentences_do_not_depend_on_the_process():
    code = (
        "from speechllm.mini.grammar import sentences\n"
        "print([s.text for s in sentences('pl', 50, seed=7, split='dev')])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = [s.text for s in sentences("pl", 50, seed=7, split="dev")]
    assert outputs == {f"{here}\n".encode()}


def test_another_seed_gives_other_sentences():
    assert sentences("it", 20, seed=1) != sentences("it", 20, seed=2)


def test_excluded_texts_do_not_occur():
    first = sentences("fr", 50, seed=5)
    without = sentences("fr", 50, seed=5, exclude=frozenset(s.text for s in first[:25]))
    assert [s.text for s in without][:25] == [s.text for s in first][25:]


def entropy(rows):
    """Bits per word, given counts of words in each context."""
    total = sum(sum(row.values()) for row in rows)
    bits = sum(n * math.log2(sum(row.values()) / n) for row in rows for n in row.values())
    return bits / total


def test_two_words_tell_much_of_the_third():
    words = Counter()
    after: dict[tuple, Counter] = {}
    for sentence in sentences("en", 3000, seed=1, split="train"):
        padded = ["", "", *sentence.text.split(), "."]
        for first, second, third in zip(padded, padded[1:], padded[2:], strict=False):
            words[third] += 1
            after.setdefault((first, second), Counter())[third] += 1
    assert 5 < entropy([words]) < 7
    assert 1 < entropy(after.values()) < 0.45 * entropy([words])


def test_unknown_language_is_named():
    with pytest.raises(UserError, match="no language 'tlh'; choose from en de nl"):
        Grammar("tlh")


def test_too_many_sentences_say_so(monkeypatch):
    scene = SCENES["can"]
    monkeypatch.setattr("speechllm.mini.grammar.draw_scene", lambda rng: scene)
    with pytest.raises(UserError, match="only 1 of 2 distinct sentences"):
        sentences("en", 2, seed=1)
