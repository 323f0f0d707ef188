"""One realiser per kind of language: a scene becomes a sentence."""
