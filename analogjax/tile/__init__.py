"""Tiles: crossbars of devices with their converters. Start with `create`, `mvm` and `update`."""

from analogjax.tile.array import TileArray as TileArray
from analogjax.tile.array import create_array as create_array
from analogjax.tile.calibration import calibrate as calibrate
from analogjax.tile.hardware_aware import AwareTile as AwareTile
from analogjax.tile.hardware_aware import HardwareAware as HardwareAware
from analogjax.tile.hardware_aware import aware_mvm as aware_mvm
from analogjax.tile.hardware_aware import create_aware as create_aware
from analogjax.tile.hardware_aware import observed as observed
from analogjax.tile.inference import ProgrammedTile as ProgrammedTile
from analogjax.tile.inference import drift as drift
from analogjax.tile.inference import drift_all as drift_all
from analogjax.tile.inference import program as program
from analogjax.tile.inference import program_all as program_all
from analogjax.tile.mapping import Mapping as Mapping
from analogjax.tile.renewal import renewed as renewed
from analogjax.tile.signals import mvm as mvm
from analogjax.tile.signals import rest as rest
from analogjax.tile.signals import slot_for as slot_for
from analogjax.tile.signals import update as update
from analogjax.tile.tile import Signal as Signal
from analogjax.tile.tile import Tile as Tile
from analogjax.tile.tile import TileConfig as TileConfig
from analogjax.tile.tile import create as create
from analogjax.tile.tile import initial_weights as initial_weights
