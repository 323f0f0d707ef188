"""The small chat LLM: what it is taught, in which format; and the questions that are spoken."""

import json
import random
from itertools import islice

import pytest
import soundfile
import torch

from speechllm.bin import make_mini_corpus, make_mini_llm
from speechllm.data.dialogue import Part, Turn, prompt_parts, read_dialogues
from speechllm.errors import UserError
from speechllm.mini.chat import ASSISTANT, USER, chat_document, hear
from speechllm.mini.corpus import Size, Spoken, plan
from speechllm.mini.dialogues import spoken_questions, write_dialogues
from speechllm.mini.documents import EOS_ID
from speechllm.mini.grammar import spoken
from speechllm.mini.lessons import draw_jumble, is_out_of_order, lessons, shortened
from speechllm.mini.questions import Question, draw_short_scene, questions
from speechllm.mini.scene import NounPhrase, Scene
from speechllm.models.llm_loading import load_llm
from speechllm.models.llm_tokenizer import LlmTokenizer


@pytest.fixture(scope="module")
def chat_llm(tmp_path_factory):
    """A folder as the command writes it, after a few steps."""
    folder = tmp_path_factory.mktemp("llm")
    (folder / "text").write_text("a the dog sleeps\nb who sleeps\n")
    sizes = "--chat true --max_steps 2 --dim 32 --ffn_dim 48 --vocab_size 700 --batch_tokens 300"
    options = ["--text", folder / "text", "--out", folder / "llm", *sizes.split()]
    make_mini_llm.main([str(word) for word in options])
    return str(folder / "llm")


def test_lessons_are_of_the_training_split_and_of_every_kind():
    taught = list(islice(lessons(1), 10_000))
    assert {question.split for question in taught} == {"train"}
    kinds = {question.kind for question in taught}
    assert kinds > {"interview", "scene", "repeat", "arithmetic", "summary", "statement"}
    texts = {question.turns for question in taught}
    for split in ("dev", "test"):
        assert not texts & {question.turns for question in questions(400, 1, split)}
    said = {text for q in taught for text in (*(text for _, text in q.turns), q.answer)}
    for split in ("dev", "test"):  # but short turns, which the turns before them explain
        asked = {text for q in questions(400, 1, split) for role, text in q.turns if role == "user"}
        assert {text for text in asked & said if not text.startswith("and ")} == set()
    for question in taught:
        roles = [role for role, _ in question.turns]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def test_a_jumble_is_no_sentence():
    rng = random.Random(3)
    texts = (spoken("en", draw_short_scene(rng)) for _ in range(2000))
    assert not any(is_out_of_order(text.split()) for text in texts)
    assert is_out_of_order("the green is hat the".split())
    assert not is_out_of_order("the boy sees the girl".split())
    for _ in range(200):
        question = draw_jumble(rng)
        assert is_out_of_order(question.answer.split())
        assert question.turns[0][1].endswith(f" {question.answer}")


def test_a_short_form_leaves_the_ornaments_out():
    baker = NounPhrase("baker", adjective="old")
    cakes = NounPhrase("cake", "zero", plural=True, count=3, adjective="big")
    scene = Scene("sell", (baker,), (cakes,), place="at_market", time="sunday")
    plain = Scene("sell", (NounPhrase("baker"),), (NounPhrase("cake", "zero", True, 3),))
    assert shortened(scene) == plain
    goes = Scene("travel", (baker,), place="to_sea", time="sunday")
    assert shortened(goes).place == "to_sea"


def test_documents_have_the_tokens_of_the_template_and_predict_all_answers(chat_llm):
    tokenizer = LlmTokenizer(chat_llm)
    turns = (("user", "the dog sleeps"), ("assistant", "i see"), ("user", "who sleeps"))
    question = Question("scene", turns, "the dog", (), "train")
    user_id, assistant_id = tokenizer.tokenizer.convert_tokens_to_ids([USER, ASSISTANT])
    ids, wanted = chat_document(question, tokenizer.encode, tokenizer.encode, user_id, assistant_id)
    messages = [{"role": role, "content": text} for role, text in turns]
    prompt = tokenizer.tokenizer.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert ids == [*prompt, *tokenizer.encode("the dog"), EOS_ID]
    predicted = [ids[position] for position in wanted]
    first, second = tokenizer.encode("i see"), tokenizer.encode("the dog")
    assert predicted == [*first, EOS_ID, *second, EOS_ID]


