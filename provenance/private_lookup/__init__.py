"""Look-up of perceptual hashes that nobody can read: threshold BGV, in a process of its own."""
