"""From codes to answers: candidates by exact Hamming radius, thresholds from measured curves, verified pairs."""
