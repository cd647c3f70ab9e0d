"""Activations of PyTorch models. Skipped aloud without PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import mftma

torch = pytest.importorskip("torch", reason="PyTorch is not installed: its tests are skipped")
import mftma.torch  # noqa: E402
nn = torch.nn
pytestmark = pytest.mark.torch


class Net(nn.Module):
    """Convolutions, a module used twice, and one that gives a tuple."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.rnn = nn.LSTM(36, 8, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        x = self.block(self.block(self.first(x)))
        x, _ = self.rnn(x.flatten(2))
        return self.head(x.flatten(1))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def loader():
    torch.manual_seed(1)
    labels = torch.arange(60) % 6
    images = torch.randn(6, 1, 8, 8)[labels] + 0.5 * torch.randn(60, 1, 8, 8)
    return [(images[i : i + 16], labels[i : i + 16]) for i in range(0, 60, 16)]


def test_tensors():
    x = np.random.default_rng(0).normal(size=(60, 30)).astype("f4").round(1)
    y = np.arange(60) % 6
    t = torch.from_numpy(x)
    wanted = mftma.analyze(x, y)
    assert mftma.analyze(t, torch.from_numpy(y)) == wanted
    assert mftma.analyze(t.clone().requires_grad_(), y) == wanted
    assert mftma.analyze(t.T.contiguous().T, y) == wanted
    assert mftma.analyze(t.to_sparse(), y) == wanted
    assert mftma.analyze([row for row in t], y) == wanted
    assert mftma.analyze(t.double(), y) == mftma.analyze(x.astype("f8"), y)
    assert mftma.analyze(t.half(), y) == mftma.analyze(x.astype("f2"), y)
    b = t.bfloat16()
    assert mftma.analyze(b, y) == mftma.analyze(b.float(), y)
    from mftma import _mftma
    from mftma._inputs import prepare

    assert _mftma.addresses(prepare(t, y, "points-by-features").parts) == [t.data_ptr()]


def test_record(net, loader, tmp_path):
    outputs = {}
    hook = net.first.register_forward_hook(lambda m, i, o: outputs.setdefault("first", []).append(o.detach()))
    with torch.no_grad(), mftma.torch.record(net) as memory, mftma.torch.record(net, to=tmp_path / "acts") as disk:
        for images, _ in loader:
            net(images)
    hook.remove()
    assert list(memory) == ["first", "block.0", "block.0#2", "head"]
    assert memory["first"].shape == (60, 4 * 36) and memory["first"].dtype == np.float32
    assert (memory["first"] == torch.cat(outputs["first"]).flatten(1).numpy()).all()
    for name in memory:
        assert isinstance(disk[name], np.memmap)
        assert (disk[name] == memory[name]).all()
        assert (np.load(tmp_path / "acts" / f"{name}.npy") == memory[name]).all()
    assert not net.first._forward_hooks and not net._forward_pre_hooks


def test_layers_by_name_and_type(net, loader):
    def names(layers, model=net):
        with torch.no_grad(), mftma.torch.record(model, layers) as recording:
            model(loader[0][0])
        return list(recording)

    assert names("block.*") == ["block.0", "block.1", "block.2", "block.0#2", "block.1#2", "block.2#2"]
    assert names([nn.Linear, "rnn"]) == ["rnn", "head"]
    assert names("BatchNorm2d") == ["block.1", "block.1#2"]
    assert names(None, nn.DataParallel(net).eval()) == names(None)
    assert names(None, nn.Linear(8, 2)) == ["Linear"]
    with pytest.raises(ValueError, match="no layer 'conv9'; the model has first, block"):
        names("conv9")
    with pytest.raises(ValueError, match="no convolution or linear layer"):
        names(None, nn.Sequential(nn.ReLU()))


def test_interrupted_recordings_leave_no_file(net, loader, tmp_path):
    with pytest.raises(RuntimeError), mftma.torch.record(net, to=tmp_path):
        net(loader[0][0])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_pools():
    model = nn.Sequential(nn.Linear(4, 6)).eval()
    x = torch.randn(10, 7, 4)
    with torch.no_grad():
        wanted = model(x)
        for pool, of in (
            (None, wanted.flatten(1)),
            ("mean", wanted.mean(1)),
            ("first", wanted[:, 0]),
            ("last", wanted[:, -1]),
            ("tokens", wanted.flatten(0, 1)),
            (lambda h: h.amax(1), wanted.amax(1)),
        ):
            with mftma.torch.record(model, pool=pool) as recording:
                model(x)
            assert (recording["0"] == of.numpy()).all()
        with mftma.torch.record(model, dtype="float16") as half:
            model(x)
        assert half["0"].dtype == np.float16
        with pytest.raises(ValueError, match="layer '0' gave 30 features .* 42"), mftma.torch.record(model):
            model(x)
            model(x[:, :5])
    with pytest.raises(ValueError, match="pool is 'max'"):
        mftma.torch.record(model, pool="max")


def test_training_mode_is_told(net):
    with pytest.warns(UserWarning, match="model.eval()"), mftma.torch.record(net.train()):
        pass


def test_analyze_model(net, loader):
    net.train()
    found = mftma.torch.analyze_model(net, loader, n_t=50)
    assert net.training
    assert list(found) == ["first", "block.0", "block.0#2", "head"]
    assert found["head"].points_per_class == (10,) * 6
    named = [{"x": images, "labels": labels} for images, labels in loader]
    assert mftma.torch.analyze_model(net, named, n_t=50) == found
    with pytest.raises(TypeError, match="pairs \\(inputs, labels\\)"):
        mftma.torch.analyze_model(net, [torch.randn(4, 1, 8, 8)])
    with pytest.raises(ValueError, match="no batch"):
        mftma.torch.analyze_model(net, [])


def test_helpers_of_the_reference(net):
    from mftma.manifold_analysis_correlation import manifold_analysis_corr
    from mftma.utils.activation_extractor import extractor
    from mftma.utils.make_manifold_data import make_manifold_data

    dataset = [(torch.randn(1, 8, 8) + c, c) for _ in range(12) for c in range(9)]
    data = make_manifold_data(dataset, 9, 10, seed=0)
    activations = extractor(net, data, layer_types=["Conv2d", "Linear"])
    assert list(activations) == ["layer_0_Input", "layer_1_Conv2d", "layer_2_Conv2d", "layer_6_Linear"]
    assert list(extractor(net, data, layer_nums=[3])) == ["layer_3_BatchNorm2d"]
    for arrays in activations.values():
        X = [d.reshape(d.shape[0], -1).T for d in arrays]
        a, r, d, r0, K = manifold_analysis_corr(X, 0, 50, n_reps=1)
        assert a.shape == (9,) and np.isfinite(a).all()
