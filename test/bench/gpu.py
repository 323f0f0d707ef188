"""One GPU, nothing downloaded: a training step of the paper's sizes, and decoding, with random weights.

python test/bench/gpu.py            # 18 conformer layers of width 512, LLaMA-7B's shape in bf16, LoRA of rank 8
python test/bench/gpu.py --small    # tiny, on whatever is there; nothing is written

Writes test/bench/gpu.md and gpu.json. A step's utilisation is the speed at which the operations run that the model
needs (recomputed activations do not count), as a share of that of a large matrix product in the same run.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable

import common
import llama
import numpy as np
import torch
import yaml
from transformers import LlamaConfig

from speechllm import build
from speechllm.config import TrainCtcConfig, TrainLlmConfig, from_dict
from speechllm.decode.llm import greedy
from speechllm.decode.speculative import describe, speculative_greedy
from speechllm.models.llm_loading import empty_llm
from speechllm.models.speech_llm import SpeechLlm
from speechllm.score.environment import git_commit
from speechllm.train import optim, update
from speechllm.train.distributed import Setup

NUM_MEL_BINS, NUM_UNITS = 80, 1548
SECONDS = 16.0  # of an utterance; MLS has 10 to 20
TRAIN_SECONDS = 80.0  # of audio in a step, as remembered of the paper (unverified)


def read_config(config_class, name: str):
    path = common.ROOT / "egs/mls/conf/paper" / name
    return from_dict(config_class, yaml.safe_load(path.read_text(encoding="utf-8")))


def make_model(small: bool, device: torch.device) -> SpeechLlm:
    """The model of conf/paper with random weights; LLaMA-7B's shape is transformers' default LLaMA."""
    ctc, config = (
        read_config(TrainCtcConfig, "train_ctc.yaml"),
        read_config(TrainLlmConfig, "train_llm.yaml"),
    )
    llm_config, encoder = LlamaConfig(), ctc.encoder
    if small:
        llm_config = LlamaConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
        )
        shape = {"dim": 16, "num_layers": 1, "num_heads": 2, "ffn_dim": 32}
        # The random bytes of our dropout on a CPU are nothing that torch.compile can trace; GPUs have torch's own.
        encoder = dataclasses.replace(encoder, **shape, subsampling_channels=8, dropout=0.0)
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            llm = empty_llm(llm_config)
    finally:
        torch.set_default_dtype(default)
    with device:
        speech = build.build_speech_encoder(encoder, config.spec_augment, NUM_MEL_BINS)
        model = build.build_speech_llm(
            config, speech, llm, ctc_head=torch.nn.Linear(speech.output_dim, NUM_UNITS)
        )
    model = model.to(device)
    if not small:
        model.enable_activation_checkpointing()
    return model


def make_batch(num_utts: int, seconds: float, vocab_size: int, device: torch.device) -> dict:
    """Random features and targets of utterances of one length."""
    generator = torch.Generator().manual_seed(1)
    num_frames, num_tokens = int(100 * seconds), int(llama.TOKENS_PER_SECOND * seconds)
    ids = torch.randint(3, vocab_size, (num_utts, num_tokens), generator=generator)
    return {
        "feats": torch.randn(num_utts, num_frames, NUM_MEL_BINS, generator=generator).to(device),
        "feat_lens": torch.full((num_utts,), num_frames, device=device),
        "prompts": [[b, torch.tensor([llama.BOS_ID])] for b in range(num_utts)],
        "targets": [torch.cat([row, torch.tensor([llama.EOS_ID])]) for row in ids],
    }


def synchronise(device: torch.device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds_of(run: Callable, device: torch.device, calls: int) -> float:
    """Median seconds of a call, after one that is not timed."""
    took = []
    for _ in range(calls + 1):
        synchronise(device)
        start = time.perf_counter()
        run()
        synchronise(device)
        took.append(time.perf_counter() - start)
    return float(np.median(took[1:]))


def peak_flops(small: bool, device: torch.device) -> float:
    """Operations per second of a product of large matrices in bfloat16."""
    n = 256 if small else 8192
    a, b = torch.randn(2, n, n, device=device, dtype=torch.bfloat16)
    return 2 * n**3 / seconds_of(lambda: a @ b, device, 3 if small else 20)


def needed_flops(model: SpeechLlm, batch: dict) -> float:
    """Operations that a training step needs: 2 per weight and position forward, 2 for the gradients of what a matrix
    reads, 2 for those of its weights if they are trained; and attention's products, twice as many backward."""
    num_frames = int(batch["feat_lens"].sum())
    positions = num_frames / 8 + sum(len(p[1]) for p in batch["prompts"])
    positions += sum(len(target) - 1 for target in batch["targets"])
    labels = sum(map(len, batch["targets"]))
    length = positions / len(batch["targets"])
    config = model.llm.config
    body = [p for layer in model.llm.decoder_layers() for p in layer.parameters()]
    frozen = sum(p.numel() for p in body if not p.requires_grad)
    trained = sum(p.numel() for p in body if p.requires_grad)
    head = model.llm.model.get_output_embeddings().weight.numel()
    attention = config.num_hidden_layers * config.hidden_size * length * 2 * 2
    encoder = sum(p.numel() for p in model.speech.encoder.layers.parameters())
    return (
        positions * (4 * frozen + 6 * trained + 3 * attention / 2)  # half of it is masked
        + 4 * labels * head
        + num_frames / 8 * 6 * encoder
    )


