"""The steps of benches/step.rs in PyTorch on two threads: images per second, by the median of some steps and by the best."""

import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(2)
CLASSES = 100


def vgg16(w):
    layers, inputs = [], 3
    for depth, outputs in [(2, w), (2, 2 * w), (3, 4 * w), (3, 8 * w), (3, 8 * w)]:
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs, CLASSES))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.a = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.b = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norms[0](self.a(x)), inplace=True)
        return F.relu(self.norms[1](self.b(y)) + self.shortcut(x), inplace=True)


def resnet18(w):
    blocks, inputs = [], w
    for outputs, stride in [(w, 1), (2 * w, 2), (4 * w, 2), (8 * w, 2)]:
        blocks += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
        inputs = outputs
    first = [nn.Conv2d(3, w, 3, 1, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(inplace=True)]
    return nn.Sequential(*first, *blocks, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8 * w, CLASSES))


def alexnet(w):
    convolutions = [(3, w, 2, True), (w, 3 * w, 1, True), (3 * w, 6 * w, 1, False), (6 * w, 4 * w, 1, False), (4 * w, 4 * w, 1, True)]
    layers = []
    for inputs, outputs, stride, pooled in convolutions:
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2)] * pooled
    for inputs, outputs in [(16 * w, 64 * w), (64 * w, 64 * w)]:
        layers += [nn.Flatten(), nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(64 * w, CLASSES))


for make, width, steps in [
    (vgg16, 8, 60),
    (vgg16, 16, 40),
    (vgg16, 64, 8),
    (resnet18, 16, 30),
    (resnet18, 64, 6),
    (alexnet, 16, 200),
    (alexnet, 64, 40),
]:
    network = make(width)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images, labels = torch.randn(128, 3, 32, 32), torch.randint(0, CLASSES, (128,))
    times = []
    for step in range(steps + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        if step >= 2:  # the first allocate and choose algorithms
            times.append(time.perf_counter() - start)
    median, best = statistics.median(times), min(times)
    print(f"{make.__name__}/{width}: {128 / median:.0f} images/s, at best {128 / best:.0f}", flush=True)
