"""From rows of a manifest to what a trained model hears in them: what the commands that decode share."""

from typing import NamedTuple

from speechllm.config import DecodeConfig, TrainLlmConfig, from_dict


class Output(NamedTuple):
    """What was recognised in an utterance; with beams also the n-best list and its scores by name, best first."""

    text: str
    status: str  # "ok", or "max_length": stopped by the length limit
    nbest: tuple[str, ...] = ()
    scores: dict[str, list[float]] | None = None  # "llm" and, where it ranks the list, "ctc"
    draft: object = None  # DraftStats, where the search checked the text of CTC
    transcript: str | None = None  # of a chain


def load_feats(rows, device):
    """Features (B, T, F) of rows of a manifest, or of windows of them, and their lengths (B,)."""
    from speechllm.data.ark import read_ark
    from speechllm.data.collate import pad_feats

    feats = [
        read_ark(row.ark, row.offset, getattr(row, "first", 0), row.num_frames) for row in rows
    ]
    return pad_feats(feats, device)


def ctc_recognizer(model, tokenizer, device, load=load_feats):
    """A function from rows of a manifest to an ``Output`` each.

    Args:
        load: rows and device to features (B, T, F), (B,).
    """
    import torch

    from speechllm.decode.ctc import ctc_greedy

    @torch.no_grad()
    def recognize(rows):
        log_probs, lens = model.log_probs(*load(rows, device))
        return [Output(tokenizer.decode(units), "ok") for units in ctc_greedy(log_probs, lens)]

    return recognize


def encoder_decoder_recognizer(model, tokenizer, config: DecodeConfig, device):
    """A function from rows of a manifest to an ``Output`` each; ``ctc_weight`` counts in the search itself.

    Raises:
        UserError: it should count, but the model has not learnt CTC.
    """
    from speechllm.errors import UserError

    if config.ctc_weight and not model.ctc_weight:
        raise UserError(
            f"ctc_weight {config.ctc_weight}, but the model was trained with ctc_weight 0; set it to 0"
        )

    def recognize(rows):
        lists = model.search(
            *load_feats(rows, device), config.num_beams, config.ctc_weight, config.length_penalty
        )
        return [output(candidates) for candidates in lists]

    def output(candidates):
        best = {}
        for candidate in candidates:
            best.setdefault(tokenizer.decode(candidate.units).strip(), candidate)
        if not best:
            return Output("", "max_length", ("",), {"decoder": [0.0]})
        status = "ok" if next(iter(best.values())).is_complete else "max_length"
        scores = {"decoder": [candidate.score for candidate in best.values()]}
        return Output(next(iter(best)), status, tuple(best), scores)

    return recognize


