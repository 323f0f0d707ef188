"""Speech encoders, adaptors, language models and their union.

Letters in shape comments, the same everywhere:
    B utterances, S audio parts (B of them unless a prompt has several), T feature frames, F mel bins,
    D encoder width, N speech positions in the LLM, H LLM width, L positions of a joined row, U units, V vocabulary
"""
