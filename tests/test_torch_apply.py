"""`apply` of networks of torch: tensors, devices, modes, graphs; against loops and MONAI's inferer."""

from __future__ import annotations

import pickle

import cloudpickle
import numpy as np
import pytest
import xarray as xr

import xpatch

torch = pytest.importorskip("torch")

CUT = {"geometry": {"y": 16, "x": 16}, "sampler": xpatch.RegularStride(8)}
NAMED = {"output_dims": ("patch", "class", "y", "x"), "output_coords": {"class": ["a", "b", "c"]}}


def net(norm=False):
    torch.manual_seed(0)
    nn = torch.nn
    middle = [nn.BatchNorm2d(8)] if norm else []
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1), *middle, nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1)
    )


def scene(dtype="u2"):
    values = np.random.default_rng(0).random((4, 40, 52)) * 1000
    coords = {"band": list("rgbn"), "y": np.arange(40.0), "x": np.arange(52.0)}
    return xr.DataArray(values.astype(dtype), coords, ("band", "y", "x"), name="t")


def by_hand(network, values, step=8, size=16):
    """Average what a network makes of overlapping tiles."""
    total, count = 0.0, np.zeros(values.shape[1:])
    starts = [sorted({*range(0, n - size + 1, step), n - size}) for n in values.shape[1:]]
    for y in starts[0]:
        for x in starts[1]:
            tile = values[None, :, y : y + size, x : x + size].astype("f4")
            with torch.no_grad():
                found = network(torch.from_numpy(tile))[0].numpy()
            full = np.zeros((len(found), *values.shape[1:]))
            full[:, y : y + size, x : x + size] = found
            total, count[y : y + size, x : x + size] = (
                total + full,
                count[y : y + size, x : x + size] + 1,
            )
    return total / count


@pytest.mark.parametrize("kind", ["numpy", "dask", "disk"])
@pytest.mark.parametrize("dtype", ["i2", "f8"])
def test_a_module_is_a_function_of_patches(kind, dtype, tmp_path):
    field = scene(dtype)
    if kind == "dask":
        field = field.chunk(y=17, x=20, band=2)
    if kind == "disk":  # big-endian
        field.to_netcdf(tmp_path / "t.nc", engine="scipy")
        field = xr.open_dataset(tmp_path / "t.nc", engine="scipy", chunks=None)["t"]
    merged = field.patch.apply(net().eval(), batch_size=5, **NAMED, **CUT)
    assert merged.dims == ("class", "y", "x")
    assert merged.dtype == "f4"
    np.testing.assert_allclose(merged, by_hand(net().eval(), scene(dtype).values), atol=2e-3)
    assert merged["class"].values.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("chunks", [None, {"y": 17}])
def test_a_module_that_is_being_trained_is_evaluated_and_not_touched(chunks):
    network = net(norm=True)
    network[1].running_mean += 3
    before = {n: t.clone() for n, t in network.state_dict().items()}
    field = scene("f4") if chunks is None else scene("f4").chunk(chunks)
    merged = field.patch.apply(network, batch_size=5, **NAMED, **CUT).compute()
    assert network.training
    assert network[1].training
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())
    expected = by_hand(network.eval(), scene("f4").values)
    np.testing.assert_allclose(merged, expected, rtol=1e-4, atol=1e-3)


def test_layers_that_stay_in_training_mode_do():
    network = torch.nn.Sequential(net(), torch.nn.Dropout(0.5)).eval()
    one, same = (scene("f4").patch.apply(network, **NAMED, **CUT) for _ in range(2))
    assert one.equals(same)
    network[1].train()
    one, other = (scene("f4").patch.apply(network, **NAMED, **CUT) for _ in range(2))
    assert not one.equals(other)


def test_missing_values_go_through():
    field = scene("f4").where(lambda f: (f["y"] != 20) | (f["x"] != 20))
    merged = field.patch.apply(net().eval(), geometry={"y": 40, "x": 52}, **NAMED)
    assert int(merged.isnull().sum()) == 3 * 25  # two convolutions of three cells


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.requires_grad_(),
        lambda t: t.to_sparse(),
        lambda t: t.to(torch.bfloat16),
        lambda t: t.to(torch.float16),
        lambda t: torch.complex(t, t).conj().real,
        lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
    ],
)
def test_any_tensor_is_moved_to_numpy(change):
    merged = scene("f4").patch.apply(lambda p: change(torch.tensor(p.values)), **CUT)
    np.testing.assert_allclose(merged, scene("f4"), rtol=1e-2)
    assert merged.dtype in ("f2", "f4")


