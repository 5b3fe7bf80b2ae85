"""Learning: causal features, forward labels, honest training, a registry, one predictor."""
