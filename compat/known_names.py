"""What aihwkit 1.2.0 has, as far as our tree differs from it: names that are missing, and names at second places.

Modules are named without the leading `aihwkit.`; names are separated by spaces. `MISSING` has classes, functions and
constants where they are defined, and at other public places. `ALSO_AT` has names of ours that 1.2.0 lets programs
import from further modules, because these use them.
"""

MODULES = """
    nn.modules.rnn nn.modules.rnn.cells nn.modules.rnn.layers nn.modules.rnn.rnn simulator.parameters.helpers
    simulator.tiles.analog_mvm simulator.tiles.analog_mvm_irdrop_t simulator.tiles.base simulator.tiles.custom
    simulator.tiles.functions simulator.tiles.rpucuda simulator.tiles.transfer simulator.tiles.utils
"""

MISSING = {
    "nn": """
        AnalogGRUCell AnalogLSTMCell AnalogLSTMCellCombinedWeight AnalogRNN AnalogVanillaRNNCell
    """,
    "nn.modules.base": "AnalogTileStateNames InferenceTileWithPeriphery",
    "nn.modules.rnn.cells": """
        AnalogGRUCell AnalogLSTMCell AnalogLSTMCellCombinedWeight AnalogVanillaRNNCell LSTMState
    """,
    "nn.modules.rnn.layers": "AnalogBidirRNNLayer AnalogRNNLayer AnalogReverseRNNLayer",
    "nn.modules.rnn.rnn": "AnalogRNN ModularRNN",
    "simulator.configs.compounds": "parameters_to_bindings",
    "simulator.configs.configs": """
        MappableRPU PrePostProcessingRPU tile_parameters_to_bindings
    """,
    "simulator.configs.devices": "parameters_to_bindings",
    "simulator.digital_low_precision.quantizers": "floor_ste_func round_ste_func",
    "simulator.digital_low_precision.range_estimators": "NoDataPassedError to_numpy",
    "simulator.parameters.base": "RPUConfigGeneric",
    "simulator.parameters.helpers": """
        ALL_SKIP_FIELD ALWAYS_INCLUDE FIELD_MAP HAS_ORIGIN get_bindings_class parameters_to_bindings
        tile_parameters_to_bindings
    """,
    "simulator.parameters.inference": "tiles",
    "simulator.parameters.mapping": "MappableRPU",
    "simulator.parameters.pre_post": "PrePostProcessingRPU",
    "simulator.rpu_base": "devices tiles",
    "simulator.tiles.analog": """
        AnalogFunction AnalogTileWithoutPeriphery BaseTile RPUConfigGeneric RPUCudaSimulatorTileWrapper
        TileWithPeriphery tiles
    """,
    "simulator.tiles.analog_mvm": "AnalogMVM",
    "simulator.tiles.analog_mvm_irdrop_t": "AnalogMVMIRDropT",
    "simulator.tiles.array": "TileModuleBase convert_act_config_to_kwargs_dict",
    "simulator.tiles.base": "AnalogTileStateNames BaseTile SimulatorTile SimulatorTileWrapper TileModuleBase",
    "simulator.tiles.custom": "CustomRPUConfig CustomSimulatorTile CustomTile CustomUpdateParameters",
    "simulator.tiles.floating_point": """
        AnalogFunction RPUConfigGeneric RPUCudaSimulatorTileWrapper TileWithPeriphery tiles
    """,
    "simulator.tiles.functions": "AnalogFunction",
    "simulator.tiles.inference": """
        AnalogFunction BaseTile RPUCudaSimulatorTileWrapper TileWithPeriphery parameters_to_bindings tiles
    """,
    "simulator.tiles.inference_torch": "InputRangeForward SimulatorTileWrapper",
    "simulator.tiles.module": "AnalogTileStateNames BaseTile MappableRPU TileModuleBase",
    "simulator.tiles.quantized_inference_torch": "convert_act_config_to_kwargs_dict",
    "simulator.tiles.rpucuda": "MAP_TILE_CLASS_TO_CUDA RPUCudaSimulatorTileWrapper",
    "simulator.tiles.torch_tile": "AnalogMVM SimulatorTile UniformQuantize",
    "simulator.tiles.torch_tile_irdrop_t": "AnalogMVMIRDropT",
    "simulator.tiles.transfer": "TorchTransferTile TransferSimulatorTile",
    "simulator.tiles.utils": "UniformQuantize isinf",
}

