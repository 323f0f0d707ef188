"""Every dataclass that a YAML file or the command line can fill: numbers and choices, no paths.

A part of a model that there are several kinds of has one dataclass per kind, joined by ``|``; the value of ``type``
says which one is meant, and without it the first is.
"""

from dataclasses import dataclass, field, is_dataclass
from typing import Literal, get_args, get_type_hints

from speechllm.errors import UserError

BleuTokenizer = Literal["13a", "intl", "zh", "char", "ja-mecab", "ko-mecab", "none"]  # sacreBLEU's


def number(default, **bounds):
    """A field whose number has bounds: ``least`` and ``most``, or ``above`` and ``below``; none at all: any number.

    Numbers of plain fields are 0 or above.
    """
    return field(default=default, metadata={"bounds": bounds})


def kinds_of(config_class) -> dict[str, dict[str, type]]:
    """The sections of a dataclass that have kinds: ``{"adaptor": {"stack": StackAdaptorConfig, ...}}``."""
    found = {}
    for name, hint in get_type_hints(config_class).items():
        classes = [c for c in get_args(hint) if is_dataclass(c)]
        if classes:
            found[name] = {c.type: c for c in classes}
    return found


def from_dict(config_class, values: dict):
    """A frozen dataclass from nested dictionaries, as saved in a checkpoint; unknown keys are passed over.

    Raises:
        UserError: a kind of encoder or adaptor that does not exist.
    """
    kinds, types, kwargs = kinds_of(config_class), get_type_hints(config_class), {}
    for name in types:
        if name not in values:
            continue
        value, section = values[name], types[name]
        if name in kinds:
            classes = kinds[name]
            kind = value.get("type", next(iter(classes)))
            if kind not in classes:
                raise UserError(
                    f"the checkpoint has {name}.type {kind!r}; this version knows {', '.join(classes)}"
                )
            section = classes[kind]
        kwargs[name] = from_dict(section, value) if is_dataclass(section) else value
    return config_class(**kwargs)


@dataclass(frozen=True)
class FbankConfig:
    """conf/*/fbank.yaml"""

    sample_rate: int = number(16000, least=1)
    num_mel_bins: int = number(80, least=1)
    resample: bool = True  # convert audio of another rate; if not, it is an error
    compress: bool = True  # one byte per value; features then differ from exact ones by less than their own noise
    speeds: list[float] = field(
        default_factory=lambda: [1.0]
    )  # of the training set, e.g. [0.9, 1.0, 1.1]


@dataclass(frozen=True)
class TokenizerConfig:
    """conf/*/tokenizer.yaml: the units of CTC, shared by all languages."""

    vocab_size: int = number(1547, least=1)
    model_type: Literal["unigram", "bpe", "char"] = "unigram"


@dataclass(frozen=True)
class ConformerConfig:
    type: Literal["conformer"] = "conformer"
    dim: int = number(512, least=1)
    num_layers: int = 18
    num_heads: int = number(8, least=1)
    ffn_dim: int = number(2048, least=1)
    ffn_style: Literal["macaron", "half_macaron", "single"] = "macaron"
    conv_kernel: int = number(11, least=1)
    subsampling: Literal["conv1d", "depthwise2d"] = "conv1d"
    subsampling_channels: int = number(256, least=1)
    subsampling_factor: Literal[2, 4, 8] = 8
    positions: Literal["rotary", "relative"] = "rotary"
    dropout: float = number(0.1, least=0, below=1)


@dataclass(frozen=True)
class EspnetEncoderConfig:
    type: Literal["espnet"] = "espnet"
    name: str = "e_branchformer"  # or conformer, branchformer, transformer, ...
    options: dict[str, bool | int | float | str | list | None] = field(
        default_factory=dict
    )  # of ESPnet's class: output_size, num_blocks, ...


@dataclass(frozen=True)
class SpecAugmentConfig:
    num_freq_masks: int = 2
    max_freq_width: int = 27  # mel bins
    num_time_masks: int = 2
    max_time_width: int = 100  # frames of 10 ms
    max_time_share: float = number(0.1, least=0, most=1)  # of the utterance, per mask
    max_warp: float = number(
        0.0, least=0, below=1
    )  # VTLP: frequencies change by up to this share, e.g. 0.1


@dataclass(frozen=True)
class DataConfig:
    batch_frames: int = number(
        50_000, least=1
    )  # frames of 10 ms per micro-batch and process, padding included
    max_batch_size: int = 0  # utterances per micro-batch; 0 is no limit
    max_frames: int = 3000  # longer training utterances are left out and counted
    lang_beta: float = (
        1.0  # languages are drawn with p ~ hours ^ beta; 1 is as they come, 0 all alike
    )
    num_workers: int = 0  # processes that load features; 0 loads in the training process