def test_heads_by_name_and_a_network_in_half_precision():
    class Heads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, x):
            logits = self.body(x)
            return {"logits": logits, "label": logits.argmax(1), "mean": logits.mean((1, 2, 3))}

    dims = {"logits": ("patch", "class", "y", "x"), "label": ("patch", "y", "x")}
    tiles = {"y": 8, "x": 13}
    for dtype in (torch.float32, torch.bfloat16):
        heads = Heads().to(dtype).eval()
        merged = (scene() / 1000).patch.apply(heads, output_dims=dims, geometry=tiles)
        assert merged["label"].dtype == "i8"
        assert merged["logits"].dtype == "f4"
        best = merged["logits"].argmax("class")
        assert (merged["label"] == best).mean() > 0.99


def test_arrays_that_torch_cannot_take_are_copied():
    from xpatch.run.network import Network

    values = scene("f4").values
    strange = values[:, ::-1, ::-2]
    strange.flags.writeable = False
    batch = xr.DataArray(strange[None], dims=("patch", "band", "y", "x"))
    found = Network(torch.nn.Identity())(batch)
    np.testing.assert_array_equal(found.numpy()[0], strange)
    big = Network(net())(batch.astype(">f4"))
    assert torch.equal(big, Network(net())(batch))


def test_what_a_module_cannot_take():
    network = net().eval()
    with pytest.raises(TypeError, match=r"to_dataarray\('band'\)"):
        scene().to_dataset("band").patch.apply(network, **CUT)
    with pytest.raises(TypeError, match="complex128, and the parameters of the network float32"):
        scene("c16").patch.apply(network, **NAMED, **CUT)
    with pytest.raises(ValueError, match="'meta', which holds no values"):
        scene().patch.apply(net().to("meta"), **NAMED, **CUT)
    with pytest.raises(ValueError, match="name its dimensions, as in output_dims="):
        scene().patch.apply(network, **CUT)


def test_a_network_that_cannot_be_copied_is_evaluated_by_its_owner():
    network = net()
    network.held = (open(__file__),)  # noqa: SIM115
    with network.held[0], pytest.raises(ValueError, match=r"net\.eval\(\)"):
        scene().patch.apply(network, **NAMED, **CUT)
    assert scene().patch.apply(network.eval(), **NAMED, **CUT).sizes["class"] == 3


def test_graphs_with_a_module_are_sent_and_named_by_its_parameters():
    network, field = net().eval(), scene("f4").chunk(y=20)
    merged = field.patch.apply(network, batch_size=3, **NAMED, **CUT)
    again = field.patch.apply(network, batch_size=3, **NAMED, **CUT)
    assert merged.data.name == again.data.name
    sent = pickle.loads(cloudpickle.dumps(merged))
    xr.testing.assert_allclose(sent.compute(), merged.compute())
    with torch.no_grad():
        network[0].bias += 1
    assert field.patch.apply(network, batch_size=3, **NAMED, **CUT).data.name != merged.data.name


@pytest.mark.parametrize("overlap", [0.25, 0.5])
@pytest.mark.parametrize("mode", ["constant", "gaussian"])
def test_sliding_window_inference_of_monai(overlap, mode):
    inferers = pytest.importorskip("monai.inferers")
    field, network, size = scene("f4") / 1000, net().eval(), 16
    values = torch.from_numpy(field.values[None].copy())
    weights, how = None, xpatch.OverlapAdd()
    if mode == "gaussian":  # MONAI's own has a floor of 0.001
        line = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (size * 0.125)) ** 2)
        weights = torch.from_numpy(np.outer(line, line).astype("f4"))
        how = xpatch.OverlapAdd(xpatch.Gaussian(0.25))
    with torch.no_grad():
        theirs = inferers.sliding_window_inference(
            values, (size, size), 4, network, overlap=overlap, roi_weight_map=weights
        )[0]
    sampler = xpatch.RegularStride(int(size * (1 - overlap)))
    cut = {"geometry": {"y": size, "x": size}, "sampler": sampler}
    for source in (field, field.chunk(y=20, x=30)):
        ours = source.patch.apply(network, batch_size=4, aggregation=how, **NAMED, **cut)
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)
