"""The step of benches/step.rs in PyTorch on two threads: images per second, best of some steps."""

import time

import torch
import torch.nn.functional as F

torch.set_num_threads(2)


def vgg16(w):
    layers, inputs = [], 3
    for depth, outputs in [(2, w), (2, 2 * w), (3, 4 * w), (3, 8 * w), (3, 8 * w)]:
        for _ in range(depth):
            layers += [torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), torch.nn.BatchNorm2d(outputs), torch.nn.ReLU(inplace=True)]
            inputs = outputs
        layers.append(torch.nn.MaxPool2d(2))
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(inputs, 100))


for width, steps in [(8, 20), (16, 12), (64, 4)]:
    network = vgg16(width)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images, labels = torch.randn(128, 3, 32, 32), torch.randint(0, 100, (128,))
    best = float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        best = min(best, time.perf_counter() - start)
    print(f"width {width}: {128 / best:.0f} images/s")
