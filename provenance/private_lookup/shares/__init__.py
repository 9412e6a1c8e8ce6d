"""The other way of private look-up: hashes shared out to three servers, of which no two may work together."""
