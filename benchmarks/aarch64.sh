#!/usr/bin/env bash
# Makes an aarch64 Python with what artworks need, to run under qemu-user, and prints the command that starts it:
#   AARCH64_PYTHON="$(benchmarks/aarch64.sh /some/empty/folder)" make bench-artwork
# Debian 12, as root. It adds the architecture arm64 to the package lists while it fetches and removes it afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(realpath -m "$1")
mkdir -p "$root/packages" "$root/site"
pinned() { grep -i "^$1==" requirements.txt; }
{
	apt-get update
	apt-get install --yes qemu-user-static
	dpkg --add-architecture arm64
	trap 'dpkg --remove-architecture arm64 >&2' EXIT
	apt-get update
	names=(libc6 libstdc++6 libgcc-s1 libgomp1 zlib1g libexpat1 libssl3 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1
		libcrypt1 libpython3.11-minimal libpython3.11-stdlib python3.11-minimal python3.11)
	(cd "$root/packages" && apt-get download "${names[@]/%/:arm64}")
	for package in "$root"/packages/*.deb; do dpkg -x "$package" "$root"; done
	platforms=(--python-version 3.11 --only-binary=:all: --platform manylinux_2_28_aarch64
		--platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 --platform any)
	.venv/bin/python -m pip install --upgrade --target "$root/site" "${platforms[@]}" "$(pinned numpy)" "$(pinned pillow)" \
		"$(pinned opencv-python-headless)" "$(pinned safetensors)" "$(pinned scikit-image)" platformdirs rfc8785 httpx \
		rich tqdm filelock sympy networkx jinja2 fsspec typing_extensions
	# The last release whose aarch64 wheel needs no CUDA: another PyTorch than the product's, which must not matter.
	.venv/bin/python -m pip install --upgrade --no-deps --target "$root/site" "${platforms[@]}" torch==2.9.1
} >&2
libraries=$root/usr/lib/aarch64-linux-gnu:$root/lib/aarch64-linux-gnu
echo "qemu-aarch64-static -L $root -E LD_LIBRARY_PATH=$libraries -E PYTHONPATH=$PWD:$root/site -E OMP_NUM_THREADS=1 $root/usr/bin/python3.11"
