"""egs/audiochat from the first stage to the last with a few training steps, and conversations with what came out."""

import io
import json
import re
import shutil

import pytest
import torch
from recipes.conftest import run
from safetensors.torch import load_file, save_file

from speechllm import load
from speechllm.bin import (
    chat,
    check_frozen,
    check_llm,
    converse,
    merge_responses,
    respond,
    score_chat,
    train_llm,
    training,
)
from speechllm.data.data_dir import read_data_dir
from speechllm.data.dialogue import read_dialogues
from speechllm.data.manifest import Manifest
from speechllm.data.speed import split_prefix
from speechllm.data.tables import read_table
from speechllm.errors import UserError
from speechllm.models.llm_tokenizer import LlmTokenizer

SMALL = [
    "--tag", "small",
    "--snrs", "10 0",
    "--nj", "1",
    "--corpus_opts", "--train_hours 0.03 --dev_utts 4 --test_utts 14 --speakers 4",
    "--mini_llm_opts", "--max_steps 4 --dim 32 --ffn_dim 48 --vocab_size 700",
    "--ctc_opts", "--optim.max_steps 4 --train.valid_every 2 --train.log_every 1 --flat_start 2",
    "--respond_opts", "--max_tokens 12 --instruct_share 0.5 --leave_out []",  # it never ends
    "--llm_opts", "--optim.max_steps 3 --train.valid_every 3 --train.log_every 1 --distill_weight 0.5",
    "--chat_opts", "--max_tokens 6",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(toolkit):
    """The recipe folder after all stages, and what they printed."""
    recipe = toolkit / "egs" / "audiochat"
    return recipe, run(recipe / "run.sh", *SMALL)


def test_all_stages_end_in_a_results_table(finished):
    recipe, output = finished
    assert sorted({int(n) for n in re.findall(r"stage (\d+): ", output)}) == list(range(11))
    rows = json.loads((recipe / "exp/small/results.json").read_text())
    found = {(r["system"], r["set"], r["lang"], r["metric"]) for r in rows}
    for system in ("text", "cascade", "audio", "cascade-llm"):
        for part in ("dev", "test", "several", "first_spoken", "no_history", "instructed"):
            for metric in ("accuracy", "perplexity"):
                assert (system, part, "en", metric) in found
                assert (system, part, "avg", metric) in found
        for column in ("10dB", "0dB"):
            assert (system, "noise", column, "accuracy") in found
    assert ("cascade", "test", "en", "wer") in found
    assert ("cascade-llm", "test", "en", "wer") in found
    for part in ("dev", "test"):
        systems = dict.fromkeys(r["system"] for r in rows if r["set"] == part)
        assert list(systems)[:4] == ["text", "cascade", "audio", "cascade-llm"]
    (same,) = [r for r in rows if r["metric"] == "equal_logits"]
    assert (same["system"], same["set"], same["value"]) == ("llm", "test", 100)
    assert "text prompts with the same logits" in output
    assert (recipe / "exp/small/RESULTS.md").read_text().strip() in output
    frozen = json.loads((recipe / "exp/small/analysis/frozen.json").read_text())
    assert frozen["text_logits_equal"] is True
    assert frozen["revision_before"] == frozen["revision_after"]
    assert frozen["revisions_equal"] is True
    assert frozen["training_kept_weights"] is True


def test_answers_do_not_depend_on_the_batches(finished, tmp_path):
    recipe, _ = finished
    options = ["--model", recipe / "exp/small/llm", "--ctc", recipe / "exp/small/ctc"]
    options += ["--out", tmp_path, "--max_tokens", 6, "--batch_positions", 60]
    options.append(f"test={recipe / 'data/small/test/dialogues.jsonl'}")
    converse.main([str(word) for word in options])
    for system in ("text", "cascade", "audio"):
        expected = (recipe / f"exp/small/decode/{system}/test/text").read_text()
        assert (tmp_path / system / "test/text").read_text() == expected


def changed_llm(recipe, folder):
    """A copy of the recipe's LLM with one other weight."""
    shutil.copytree(recipe / "exp/small/chat_llm", folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_answers_to_other_prompts_and_of_other_llms_are_refused(finished, tmp_path):
    recipe, _ = finished
    options = ["--config", recipe / "conf/mini/train_llm.yaml", "--system", "be kind"]
    options += ["--train_dir", recipe / "exp/small/respond/train", "--exp_dir", tmp_path / "llm"]
    options += [
        "--valid_dir",
        recipe / "exp/small/respond/dev",
        "--encoder",
        recipe / "exp/small/ctc",
    ]
    with pytest.raises(UserError, match="answers were given with system '', the training has 'be"):
        train_llm.main([str(w) for w in (*options, "--llm_name", recipe / "exp/small/chat_llm")])
    other = changed_llm(recipe, tmp_path / "other")
    with pytest.raises(UserError, match="small/chat_llm .sha256.*, not of --llm_name .*/other "):
        train_llm.main([str(w) for w in (*options, "--llm_name", other)])


def test_targets_are_the_llms_answers_with_their_origin(finished):
    recipe, _ = finished
    folder = recipe / "exp/small/respond/train"
    answers, source = read_data_dir(folder), read_table(recipe / "data/small/train/text")
    assert {utt.utt_id: utt.text_src for utt in answers} == source
    assert 0 < sum(bool(utt.prompt) for utt in answers) < len(answers)
    assert (folder / "feats.scp").read_text() == (recipe / "data/small/train/feats.scp").read_text()
    about = json.loads((folder / "responses.json").read_text())
    assert about["revision"].startswith("sha256:") and about["licence"] == "CC0-1.0"
    assert about["settings"]["max_tokens"] == 12 and about["num_utts"] == len(source)


def test_two_jobs_answer_as_one_does(finished, tmp_path):
    recipe, _ = finished
    data_dir, llm = recipe / "data/small/dev", recipe / "exp/small/chat_llm"
    for temperature in (0.0, 1.0):
        texts = []
        for num_parts in (1, 2):
            out = tmp_path / f"{temperature}_{num_parts}"
            for part in range(1, num_parts + 1):
                options = ["--config", recipe / "conf/mini/respond.yaml", "--llm_name", llm]
                options += ["--data_dir", data_dir, "--out", out, "--max_tokens", 5]
                options += ["--temperature", temperature, "--part", part, "--num_parts", num_parts]
                respond.main([str(word) for word in options])
            parts = "".join(sorted(p.read_text() for p in out.glob("*.jsonl")))
            texts.append(sorted(re.findall(r'"utt_id": "(\S+)", "text": "(.*?)", "inst', parts)))
        assert texts[0] == texts[1] and len(texts[0]) == len(read_table(data_dir / "text"))


def test_a_missing_part_is_named(finished, tmp_path):
    recipe, _ = finished
    with pytest.raises(UserError, match="responses.1-of-1.jsonl: this part is missing"):
        merge_responses.main([str(tmp_path), "--data_dir", str(recipe / "data/small/dev")])


def say(monkeypatch, capsys, recipe, *lines):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    capsys.readouterr()
    chat.main(["--model", str(recipe / "exp/small/llm"), "--max_tokens", "4"])
    return capsys.readouterr()


def test_the_terminal_takes_text_and_audio_and_goes_on_after_errors(finished, monkeypatch, capsys):
    recipe, _ = finished
    dialogue = read_dialogues(recipe / "data/small/test/dialogues.jsonl")[0]
    audio = dialogue.audio_parts[0].audio
    lines = [
        "who sells bread",
        f"/audio {audio}",
        "/audio none.flac",
        "/audio",
        "  ",
        f"sum up /audio {audio} and /audio {audio}",
    ]
    said = say(monkeypatch, capsys, recipe, *lines, "/new", "who sells bread", "/quit", "never")
    answers = said.out.splitlines()
    assert len(answers) == 4 and answers[0] == answers[3]
    assert said.err.count("error: ") == 2 and "none.flac" in said.err and "which file" in said.err
    assert said.err.count("type text, /audio FILE, or both") == 1


def test_a_dialogue_longer_than_the_context_is_refused(finished, tmp_path):
    recipe, _ = finished
    turn = {"role": "user", "text": "who sells bread " * 400}
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"id": "a", "turns": [turn]}) + "\n")
    options = ["--model", recipe / "exp/small/llm", "--out", tmp_path, f"x={path}"]
    with pytest.raises(UserError, match="long.jsonl:1: the prompt takes .* positions"):
        converse.main([str(word) for word in options])


