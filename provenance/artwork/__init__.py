"""Pictures generated from a prompt and a signature file, and generated again, bit for bit, as proof."""
