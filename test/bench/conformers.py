"""Conformers of other libraries behind the interface of ours, and the proof that blocks agree."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from speechllm.models.conformer import ConformerEncoder, relative_table
from speechllm.models.lengths import lens_to_mask
from speechllm.models.subsampling import Conv1dSubsampling

DROPOUT = 0.1
FRAMES = 37  # of the proof


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, T), in the place where peers have BatchNorm."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def fill(layer: nn.Module, peer: nn.Module, names: dict):
    """Copy a peer's block into one of ours.

    Args:
        names: our module to the peer's, or to several whose rows are put together; a full name of
            one of our weights goes before that of its module. What the peer lacks becomes 0.
    """
    theirs = dict(peer.named_parameters())
    for name, weight in layer.named_parameters():
        module, leaf = name.rsplit(".", 1)
        sources = names[name] if name in names else names[module]
        if isinstance(sources, str):
            sources = (sources,)
        full = [s if name in names else f"{s}.{leaf}" for s in sources]
        found = [theirs[f].detach() for f in full if f in theirs]
        value = torch.cat(found).reshape(weight.shape) if found else torch.zeros_like(weight)
        weight.data.copy_(value)


class Peer(nn.Module, ABC):
    """An encoder of another library, mapping (B, T, F), (B,) to (B, T', D), (B,)."""

    relative = True  # positions of our encoder, where weights are copied; otherwise it has none
    norm = ""  # the BatchNorm in a block
    names: dict = {}  # see fill

    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """The repeated blocks."""

    @abstractmethod
    def run_block(self, block: nn.Module, x: Tensor) -> Tensor:
        """One block on frames (B, T, D) without padding."""

    @classmethod
    def difference(cls, dim: int, settings: dict) -> float:
        """Greatest difference of outputs and of input gradients, through all blocks, weights shared.

        The peer's BatchNorm becomes LayerNorm. Gradients are relative to the greatest one.
        """
        torch.manual_seed(0)
        peer = cls(80, dim, settings).eval()
        positions = "relative" if cls.relative else "rotary"
        ours = ConformerEncoder(80, dim, positions=positions, **settings).eval()
        table = relative_table(FRAMES, dim, None)
        if not cls.relative:  # rotations by nothing
            table = torch.ones(FRAMES, ours.head_dim), torch.zeros(FRAMES, ours.head_dim)
        for block, layer in zip(peer.blocks(), ours.layers, strict=True):
            parent, leaf = cls.norm.rsplit(".", 1)
            setattr(block.get_submodule(parent), leaf, ChannelNorm(dim))
            for p in block.parameters():
                if p.ndim < 2 or not p.any():  # as they start, they would prove little
                    p.data.normal_(0.5, 0.1)
            fill(layer, block, cls.names)
        source, weights = torch.randn(2, 2, FRAMES, dim)
        given, peer_given = (source.clone().requires_grad_() for _ in range(2))
        x, peer_x = given, peer_given
        for block, layer in zip(peer.blocks(), ours.layers, strict=True):
            x = layer(x, None, None, table)
            peer_x = peer.run_block(block, peer_x)
        (x * weights).sum().backward()
        (peer_x * weights).sum().backward()
        gradients = (given.grad - peer_given.grad).abs().max() / given.grad.abs().max()
        return max(float((x - peer_x).detach().abs().max()), float(gradients))


class Espnet(Peer):
    """ESPnet's encoder as its recipes configure it, with the front end of stride 8."""

    norm = "conv_module.norm"
    names = {
        "ffn_in.norm": "norm_ff_macaron",
        "ffn_in.up": "feed_forward_macaron.w_1",
        "ffn_in.down": "feed_forward_macaron.w_2",
        "attention.norm": "norm_mha",
        "attention.qkv": ("self_attn.linear_q", "self_attn.linear_k", "self_attn.linear_v"),
        "attention.out": "self_attn.linear_out",
        "attention.pos": "self_attn.linear_pos",
        "attention.content_bias": "self_attn.pos_bias_u",
        "attention.position_bias": "self_attn.pos_bias_v",
        "conv.norm": "norm_conv",
        "conv.gate": "conv_module.pointwise_conv1",
        "conv.depthwise": "conv_module.depthwise_conv",
        "conv.inner_norm": "conv_module.norm",
        "conv.out": "conv_module.pointwise_conv2",
        "ffn_out.norm": "norm_ff",
        "ffn_out.up": "feed_forward.w_1",
        "ffn_out.down": "feed_forward.w_2",
        "norm": "norm_final",
    }

    def __init__(self, input_dim: int, dim: int, settings: dict):
        super().__init__()
        from espnet2.asr.encoder.conformer_encoder import ConformerEncoder as EspnetEncoder

        self.encoder = EspnetEncoder(
            input_dim,
            dim,
            attention_heads=settings["num_heads"],
            linear_units=settings["ffn_dim"],
            num_blocks=settings["num_layers"],
            dropout_rate=DROPOUT,
            positional_dropout_rate=DROPOUT,
            attention_dropout_rate=DROPOUT,
            input_layer="conv2d8",
            macaron_style=True,
            rel_pos_type="latest",
            cnn_module_kernel=settings["conv_kernel"],
        )

    def forward(self, feats: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x, lens, _ = self.encoder(feats, lens)
        return x, lens

    def blocks(self):
        return self.encoder.encoders

    def run_block(self, block, x):
        (x, _), _ = block((x, relative_table(x.size(1), x.size(2), None)[None]), None)
        return x


class Torchaudio(Peer):
    """torchaudio's blocks behind our front end, as it has none."""

    relative = False
    norm = "conv_module.sequential.3"
    names = {
        "ffn_in.norm": "ffn1.sequential.0",
        "ffn_in.up": "ffn1.sequential.1",
        "ffn_in.down": "ffn1.sequential.4",
        "attention.norm": "self_attn_layer_norm",
        "attention.qkv.weight": "self_attn.in_proj_weight",
        "attention.qkv.bias": "self_attn.in_proj_bias",
        "attention.out": "self_attn.out_proj",
        "conv.norm": "conv_module.layer_norm",
        "conv.gate": "conv_module.sequential.0",
        "conv.depthwise": "conv_module.sequential.2",
        "conv.inner_norm": "conv_module.sequential.3",
        "conv.out": "conv_module.sequential.5",
        "ffn_out.norm": "ffn2.sequential.0",
        "ffn_out.up": "ffn2.sequential.1",
        "ffn_out.down": "ffn2.sequential.4",
        "norm": "final_layer_norm",
    }

    def __init__(self, input_dim: int, dim: int, settings: dict):
        super().__init__()
        from torchaudio.models import Conformer

        self.front_end = Conv1dSubsampling(input_dim, dim)
        self.conformer = Conformer(
            dim,
            settings["num_heads"],
            settings["ffn_dim"],
            settings["num_layers"],
            settings["conv_kernel"],
            dropout=DROPOUT,
        )

    def forward(self, feats: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        return self.conformer(*self.front_end(feats, lens))

    def blocks(self):
        return self.conformer.conformer_layers

    def run_block(self, block, x):
        return block(x.transpose(0, 1), None).transpose(0, 1)


class Wav2Vec2(Peer):
    """The blocks of transformers behind our front end, as theirs reads samples."""

    norm = "conv_module.batch_norm"
    names = {
        "ffn_in.norm": "ffn1_layer_norm",
        "ffn_in.up": "ffn1.intermediate_dense",
        "ffn_in.down": "ffn1.output_dense",
        "attention.norm": "self_attn_layer_norm",
        "attention.qkv": ("self_attn.linear_q", "self_attn.linear_k", "self_attn.linear_v"),
        "attention.out": "self_attn.linear_out",
        "attention.pos": "self_attn.linear_pos",
        "attention.content_bias": "self_attn.pos_bias_u",
        "attention.position_bias": "self_attn.pos_bias_v",
        "conv.norm": "conv_module.layer_norm",
        "conv.gate": "conv_module.pointwise_conv1",
        "conv.depthwise": "conv_module.depthwise_conv",
        "conv.inner_norm": "conv_module.batch_norm",
        "conv.out": "conv_module.pointwise_conv2",
        "ffn_out.norm": "ffn2_layer_norm",
        "ffn_out.up": "ffn2.intermediate_dense",
        "ffn_out.down": "ffn2.output_dense",
        "norm": "final_layer_norm",
    }

    def __init__(self, input_dim: int, dim: int, settings: dict):
        super().__init__()
        from transformers import Wav2Vec2ConformerConfig
        from transformers.models.wav2vec2_conformer import modeling_wav2vec2_conformer as modeling

        config = Wav2Vec2ConformerConfig(
            hidden_size=dim,
            num_hidden_layers=settings["num_layers"],
            num_attention_heads=settings["num_heads"],
            intermediate_size=settings["ffn_dim"],
            conv_depthwise_kernel_size=settings["conv_kernel"],
            hidden_act="swish",
            hidden_dropout=DROPOUT,
            activation_dropout=DROPOUT,
            attention_dropout=DROPOUT,
            conformer_conv_dropout=DROPOUT,
            layerdrop=0.0,
            position_embeddings_type="relative",
            max_source_positions=1000,
            attn_implementation="sdpa",
        )
        self.front_end = Conv1dSubsampling(input_dim, dim)
        self.encoder = modeling.Wav2Vec2ConformerEncoder(config)
        self.encoder.pos_conv_embed = None  # made, but not used by this kind of encoder

    def forward(self, feats: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x, lens = self.front_end(feats, lens)
        mask = lens_to_mask(lens, x.size(1))
        return self.encoder(x.clone(), attention_mask=mask).last_hidden_state, lens

    def blocks(self):
        return self.encoder.layers

    def run_block(self, block, x):
        table = relative_table(x.size(1), x.size(2), None)[None]
        return block(x, relative_position_embeddings=table)
