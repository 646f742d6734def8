import json
import os
import sys

import numpy as np
import pytest

from crbestim import NLLSRegressor
from crbestim.exceptions import ImageFileError
from crbestim.io import images as images_module
from crbestim.io import map_images, open_images, read_images
from crbestim.models import MonoExponential
from tests.io.volumes import AFFINE, SHAPE, TE, echoes, nib, write


@pytest.fixture
def series(tmp_path):
    """Return the path of a 4-D image, its data, and a mask."""
    data = echoes()[2].astype(np.float32)
    mask = np.zeros(SHAPE, bool)
    mask[1:4, 1:, :2] = True
    return write(tmp_path / "echoes.nii.gz", data), data, mask


def test_rows_are_those_of_the_mask(series, tmp_path):
    path, data, mask = series
    X, voxels = read_images(path)
    np.testing.assert_array_equal(X, data.reshape(-1, len(TE)))
    assert X.dtype == float and len(voxels) == np.prod(SHAPE)
    of_array, voxels = read_images(str(path), mask)
    stored = write(tmp_path / "mask.nii", np.where(mask, 3, 0).astype(np.uint8))
    of_file, _ = read_images(path, stored)
    np.testing.assert_array_equal(of_array, data[mask])
    np.testing.assert_array_equal(of_file, data[mask])
    assert repr(voxels) == "Voxels(18 of 5 x 4 x 3)"
    # A mask of NaN and 1 is one, too.
    floats = write(tmp_path / "nan.nii", np.where(mask, 1, np.nan).astype(np.float32))
    np.testing.assert_array_equal(read_images(path, floats)[0], data[mask])


def test_files_of_one_volume_are_one_series(series, tmp_path):
    path, data, mask = series
    files = [write(tmp_path / f"{k}.nii.gz", data[..., k]) for k in range(len(TE))]
    np.testing.assert_array_equal(read_images(files, mask)[0], data[mask])
    np.testing.assert_array_equal(read_images(files[::-1], mask)[0], data[mask][:, ::-1])
    images = [nib.load(f) for f in files]
    np.testing.assert_array_equal(read_images(images, mask)[0], data[mask])
    both, _ = read_images([path, files[0]], mask)
    np.testing.assert_array_equal(both, np.c_[data[mask], data[mask][:, :1]])


def test_integers_come_scaled(tmp_path):
    stored = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    path = write(tmp_path / "a.nii", stored, scl_slope=0.5, scl_inter=-3)
    # nibabel computes slope and intercept anew for integers that it writes.
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([0.5, -3], "<f4").tobytes()
    path.write_bytes(raw)
    X, _ = read_images(path)
    np.testing.assert_array_equal(X[:, 0], stored.ravel() * 0.5 - 3)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_blocks_and_their_maps_are_the_same_bit_for_bit(
    ending, series, tmp_path, monkeypatch
):
    _, data, mask = series
    rng = np.random.default_rng(0)
    noisy = (data + rng.normal(scale=20, size=data.shape)).astype(np.float32)
    path = write(tmp_path / f"noisy.{ending}", noisy)
    X, _ = read_images(path, mask)
    model = MonoExponential(TE, signal="magnitude")
    reg = NLLSRegressor(model).fit(X)
    whole = reg.predict(X, return_std=True, sigma=20.0)
    images = open_images(path, mask)
    assert len(images) == len(X) and not images.is_complex
    for size, numbers in ((1, 1), (7, 1), (7, 2**26), (1000, 160)):
        # What is read at once: one slice, all of them, or two.
        monkeypatch.setattr(images_module, "_NUMBERS", numbers)
        maps, std = np.full((2, len(X), 2), np.nan)
        sizes = []
        for rows, block in images.blocks(size):
            assert len(rows) <= size
            sizes.append(len(rows))
            maps[rows], std[rows] = reg.predict(block, return_std=True, sigma=20.0)
        np.testing.assert_array_equal([maps, std], whole)
        assert images.block_sizes(size) == sizes
        at_once = map_images(reg, images, sigma=20.0)
        np.testing.assert_array_equal(at_once, whole)
    of_each = map_images(reg, images, sigma=np.full(len(X), 20.0), verbose=True)
    np.testing.assert_array_equal(of_each, whole)
    with pytest.raises(ValueError, match="size = 0; give a whole number, 1 or more"):
        next(images.blocks(0))


