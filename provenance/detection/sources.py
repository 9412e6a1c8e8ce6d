"""What the detector was trained and measured on, in words."""

from __future__ import annotations

SOURCES = {
    "flickr8k": "Flickr8k, photographs",
    "caltech101": "Caltech 101, photographs",
    "imagenet_sample": "ImageNet, photographs (source not trained on)",
    "wesnoth": "Battle for Wesnoth, drawn by people",
    "tuxpaint": "Tux Paint, drawn by people",
    "sd15": "Stable Diffusion 1.5",
    "gpt4o": "GPT-4o",
}