def test_what_is_heard_is_the_text_drawn_out_or_near_it():
    rng, words = random.Random(0), "a b c d e f".split()

    def encode(text):
        return [10 + words.index(word) if word in words else 9 for word in text.split()]

    def heard(spoken_share):
        found = [hear("a b c d e f", encode, 3, spoken_share, rng) for _ in range(400)]
        assert set().union(*found) <= {3, 9, *range(10, 16)}
        return sum(ids == list(range(10, 16)) for ids in found), sum(3 in ids for ids in found)

    plain, drawn_out = heard(0.0)
    assert plain > 250 and drawn_out == 0
    plain, drawn_out = heard(1.0)
    assert plain < 20 and drawn_out > 350


def test_prompts_of_the_folder_are_those_of_its_template(chat_llm):
    tokenizer = LlmTokenizer(chat_llm)

    def parts_of(*turns):
        turns = tuple(Turn(role, parts) for role, parts in turns)
        functions = tokenizer.render_chat, tokenizer.encode, tokenizer.encode_after
        return [p if isinstance(p, int) else p.tolist() for p in prompt_parts(turns, *functions)]

    (whole,) = parts_of(("user", (Part(text="the dog sleeps"),)))
    before, audio, after = parts_of(("user", (Part(audio="x"),)))
    assert audio == 0 and [*before, *tokenizer.encode("the dog sleeps"), *after] == whole
    with pytest.raises(UserError, match="does not take this dialogue: .*roles user and assistant"):
        parts_of(("system", (Part(text="be kind"),)), ("user", (Part(text="hello"),)))
    assert load_llm(chat_llm).context_len == 1024


def test_an_llm_without_a_template_is_one_clear_line(chat_llm, tmp_path):
    tokenizer = LlmTokenizer(chat_llm)
    tokenizer.tokenizer.chat_template = None
    for name, message in (("plain", "has no chat template"), ("Llama-2-7b-chat-copy", None)):
        tokenizer.save(tmp_path / name)
        other, messages = LlmTokenizer(str(tmp_path / name)), [{"role": "user", "content": "hi"}]
        if message:
            with pytest.raises(UserError, match=message) as error:
                other.render_chat(messages)
            assert "\n" not in str(error.value)
        else:
            assert other.render_chat(messages) == "<s>[INST] hi [/INST]"


def test_the_format_of_llama2_is_as_its_makers_describe_it(chat_llm, tmp_path):
    tokenizer = LlmTokenizer(chat_llm)
    tokenizer.tokenizer.chat_template = None
    tokenizer.save(tmp_path / "llama-2-chat")
    tokenizer = LlmTokenizer(str(tmp_path / "llama-2-chat"))
    messages = [
        {"role": role, "content": text}
        for role, text in zip(
            ("system", "user", "assistant", "user"), (" be kind", "a ", "b", "c"), strict=True
        )
    ]
    assert tokenizer.render_chat(messages) == (
        "<s>[INST] <<SYS>>\nbe kind\n<</SYS>>\n\na [/INST] b </s><s>[INST] c [/INST]"
    )
    with pytest.raises(UserError, match="take turns"):
        tokenizer.render_chat(messages[:2] + messages[3:])
    tokenizer.save(tmp_path / "checkpoint")  # where the name is lost, the format is not
    again = LlmTokenizer(str(tmp_path / "checkpoint"))
    assert again.render_chat(messages) == tokenizer.render_chat(messages)