def test_complex_images_of_every_kind(series, tmp_path):
    path, data, mask = series
    rng = np.random.default_rng(0)
    phase = rng.uniform(-np.pi, np.pi, data.shape)
    phase.flat[:2] = -np.pi, np.pi
    truth = (data * np.exp(1j * phase))[mask]

    def parts(name, values, dtype):
        return write(tmp_path / f"{name}.nii.gz", values.astype(dtype))

    z, _ = read_images(parts("complex", data * np.exp(1j * phase), np.complex64), mask)
    real = parts("real", data * np.cos(phase), np.float32)
    imaginary = parts("imag", data * np.sin(phase), np.float32)
    of_parts, _ = read_images(real, mask, imaginary=imaginary)
    in_radians, _ = read_images(path, mask, phase=parts("rad", phase, np.float32))
    for found in (z, of_parts, in_radians):
        assert found.dtype == complex
        np.testing.assert_allclose(found, truth, rtol=3e-6, atol=1e-3)
    scanner = parts("scanner", np.round(phase / np.pi * 4095.5 - 0.5), np.int16)
    turns = {
        "scanner": (scanner, 8192, 1e-3),
        "degrees": (parts("deg", np.rad2deg(phase), np.float32), 360, 1e-6),
        "milli": (parts("mrad", np.round(1e3 * phase), np.int16), 2000 * np.pi, 1e-3),
    }
    for file, turn, error in turns.values():
        with pytest.warns(UserWarning, match=f"a full turn is taken as {turn:.6g}"):
            found, _ = read_images(path, mask, phase=file)
        np.testing.assert_allclose(found, truth, rtol=error, atol=error * 1500)
        np.testing.assert_array_equal(
            found, read_images(path, mask, phase=file, turn=turn)[0]
        )
    positive = parts("positive", np.mod(phase, 2 * np.pi), np.float32)
    found, _ = read_images(path, mask, phase=positive)
    np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-3)


def test_a_phase_of_unknown_unit_is_refused(series, tmp_path):
    path, data, _ = series
    phase = write(tmp_path / "phase.nii", np.full(data.shape, 1304, np.int16))
    with pytest.raises(ImageFileError, match="goes from 0 to 1304, which are no radians"):
        read_images(path, phase=phase)
    assert np.iscomplexobj(read_images(path, phase=phase, turn=8192)[0])
    with pytest.raises(ValueError, match="phase and imaginary are both given"):
        read_images(path, phase=phase, imaginary=phase)
    with pytest.raises(ValueError, match="turn is the unit of a phase"):
        read_images(path, turn=8192)
    with pytest.raises(ValueError, match="turn = -1"):
        read_images(path, phase=phase, turn=-1)
    one = write(tmp_path / "one.nii", np.zeros(SHAPE, np.int16))
    with pytest.raises(ImageFileError, match="image has 4 and phase has 1 volumes"):
        read_images(path, phase=one)
    z = write(tmp_path / "z.nii", data.astype(np.complex64))
    with pytest.raises(ImageFileError, match="z.nii and its phase hold complex"):
        read_images(z, phase=phase, turn=8192)


def test_images_of_other_shape_or_place_are_refused(series, tmp_path):
    path, data, mask = series
    small = write(tmp_path / "small.nii", data[:3, ..., 0])
    with pytest.raises(ImageFileError, match="small.nii has 3 x 4 x 3 voxels and .*echoes"):
        read_images([path, small])
    moved = AFFINE.copy()
    moved[0, 3] += 0.2
    moved = write(tmp_path / "moved.nii", mask.astype(np.uint8), moved)
    message = (
        r"moved.nii lies elsewhere .* up to 0.2 mm apart .* \(90.2, -126, -72\) and \(90,"
    )
    with pytest.raises(ImageFileError, match=message):
        read_images(path, moved)
    flipped = AFFINE * [-1, 1, 1, 1]
    with pytest.raises(ImageFileError, match="flip.nii lies elsewhere"):
        read_images([path, write(tmp_path / "flip.nii", data, flipped)])
    voxels = read_images(path)[1]
    with pytest.raises(ImageFileError, match="small.nii has 3 x 4 x 3 voxels"):
        voxels.from_nifti(small)
    # The rounding of a header is no other place.
    near = write(tmp_path / "near.nii", data, AFFINE + 1e-3)
    assert read_images([path, near])[0].shape[1] == 2 * len(TE)


def test_masks_that_are_none_are_refused(series, tmp_path):
    path, data, mask = series
    for wrong, message in (
        (np.zeros(SHAPE), "mask has no voxel that is not 0"),
        (np.full(SHAPE, 0.3), "mask holds 0.3; give a mask of 0 and 1"),
        (mask[1:], r"mask has shape \(4, 4, 3\) and .*echoes"),
        (
            write(tmp_path / "m.nii", data.round()),
            "m.nii has 4 volumes; give a mask of one",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            read_images(path, wrong)


def test_files_that_are_no_images_are_refused(series, tmp_path):
    path, data, _ = series
    whole = path.read_bytes()
    for name, content in (
        ("cut.nii.gz", whole[:-200]),
        ("bits.nii.gz", whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:]),
        ("sum.nii.gz", whole[:-8] + b"1234" + whole[-4:]),
        ("empty.nii.gz", b""),
        ("text.nii", b"no image " * 100),
        ("short.nii", write(tmp_path / "long.nii", data).read_bytes()[:500]),
        ("foreign.png", b"\x89PNG"),
    ):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(ImageFileError, match=f"{name} cannot be read as an image"):
            read_images(file)
    with pytest.raises(FileNotFoundError, match="there is no file .*none.nii"):
        read_images(tmp_path / "none.nii")
    with pytest.raises(ImageFileError, match="is a folder; give the image files in it"):
        read_images(tmp_path)
    with pytest.raises(ValueError, match="paths is an empty list"):
        read_images([])
    for wrong in (None, 3, b"a.nii"):
        with pytest.raises(TypeError, match="paths is .*; give the name of an image file"):
            read_images(wrong)
    with pytest.raises(TypeError, match="paths holds 3"):
        read_images([3])
    five = write(tmp_path / "five.nii", np.zeros((2, 2, 2, 2, 2), np.float32))
    with pytest.raises(ImageFileError, match=r"shape \(2, 2, 2, 2, 2\); give 3-D or 4-D"):
        read_images(five)
    raw = bytearray((tmp_path / "long.nii").read_bytes())
    raw[42:44] = b"\xff\xff"
    (tmp_path / "negative.nii").write_bytes(raw)
    with pytest.raises(ImageFileError, match=r"has the shape \(-1, 4, 3, 4\); give 3-D"):
        read_images(tmp_path / "negative.nii")
    raw = bytearray((tmp_path / "long.nii").read_bytes())
    raw[280:284] = np.float32(np.nan).tobytes()
    (tmp_path / "nowhere.nii").write_bytes(raw)
    with pytest.raises(ImageFileError, match="does not say where its voxels are"):
        read_images(tmp_path / "nowhere.nii")
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ImageFileError, match="rgb.nii is no volume of numbers"):
        read_images(write(tmp_path / "rgb.nii", colours))


