"""Predictions block by block are those of one call."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from crbestim import DictionaryRegressor, NLLSRegressor
from crbestim.datasets import make_fingerprints
from crbestim.estimators import predict_blocks
from crbestim.models import MonoExponential, MultiEchoSpinEcho

MODEL = MonoExponential([0.01, 0.03, 0.06], signal="magnitude")


@pytest.fixture(scope="module")
def data():
    return make_fingerprints(MODEL, 205, snr=50, random_state=0)


@pytest.fixture(scope="module")
def regressor(data):
    return NLLSRegressor(MODEL).fit(*data)


@pytest.fixture(scope="module")
def given():
    """Return an estimator with known values, signals and these values."""
    model = MultiEchoSpinEcho(0.01 * np.arange(1, 6), signal="magnitude").given("B1")
    X, y, known = make_fingerprints(model, 40, snr=100, random_state=0)
    return DictionaryRegressor(model).fit(X, y, known=known), X, known


def mapped(path, like, mode="w+"):
    return np.memmap(path, like.dtype, mode=mode, shape=like.shape)


def test_a_file_is_mapped_into_a_file(tmp_path, data, regressor):
    X, y = data
    images, maps = mapped(tmp_path / "images", X), mapped(tmp_path / "maps", y)
    images[:] = X
    found = predict_blocks(regressor, images, out=maps, block_size=50)
    assert found is maps
    maps.flush()
    expected = regressor.predict(X)
    np.testing.assert_array_equal(mapped(tmp_path / "maps", y, "r"), expected)


def of_hdf5(folder):
    """Return a function that makes an array in a file of HDF5."""
    file = pytest.importorskip("h5py").File(folder / "arrays.h5", "w")
    return lambda name, shape: file.create_dataset(name, shape, float, chunks=True)


def of_zarr(folder):
    """Return a function that makes an array in a folder of zarr."""
    create = pytest.importorskip("zarr").create_array
    options = dict(dtype=float, chunks=(30, 1))
    return lambda name, shape: create(store=folder / name, shape=shape, **options)


@pytest.mark.parametrize("kind", [of_hdf5, of_zarr])
def test_chunked_files_are_mapped(tmp_path, data, regressor, kind):
    array, (X, y) = kind(tmp_path), data
    images, maps = array("X", X.shape), array("y", y.shape)
    noise = array("sigma", X.shape)
    images[:], noise[:] = X, np.linspace(0.01, 0.02, X.size).reshape(X.shape)
    assert predict_blocks(regressor, images, out=maps, block_size=50) is maps
    np.testing.assert_array_equal(maps[:], regressor.predict(X))
    found = predict_blocks(regressor, images, sigma=noise, block_size=50)
    np.testing.assert_array_equal(found, regressor.predict(X, sigma=noise[:]))


def test_dask_maps_zarr_to_zarr(tmp_path, data, regressor):
    da, zarr = pytest.importorskip("dask.array"), pytest.importorskip("zarr")
    X = of_zarr(tmp_path)("X", data[0].shape)
    X[:] = data[0]
    voxels = da.from_zarr(str(tmp_path / "X"))
    predict_blocks(regressor, voxels).to_zarr(str(tmp_path / "y"))
    found = zarr.open(str(tmp_path / "y"), mode="r")
    np.testing.assert_array_equal(found[:], regressor.predict(data[0]))


def test_known_values_and_noise_follow_their_voxels(given, data, regressor):
    estimator, X, known = given
    found = predict_blocks(estimator, X, known=known, block_size=7)
    np.testing.assert_array_equal(found, estimator.predict(X, known=known))
    X = data[0]
    for sigma in (0.02, np.linspace(0.01, 0.02, len(X)), np.full((1, 3), 0.02)):
        found = predict_blocks(regressor, X, sigma=sigma, block_size=50)
        np.testing.assert_array_equal(found, regressor.predict(X, sigma=sigma))


def test_only_a_block_is_read_at_a_time_and_what_was_done_is_kept(data, regressor):
    class Disk:
        shape, read = data[0].shape, []

        def __getitem__(self, rows):
            if rows.start >= 100:
                raise OSError("the disk is gone")
            self.read.append(rows.stop - rows.start)
            return data[0][rows]

    out = np.full(data[1].shape, -1.0)
    with pytest.raises(OSError, match="the disk is gone"):
        predict_blocks(regressor, Disk(), out=out, block_size=50)
    assert Disk.read == [50, 50]
    np.testing.assert_array_equal(out[:100], regressor.predict(data[0][:100]))
    assert (out[100:] == -1).all()


def test_blocks_warn_once(data):
    hasty = NLLSRegressor(MODEL, max_iter=1).fit(*data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predict_blocks(hasty, data[0], sigma=0.01, block_size=50)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert str(caught[0].message).startswith("among 50 voxels")
    assert caught[0].filename == __file__


def test_chunks_of_dask_warn_once_a_call(data):
    da = pytest.importorskip("dask.array")
    hasty = NLLSRegressor(MODEL, max_iter=1).fit(*data)
    X = da.from_array(data[0], chunks=(50, -1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            predict_blocks(hasty, X, sigma=0.01).compute(scheduler="synchronous")
    assert [w.category for w in caught] == 2 * [ConvergenceWarning]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(X=[[1.0, 2.0, 3.0]]), "X is of type list"),
        (dict(X=np.ones(3)), r"with shape \(3,\); give an array of shape"),
        (
            dict(out=np.empty((3, 2))),
            r"out has shape \(3, 2\); the estimates have \(205, 2",
        ),
        (dict(known=np.ones((3, 1))), "known has 3 rows, but X has 205"),
        (dict(block_size=0), "block_size"),
    ],
)
def test_wrong_arguments_are_named(data, regressor, change, message):
    with pytest.raises(ValueError, match=message):
        predict_blocks(regressor, **(dict(X=data[0]) | change))


def test_a_dask_array_is_mapped_chunk_by_chunk(data, regressor, given):
    da = pytest.importorskip("dask.array")
    X = da.from_array(data[0], chunks=(60, 2))
    found = predict_blocks(regressor, X)
    assert found.chunks == ((60, 60, 60, 25), (2,))
    with pytest.raises(ValueError, match="takes no out"):
        predict_blocks(regressor, X, out=np.empty((205, 2)))
    with pytest.raises(ValueError, match="sigma is an array"):
        predict_blocks(regressor, X, sigma=np.ones(205))
    expected = regressor.predict(data[0], sigma=0.02)
    found = predict_blocks(regressor, X, sigma=0.02).compute(scheduler="threads")
    np.testing.assert_array_equal(found, expected)
    estimator, X, known = given
    found = predict_blocks(estimator, da.from_array(X, chunks=(15, -1)), known=known)
    np.testing.assert_array_equal(found.compute(), estimator.predict(X, known=known))