@dataclass(frozen=True)
class OptimConfig:
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: encoder matrices; adamw: the rest
    lr: float = 1e-3  # peak, reached after warmup_steps
    muon_lr: float = 2e-2  # peak for the matrices under muon; it follows the same schedule
    final_lr: float = 1e-5  # at max_steps
    warmup_steps: int = 5000
    max_steps: int = number(100_000, least=1)
    max_epochs: int = 0  # on little data fewer steps, about so many passes over it; 0: no limit
    schedule: Literal["exponential", "linear", "cosine", "inverse_sqrt", "constant"] = "exponential"
    beta1: float = number(0.9, least=0, below=1)
    beta2: float = number(0.98, least=0, below=1)
    weight_decay: float = 0.0
    grad_clip: float = 5.0  # greatest gradient norm
    accum: int = number(1, least=1)  # micro-batches per step


@dataclass(frozen=True)
class TrainConfig:
    """What every training has, whatever the model."""

    seed: int = 1
    valid_every: int = number(1000, least=1)  # steps; a checkpoint is saved with each validation
    save_every: int = 0  # steps between checkpoints besides; 0: none
    valid_utts: int = number(
        1000, least=1
    )  # utterances of the dev set that are really decoded while training
    keep_best: int = 5  # checkpoints that are kept and averaged
    # Share of the weights before training in best/, always, whatever the dev score (WiSE-FT, arXiv:2109.01903): what
    # little data would unlearn is kept.
    start_share: float = number(0.0, least=0, most=1)
    log_every: int = number(100, least=1)  # steps
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the GPU has it
    parallel: Literal["auto", "ddp", "fsdp"] = (
        "auto"  # auto: fsdp where a copy would take over 60 % of a GPU
    )
    activation_checkpointing: bool = False


@dataclass(frozen=True)
class TrainCtcConfig:
    """conf/*/train_ctc.yaml"""

    encoder: ConformerConfig | EspnetEncoderConfig = field(default_factory=ConformerConfig)
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    target: Literal["transcript", "text"] = (
        "transcript"  # what CTC writes: what is said, or the text (a translation), where they differ
    )
    flat_start: int = 0  # steps in which the loss goes over from a uniform alignment to CTC
    intermediate_layers: list[int] = field(
        default_factory=list
    )  # layers with a CTC loss of their own
    intermediate_weight: float = number(0.3, least=0, most=1)  # share of the loss that is theirs


@dataclass(frozen=True)
class StackAdaptorConfig:
    type: Literal["stack"] = "stack"
    stack_factor: int = number(
        1, least=1
    )  # encoder frames per LLM position: 1, 3, 6, 12 = 80, 240, 480, 960 ms


@dataclass(frozen=True)
class ConvAdaptorConfig:
    type: Literal["conv"] = "conv"
    stride: int = number(2, least=1)  # encoder frames per LLM position
    kernel: int = number(3, least=1)  # encoder frames that a position is made of
    dim: int = number(512, least=1)


@dataclass(frozen=True)
class QformerAdaptorConfig:
    type: Literal["qformer"] = "qformer"
    window: int = number(4, least=1)  # encoder frames that are summed up together
    num_queries: int = number(1, least=1)  # LLM positions per window
    num_layers: int = 2
    num_heads: int = number(8, least=1)
    dim: int = number(512, least=1)
    ffn_dim: int = number(2048, least=1)
    dropout: float = number(0.1, least=0, below=1)


@dataclass(frozen=True)
class CtcCompressorAdaptorConfig:
    type: Literal["ctc_compressor"] = "ctc_compressor"
    mode: Literal["average", "average_noblank", "remove", "stride", "none"] = (
        "average"  # means of runs of one CTC label; without blank runs; frames but blank ones; ...
    )
    stride: int = number(4, least=1)  # encoder frames per position in mode stride
    num_layers: int = 4  # of the audio encoder, a bidirectional transformer; 0: none
    dim: int = number(1024, least=1)
    num_heads: int = number(16, least=1)
    ffn_dim: int = number(4096, least=1)
    output_dim: int = 0  # width before the linear layer to the LLM's; 0: as dim
    dropout: float = number(0.1, least=0, below=1)


@dataclass(frozen=True)
class LlmConfig:
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"  # eager in families without
    finetune: bool = False  # train all weights of the LLM; LoRA must then be off
    from_scratch: bool = False  # of the LLM only tokenizer and layout; its weights begin random
    sizes: dict[str, int] = field(
        default_factory=dict
    )  # of an LLM from scratch, where they are not the named LLM's: hidden_size, num_hidden_layers, ...