@pytest.mark.parametrize(
    "test", ["x", "=f", "x=f,spoken=never", "x=f,snr=loud", "x=f,snr=nan", "x=f,speed=2"]
)
def test_a_test_of_another_form_is_refused(test):
    with pytest.raises(UserError, match="should be SET=FILE"):
        converse.parse_test(test)


@pytest.mark.parametrize("target", ["text", "transcript"])
def test_transcripts_can_be_the_targets(finished, tmp_path, monkeypatch, target):
    """What a training is given to learn and to be compared with, looked at in its place."""
    recipe, _ = finished
    seen = {}

    def look(model, batches, *args, **kwargs):
        seen["batches"] = list(batches(0, 0))

    def keep_reference(valid_dir, recognize, reference, *args):
        seen["reference"] = reference

    monkeypatch.setattr(training, "run_training", look)
    monkeypatch.setattr(training, "validator", keep_reference)
    options = ["--config", recipe / "conf/mini/train_llm.yaml", "--target", target]
    options += ["--distill_weight", 0, "--exp_dir", tmp_path / "llm"]
    options += [
        "--train_dir",
        recipe / "exp/small/respond/train",
        "--encoder",
        recipe / "exp/small/ctc",
    ]
    options += [
        "--valid_dir",
        recipe / "exp/small/respond/dev",
        "--llm_name",
        recipe / "exp/small/chat_llm",
    ]
    train_llm.main([str(word) for word in options])
    answers = read_data_dir(recipe / "exp/small/respond/train")
    wanted = {utt.utt_id: utt.text if target == "text" else utt.text_src for utt in answers}
    assert {utt.text for utt in answers} != {utt.text_src for utt in answers}
    tokenizer = LlmTokenizer(str(recipe / "exp/small/chat_llm"))
    learnt = {}
    for batch in seen["batches"]:
        for utt_id, ids in zip(batch["utt_ids"], batch["targets"], strict=True):
            assert int(ids[-1]) == tokenizer.eos_id
            learnt[split_prefix(utt_id)[1]] = ids[:-1].tolist()
    assert learnt == {utt_id: tokenizer.encode(text) for utt_id, text in wanted.items()}
    manifest = Manifest(recipe / "exp/small/respond/dev/manifest.arrow")
    row = manifest.row(0)
    assert seen["reference"](row) == (row.text if target == "text" else row.transcript)