def llm_recognizer(
    model, tokenizer, units, template, config: DecodeConfig, device, load=load_feats
):
    """A function from rows of a manifest to an ``Output`` each.

    Args:
        units: tokenizer of the encoder's CTC.
        load: rows and device to features (B, T, F), (B,).
    """
    import torch

    from speechllm.decode.beam import beam_search
    from speechllm.decode.ctc import ctc_greedy
    from speechllm.decode.llm import greedy
    from speechllm.decode.rescore import Weights, ctc_scores, order
    from speechllm.decode.speculative import speculative_greedy

    weights = Weights(ctc=config.ctc_weight)
    # A penalty changes with every token, and some LLMs cannot take back what they have read.
    drafted = config.ctc_drafts and config.repetition_penalty == 1.0 and model.llm.can_forget

    def by_text(hyps):
        """Hypotheses by their texts, best first; of those that read alike only the best."""
        best = {}
        for hyp in hyps:
            best.setdefault(tokenizer.decode(hyp.token_ids).strip(), hyp)
        return best

    def ranked(lists, log_probs, lens):
        """Outputs of n-best lists, ranked again with CTC's score of each text."""
        encoded = [[units.encode(text) for text in nbest] for nbest in lists]
        for nbest, ctc in zip(lists, ctc_scores(log_probs, lens, encoded), strict=True):
            texts, hyps = list(nbest), list(nbest.values())
            llm = [hyp.score for hyp in hyps]
            places = order(llm, ctc, [len(text.split()) for text in texts], weights)
            scores = {"llm": [llm[i] for i in places], "ctc": [ctc[i] for i in places]}
            texts = tuple(texts[i] for i in places)
            yield Output(texts[0], hyps[places[0]].status, texts, scores)

    def recognize(rows):
        outputs = search(rows)
        return [split_output(o) for o in outputs] if config.task == "chain" else outputs

    @torch.no_grad()
    def search(rows):
        feats, lens = load(rows, device)
        prompts = [
            [b if isinstance(part, int) else part for part in template.parts(row)]
            for b, row in enumerate(rows)
        ]
        frames, frame_lens = model.listen(feats, lens)
        inputs, speech = model.rows_of(*model.place(frames, frame_lens), prompts)
        limits = [
            config.extra_tokens + int(config.max_tokens_per_second * n / 100) for n in lens.tolist()
        ]
        common = {"speech": speech, "repetition_penalty": config.repetition_penalty}
        if config.num_beams == 1 and drafted:
            drafts = [
                tokenizer.encode(units.decode(heard))
                for heard in ctc_greedy(model.ctc_log_probs(frames), frame_lens)
            ]
            found = speculative_greedy(model.llm, inputs, drafts, limits, tokenizer.eos_id, speech)
            return [
                Output(tokenizer.decode(h.token_ids).strip(), h.status, draft=stats)
                for h, stats in zip(*found, strict=True)
            ]
        if config.num_beams == 1:
            hyps = greedy(model.llm, inputs, limits, tokenizer.eos_id, **common)
            return [Output(tokenizer.decode(h.token_ids).strip(), h.status) for h in hyps]
        beams = {"num_beams": config.num_beams, "length_penalty": config.length_penalty}
        lists = beam_search(model.llm, inputs, limits, tokenizer.eos_id, **common, **beams)
        lists = [by_text(hyps) for hyps in lists]
        if config.ctc_weight:
            return list(ranked(lists, model.ctc_log_probs(frames), frame_lens))
        return [
            Output(texts[0], hyps[0].status, texts, {"llm": [hyp.score for hyp in hyps]})
            for texts, hyps in ((tuple(nbest), list(nbest.values())) for nbest in lists)
        ]

    return recognize


def split_output(output: Output) -> Output:
    """The output of a chain with transcript and text apart; of n-best that then read alike only the best stays."""
    from speechllm.data.prompts import split_chain

    transcript, text = split_chain(output.text)
    places = {}
    for place, written in enumerate(output.nbest):
        places.setdefault(split_chain(written)[1], place)
    scores = output.scores
    if scores is not None:
        scores = {name: [own[i] for i in places.values()] for name, own in scores.items()}
    return output._replace(text=text, transcript=transcript, nbest=tuple(places), scores=scores)


def load_recognizer(folder, config: DecodeConfig, device, llm_name: str = ""):
    """The recognizer of an experiment folder, whichever kind of model it holds."""
    from speechllm import load
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.models.adapters import merge_adapters

    kind = load.model_kind(folder)
    if kind == "ctc":
        model, path = load.load_ctc_model(folder)
        return ctc_recognizer(model.to(device), CtcTokenizer(path / "units.model"), device)
    if kind == "encoder_decoder":
        model, path = load.load_encoder_decoder(folder)
        tokenizer = CtcTokenizer(path / "units.model")
        return encoder_decoder_recognizer(model.to(device), tokenizer, config, device)
    model, saved, path = load.load_speech_llm(folder, llm_name)
    merge_adapters(model.llm.model)
    return llm_recognizer(model.to(device), *text_side(saved, path, config.task), config, device)


def text_side(saved: dict, path, task: str = "text"):
    """LLM tokenizer, CTC tokenizer and a task's prompt of a speech LLM's checkpoint with this config."""
    from speechllm import build
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.models.llm_tokenizer import LlmTokenizer

    tokenizer = LlmTokenizer(str(path / "tokenizer"))
    prompts = build.build_templates(from_dict(TrainLlmConfig, saved["config"]), tokenizer)
    return tokenizer, CtcTokenizer(path / "units.model"), task_template(prompts, task)


def task_template(prompts: dict, task: str):
    """The prompt of a task.

    Raises:
        UserError: the model has not learnt it.
    """
    from speechllm.errors import UserError

    if task not in prompts:
        raise UserError(
            f"task: {task}, but the model has learnt {', '.join(prompts)}; see other_tasks in train_llm.yaml"
        )
    return prompts[task]
