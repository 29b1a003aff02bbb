"""A training history as plots and as a growing text file, and gradients as plots."""

import csv
import os
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from compat.aitoolbox.experiment.result_reporting import figures
from compat.aitoolbox.store.errors import explained
from compat.aitoolbox.store.folder import replace_file
from compat.aitoolbox.store.names import safe_file
from compat.aitoolbox.store.plain import as_numpy


class TrainingHistoryPlotter:
    """Plots of every metric with more than one value, in a folder or in one PDF below `experiment_results_local_path`.

    A metric that cannot be drawn is left out, with a `UserWarning` that names it.
    """

    def __init__(self, experiment_results_local_path: str) -> None:
        self.experiment_results_local_path = experiment_results_local_path

    def generate_report(
        self, training_history: Any, plots_folder_name: str = "plots", file_format: str = "png"
    ) -> list[list[str]]:
        """Writes the plots; returns `[[path in the results folder, path], ...]`.

        `file_format`: `"png"`, or `"pdf"` for one file. Raises `ValueError` for another one, `SaveError`.
        """
        return _report(self, training_history, self.experiment_results_local_path, plots_folder_name, file_format)

    def plot_png(self, training_history: Any, plots_local_folder_path: str, plots_folder_name: str) -> list[list[str]]:
        """One file per metric."""
        return _write_pngs(self.generate_plots(training_history), plots_local_folder_path, plots_folder_name, "{}.png")

    def plot_pdf(self, training_history: Any, plots_local_folder_path: str, plots_file_name: str) -> list[list[str]]:
        """One page per metric."""
        return _write_pdf(self.generate_plots(training_history), plots_local_folder_path, plots_file_name)

    @staticmethod
    def generate_plots(training_history: Any) -> Iterator[tuple[str, Any]]:
        """Names of metrics and their figures."""
        for name, values in training_history.get_train_history_dict(flatten_dict=True).items():
            with_values = hasattr(values, "__len__") and not isinstance(values, str)
            if with_values and len(values) > 1:
                figure = _drawn(str(name), partial(TrainingHistoryPlotter.plot_performance_curve, str(name), values))
                if figure is not None:
                    yield str(name), figure

    @staticmethod
    def plot_performance_curve(metric_name: str, result_history: Any) -> Any:
        """The figure of one metric."""
        return figures.curve(metric_name, result_history)


class GradientPlotter:
    """Plots of the distribution of each layer's gradients below `experiment_grad_results_local_path`."""

    def __init__(self, experiment_grad_results_local_path: str) -> None:
        self.experiment_grad_results_local_path = experiment_grad_results_local_path

    def generate_report(
        self, model_layer_gradients: Any, grad_plots_folder_name: str = "grad_plots", file_format: str = "png"
    ) -> list[list[str]]:
        """Writes the plots; arguments, result and errors as of `TrainingHistoryPlotter.generate_report`."""
        return _report(
            self, model_layer_gradients, self.experiment_grad_results_local_path, grad_plots_folder_name, file_format
        )

    def plot_png(
        self, model_layer_gradients: Any, grad_plots_local_folder_path: str, plots_folder_name: str
    ) -> list[list[str]]:
        """One file per layer, numbered."""
        plots = self.generate_dist_plots(model_layer_gradients)
        return _write_pngs(plots, grad_plots_local_folder_path, plots_folder_name, "layer_{}.png")

    def plot_pdf(
        self, model_layer_gradients: Any, plots_local_folder_path: str, plots_file_name: str
    ) -> list[list[str]]:
        """One page per layer."""
        return _write_pdf(self.generate_dist_plots(model_layer_gradients), plots_local_folder_path, plots_file_name)

    @staticmethod
    def generate_dist_plots(model_layer_gradients: Any, layer_names: Any = None) -> Iterator[tuple[Any, Any]]:
        """Names of layers (numbers without `layer_names`) and their figures; a layer without gradients is left out."""
        for index, gradients in enumerate(model_layer_gradients):
            name = index if layer_names is None else layer_names[index]
            if gradients is None:
                print(f"Layer {name} has no gradients")
                continue
            figure = _drawn(f"layer {name}", partial(GradientPlotter.plot_gradient_distribution, gradients, name))
            if figure is not None:
                yield name, figure

    @staticmethod
    def plot_gradient_distribution(gradients: Any, layer_name: Any) -> Any:
        """The figure of one layer."""
        return figures.distribution(gradients, layer_name)