ALSO_AT = {
    "experiments.experiments.inferencing": "AnalogLayerBase",
    "experiments.runners.base": "Experiment",
    "experiments.runners.cloud": """
        ApiClient ApiSession BasicTraining ClientConfiguration CloudExperiment CredentialsError
    """,
    "experiments.runners.i_cloud": """
        ApiSession BasicInferencing ClientConfiguration CloudExperiment CredentialsError InferenceApiClient
        Runner
    """,
    "experiments.runners.i_local": "Signals",
    "experiments.runners.local": "Signals",
    "inference.noise.base": "BaseConductanceConverter",
    "inference.noise.custom": "BaseConductanceConverter BaseNoiseModel SinglePairConductanceConverter",
    "inference.noise.pcm": "BaseConductanceConverter BaseNoiseModel SinglePairConductanceConverter",
    "inference.utils": "ModuleError",
    "nn.conversion": """
        AnalogConv1d AnalogConv1dMapped AnalogConv2d AnalogConv2dMapped AnalogConv3d AnalogConv3dMapped AnalogLinear
        AnalogLinearMapped TileModule
    """,
    "nn.modules.base": "RPUConfigBase",
    "nn.modules.conv": "ModuleError",
    "optim.context": "AnalogContextDataViewMode",
    "simulator.configs.compounds": "RPUDataType",
    "simulator.configs.configs": """
        ActivationQuantConfig AnalogTile BaseDriftCompensation BaseNoiseModel ConstantStepDevice
        DigitalRankUpdateCell FloatingPointDevice FloatingPointTile GlobalDriftCompensation IOParameters
        IOParametersIRDropT IdealDevice InferenceTile PCMLikeNoiseModel PrePostProcessingParameterQuant
        PulseType PulsedDevice QuantizedTileModuleArray QuantizedTorchInferenceTile RuntimeParameter TileModuleArray
        TorchInferenceTile
        TorchSimulatorTile TorchSimulatorTileIRDropT TransferCompound UnitCell UpdateParameters
        WeightClipParameter WeightModifierParameter WeightRemapParameter
    """,
    "simulator.configs.devices": "RPUDataType",
    "simulator.configs.helpers": "PulsedDevice",
    "simulator.digital_low_precision.base_quantized_classes": "RangeEstimators",
    "simulator.digital_low_precision.config_utils": "QMethods",
    "simulator.digital_low_precision.quantization_manager": "QuantizerBase",
    "simulator.parameters.mapping": "ConfigError",
    "simulator.parameters.quantization": """
        CrossEntropyEstimatorParams CurrentMinMaxEstimatorParams MSEEstimatorParams RunningMinMaxEstimatorParams
    """,
    "simulator.presets.configs": """
        BoundManagementType CapacitorPresetDevice ChoppedTransferCompound DigitalRankUpdateCell
        DigitalRankUpdateRPUConfig DynamicTransferCompound EcRamMOPresetDevice EcRamPresetDevice
        GokmenVlasovPresetDevice IOParameters IdealizedPresetDevice MixedPrecisionCompound NoiseManagementType
        PCMPresetUnitCell PresetIOParameters PresetUpdateParameters PulsedDevice ReRamESPresetDevice
        ReRamSBPresetDevice SingleRPUConfig TransferCompound UnitCell UnitCellRPUConfig UpdateParameters
        VectorUnitCell VectorUnitCellUpdatePolicy
    """,
    "simulator.presets.inference": "BaseDriftCompensation BaseNoiseModel GlobalDriftCompensation PCMLikeNoiseModel",
    "simulator.presets.utils": "BoundManagementType NoiseManagementType PulseType WeightNoiseType",
    "simulator.presets.web": "BaseDriftCompensation BaseNoiseModel GlobalDriftCompensation PCMLikeNoiseModel",
    "simulator.tiles.array": """
        QMethods QuantizationManager QuantizedActivation QuantizedTileModuleArray RangeEstimators TileModuleError
    """,
    "simulator.tiles.inference": "BaseNoiseModel TileModule WeightClipType WeightModifierType WeightRemapType",
    "simulator.tiles.inference_torch": """
        ArgumentError TorchSimulatorTile TorchTileConfigError WeightClipType WeightRemapType
    """,
    "simulator.tiles.module": "RPUConfigBase",
    "simulator.tiles.torch_tile": """
        AnalogBiasConfigError WeightClipParameter WeightModifierParameter WeightRemapParameter WeightRemapType
    """,
    "simulator.tiles.torch_tile_irdrop_t": "TorchTileConfigError",
}

# where names of `ALSO_AT` are looked for
PLACES = (
    "simulator.configs", "simulator.configs.configs", "simulator.configs.devices", "simulator.configs.compounds",
    "simulator.parameters", "simulator.parameters.enums", "simulator.parameters.base",
    "simulator.parameters.inference", "simulator.parameters.quantization", "simulator.parameters.pre_post",
    "simulator.tiles", "simulator.tiles.torch_tile", "simulator.tiles.torch_tile_irdrop_t",
    "simulator.tiles.quantized_inference_torch", "simulator.presets", "simulator.presets.utils",
    "simulator.presets.devices", "inference", "nn", "nn.modules.base", "optim", "exceptions",
    "experiments.experiments.base", "experiments.experiments", "experiments", "experiments.runners",
    "experiments.runners.base", "experiments.runners.metrics", "simulator.digital_low_precision.quantizers",
    "simulator.digital_low_precision.config_utils", "simulator.digital_low_precision.base_quantized_classes",
    "simulator.digital_low_precision.quantization_manager", "simulator.digital_low_precision.range_estimators",
    "cloud.client.entities", "cloud.client.exceptions", "cloud.client.session", "cloud.client.utils",
    "cloud.client.v1.api_client", "cloud.client.v1.i_api_client",
)  # fmt: skip
