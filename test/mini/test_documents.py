"""What the small LLM reads: kinds of documents and their shares, and what damage leaves of a text."""

import random
from difflib import SequenceMatcher
from itertools import groupby, islice

from speechllm.mini.documents import BOS_ID, EOS_ID, corrupt, documents, misspell, stretch

WORDS = {word: 10 + i for i, word in enumerate("translate to english: a b c d e f".split())}
PAIRS = [("a b c", "d e"), ("b c d e", ""), ("c a", "f")]


def encode(text):
    return [WORDS.get(word, 29) for word in text.split()]  # 29: any misspelt word


def kinds_of(docs):
    """Documents by what they are, judged from their ids alone."""
    texts, english = ({tuple(encode(p[i])) for p in PAIRS if p[i]} for i in (0, 1))
    found = {"alone": 0, "copy": 0, "shuffled": 0, "repaired": 0, "translated": 0, "answered": 0}
    for ids, first in docs:
        assert ids[-1] == EOS_ID and ids.count(BOS_ID) == 1
        at = ids.index(BOS_ID)
        source, target = tuple(ids[:at]), tuple(ids[at + 1 : -1])
        assert first in (0, at)  # all of a text is to be learnt, or what follows its source
        if source == target:
            is_text = source in texts
            found["copy" if is_text else "shuffled"] += 1
            assert sorted(source) in [sorted(text) for text in texts]
        elif source == tuple(encode("f f a")):
            found["answered"] += 1
            assert target == tuple(encode("e e"))
        elif not source:
            found["alone"] += 1
            assert target in texts
        elif source[:3] == tuple(encode("translate to english:")):
            found["translated"] += 1
            assert (source[3:], target) in {
                (tuple(encode(a)), tuple(encode(b))) for a, b in PAIRS if b
            }
        else:
            found["repaired"] += 1
            assert sorted(target) in [sorted(text) for text in texts]
    return found


def test_documents_repeat_repair_and_translate():
    docs = documents(PAIRS, encode, 30, random.Random(0), space_id=4, asked=[("f f a", "e e")])
    found = kinds_of(list(islice(docs, 3000)))
    assert all(found.values()) and found["copy"] > 0.15 * 3000
    assert found["repaired"] > 0.4 * 3000  # mostly drawn out, as speech is


def test_translations_have_their_share_and_are_heard_in_several_ways():
    instruction = "translate to d:"
    words = {"translate": 10, "to": 11, "d:": 12} | {w: WORDS[w] for w in "abcdef"}

    def to_ids(text):
        return [words.get(word, 29) for word in text.split()]

    docs = documents(
        PAIRS, to_ids, 30, random.Random(0), 4, instruction=instruction, translated_share=0.8
    )
    found = {"clean": 0, "other": 0, "alone": 0}
    english = {tuple(to_ids(b)): tuple(to_ids(a)) for a, b in PAIRS if b}
    total = 3000
    for ids, first in islice(docs, total):
        at = ids.index(BOS_ID)
        source, target = tuple(ids[:at]), tuple(ids[at + 1 : -1])
        if target not in english:
            continue
        if source[:3] == (10, 11, 12):
            assert first == at
            heard = source[3:]
            found["clean" if heard == english[target] else "other"] += 1
            assert heard
        elif not source:
            assert first == 0
            found["alone"] += 1
    # two of three texts have a translation
    assert sum(found.values()) > 0.8 * total * 2 / 3 * 0.95
    assert all(found[kind] > 0.03 * total for kind in found)


def test_a_damaged_copy_is_near_its_source():
    rng = random.Random(0)
    ids = list(range(3, 1003))
    damaged = corrupt(ids, 2000, rng)
    assert damaged != ids and abs(len(damaged) - 1000) < 50
    assert len(set(damaged) & set(ids)) > 850


def test_a_misspelt_text_is_near_its_source():
    text = "the old farmer sells bread and cakes at the market in the morning"
    rng, near = random.Random(0), []
    for _ in range(300):
        wrong = misspell(text, rng)
        assert set(wrong) <= set(text) and wrong == " ".join(wrong.split())
        near.append(SequenceMatcher(None, text, wrong, autojunk=False).ratio())
    assert 0.95 < sum(near) / len(near) < 0.99


def test_a_stretched_text_is_the_text_without_repeats_and_fillers():
    ids, filler = list(range(10, 500)), 3
    longer = stretch(ids, filler, random.Random(0))
    assert len(longer) > 2 * len(ids)
    assert [token for token, _ in groupby(longer) if token != filler] == ids
