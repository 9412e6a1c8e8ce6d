"""Recipes that measure or train what the product ships; each states its data and its command."""