def test_maps_are_written_where_the_images_are(series, tmp_path):
    path, data, mask = series
    X, voxels = read_images(path, mask)
    target = tmp_path / "T2.nii.gz"
    voxels.to_nifti(X[:, 0], target, unit="s", sidecar={"Sources": ["a"]})
    image, source = nib.load(target), nib.load(path)
    np.testing.assert_array_equal(image.affine, source.affine)
    for name in ("qform_code", "sform_code"):
        assert image.header[name] == source.header[name]
    assert image.get_data_dtype() == np.float32
    assert image.header.get_xyzt_units()[0] == "mm"
    assert bytes(image.header["descrip"]).rstrip(b"\0") == b"T2 (s)"
    stored = np.asanyarray(image.dataobj)
    np.testing.assert_array_equal(stored, np.where(mask, data[..., 0], np.nan))
    assert json.loads((tmp_path / "T2.json").read_text()) == {
        "Units": "s",
        "Sources": ["a"],
    }
    np.testing.assert_array_equal(voxels.from_nifti(target), X[:, 0])
    voxels.to_nifti(X, tmp_path / "all.nii", dtype=np.float64)
    assert not (tmp_path / "all.json").exists()
    np.testing.assert_array_equal(voxels.from_nifti(tmp_path / "all.nii"), X)
    voxels.to_nifti(1j * X[:, 0], tmp_path / "z.nii")
    assert nib.load(tmp_path / "z.nii").get_data_dtype() == np.complex64
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_maps_that_would_lose_numbers_or_images_are_refused(series, tmp_path):
    path, _, mask = series
    X, voxels = read_images(path, mask)
    values, target = X[:, 0], tmp_path / "a.nii"
    for wrong, options, message in (
        (values[1:], {}, r"values have shape \(17,\) for 18 voxels"),
        (1e300 * values, {}, "are lost as float32; give another dtype"),
        (1e-300 * values, {}, "are lost as float32"),
        (values, dict(dtype=np.int16), "are lost as int16"),
        (values, dict(dtype=np.float16), "dtype is float16"),
        (1j * values, dict(dtype=np.int16), "values are complex"),
    ):
        with pytest.raises(ValueError, match=message):
            voxels.to_nifti(wrong, target, **options)
    for name in ("a.img", "a", ".nii"):
        with pytest.raises(ValueError, match="give the name of a .nii or .nii.gz file"):
            voxels.to_nifti(values, tmp_path / name)
    with pytest.raises(ValueError, match="which the voxels were read from"):
        voxels.to_nifti(values, path)
    with pytest.raises(FileNotFoundError):
        voxels.to_nifti(values, tmp_path / "no" / "folder.nii")
    assert not target.exists()


def test_without_nibabel_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    message = r'Reading and writing images needs nibabel.*pip install "crbestim\[images\]"'
    with pytest.raises(ImportError, match=message):
        read_images("a.nii")


def test_one_slice(tmp_path):
    flat = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = write(tmp_path / "flat.nii", flat)
    X, voxels = read_images(path, flat > 3)
    np.testing.assert_array_equal(X[:, 0], flat[flat > 3])
    volume = voxels.to_volume(X[:, 0])
    np.testing.assert_array_equal(volume[..., 0], np.where(flat > 3, flat, np.nan))


def test_outliers_do_not_set_what_viewers_show(tmp_path):
    _, voxels = read_images(write(tmp_path / "x.nii", np.ones((10, 10, 2), np.float32)))
    values = np.linspace(0.0, 1.0, 200)
    values[:3] = 1e18, np.inf, np.nan
    voxels.to_nifti(values, tmp_path / "map.nii")
    header = nib.load(tmp_path / "map.nii").header
    assert 0 < header["cal_min"] < 0.05 and 0.95 < header["cal_max"] <= 1
