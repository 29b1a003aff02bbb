"""What aihwkit 1.2.0 has, as far as our tree differs from it: names that are missing, and names at second places.

Modules are named without the leading `aihwkit.`; names are separated by spaces. `MISSING` has classes, functions and
constants where they are defined, and at other public places. `ALSO_AT` has names of ours that 1.2.0 lets programs
import from further modules, because these use them.
"""

MODULES = """
"""

MISSING = {
    "simulator.digital_low_precision.quantizers": "floor_ste_func round_ste_func",
    "simulator.digital_low_precision.range_estimators": "NoDataPassedError to_numpy",
    "simulator.parameters.inference": "tiles",
    "simulator.tiles.analog": "tiles",
    "simulator.tiles.floating_point": "tiles",
    "simulator.tiles.inference": "tiles",
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
    "nn.modules.rnn.cells": "RPUConfigBase",
    "nn.modules.rnn.rnn": "RPUConfigBase",
    "optim.context": "AnalogContextDataViewMode",
    "simulator.configs.compounds": "RPUDataType parameters_to_bindings",
    "simulator.configs.configs": """
        ActivationQuantConfig AnalogTile BaseDriftCompensation BaseNoiseModel ConstantStepDevice
        DigitalRankUpdateCell FloatingPointDevice FloatingPointTile GlobalDriftCompensation IOParameters
        IOParametersIRDropT IdealDevice InferenceTile PCMLikeNoiseModel PrePostProcessingParameterQuant
        PulseType PulsedDevice QuantizedTileModuleArray QuantizedTorchInferenceTile RuntimeParameter
        TileModuleArray TorchInferenceTile TorchSimulatorTile TorchSimulatorTileIRDropT TransferCompound
        UnitCell UpdateParameters WeightClipParameter WeightModifierParameter WeightRemapParameter MappableRPU
        PrePostProcessingRPU tile_parameters_to_bindings
    """,
    "simulator.configs.devices": "RPUDataType parameters_to_bindings",
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
        QMethods QuantizationManager QuantizedActivation QuantizedTileModuleArray RangeEstimators
        TileModuleError TileModuleBase convert_act_config_to_kwargs_dict
    """,
    "simulator.tiles.inference": """
        BaseNoiseModel TileModule WeightClipType WeightModifierType WeightRemapType AnalogFunction BaseTile
        RPUCudaSimulatorTileWrapper TileWithPeriphery parameters_to_bindings
    """,
    "simulator.tiles.inference_torch": """
        ArgumentError TorchSimulatorTile TorchTileConfigError WeightClipType WeightRemapType
        SimulatorTileWrapper
    """,
    "simulator.tiles.module": "RPUConfigBase AnalogTileStateNames BaseTile MappableRPU TileModuleBase",
    "simulator.tiles.torch_tile": """
        AnalogBiasConfigError WeightClipParameter WeightModifierParameter WeightRemapParameter WeightRemapType
        UniformQuantize
    """,
    "simulator.tiles.torch_tile_irdrop_t": "TorchTileConfigError",
    "simulator.tiles.analog": "AnalogFunction BaseTile RPUCudaSimulatorTileWrapper TileWithPeriphery",
    "simulator.tiles.floating_point": "AnalogFunction RPUCudaSimulatorTileWrapper TileWithPeriphery",
    "simulator.tiles.quantized_inference_torch": "convert_act_config_to_kwargs_dict",
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
    "cloud.client.v1.api_client", "cloud.client.v1.i_api_client", "simulator.tiles.base", "simulator.tiles.functions",
    "simulator.tiles.rpucuda", "simulator.tiles.periphery", "simulator.tiles.inference", "simulator.tiles.utils",
    "simulator.parameters.mapping", "simulator.parameters.pre_post", "simulator.parameters.helpers",
    "optim.weight_view",
)  # fmt: skip