def test_a_folder_without_answers_is_named(finished, tmp_path):
    recipe, _ = finished
    options = ["--model", recipe / "exp/small/llm", "--out", tmp_path / "frozen.json"]
    options += ["--responses", tmp_path, recipe / "data/small/test/dialogues.jsonl"]
    with pytest.raises(UserError, match="responses.json: no such file; --responses should be"):
        check_frozen.main([str(word) for word in options])


def test_the_cascade_can_hear_with_the_encoder_that_has_learnt_on(finished):
    exp = finished[0] / "exp/small"
    model, _, _ = load.load_speech_llm(exp / "llm")
    feats, lens = torch.randn(2, 130, 80), torch.tensor([130, 90])
    with torch.no_grad():
        frames, frame_lens = model.listen(feats, lens)
        expected = model.ctc_log_probs(frames)
        heard, heard_lens = load.load_ctc_listener(exp / "llm")[0].log_probs(feats, lens)
        before, _ = load.load_ctc_listener(exp / "ctc")[0].log_probs(feats, lens)
        own, own_lens = model.hear(feats, lens)
    torch.testing.assert_close(heard, expected)
    assert torch.equal(heard_lens, frame_lens)
    assert not torch.allclose(before, expected)
    assert torch.equal(own, expected) and torch.equal(own_lens, frame_lens)


