"""The made-up world of the mini preset: grammar, voices, corpus layouts and a small LLM."""
