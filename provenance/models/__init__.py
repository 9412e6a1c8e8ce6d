"""The networks and the one store of their weights. Importing anything here reads no weight file.

``store`` finds, checks and downloads files; ``catalogue`` lists them; the other modules are networks and what loads
them. A weight file is data, never a program: safetensors, or PyTorch's own format read by its weights-only loader.
"""
