"""Write hypotheses for data directories.

python -m speechllm.bin.decode --model exp/mini/llm --out exp/mini/decode/llm data/mini/test
"""

from speechllm.bin import cli
from speechllm.config import DecodeConfig


def get_parser():
    parser = cli.config_parser(__doc__, DecodeConfig)
    parser.add_argument("data_dirs", nargs="+", help="data directories with manifest.arrow")
    parser.add_argument(
        "--model",
        required=True,
        help="experiment folder or checkpoint, of a CTC model or a speech LLM",
    )
    parser.add_argument(
        "--out",
        required=True,
        help="OUT/<name of the data directory>/{text,utt2status} are written",
    )
    return parser


def ctc_recognizer(model, tokenizer, device):
    """A function from a list of features (T, F) to pairs (text, status)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from speechllm.decode.ctc import ctc_greedy

    @torch.inference_mode()
    def recognize(feats):
        lens = torch.tensor([len(f) for f in feats], device=device)
        log_probs, lens = model.log_probs(pad_sequence(feats, batch_first=True).to(device), lens)
        return [(tokenizer.decode(units), "ok") for units in ctc_greedy(log_probs, lens)]

    return recognize


def llm_recognizer(model, tokenizer, template, config: DecodeConfig, device):
    """A function from features [(T, F), ...] to pairs (text, status); status is "max_length" at the limit."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from speechllm.decode.llm import greedy

    @torch.inference_mode()
    def recognize(feats):
        lens = torch.tensor([len(f) for f in feats], device=device)
        prompts = [
            [b if isinstance(part, int) else part for part in template.parts()]
            for b in range(len(feats))
        ]
        rows, speech = model.rows(pad_sequence(feats, batch_first=True).to(device), lens, prompts)
        limits = [
            config.min_tokens + int(config.max_tokens_per_second * n / 100) for n in lens.tolist()
        ]
        hyps = greedy(model.llm, rows, limits, tokenizer.eos_id, speech, config.repetition_penalty)
        return [(tokenizer.decode(h.token_ids).strip(), h.status) for h in hyps]

    return recognize


def load_recognizer(folder, config: DecodeConfig, device):
    """The recognizer of an experiment folder, whichever kind of model it holds."""
    from speechllm import build
    from speechllm.data.prompts import PromptTemplate
    from speechllm.data.tokenizer import CtcTokenizer
    from speechllm.models.llm import LlmTokenizer

    path = build.checkpoint_path(folder)
    if build.read_checkpoint_config(path)["model"] == "ctc":
        model, path = build.load_ctc_model(folder)
        return ctc_recognizer(model.to(device), CtcTokenizer(path / "units.model"), device)
    model, saved, path = build.load_speech_llm(folder)
    tokenizer = LlmTokenizer(str(path / "tokenizer"))
    template = PromptTemplate(
        saved["config"]["prompt"], tokenizer.encode, tokenizer.bos_id, tokenizer.eos_id
    )
    return llm_recognizer(model.to(device), tokenizer, template, config, device)


def decode(recognize, data_dir, out_dir, config: DecodeConfig):
    """Run a recognizer over one data directory, longest utterances first, and write Kaldi text files."""
    import time
    from pathlib import Path

    from speechllm.data.ark import read_ark
    from speechllm.data.manifest import Manifest
    from speechllm.data.sampler import batches_in_order
    from speechllm.data.tables import write_table

    manifest = Manifest.open(Path(data_dir) / "manifest.arrow")
    plan = batches_in_order(manifest.num_frames, config.batch_frames)
    texts, statuses, start = {}, {}, time.monotonic()
    for done, batch in enumerate(plan, start=1):
        rows = [manifest.row(i) for i in batch]
        for row, (text, status) in zip(
            rows, recognize([read_ark(r.ark, r.offset) for r in rows]), strict=True
        ):
            texts[row.utt_id], statuses[row.utt_id] = " ".join(text.split()), status
        print(f"{data_dir}: batch {done}/{len(plan)}", flush=True)
    took, audio = time.monotonic() - start, manifest.num_frames.sum() / 100
    rtf = f"{audio:.0f} s of audio in {took:.1f} s, real-time factor {took / audio:.4f}"
    print(f"{data_dir}: {len(texts)} utterances, {rtf}")
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    write_table(Path(out_dir) / "utt2status", statuses)
    write_table(Path(out_dir) / "text", texts)


def main(argv=None):
    config, args = cli.parse(get_parser(), DecodeConfig, argv)
    from pathlib import Path

    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recognize = load_recognizer(args.model, config, device)
    for data_dir in args.data_dirs:
        decode(
            recognize,
            data_dir,
            Path(args.out) / Path(data_dir).name,
            config,
        )


if __name__ == "__main__":
    cli.run(main)
