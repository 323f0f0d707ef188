"""From hypotheses to numbers: error rates, intervals, results tables."""
