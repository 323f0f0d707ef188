"""Small things that many tests build: tiny models, tokenizers, data."""

import numpy as np
import torch
from transformers import BloomConfig, BloomForCausalLM, LlamaConfig, LlamaForCausalLM

from speechllm.data.ark import plain_bytes
from speechllm.data.compile import compile_manifest
from speechllm.data.data_dir import Utterance, write_data_dir
from speechllm.data.tables import write_table
from speechllm.models.adaptors.stack import StackAdaptor
from speechllm.models.cmvn import GlobalCmvn
from speechllm.models.conformer import ConformerEncoder
from speechllm.models.ctc import CtcModel, SpeechEncoder
from speechllm.models.llm import Llm
from speechllm.models.spec_augment import SpecAugment
from speechllm.models.speech_llm import SpeechLlm

BOS_ID, EOS_ID, VOCAB = 1, 2, 40
FRAMES_PER_WORD = 40


def tiny_llama(seed=0, vocab_size=VOCAB, **kwargs) -> Llm:
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        vocab_size=vocab_size,
        max_position_embeddings=256,
        initializer_range=0.2,  # large enough that different inputs give clearly different outputs
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        **kwargs,
    )
    return Llm(LlamaForCausalLM(config).eval())


def tiny_bloom(seed=0) -> Llm:
    torch.manual_seed(seed)
    config = BloomConfig(
        hidden_size=32, n_layer=2, n_head=4, vocab_size=VOCAB, initializer_range=0.2
    )
    return Llm(BloomForCausalLM(config).eval())


def tiny_speech_encoder(seed=0, **kwargs) -> SpeechEncoder:
    torch.manual_seed(seed)
    settings = {
        "dim": 16,
        "num_layers": 2,
        "num_heads": 2,
        "ffn_dim": 32,
        "conv_kernel": 5,
        "subsampling_channels": 12,
    }
    encoder = ConformerEncoder(20, **{**settings, **kwargs})
    return SpeechEncoder(GlobalCmvn(torch.zeros(20), torch.ones(20)), encoder, SpecAugment())


def tiny_ctc_model(num_units=10, seed=0, **kwargs) -> CtcModel:
    return CtcModel(tiny_speech_encoder(seed, **kwargs), num_units)


def tiny_speech_llm(llm=None, seed=0, stack_factor=2, **kwargs) -> SpeechLlm:
    llm = llm or tiny_llama(seed)
    speech = tiny_speech_encoder(seed)
    return SpeechLlm(
        speech, StackAdaptor(speech.output_dim, llm.dim, stack_factor), llm, **kwargs
    ).eval()


def llm_batch(num_frames=(60, 33, 47), target_lens=(4, 2, 6), seed=0) -> dict:
    """A batch of P1's layout, audio then BOS, with random features and targets."""
    generator = torch.Generator().manual_seed(seed)
    feats = torch.randn(len(num_frames), max(num_frames), 20, generator=generator)
    return {
        "feats": feats,
        "feat_lens": torch.tensor(num_frames),
        "prompts": [[i, torch.tensor([BOS_ID])] for i in range(len(num_frames))],
        "targets": [
            torch.cat([torch.randint(3, VOCAB, (n,), generator=generator), torch.tensor([EOS_ID])])
            for n in target_lens
        ],
    }


def one_of(batch: dict, b: int) -> dict:
    """Row b of a batch of P1's layout, alone and without padding."""
    n = int(batch["feat_lens"][b])
    return {
        "feats": batch["feats"][b : b + 1, :n],
        "feat_lens": batch["feat_lens"][b : b + 1],
        "prompts": [[0, *batch["prompts"][b][1:]]],
        "targets": [batch["targets"][b]],
    }


def make_number_set(folder, texts: dict[str, str]):
    """A data directory whose features say the text: 40 frames per word with the word's number."""
    write_data_dir(folder, (Utterance(u, "s", text, f"{u}.wav", "en") for u, text in texts.items()))
    positions, frames = {}, {}
    with open(folder / "feats.ark", "wb") as ark:
        for utt_id, text in texts.items():
            ids = np.repeat([int(word) for word in text.split()], FRAMES_PER_WORD)
            ark.write(f"{utt_id} ".encode())
            positions[utt_id] = f"{folder}/feats.ark:{ark.tell()}"
            frames[utt_id] = str(len(ids))
            ark.write(plain_bytes(np.repeat(ids[:, None], 2, axis=1).astype(np.float32)))
    write_table(folder / "feats.scp", positions)
    write_table(folder / "utt2num_frames", frames)
    compile_manifest(folder, folder / "manifest.arrow")
