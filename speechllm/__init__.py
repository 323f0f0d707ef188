"""Recipes and models that give pretrained language models ears."""

__version__ = "0.1.0"
