"""What a trained model does inside: alignments and plots."""
