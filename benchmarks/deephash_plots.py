"""Pictures of what ``benchmarks.deephash`` measures, where matplotlib and scikit-learn are installed."""

from __future__ import annotations

import numpy as np

from benchmarks.deephash_measures import F64
from benchmarks.deephash_nets import NAMES, OURS, Key, encoders, history, some_pictures, views_of
from benchmarks.results import FOLDER
from provenance.models.autoencoder_nets import KINDS
from provenance.training.deephash_pictures import CIFAR


def plot_curves() -> bool:
    """Draw error and PSNR over the trainings on photographs; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for kind in KINDS:
        # Of the shipped ones, which are longer, there is none.
        for bits in (16, 32):
            rows = history(kind, bits, "photographs")
            for axis, name in zip(axes, ("tune_mse", "tune_psnr"), strict=True):
                epochs = range(1, len(rows) + 1)
                axis.plot(epochs, [getattr(row, name) for row in rows], marker=".", label=f"{NAMES[kind]} {bits}")
    axes[0].set(xlabel="epoch", ylabel="MSE of tuning pictures, squared grey levels")
    axes[1].set(xlabel="epoch", ylabel="mean PSNR of tuning pictures, dB")
    axes[1].legend(fontsize=8, ncols=2)
    figure.savefig(FOLDER / "results" / "deephash_curves.png", dpi=90)
    return True


def plot_decisions(results: dict[Key, tuple[F64, F64]]) -> bool:
    """Draw for each hash the share of edited registered queries against that of unregistered ones that count as
    registered; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axis = figure.subplots()
    for (kind, bits), (edited, unregistered) in results.items():
        genuine = edited.ravel()
        cuts = np.sort(np.concatenate([genuine[np.isfinite(genuine)], unregistered]))
        true = np.searchsorted(np.sort(genuine), cuts, side="right") / len(genuine)
        false = np.searchsorted(np.sort(unregistered), cuts, side="right") / len(unregistered)
        axis.plot(np.maximum(false, 0.5 / len(unregistered)), true, label=f"{NAMES[kind]} {bits}")
    axis.set(xscale="log", xlabel="unregistered queries called registered", ylabel="edited registered queries found")
    axis.legend(fontsize=8)
    figure.savefig(FOLDER / "results" / "deephash_roc.png", dpi=90)
    return True


def plot_neighbours() -> bool:
    """Draw the feature vectors of CIFAR-10 test pictures on a plane (t-SNE: van der Maaten and Hinton 2008); False
    without scikit-learn or matplotlib."""
    try:
        from matplotlib.figure import Figure
        from sklearn.manifold import TSNE
    except ModuleNotFoundError:
        return False
    pictures = some_pictures(CIFAR, 1500, lambda name: name.startswith("test/"))
    views = views_of([pixels for _, pixels in pictures], 32)
    labels = np.array([name.split("/")[1] for name, _ in pictures])
    nets = {key: encode for key, encode in encoders("cifar").items() if key in (("con-vae", 64), OURS)}
    figure = Figure(figsize=(11, 5), layout="constrained")
    for axis, ((kind, bits), encode) in zip(figure.subplots(1, 2), nets.items(), strict=True):
        plane = TSNE(init="pca", random_state=0).fit_transform(encode(views).features)
        for label in np.unique(labels):
            axis.scatter(*plane[labels == label].T, s=5, label=label)
        axis.set(title=f"{NAMES[kind]}, {bits} numbers", xticks=[], yticks=[])
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right center", markerscale=3)
    figure.savefig(FOLDER / "results" / "deephash_tsne.png", dpi=90)
    return True
