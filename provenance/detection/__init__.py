"""Was it made by AI: frozen features, a linear support vector machine, a calibrated probability, "cannot tell"."""