@dataclass(frozen=True)
class WriterConfig:
    """An LLM that is only asked to write."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"


@dataclass(frozen=True)
class LoraConfig:
    rank: int = 8  # 0: no LoRA, the LLM stays as it is
    alpha: float = 16.0
    dropout: float = number(0.0, least=0, below=1)
    targets: list[str] = field(default_factory=list)  # empty: the matrices of self-attention
    dora: bool = False  # learn the lengths of the matrices' columns apart (arXiv:2402.09353)


@dataclass(frozen=True)
class NoPeftConfig:
    type: Literal["none"] = "none"  # LoRA alone, where lora.rank is not 0


@dataclass(frozen=True)
class Ia3Config:
    type: Literal["ia3"] = "ia3"  # arXiv:2205.05638
    targets: list[str] = field(default_factory=list)  # empty: keys, values and feed-forward


@dataclass(frozen=True)
class OftConfig:
    type: Literal["oft"] = "oft"  # arXiv:2306.07280
    block_size: int = number(32, least=1)  # inputs that are rotated together
    targets: list[str] = field(default_factory=list)  # empty: the matrices of self-attention


@dataclass(frozen=True)
class TrainLlmConfig:
    """conf/*/train_llm.yaml"""

    adaptor: (
        StackAdaptorConfig | ConvAdaptorConfig | QformerAdaptorConfig | CtcCompressorAdaptorConfig
    ) = field(default_factory=StackAdaptorConfig)
    llm: LlmConfig = field(default_factory=LlmConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    peft: NoPeftConfig | Ia3Config | OftConfig = field(
        default_factory=NoPeftConfig
    )  # adapters of another kind, in the place of LoRA
    prompt: str = (
        "{audio}{bos}"  # other marks: {eos} {lang} {language} {prompt}, see data/prompts.py
    )
    chat: bool = False  # the prompt is a user's turn in the LLM's chat template: no {bos}, no {eos}
    system: str = ""  # what stands before all turns of a chat
    target: Literal["text", "transcript"] = (
        "text"  # transcript: what is said, where text is an answer
    )
    other_tasks: dict[str, str] = field(
        default_factory=dict
    )  # prompts of what is learnt beside the text: transcript, and chain, the transcript and then the text
    tasks: list[Literal["text", "transcript", "chain"]] = field(
        default_factory=list
    )  # that are learnt in this run; empty: all that have a prompt
    speech_attention: Literal["causal", "prefix"] = (
        "causal"  # prefix: audio positions see each other both ways
    )
    train_encoder: bool = True
    encoder_lr_scale: float = 1.0  # the encoder's learning rates as a share of the others
    soft_text: bool = False  # add to the adaptor's output the LLM's embeddings of what CTC hears
    soft_text_gate: bool = False  # let the adaptor speak only as far as CTC is in doubt
    soft_text_lr_scale: float = (
        1.0  # the learning rate of these as a share of the others; 0: they stay the LLM's
    )
    alignment_weight: float = (
        0.0  # of a cosine loss that pulls speech to the embeddings of its text, where CTC aligns it
    )
    ctc_weight: float = 0.0  # of the CTC loss, kept beside the LLM's while the encoder is trained
    packing: bool = False  # short utterances of a batch share rows of the LLM's input
    distill_weight: float = number(
        0.0, least=0, most=1
    )  # share of the loss: divergence from what the LLM thinks after text
    distill_top_k: int = number(64, least=1)  # tokens per position that this is computed from
    target_masking: float = number(
        0.0, least=0, most=1
    )  # share of target inputs hidden from the LLM in training
    target_masking_beta: float = (
        0.0  # of a language, times (its hours / those of the largest) ^ it; 0: all alike
    )
    valid_metric: Literal["wer", "bleu"] = "wer"  # by which checkpoints are chosen
    valid_tokenize: BleuTokenizer = "13a"  # of bleu, in the target language
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class AttentionDecoderConfig:
    """ESPnet's transformer decoder; its width is the encoder's."""

    num_layers: int = number(6, least=1)
    num_heads: int = number(4, least=1)
    ffn_dim: int = number(2048, least=1)
    dropout: float = number(0.1, least=0, below=1)


@dataclass(frozen=True)
class TrainEncoderDecoderConfig:
    """conf/*/train_encoder_decoder.yaml: the baseline without an LLM."""

    encoder: ConformerConfig | EspnetEncoderConfig = field(default_factory=ConformerConfig)
    decoder: AttentionDecoderConfig = field(default_factory=AttentionDecoderConfig)
    ctc_weight: float = number(
        0.3, least=0, most=1
    )  # share of the loss that CTC has; the decoder has the rest
    label_smoothing: float = number(0.1, least=0, below=1)
    valid_metric: Literal["wer", "bleu"] = "bleu"
    valid_tokenize: BleuTokenizer = "13a"
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class DecodeConfig:
    """conf/*/decode.yaml"""

    task: Literal["text", "transcript", "chain"] = "text"  # see other_tasks of train_llm.yaml
    batch_frames: int = number(30_000, least=1)  # frames of 10 ms per batch, padding included
    num_beams: int = number(1, least=1)  # 1: greedy; more: beam search, and n-best lists of so many
    length_penalty: float = (
        number(1.0)  # the search ranks beams by log-probability / tokens ^ length_penalty
    )
    # The n-best are then ranked by (1 - it) log P_llm + it log P_ctc, if it is not 0; an encoder-decoder has this share
    # of CTC in the scores of its search.
    ctc_weight: float = number(0.0, least=0, most=1)
    ctc_drafts: bool = (
        True  # greedy search checks the text of CTC at once: same output, fewer passes of the LLM
    )
    repetition_penalty: float = number(1.0, above=0)
    max_tokens_per_second: float = 10.0  # an output may have this many tokens per second of audio
    extra_tokens: int = 10  # and this many on top
    window: float = 30.0  # seconds; longer audio is heard in windows of this length, 0: never
    overlap: float = (
        5.0  # seconds that a window shares with the next one, where it does not end in a pause
    )
    pauses: bool = True  # windows end in pauses, where there are some


@dataclass(frozen=True)
class DrawConfig:
    """Whether the words of an answer are the most likely ones or drawn."""

    temperature: float = 0.0  # 0: the most likely answer; above: drawn
    top_p: float = number(
        1.0, above=0, most=1
    )  # drawn from the likeliest tokens that have this much probability together


@dataclass(frozen=True)
class RespondConfig(DrawConfig):
    """conf/*/respond.yaml: how an LLM answers transcripts, to teach it to answer speech."""

    prompt: str = "{prompt} {audio}"  # the user's turn, with the transcript in the place of {audio}
    system: str = ""
    llm: WriterConfig = field(default_factory=WriterConfig)
    batch_positions: int = 8000  # prompt tokens per batch, padding included
    max_prompt_tokens: int = 512  # longer prompts are left out and counted
    max_tokens: int = number(
        128, least=1
    )  # answers that have not ended by then are left out and counted
    seed: int = 1  # of drawn answers, for each utterance another, and of instructions
    instructions: list[str] = field(
        default_factory=list
    )  # texts that may stand before a transcript
    instruct_share: float = number(0.0, least=0, most=1)  # of the utterances that get one of them
    refusals: list[str] = field(
        default_factory=lambda: [
            "i'm sorry",
            "i am sorry",
            "i apologize",
            "i cannot",
            "i can't",
            "i'm not able to",
            "i am not able to",
            "as an ai",
            "i'm just an ai",
        ]
    )  # answers that begin so are left out and counted
    leave_out: list[Literal["empty", "too_long", "refusal", "loop"]] = field(
        default_factory=lambda: ["empty", "too_long", "refusal", "loop"]
    )  # faults for which an answer is no target
    licence: str = ""  # of the answers, as the LLM's licence asks for it


@dataclass(frozen=True)
class ChatConfig:
    """conf/*/chat.yaml: how dialogues are answered."""

    batch_positions: int = 8000  # LLM positions of prompts per batch, padding included
    max_tokens: int = number(128, least=1)  # of an answer
    repetition_penalty: float = number(1.0, above=0)


@dataclass(frozen=True)
class MiniLlmConfig:
    """conf/mini/llm.yaml: the small LLM that the mini preset trains from scratch."""

    architecture: Literal["llama", "bloom"] = "llama"
    chat: bool = False  # it learns to answer in a chat format, in place of reading sentences
    dim: int = number(256, least=1)
    num_layers: int = number(4, least=1)
    num_heads: int = number(4, least=1)
    ffn_dim: int = number(688, least=1)  # of llama; bloom has 4 dim
    vocab_size: int = number(1500, least=1)
    num_sentences: int = 4000  # sentences per language that it reads
    translated_share: float = (
        number(
            0.0, least=0, most=1
        )  # of its reading: sentences with their translations, beyond a few that are always there
    )
    batch_tokens: int = number(6000, least=1)
    lr: float = 2e-3  # peak, of AdamW for embeddings and norms
    muon_lr: float = 2e-2  # peak, of Muon for the matrices inside
    warmup_steps: int = number(50, least=1)
    max_steps: int = number(800, least=1)
    seed: int = 1
