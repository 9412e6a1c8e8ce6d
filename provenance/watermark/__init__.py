"""The universal adversarial signature: written into a picture by an injector, read back by a detector after edits."""