def train_rows(model: SpeechLlm, small: bool, device: torch.device) -> list[dict]:
    seconds, audio = (1.0, 2.0) if small else (SECONDS, TRAIN_SECONDS)
    batch = make_batch(round(audio / seconds), seconds, model.llm.config.vocab_size, device)
    optimizer, _ = optim.make(
        optim.param_groups(model, {}), lr=1e-8, warmup_steps=0, schedule="constant"
    )
    autocast = torch.autocast(device.type, dtype=torch.bfloat16)

    def step():
        update.update(
            model, [batch], optimizer, step=1, setup=Setup(device=device), autocast=autocast
        )

    model.train()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    peak, rows = peak_flops(small, device), []
    # Inductor's C++ for a single layer takes a minute or two of a CPU core, so the small case only traces.
    backend = "eager" if small else "inductor"
    for variant in ("eager", "compiled encoder layers"):
        if variant != "eager":
            for layer in model.speech.encoder.layers:
                layer.compile(dynamic=True, backend=backend)
        took = seconds_of(step, device, 1 if small else 7)
        rows.append(
            {
                "what": f"training step, {audio:.0f} s of audio, {variant}",
                "seconds": took,
                "audio_per_second": audio / took,
                "utilisation": needed_flops(model, batch) / took / peak,
                "memory_gb": memory_gb(device),
                "note": f"matrix product: {peak / 1e12:.1f} Tflop/s",
            }
        )
    return rows


def memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return common.memory("VmHWM") / 1e3


@torch.no_grad()
def decode_rows(model: SpeechLlm, small: bool, device: torch.device) -> list[dict]:
    """Real-time factors from features to tokens; as many tokens as such speech has."""
    model.eval()
    seconds, vocab_size = (1.0 if small else SECONDS), model.llm.config.vocab_size
    rows = []
    for num_utts in (1, 3) if small else (1, 64):
        batch = make_batch(num_utts, seconds, vocab_size, device)
        limits = [len(target) - 1 for target in batch["targets"]]
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

        def prompts(batch=batch):
            with torch.autocast(device.type, dtype=torch.bfloat16):
                return model.rows(batch["feats"], batch["feat_lens"], batch["prompts"])[0]

        def plain(prompts=prompts, limits=limits):
            # no id is negative, so nothing ends before its limit
            return greedy(model.llm, prompts(), limits, -1)

        generator = torch.Generator().manual_seed(2)
        drafts = [llama.damage(h.token_ids, vocab_size, generator) for h in plain()]

        def drafted(prompts=prompts, limits=limits, drafts=drafts):
            return speculative_greedy(model.llm, prompts(), drafts, limits, -1)

        stats = drafted()[1]
        for name, run in (("token by token", plain), ("CTC drafts", drafted)):
            took = seconds_of(run, device, 1 if small else 3)
            rows.append(
                {
                    "what": f"greedy decoding, batch {num_utts} of {seconds:.0f} s, {name}",
                    "seconds": took,
                    "audio_per_second": num_utts * seconds / took,
                    "utilisation": None,
                    "memory_gb": memory_gb(device),
                    "note": f"{sum(limits)} tokens"
                    + (f"; {describe(stats)}" if run is drafted else ""),
                }
            )
    return rows


def as_table(rows: list[dict], name: str) -> str:
    lines = [
        "# One GPU",
        "",
        f"Made by `python test/bench/gpu.py` on {name}, torch {torch.__version__}, commit "
        f"{git_commit(common.ROOT)}; random weights of LLaMA-7B's shape in bf16 with LoRA of rank 8, "
        "and the paper's encoder.",
        "",
        "| what | seconds | audio per second | real-time factor | utilisation | peak GB | note |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        share = "" if row["utilisation"] is None else f"{row['utilisation']:.0%}"
        lines.append(
            f"| {row['what']} | {row['seconds']:.3f} | {row['audio_per_second']:.1f} | "
            f"{1 / row['audio_per_second']:.4f} | {share} | {row['memory_gb']:.1f} | {row['note']} |"
        )
    return "\n".join(lines) + "\n"


def main(argv=None) -> list[dict]:
    parser = argparse.ArgumentParser(description="Training step and decoding on one GPU.")
    parser.add_argument("--small", action="store_true", help="tiny sizes; nothing is written")
    args = parser.parse_args(argv)
    if not (args.small or torch.cuda.is_available()):
        raise SystemExit("gpu.py: there is no GPU here; --small runs anywhere")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = make_model(args.small, device)
    rows = train_rows(model, args.small, device) + decode_rows(model, args.small, device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "a CPU"
    table = as_table(rows, name)
    print(table)
    if not args.small:
        common.replace(common.BENCH_DIR / "gpu.md", table)
        common.replace(common.BENCH_DIR / "gpu.json", json.dumps(rows, indent=1) + "\n")
    return rows


if __name__ == "__main__":
    main()
