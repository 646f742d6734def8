import json
import subprocess
import sys

import numpy as np
import pytest

from crbestim import NLLSRegressor
from crbestim.exceptions import ImageFileError, ImplausibleValueWarning
from crbestim.io import Acquisition, read_bids, read_images, write_bids
from crbestim.io._command import main
from crbestim.models import (
    InversionRecovery,
    MonoExponential,
    MultiEchoSpinEcho,
    SpoiledGradientEcho,
)
from tests.io.volumes import AFFINE, SHAPE, TE, echoes, nib, write

FIELD = {"MagneticFieldStrength": 3.0}


def put(root, name, data, affine=AFFINE, folder="anat", **sidecar):
    """Write an image of a subject, and its sidecar."""
    where = root.joinpath(*name.split("_")[: 2 if "ses-" in name else 1], folder)
    where.mkdir(parents=True, exist_ok=True)
    path = write(where / f"{name}.nii.gz", np.asarray(data, np.float32), affine)
    if sidecar:
        (where / f"{name}.json").write_text(json.dumps(sidecar))
    return path


@pytest.fixture
def root(tmp_path):
    """Return a raw data set of one subject."""
    root = tmp_path / "raw"
    data = echoes()[2]
    # Echo 10 comes after echo 2, as numbers do.
    for k, index in enumerate((1, 2, 3, 10)):
        put(root, f"sub-01_echo-{index}_MESE", data[..., k], EchoTime=TE[k])
    content = {"Name": "raw", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    content |= {"Authors": ["A", "B"], "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(content))
    (root / "README").write_text(
        "A data set of a test, made of numbers that mean nothing.\n"
    )
    (root / "MESE.json").write_text(json.dumps(FIELD | {"EchoTime": 9.0}))
    return root


def files_in(root):
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def test_echoes_with_the_times_of_their_sidecars(root):
    X, voxels, acquisition = read_bids(root, subject="01", suffix="MESE")
    np.testing.assert_array_equal(X, echoes()[2].astype("f4").reshape(-1, len(TE)))
    np.testing.assert_array_equal(acquisition.te, TE)
    assert acquisition.tr is None and acquisition.alpha is None
    assert acquisition.sidecars[1] == FIELD | {"EchoTime": TE[1]}
    assert voxels.entities == {"sub": "01"}
    assert voxels.metadata == FIELD | {"EchoTime": TE.tolist()}
    model = MonoExponential(**acquisition.arguments(MonoExponential), signal="magnitude")
    np.testing.assert_array_equal(model.te, TE)
    mask = voxels.mask & (voxels.to_volume(X[:, 0]) > 800)
    some, _, _ = read_bids(str(root), subject="sub-01", suffix="MESE", mask=mask)
    np.testing.assert_array_equal(some, X[mask.ravel()])


def test_flip_angles_inversions_and_magnetization_transfer(root):
    ones = np.ones(SHAPE)
    for k, angle in enumerate((4, 20), 1):
        put(root, f"sub-01_flip-{k}_VFA", k * ones, FlipAngle=angle,
            RepetitionTimeExcitation=0.02, EchoTime=0.003)  # fmt: skip
    for k, ti in enumerate((0.05, 0.5, 2.0), 1):
        put(root, f"sub-01_inv-{k}_IRT1", k * ones, InversionTime=ti, RepetitionTime=5)
    for k, ti in enumerate((0.7, 2.5), 1):
        put(root, f"sub-01_inv-{k}_MP2RAGE", k * ones, InversionTime=ti, FlipAngle=3 + k,
            RepetitionTimeExcitation=0.006, RepetitionTimePreparation=5)  # fmt: skip
    for k, (name, mt) in enumerate(
        (("1_mt-on", True), ("1_mt-off", False), ("2_mt-off", False))
    ):
        put(root, f"sub-01_flip-{name}_MTS", k * ones, FlipAngle=6 if "1" in name else 20,
            MTState=mt, RepetitionTimeExcitation=0.025)  # fmt: skip
    X, voxels, found = read_bids(root, subject="01", suffix="VFA")
    arguments = found.arguments(SpoiledGradientEcho)
    assert arguments.keys() == {"alpha", "tr"} and arguments["tr"] == 0.02
    np.testing.assert_allclose(SpoiledGradientEcho(**arguments).alpha, np.deg2rad([4, 20]))
    assert voxels.metadata["FlipAngle"] == [4, 20] and voxels.metadata["EchoTime"] == 0.003
    X, voxels, found = read_bids(root, subject="01", suffix="IRT1")
    model = InversionRecovery(**found.arguments(InversionRecovery))
    assert model.tr == 5 and model.ti.tolist() == [0.05, 0.5, 2.0]
    # A sidecar of a map has one InversionTime, or none.
    assert voxels.metadata["InversionTimes"] == [0.05, 0.5, 2.0]
    X, _, found = read_bids(root, subject="01", suffix="MP2RAGE")
    assert (X[0].tolist(), found.ti.tolist(), found.tr.tolist()) == (
        [1, 2],
        [0.7, 2.5],
        [5, 5],
    )
    X, _, found = read_bids(root, subject="01", suffix="MTS")
    assert (X[0].tolist(), found.mt.tolist()) == ([1, 0, 2], [False, True, False])
    np.testing.assert_allclose(np.rad2deg(found.alpha), [6, 6, 20])


def test_complex_images_come_in_parts(root):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(*SHAPE, 2, 2)) @ [1, 1j]
    scanner = np.round(np.angle(z) / np.pi * 4095)
    scanner[0, 0, 0] = 4095, -4095
    for k in (0, 1):
        name = f"sub-02_echo-{k + 1}_part-{{}}_MEGRE"
        put(root, name.format("mag"), np.abs(z[..., k]), EchoTime=0.01 * (k + 1))
        put(root, name.format("phase"), np.angle(z[..., k]), EchoTime=0.01, Units="rad")
        put(root, name.format("real").replace("02", "03"), z[..., k].real, EchoTime=0.01)
        put(root, name.format("imag").replace("02", "03"), z[..., k].imag, EchoTime=0.01)
        put(root, name.format("mag").replace("02", "04"), np.abs(z[..., k]), EchoTime=0.01)
        put(
            root,
            name.format("phase").replace("02", "04"),
            scanner[..., k],
            Units="arbitrary",
        )
    for subject in ("02", "03"):
        X, voxels, _ = read_bids(root, subject=subject, suffix="MEGRE")
        np.testing.assert_allclose(X, z.reshape(-1, 2), atol=1e-6)
        assert voxels.entities == {"sub": subject} and len(voxels.files) == 4
    with pytest.warns(UserWarning, match="a full turn is taken as 8192"):
        X, _, _ = read_bids(root, subject="04", suffix="MEGRE")
    np.testing.assert_allclose(X[1:], z.reshape(-1, 2)[1:], atol=4e-3)
    X, _, _ = read_bids(root, subject="02", suffix="MEGRE", entities={"part": "mag"})
    np.testing.assert_allclose(X, np.abs(z.reshape(-1, 2)), atol=1e-6)
    (root / "sub-02" / "anat" / "sub-02_echo-1_part-phase_MEGRE.nii.gz").unlink()
    with pytest.raises(ImageFileError, match="are parts of different volumes"):
        read_bids(root, subject="02", suffix="MEGRE")
    with pytest.raises(ImageFileError, match="images of MEGRE are phase; magnitudes"):
        read_bids(root, subject="02", suffix="MEGRE", entities={"part": "phase"})


@pytest.mark.parametrize(
    ("scale", "sidecar", "message"),
    [
        (1, {"Units": "1"}, None),
        (100, {"Units": "percent"}, None),
        (60, {"Units": "degree", "FlipAngle": 60}, None),
        (1, {}, "Units is missing, and sub-01_TB1map.nii.gz .*: it is taken as relative"),
        (100, {"Units": "arbitrary"}, "Units is 'arbitrary', .*: it is taken as percent"),
        (60, {"FlipAngle": 60}, "it is taken as flip angles in degrees, of nominally 60"),
    ],
)
def test_maps_of_b1_become_relative(root, scale, sidecar, message):
    b1 = np.linspace(0.8, 1.1, np.prod(SHAPE)).reshape(SHAPE)
    put(root, "sub-01_TB1map", scale * b1, folder="fmap", **sidecar)
    call = dict(subject="01", suffix="TB1map")
    if message is None:
        X, _, _ = read_bids(root, **call)
    else:
        with pytest.warns(UserWarning, match=message) as told:
            X, _, _ = read_bids(root, **call)
        assert told[0].filename == __file__
    np.testing.assert_allclose(X, b1.reshape(-1, 1), rtol=1e-6)


def test_what_is_missing_or_odd_is_said(root):
    def refused(error, match, **call):
        with pytest.raises(error, match=match):
            read_bids(root, **({"subject": "01", "suffix": "MESE"} | call))

    refused(FileNotFoundError, "has no subject 02; there are: 01", subject="02")
    refused(FileNotFoundError, "no session a; there are: none", session="a")
    refused(FileNotFoundError, "has no image VFA ; there is none at all", suffix="VFA")
    refused(ValueError, "suffix='T1w' is unknown", suffix="T1w")
    refused(ValueError, "sub is 1; give a label of letters and digits", subject=1)
    refused(ValueError, "sub is '../01'", subject="../01")
    refused(FileNotFoundError, r"no image MESE {'run': '2'}", entities={"run": 2})
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_bids(root / "no", subject="01", suffix="MESE")
    sidecar = root / "sub-01" / "anat" / "sub-01_echo-2_MESE.json"
    for text, message in (
        ("{", "echo-2_MESE.json is no JSON file"),
        ("[]", "echo-2_MESE.json holds no object"),
        (
            '{"EchoTime": "30 ms"}',
            "EchoTime of .*echo-2_.* is '30 ms'; it must be one value",
        ),
        ('{"EchoTime": true}', "EchoTime of .* is True"),
        ('{"EchoTime": -1}', "EchoTime of .* is -1"),
    ):
        sidecar.write_text(text)
        refused(ImageFileError, message)
    sidecar.write_text('{"EchoTime": 30}')
    with pytest.warns(ImplausibleValueWarning, match="up to 30 s; is it in milliseconds"):
        read_bids(root, subject="01", suffix="MESE")
    sidecar.unlink()
    (root / "MESE.json").unlink()
    refused(ImageFileError, "sidecars of sub-01_echo-2_MESE.nii.gz have no EchoTime")
    put(root, "sub-01_acq-b_echo-1_MESE", np.ones(SHAPE), EchoTime=0.01)
    refused(ImageFileError, "2 series of MESE fit: sub-01 acq-b; sub-01. Give entities")
    put(root, "sub-05_ses-a_echo-1_MESE", np.ones(SHAPE), EchoTime=0.01)
    put(root, "sub-05_ses-b_echo-1_MESE", np.ones(SHAPE), EchoTime=0.01)
    refused(ImageFileError, "has the sessions a, b; give session", subject="05")
    assert read_bids(root, subject="05", session="ses-b", suffix="MESE")[1].entities == {
        "sub": "05",
        "ses": "b",
    }


def validate(root):
    """Return the errors that the validator of BIDS finds."""
    pytest.importorskip("bids_validator_deno")
    code = "from bids_validator_deno import cli; cli()"
    command = [sys.executable, "-c", code, str(root), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [issue for issue in issues if issue["severity"] == "error"]


def test_maps_are_a_derivative_data_set(root):
    X, voxels, acquisition = read_bids(root, subject="01", suffix="MESE")
    model = MonoExponential(acquisition.te, signal="magnitude")
    reg = NLLSRegressor(model).fit(X)
    maps, std = reg.predict(X, return_std=True, sigma=5.0)
    names = "T2", "M0", "T1", "R1map", "R2", "T2star", "R2star", "MTsat", "S0", "MWF", "PD"
    others = "m0s", "Rx", "T2s", "PSR"
    by_name = dict.fromkeys(names + others, maps[:, 0]) | {"M0": maps[:, 1]}
    target = root / "derivatives" / "crbestim"
    written = write_bids(
        target, by_name, voxels, std={n: std[:, 0] for n in by_name}, algorithm=reg
    )
    assert {f"sub-01/anat/{path.name}" for path in written} | {
        f"sub-01/anat/{path.name.removesuffix('.nii.gz')}.json" for path in written
    } | {"dataset_description.json", ".bidsignore", "README"} == files_in(target)
    assert (target / ".bidsignore").read_text().split() == [
        f"*_{name}map.*" for name in others
    ]
    anat = target / "sub-01" / "anat"
    values = voxels.from_nifti(anat / "sub-01_T2map.nii.gz")
    np.testing.assert_array_equal(values, maps[:, 0].astype("f4"))
    values = voxels.from_nifti(anat / "sub-01_desc-std_T2map.nii.gz")
    np.testing.assert_array_equal(values, std[:, 0].astype("f4"))
    about = json.loads((anat / "sub-01_desc-std_T2map.json").read_text())
    assert about == {
        "Units": "s",
        "Description": "Standard deviation of T2; NaN is no estimate",
        "SkullStripped": False,
        "Sources": [
            f"bids:raw:sub-01/anat/sub-01_echo-{k}_MESE.nii.gz" for k in (1, 2, 3, 10)
        ],
        "EstimationAlgorithm": str(reg),
        "EchoTime": TE.tolist(),
        "MagneticFieldStrength": 3.0,
    }
    units = {n: json.loads((anat / f"sub-01_{n}.json").read_text())["Units"]
             for n in ("R1map", "M0map", "Rxmap", "T2smap", "MTsat", "MWFmap")}  # fmt: skip
    assert list(units.values()) == ["1/s", "arbitrary", "1/s", "s", "arbitrary", "1"]
    description = json.loads((target / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["DatasetLinks"] == {"raw": "../.."}
    assert description["GeneratedBy"][0]["Name"] == "crbestim"
    assert validate(target) == []
    # The same again is no other data set; maps of other images are.
    write_bids(target, {"T2": maps[:, 0]}, voxels)
    other = voxels.with_details(files=voxels.files[:2])
    with pytest.raises(
        ValueError, match="T2map.nii.gz is there already, from other images"
    ):
        write_bids(target, {"T2": maps[:, 0]}, other)


def test_maps_that_do_not_fit_are_refused(root, tmp_path):
    X, voxels, _ = read_bids(root, subject="01", suffix="MESE")
    target, t2 = tmp_path / "maps", X[:, 0]
    for call, error, message in (
        (dict(maps={}), ValueError, "maps is empty"),
        (dict(maps=t2), TypeError, "maps is ndarray; give a dict"),
        (dict(maps={"T2": t2[1:]}), ValueError, r"values have shape \(59,\) for 60 voxels"),
        (
            dict(maps={"T2": t2}, std={"T1": t2}),
            ValueError,
            "std has T1, and maps have not",
        ),
        (dict(maps={"D*": t2}), ValueError, "maps has 'D\\*'; give names of letters"),
        (dict(maps={"kf": t2}), ValueError, "the unit of kf is not known; give units="),
        (dict(maps={"T2": t2}, subject="a b"), ValueError, "sub is 'a b'"),
        (dict(maps={"T2": t2}, root=root), ValueError, "is a data set of something else"),
    ):
        with pytest.raises(error, match=message):
            write_bids(**({"root": target, "voxels": voxels} | call))
    assert not target.exists()
    _, alone = read_images(voxels.files[0])
    with pytest.raises(ValueError, match="subject is missing; give it"):
        write_bids(target, {"T2": t2}, alone)
    path, _ = write_bids(
        target,
        {"kf": t2},
        alone,
        std={"kf": t2},
        subject="a",
        session="b",
        units={"kf": "1/s"},
    )
    assert (
        path.relative_to(target).as_posix() == "sub-a/ses-b/anat/sub-a_ses-b_kfmap.nii.gz"
    )
    assert validate(target) == []
    with pytest.raises(ValueError, match="is a data set of something else"):
        (target / "dataset_description.json").write_text('{"DatasetType": "derivative"}')
        write_bids(target, {"T2": t2}, voxels)


def test_a_whole_data_set_from_the_command_line(root, capsys):
    te = 0.01 * np.arange(1, 6)
    data = echoes(te=te)[2]
    for k in range(5):
        put(root, f"sub-02_ses-a_echo-{k + 1}_MESE", data[..., k], EchoTime=te[k])
    b1 = np.linspace(80, 110, np.prod(SHAPE)).reshape(SHAPE)
    put(root, "sub-02_ses-a_TB1map", b1, folder="fmap", Units="percent")
    mask = np.zeros(SHAPE)
    mask[1:3] = 1
    put(root / "derivatives" / "masks", "sub-02_ses-a_desc-brain_mask", mask)
    command = ["map", "--bids", str(root), "--model", "MultiEchoSpinEcho", "--sigma", "5"]
    command += ["--b1", "TB1map", "--mask", str(root / "derivatives" / "masks")]
    # The other subject has no mask.
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert "crbestim: subject 01: " in err and "has no subject 01; there are: 02" in err
    assert "maps of 1 of 2 are in" in out
    assert main([*command, "--subject", "02"]) == 0
    target = root / "derivatives" / "crbestim"
    assert validate(target) == []
    path = target / "sub-02" / "ses-a" / "anat" / "sub-02_ses-a_T2map.nii.gz"
    X, voxels = read_images([root / "sub-02" / "ses-a" / "anat" /
        f"sub-02_ses-a_echo-{k}_MESE.nii.gz" for k in range(1, 6)], mask)  # fmt: skip
    known = (b1[mask > 0] / 100).astype("f4")[:, None]
    reg = NLLSRegressor(MultiEchoSpinEcho(te).given("B1")).fit(X, known=known)
    expected = reg.predict(X, known=known, sigma=5.0)[:, 0]
    np.testing.assert_allclose(voxels.from_nifti(path), expected, rtol=1e-6)
    about = json.loads(path.with_name("sub-02_ses-a_T2map.json").read_text())
    assert about["SkullStripped"] is True and len(about["Sources"]) == 6
    assert about["Sources"][-1] == "bids:raw:sub-02/ses-a/fmap/sub-02_ses-a_TB1map.nii.gz"
    assert np.isnan(np.asanyarray(nib.load(path).dataobj)[mask == 0]).all()
    assert main(["map", "--bids", str(root), "--model", "FISPFingerprinting"]) == 2
    assert (
        "FISPFingerprinting has no usual images; give --suffix" in capsys.readouterr().err
    )


def test_an_acquisition_leaves_out_what_does_not_vary():
    same = Acquisition(
        te=np.array([0.01, 0.01]), alpha=np.array([0.1, 0.2]), tr=np.array([1, 2])
    )
    found = same.arguments(SpoiledGradientEcho)
    assert found.keys() == {"alpha", "tr"} and found["tr"].tolist() == [1, 2]
    assert same.arguments(MonoExponential).keys() == {"te"}
