"""Pictures: the one door for pixels, named edits, quality measures and pairwise alignment."""
