"""Image provenance methods as a plain library: decode, hash, match, verify. No Django here."""