class TrainingHistoryWriter:
    """Appends the last value of every metric to a file below `experiment_results_local_path`, epoch by epoch."""

    def __init__(self, experiment_results_local_path: str) -> None:
        self.experiment_results_local_path = experiment_results_local_path
        self.metric_name_cols: list[str] | None = None

    def generate_report(
        self,
        training_history: Any,
        epoch: int,
        file_name: str,
        results_folder_name: str | None = "",
        file_format: str = "txt",
    ) -> tuple[str, str]:
        """Appends one epoch; returns the path in the results folder and the path.

        `file_format`: `"txt"` (a block of lines), `"tsv"` or `"csv"` (a row, below a header wherever the metrics
        change). Raises `ValueError` for another one.
        """
        delimiters = {"tsv": "\t", "csv": ","}
        if file_format not in ("txt", *delimiters):
            raise ValueError(f"file_format {file_format!r}: give 'txt', 'tsv' or 'csv'.")
        folder = results_folder_name or ""
        target = os.path.join(self.experiment_results_local_path, folder)
        path = os.path.join(target, file_name)
        with explained(path):
            os.makedirs(target, exist_ok=True)
            if file_format == "txt":
                self.write_txt(training_history, epoch, path)
            else:
                self.write_csv_tsv(training_history, epoch, path, delimiters[file_format])
        return os.path.join(folder, file_name), path

    @staticmethod
    def write_txt(training_history: Any, epoch: int, file_path: str) -> None:
        """Appends a block."""
        rule = "=" * 28
        lines = [f"{name}:\t{value}\n" for name, value in _last_values(training_history).items()]
        with open(file_path, "a", encoding="utf-8") as file:
            file.write("".join([f"{rule}\nEpoch: {epoch}\n{rule}\n", *lines, "\n\n"]))

    def write_csv_tsv(self, training_history: Any, epoch: int, file_path: str, delimiter: str) -> None:
        """Appends a row."""
        values = _last_values(training_history)
        if self.metric_name_cols is None:  # another object, or an earlier run, may have begun the file
            self.metric_name_cols = _header(file_path, delimiter)
        with open(file_path, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            if self.metric_name_cols is None or sorted(values) != sorted(self.metric_name_cols):
                if self.metric_name_cols is not None:
                    writer.writerow(["NEW_METRICS_DETECTED"])
                self.metric_name_cols = list(values)
                writer.writerow(["Epoch", *self.metric_name_cols])
            writer.writerow([epoch, *(values[name] for name in self.metric_name_cols)])


def _report(plotter: Any, content: Any, results_path: str, folder_name: str, file_format: str) -> list[list[str]]:
    if file_format == "pdf":
        return plotter.plot_pdf(content, results_path, folder_name)
    if file_format != "png":
        raise ValueError(f"file_format {file_format!r}: give 'png' or 'pdf'.")
    folder = os.path.join(results_path, folder_name)
    with explained(folder):
        os.makedirs(folder, exist_ok=True)
    return plotter.plot_png(content, folder, folder_name)


def _drawn(name: str, draw: Callable[[], Any]) -> Any:
    """What `draw` returns; `None`, with a warning, if it raises: no plot is worth the results it would cost."""
    try:
        return draw()
    except Exception as error:
        warnings.warn(f"{name!r} could not be plotted: {error}", stacklevel=2)
        return None


def _write_pngs(plots: Iterator[tuple[Any, Any]], path: str, folder_name: str, pattern: str) -> list[list[str]]:
    written: list[list[str]] = []
    for name, figure in plots:
        file_name = _free(safe_file(pattern.format(name)), [os.path.basename(file) for _, file in written])
        if _drawn(str(name), partial(_write_png, figure, os.path.join(path, file_name))):
            written.append([os.path.join(folder_name, file_name), os.path.join(path, file_name)])
    return written


def _write_png(figure: Any, file: str) -> str:
    replace_file(file, lambda draft: figure.savefig(draft, format="png"))
    return file


def _free(file_name: str, taken: list[str]) -> str:
    """`a/b` and `a_b` are two metrics, and `_` stands for `/` in file names."""
    stem, ending = os.path.splitext(file_name)
    return next(name for n in range(len(taken) + 1) if (name := f"{stem}_{n}{ending}" if n else file_name) not in taken)


def _write_pdf(plots: Iterator[tuple[Any, Any]], path: str, stem: str) -> list[list[str]]:
    file = os.path.join(path, f"{stem}.pdf")

    def write(draft: Path) -> None:
        from matplotlib.backends.backend_pdf import PdfPages

        with PdfPages(draft) as pages:
            for name, figure in plots:
                _drawn(str(name), partial(pages.savefig, figure))

    replace_file(file, write)
    return [[f"{stem}.pdf", file]]


def _last_values(training_history: Any) -> dict[str, Any]:
    history = training_history.get_train_history_dict(flatten_dict=True)
    return {str(name): _number(values[-1]) for name, values in history.items() if len(values)}


def _number(value: Any) -> Any:
    value = as_numpy(value)
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and value.size == 1 else value


def _header(file_path: str, delimiter: str) -> list[str] | None:
    if not os.path.exists(file_path):
        return None
    with open(file_path, encoding="utf-8", newline="") as file:
        headers = [row for row in csv.reader(file, delimiter=delimiter) if row and row[0] == "Epoch"]
    return headers[-1][1:] if headers else None
