"""Networks that programs convert: their layers have torchvision's names, and no trained weights come with them."""

from typing import Any

from compat.torch_package import torch

nn: Any = torch.nn


class AlexNet(nn.Module):
    """Krizhevsky 2014, arXiv:1404.5997: images `[B, 3, H, W]` to `[B, num_classes]`."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        relu, pool = (lambda: nn.ReLU(inplace=True)), (lambda: nn.MaxPool2d(3, 2))
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), relu(), pool(), nn.Conv2d(64, 192, 5, padding=2), relu(), pool(),
            nn.Conv2d(192, 384, 3, padding=1), relu(), nn.Conv2d(384, 256, 3, padding=1), relu(),
            nn.Conv2d(256, 256, 3, padding=1), relu(), pool(),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(9216, 4096), relu(), nn.Dropout(dropout), nn.Linear(4096, 4096), relu(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        """The scores of the classes."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = _kernel(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = _kernel(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Any) -> Any:
        """What follows the block."""
        beside = x if self.downsample is None else self.downsample(x)
        x = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(x + beside)


class Bottleneck(nn.Module):
    """A convolution between two of single places, beside a shortcut; it has the stride, as in torchvision."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1 = _kernel(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _kernel(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _kernel(width, outputs, 1), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Any) -> Any:
        """What follows the block."""
        beside = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(x)))))
        return self.relu(x + beside)


class ResNet(nn.Module):
    """He et al. 2015, arXiv:1512.03385: images `[B, 3, H, W]` to `[B, num_classes]`.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: Blocks of each of the four stages.
        num_classes: Classes.
    """

    def __init__(self, block: Any, layers: list[int], num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1, self.bn1 = _kernel(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, blocks in enumerate(layers):
            width = 64 * 2**stage
            parts = [block(inputs, width, 1 if stage == 0 else 2)]
            inputs = width * block.expansion
            parts += [block(inputs, width) for _ in range(1, blocks)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*parts))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(inputs, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Any) -> Any:
        """The scores of the classes."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _kernel(inputs: int, outputs: int, size: int, stride: int = 1) -> Any:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> Any:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_kernel(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def alexnet(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> AlexNet:
    """`AlexNet`, untrained. Raises `ValueError` for trained weights, which are not here."""
    _untrained("alexnet", weights)
    return AlexNet(**kwargs)


def resnet18(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """`ResNet` of 18 layers, untrained. Raises `ValueError` for trained weights, which are not here."""
    _untrained("resnet18", weights)
    return ResNet(BasicBlock, [2, 2, 2, 2], **kwargs)


def resnet34(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """`ResNet` of 34 layers, untrained. Raises `ValueError` for trained weights, which are not here."""
    _untrained("resnet34", weights)
    return ResNet(BasicBlock, [3, 4, 6, 3], **kwargs)


def resnet50(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """`ResNet` of 50 layers, untrained. Raises `ValueError` for trained weights, which are not here."""
    _untrained("resnet50", weights)
    return ResNet(Bottleneck, [3, 4, 6, 3], **kwargs)


def _untrained(name: str, weights: Any) -> None:
    if weights is not None:
        raise ValueError(
            f"{name}(weights={weights!r}): this stand-in for torchvision has no trained weights. Install torchvision, "
            "or give the model a state dict."
        )
