"""ESPnet2's full-context encoders, from its checkpoints if wanted, behind the interface of our own."""

import difflib
import importlib
import inspect
from collections.abc import Collection
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechllm.errors import UserError
from speechllm.models.lengths import lens_to_mask

CLASSES = {  # those whose outputs were found to depend on neither padding nor batch
    "branchformer": "BranchformerEncoder",
    "conformer": "ConformerEncoder",
    "e_branchformer": "EBranchformerEncoder",
    "multiconvformer": "MultiConvConformerEncoder",
    "transformer": "TransformerEncoder",
}


def espnet_class(name: str) -> type:
    """An encoder class of ESPnet2, such as ``ConformerEncoder`` for ``conformer``.

    Raises:
        UserError: there is none of this name, or ESPnet is not installed.
    """
    if name not in CLASSES:
        raise UserError(
            f"encoder.name: no ESPnet encoder {name!r} here; choose from {', '.join(CLASSES)}"
        )
    try:
        module = importlib.import_module(f"espnet2.asr.encoder.{name}_encoder")
    except ImportError as error:
        raise UserError(
            f"encoder.type: espnet needs ESPnet ({error}); pip install -c tools/constraints.txt espnet"
        ) from error
    return getattr(module, CLASSES[name])


class EspnetEncoder(nn.Module):
    """An ESPnet2 encoder over filterbank frames.

    ESPnet counts the frames of a padded utterance after its subsampling differently from those of one alone, and
    lets padding into its convolutions. Here the lengths are those of the convolutions, and padded frames are
    zero before every later convolution. In training, batch norms still see the whole batch.

    Args:
        input_dim: F, mel bins.
        name: which encoder, see ``CLASSES``.
        options: arguments of ESPnet's class, as in an ESPnet config's ``encoder_conf``; relative positions are of
            the "latest" type, because what the "legacy" one computes depends on the padding.

    Raises:
        UserError: ESPnet is not installed, or does not take the options.
    """

    def __init__(self, input_dim: int, name: str, options: dict):
        super().__init__()
        encoder_class = espnet_class(name)
        known = list(inspect.signature(encoder_class).parameters)
        for option in options:
            if option not in known:
                near = difflib.get_close_matches(option, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UserError(f"encoder.options: {name} has no option {option!r}{hint}")
        if "rel_pos_type" in known:
            options = {"rel_pos_type": "latest", **options}
        try:
            self.encoder = encoder_class(input_dim, **options)
        except Exception as error:  # assertions and type checks of many kinds
            text = " ".join(str(error).split())
            raise UserError(f"encoder.options: ESPnet's {name} refuses them: {text}") from error
        if any(type(module).__name__.startswith("Legacy") for module in self.encoder.modules()):
            raise UserError(
                "encoder.options: ESPnet's legacy relative positions depend on the padding; "
                "set rel_pos_type: latest"
            )
        self.output_dim = self.encoder.output_size()
        subsampling = getattr(self.encoder.embed, "conv", nn.Identity())
        self.time_steps = [
            (conv.kernel_size[0], conv.stride[0])
            for conv in subsampling.modules()
            if isinstance(conv, nn.Conv1d | nn.Conv2d)
        ]
        self.min_frames = 1  # the shortest input that gives one frame
        for kernel, stride in reversed(self.time_steps):
            self.min_frames = (self.min_frames - 1) * stride + kernel
        self.real = (
            None  # (B, 1, T'), True where an encoder frame is real, while a batch is encoded
        )
        if self.time_steps:
            self.encoder.embed.register_forward_hook(self._mend_mask)
        inside = set(subsampling.modules())
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv1d) and module not in inside:
                module.register_forward_pre_hook(self._clear_padding)

    def _mend_mask(self, module, args, output):
        return output[0], self.real

    def _clear_padding(self, module, args):
        return (args[0].masked_fill(~self.real, 0.0), *args[1:])  # (B, C, T')

    @property
    def layers(self) -> nn.Module:
        """The repeated blocks."""
        return self.encoder.encoders

    @property
    def activation_checkpointing(self) -> bool:
        return False

    @activation_checkpointing.setter
    def activation_checkpointing(self, wanted: bool):
        if wanted:
            raise UserError(
                "train.activation_checkpointing: an ESPnet encoder cannot do it; set it to false"
            )

    def output_lens(self, lens: Tensor) -> Tensor:
        """Encoder frames for so many feature frames, (B,) to (B,)."""
        lens = lens.clamp(min=self.min_frames)
        for kernel, stride in self.time_steps:
            lens = (lens - kernel) // stride + 1
        return lens

    def forward(self, feats: Tensor, lens: Tensor, after: Collection[int] = ()):
        """Map (B, T, F), (B,) to (B, T', D), (B,); with ``after``, also to the outputs of the layers of these numbers.

        Layers count from 1. Zeros fill an input shorter than ``min_frames``.
        """
        shortest, longest = int(lens.min()), int(lens.max())
        feats = feats[:, :longest]
        if shortest < self.min_frames:
            feats = feats.masked_fill(~lens_to_mask(lens, longest)[..., None], 0.0)
            feats = F.pad(feats, (0, 0, 0, max(0, self.min_frames - longest)))
        lens = lens.clamp(min=self.min_frames)
        out_lens = self.output_lens(lens)
        self.real = lens_to_mask(out_lens, int(out_lens.max()))[:, None]
        kept = []
        hooks = [
            layer.register_forward_hook(lambda module, args, output: kept.append(output[0]))
            for number, layer in enumerate(self.layers, start=1)
            if number in after
        ]
        try:
            out = first(self.encoder(feats, lens))
        finally:
            self.real = None
            for hook in hooks:
                hook.remove()
        norm = getattr(self.encoder, "after_norm", nn.Identity())  # as in ESPnet's intermediate CTC
        kept = [norm(first(x)) for x in kept]
        return (first(out), out_lens, kept) if after else (first(out), out_lens)


def first(output):
    """Frames without what an ESPnet module may give along with them."""
    return output[0] if isinstance(output, tuple) else output


def read_espnet_weights(path: str | Path) -> dict[str, Tensor]:
    """The encoder's tensors in an ESPnet model file, under the names that they have in ``EspnetEncoder``.

    Raises:
        UserError: it is not such a file.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # several kinds, from a pickle or a zip file
        text = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a PyTorch model file: {text}") from error
    weights = weights.get("model", weights)  # a checkpoint.pth of ESPnet holds the optimizer too
    weights = {name: value for name, value in weights.items() if name.startswith("encoder.")}
    if not weights:
        raise UserError(f"{path}: has no weights named encoder.*; give a model file of ESPnet")
    return weights
