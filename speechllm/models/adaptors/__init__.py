"""What stands between encoder frames and LLM embeddings: one file per kind, all (B, T, D), (B,) to (B, N, H), (B,)."""
