"""Reports of runs and devices."""

from analogjax.report.chip_results import summary as summary
from analogjax.report.chip_results import write_chip_results as write_chip_results
from analogjax.report.chip_results import write_drift_plot as write_drift_plot
from analogjax.report.curves import write_curves as write_curves
from analogjax.report.device_plot import plot_device as plot_device
from analogjax.report.sweep_table import statistics as statistics
from analogjax.report.sweep_table import table_text as table_text
from analogjax.report.sweep_table import write_sweep_plot as write_sweep_plot
from analogjax.report.sweep_table import write_sweep_table as write_sweep_table
from analogjax.report.table import Writer as Writer
from analogjax.report.table import device_lines as device_lines
from analogjax.report.table import writer_for as writer_for
