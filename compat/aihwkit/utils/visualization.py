"""Pictures of devices, of programming and of drift."""

from compat.aihwkit.utils.device_plots import plot_device as plot_device
from compat.aihwkit.utils.device_plots import plot_device_compact as plot_device_compact
from compat.aihwkit.utils.device_plots import plot_device_symmetry as plot_device_symmetry
from compat.aihwkit.utils.device_plots import plot_pulse_response as plot_pulse_response
from compat.aihwkit.utils.device_plots import plot_pulse_statistics as plot_pulse_statistics
from compat.aihwkit.utils.device_plots import plot_response_overview as plot_response_overview
from compat.aihwkit.utils.pulse_response import compute_pulse_response as compute_pulse_response
from compat.aihwkit.utils.pulse_response import compute_pulse_statistics as compute_pulse_statistics
from compat.aihwkit.utils.pulse_response import estimate_n_steps as estimate_n_steps
from compat.aihwkit.utils.pulse_response import get_tile_for_plotting as get_tile_for_plotting
from compat.aihwkit.utils.weight_plots import plot_model_programming_error as plot_model_programming_error
from compat.aihwkit.utils.weight_plots import plot_programming_error as plot_programming_error
from compat.aihwkit.utils.weight_plots import plot_weight_drift as plot_weight_drift