def test_an_llm_without_chat_template_stops_before_any_answer(finished, tmp_path):
    recipe, _ = finished
    shutil.copytree(recipe / "exp/small/chat_llm", tmp_path / "plain")
    config = json.loads((tmp_path / "plain/tokenizer_config.json").read_text())
    config.pop("chat_template")
    (tmp_path / "plain/tokenizer_config.json").write_text(json.dumps(config))
    check_llm.main(["--chat", "true", str(recipe / "exp/small/chat_llm")])
    check_llm.main([str(tmp_path / "plain")])
    with pytest.raises(UserError, match="has no chat template"):
        check_llm.main(["--chat", "true", str(tmp_path / "plain")])
    options = ["--llm_name", tmp_path / "plain", "--data_dir", recipe / "data/small/dev"]
    with pytest.raises(UserError, match="has no chat template"):
        respond.main([str(word) for word in (*options, "--out", tmp_path / "out")])


def test_a_recording_without_transcript_goes_without_a_text_prompt(finished, tmp_path, capsys):
    recipe, _ = finished
    (audio,) = read_dialogues(recipe / "data/small/test/dialogues.jsonl")[0].audio_parts
    turn = {"role": "user", "audio": audio.audio}
    known = {"id": "known", "turns": [turn | {"transcript": audio.transcript}], "answer": "x"}
    untold, path = {"id": "untold", "turns": [turn], "answer": "x"}, tmp_path / "mine.jsonl"
    options = ["--model", recipe / "exp/small/llm", "--ctc", recipe / "exp/small/ctc"]
    options += ["--out", tmp_path / "out", "--max_tokens", 6, f"mine={path}"]
    score = ["--decode", tmp_path / "out", "--out", tmp_path / "scores", "--set", "mine", path]
    found = []
    for lines in ([known], [known, untold]):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        converse.main([str(word) for word in options])
        score_chat.main([str(word) for word in score])
        shutil.move(tmp_path / "scores/results.json", tmp_path / "rows.json")
        rows = json.loads((tmp_path / "rows.json").read_text())
        found.append({(row["system"], row["metric"]) for row in rows})
        told = f"mine: {audio.audio} has no transcript; text, and what is compared"
        assert (told in capsys.readouterr().out) == (untold in lines)
    compared = {"perplexity", "agreement", "kl", "chrf", "wer"}
    all_known, some_known = found
    assert {system for system, _ in all_known} == {"text", "cascade", "audio"}
    assert compared <= {metric for _, metric in all_known}
    assert {system for system, _ in some_known} == {"cascade", "audio"}
    known["turns"][0]["transcript"] = "something else"
    path.write_text(json.dumps(known) + "\n")
    with pytest.raises(UserError, match="mine.jsonl:1: cascade .en. was asked with other"):
        score_chat.main([str(word) for word in score])
    with pytest.raises(UserError, match="there is a test mine before it"):
        converse.main([str(word) for word in (*options, f"mine={path},snr=5")])
    with pytest.raises(UserError, match="a file is in the way"):
        converse.main([str(word) for word in (*options, "--out", path)])
    assert not compared & {metric for _, metric in some_known}
    assert ("audio", "accuracy") in all_known & some_known


