"""From model outputs to text: CTC search and autoregressive search with an LLM."""
