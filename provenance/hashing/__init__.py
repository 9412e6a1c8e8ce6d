"""Perceptual hashes: versioned algorithms that turn a picture into a short code whose distance means likeness."""
