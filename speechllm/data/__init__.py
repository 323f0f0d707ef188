"""Corpora on disk to batches of tensors: Kaldi data directories, features, manifests, sampling."""
