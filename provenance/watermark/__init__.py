"""Signatures that lie in the pixels of a picture and are read back from them."""