def test_training_with_rank_0_leaves_the_llm_bit_by_bit(finished, tmp_path, monkeypatch):
    recipe, _ = finished
    exp, train = recipe / "exp/small", training.run_training
    ids = torch.tensor([LlmTokenizer(str(exp / "chat_llm")).encode("who sells bread")])
    seen = []

    def look(model):
        with torch.no_grad():
            logits = model.llm.logits(model.llm.hidden(model.llm.embed(ids)))
        return logits, {name: p.detach().clone() for name, p in model.named_parameters()}

    def train_and_look(model, *args, **kwargs):
        seen.append(look(model.eval()))
        train(model.train(), *args, **kwargs)
        seen.append(look(model.eval()))

    monkeypatch.setattr(training, "run_training", train_and_look)
    options = ["--config", recipe / "conf/mini/train_llm.yaml", "--exp_dir", tmp_path / "llm"]
    options += ["--train_dir", exp / "respond/train", "--valid_dir", exp / "respond/dev"]
    options += ["--encoder", exp / "ctc", "--llm_name", exp / "chat_llm", "--optim.max_steps", 3]
    train_llm.main([str(word) for word in (*options, "--train.valid_every", 3, "--lora.rank", 0)])
    (logits, before), (after_logits, after) = seen
    assert torch.equal(logits, after_logits)
    changed = {name for name, p in before.items() if not torch.equal(p, after[name])}
    assert changed and not any(name.startswith("llm.") for name in changed)
    assert sum(name.startswith("llm.") for name in before) > 10


def test_an_llm_that_is_not_what_it_was_is_an_error(finished, tmp_path, monkeypatch):
    recipe, _ = finished
    questions = recipe / "data/small/test/dialogues.jsonl"
    report, responses = tmp_path / "frozen.json", recipe / "exp/small/respond/train"
    options = ["--model", recipe / "exp/small/llm", "--responses", responses, "--out", report]
    options += ["--results", tmp_path, questions]
    other = changed_llm(recipe, tmp_path / "other")
    with pytest.raises(UserError, match="the LLM .*/other was frozen in training, but is not what"):
        check_frozen.main([str(word) for word in (*options, "--llm", other)])
    found = json.loads(report.read_text())
    assert (found["text_logits_equal"], found["revisions_equal"]) == (True, False)
    monkeypatch.setattr(check_frozen, "same_logits", lambda *args: [True, False])
    with pytest.raises(UserError, match="the LLM .*/chat_llm was frozen in training"):
        check_frozen.main([str(word) for word in options])
    assert json.loads(report.read_text())["text_logits_equal"] is False
    (row,) = json.loads((tmp_path / "results.json").read_text())
    assert (row["metric"], row["value"], row["num_utts"]) == ("equal_logits", 50, 2)


def test_a_name_of_the_hub_and_a_folder_cannot_be_compared(finished, tmp_path, capsys):
    recipe, _ = finished
    about = json.loads((recipe / "exp/small/respond/train/responses.json").read_text())
    about |= {"model": "meta-llama/Llama-2-7b-chat-hf", "revision": "f5db02db"}
    (tmp_path / "responses.json").write_text(json.dumps(about))
    options = ["--model", recipe / "exp/small/llm", "--responses", tmp_path]
    options += ["--out", tmp_path / "frozen.json", recipe / "data/small/test/dialogues.jsonl"]
    check_frozen.main([str(word) for word in options])
    report = json.loads((tmp_path / "frozen.json").read_text())
    assert report["revisions_equal"] is None and report["text_logits_equal"] is True
    told = capsys.readouterr().out
    assert "it is the LLM that answered: unknown" in told and told.count("WARNING: ") == 1
    assert "meta-llama/Llama-2-7b-chat-hf (f5db02db), which cannot be compared with" in told
    assert f"{recipe}/exp/small/chat_llm (sha256:" in told


def test_a_second_run_skips_everything(finished):
    recipe, _ = finished
    output = run(recipe / "run.sh", *SMALL)
    assert output.count("already done, skipped") == 11