def test_spoken_questions_keep_to_their_split():
    for split in ("train", "dev", "test"):
        groups = spoken_questions("en", 100, 1, split)
        assert len(groups) == (100 if split == "train" else 120)
        for group in groups:
            question = group[0].question
            assert question.split == split
            users = [text for role, text in question.turns if role == "user"]
            said = [f"{turn.instruction} {turn.text}".strip() for turn in group]
            assert said == users
    with pytest.raises(UserError, match="English ones only, not 'de'"):
        spoken_questions("de", 10, 1, "dev")


def test_the_corpus_has_dialogues_whose_audio_is_there(tmp_path):
    size = "--train_hours 0.004 --dev_utts 6 --test_utts 12 --speakers 2"
    options = ["--speech", "questions", "--langs", "en", "--nj", "1", *size.split()]
    make_mini_corpus.main([*options, "--out", str(tmp_path)])
    root = tmp_path / "mls_english"
    said = dict(
        line.split("\t") for line in (root / "test/transcripts.txt").read_text().splitlines()
    )
    dialogues = read_dialogues(root / "test/dialogues.jsonl")
    assert len(dialogues) == 12 and not (root / "train/dialogues.jsonl").exists()
    assert any(len(dialogue.audio_parts) == 2 for dialogue in dialogues)
    for dialogue in [*dialogues, *read_dialogues(root / "test/instructed.jsonl")]:
        assert dialogue.answer and dialogue.kind
        for part in dialogue.audio_parts:
            handle = part.audio.rpartition("/")[2].removesuffix(".flac")
            assert said[handle] == part.transcript and soundfile.info(part.audio).frames > 1000
    for dialogue in read_dialogues(root / "test/reminded.jsonl"):
        assert dialogue.turns[0].parts[0].text == dialogue.answer and dialogue.kind == "repeat"
    for text in (root / "test/instructed.jsonl").read_text().splitlines():
        (turn,) = json.loads(text)["turns"]
        assert "text" in turn["parts"][0] and "audio" in turn["parts"][1]


def test_every_question_that_is_drawn_gets_its_dialogue(tmp_path):
    """One reader has the same words to say as they are and after an instruction."""
    sizes = Size(train_seconds=0, dev_utts=200, test_utts=400, speakers=0, seed=1)
    readings = plan("en", sizes, spoken_questions)
    results = []
    for number, reading in enumerate(readings):
        (tmp_path / reading.set_name).mkdir(exist_ok=True)
        results.append(
            [
                Spoken(f"{number}_1_{i:06d}", turn, "", 0.0, 1.0)
                for i, turn in enumerate(reading.sentences)
            ]
        )
    write_dialogues(tmp_path, readings, results)

    def dialogues(name):
        return [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]

    assert len(dialogues("dev/dialogues.jsonl")) == 200
    assert len(dialogues("dev/instructed.jsonl")) == 40
    test, instructed = dialogues("test/dialogues.jsonl"), dialogues("test/instructed.jsonl")
    assert (len(test), len(instructed)) == (400, 80)
    assert not any("parts" in turn for dialogue in test for turn in dialogue["turns"])
    told = [dialogue["turns"][0]["parts"] for dialogue in instructed]
    told = {f"{text['text']} {audio['transcript']}" for text, audio in told}
    assert told & {dialogue["turns"][0].get("transcript") for dialogue in test}  # what they share


def test_target_logits_are_those_of_the_whole_text(chat_llm):
    llm = load_llm(chat_llm).eval()
    prompts = [torch.tensor([1, 5, 6, 7]), torch.tensor([1, 8])]
    targets = [torch.tensor([9, 10]), torch.tensor([11, 12, 13, 2])]
    with torch.no_grad():
        found = llm.target_logits([llm.embed(ids) for ids in prompts], targets)
        for prompt, target, logits in zip(prompts, targets, found, strict=True):
            whole = llm.logits(llm.hidden(llm.embed(torch.cat([prompt, target])[None])))[0]
            torch.testing.assert_close(logits, whole[len(prompt) - 1 : -1])
