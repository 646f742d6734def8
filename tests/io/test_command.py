import inspect
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import crbestim
from crbestim import NLLSRegressor
from crbestim.io import read_images
from crbestim.io._command import main
from crbestim.io._model_options import model_classes
from crbestim.models import MP2RAGE, MonoExponential, MultiEchoSpinEcho
from tests.conftest import ROOT
from tests.io.volumes import SHAPE, TE, echoes, nib, write

DECAY = ["--model", "MonoExponential", "--te", *map(str, TE)]


def read(path):
    return np.asanyarray(nib.load(path).dataobj)


def noisy(te=TE, scale=5.0):
    data = echoes(te=te)[2]
    return (data + np.random.default_rng(1).normal(scale=scale, size=data.shape)).astype(
        "f4"
    )


@pytest.fixture
def files(tmp_path):
    """Return a folder with noisy echoes, a mask and a map of B1 in percent."""
    data, mask = noisy(), np.zeros(SHAPE, np.uint8)
    mask[1:4, 1:, :2] = 1
    data[2, 2, 1] = np.nan
    write(tmp_path / "echoes.nii.gz", data)
    write(tmp_path / "mask.nii", mask)
    write(tmp_path / "b1.nii", np.linspace(80, 110, mask.size).reshape(SHAPE).astype("f4"))
    return tmp_path


def test_maps_of_a_new_user(files):
    command = [sys.executable, "-m", "crbestim", "map", "echoes.nii.gz", *DECAY]
    command += ["--mask", "mask.nii", "--sigma", "5", "--out", "maps/first"]
    done = subprocess.run(
        command,
        cwd=files,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"]},
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "18 voxels of 4 volumes"
    assert lines[1].startswith("T2 ") and lines[1].endswith("1 voxels without estimate")
    folder = files / "maps" / "first"
    names = {"T2", "T2_std", "M0", "M0_std"}
    assert {p.name for p in folder.iterdir()} == {
        f"{name}{ending}" for name in names for ending in (".nii.gz", ".json")
    }
    X, voxels = read_images(files / "echoes.nii.gz", files / "mask.nii")
    reg = NLLSRegressor(MonoExponential(TE, signal="magnitude")).fit(X)
    maps, std = reg.predict(X, return_std=True, sigma=5.0)
    for k, name in enumerate(("T2", "M0")):
        for values, path in ((maps, f"{name}.nii.gz"), (std, f"{name}_std.nii.gz")):
            volume = voxels.to_volume(values[:, k]).astype(np.float32)
            np.testing.assert_array_equal(read(folder / path), volume)
    units = [json.loads((folder / f"{n}.json").read_text())["Units"] for n in ("T2", "M0")]
    assert units == ["s", "arbitrary"]
    about = json.loads((folder / "T2_std.json").read_text())
    assert about["EstimationAlgorithm"].startswith("NLLSRegressor(model=MonoExponential(")
    assert about["Sigma"] == "5"
    assert about["Sources"] == ["echoes.nii.gz", "mask.nii"] and about["Units"] == "s"
    assert bytes(nib.load(folder / "T2.nii.gz").header["descrip"]).startswith(b"T2 (s)")


def test_a_map_of_b1_and_one_of_the_noise(files, capsys):
    te = 0.01 * np.arange(1, 7)
    write(files / "train.nii", noisy(te))
    write(
        files / "sigma.nii", np.linspace(4, 6, np.prod(SHAPE)).reshape(SHAPE).astype("f4")
    )
    command = ["map", str(files / "train.nii"), "--model", "MultiEchoSpinEcho"]
    command += ["--te", *map(str, te), "--b1", str(files / "b1.nii"), "--quiet"]
    command += ["--sigma", str(files / "sigma.nii"), "--out", str(files)]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert out == "" and "b1.nii has a median of 95: it is taken as percent" in err
    X, voxels = read_images(files / "train.nii")
    b1 = voxels.from_nifti(files / "b1.nii")[:, None] / 100
    sigma = voxels.from_nifti(files / "sigma.nii")
    reg = NLLSRegressor(MultiEchoSpinEcho(te).given("B1")).fit(X, known=b1)
    expected = reg.predict(X, known=b1, sigma=sigma)[:, 0].astype(np.float32)
    np.testing.assert_array_equal(read(files / "T2.nii.gz").ravel(), expected)
    # In the words of the user nothing is told but that B1 is not that of the data.
    assert main([*command, "--b1-nominal", "100"]) == 0
    (text,) = capsys.readouterr().err.splitlines()
    assert "40 % of the voxels leave more than noise of sigma" in text
    assert main([*command, "--b1-nominal", "50"]) == 0
    assert (read(files / "T2.nii.gz").ravel() != expected).any()


def test_options_are_the_arguments_of_the_model(files, capsys):
    signed = noisy() * np.array([-1, -1, 1, 1])
    path = str(write(files / "signed.nii", signed.astype("f4")))
    command = ["map", path, "--model", "InversionRecovery", "--inversion-times", "0.05"]
    command += [
        "0.4",
        "1.1",
        "2.5",
        "--tr",
        "6",
        "--signal",
        "complex",
        "--out",
        str(files),
    ]
    assert main([*command, "--bounds", "efficiency=0.7:1", "T1=0.1:4"]) == 0
    about = json.loads((files / "T1.json").read_text())["EstimationAlgorithm"]
    assert "tr=6.0" in about and "'T1': (0.1, 4.0)" in about
    assert read(files / "T1.nii.gz").max() <= 4
    (files / "te.txt").write_text("\n".join(map(str, TE)))
    command = ["map", str(files / "echoes.nii.gz"), "--model", "MonoExponential", "--te"]
    command += [str(files / "te.txt"), "--noise", "rician", "--offset", "--sigma", "5"]
    assert main([*command, "--out", str(files / "rician")]) == 0
    assert (files / "rician" / "offset_std.nii.gz").exists()
    capsys.readouterr()
    for name in model_classes():
        with pytest.raises(SystemExit) as done:
            main(["map", "--model", name, "--help"])
        assert done.value.code == 0
        text = capsys.readouterr().out
        assert f"options of {name}" in text
        assert "(default: " in text or name == "BlochSiegert"


TI = ["--ti", "0.05", "0.4", "1.1", "2.5"]
NEEDED = {
    "ActualFlipAngle": ["--flip-angle", "1", "--tr", "0.02", "0.1"],
    "BalancedSteadyState": ["--sequence", "train.npz"],
    "BiExponential": ["--te", *map(str, TE)],
    "BlochSiegert": ["--b1-peak", "1e-5", "--kbs", "7e9"],
    "DoubleAngle": ["--flip-angle", "1"],
    "FISPFingerprinting": ["--alpha", "0.5", "1", "0.4", "0.8", "--tr", "0.01"]
    + ["--te", "0.003"],
    "FieldMap": ["--te", *map(str, TE)],
    "IntravoxelIncoherentMotion": ["--b", "0", "5e7", "2e8", "8e8"],
    "InversionRecovery": TI,
    "MTsat": ["--flip-angles", "0.1", "0.1", "0.35", "--tr", "0.025", "0.025", "0.018"],
    "LookLocker": [*TI, "--tr-readout", "0.01", "--flip-angle", "0.1"],
    "MOLLI": [*TI, "--beats", "0.05", "0.4", "1.1", "2.5", "--tr-readout", "0.003"]
    + ["--flip-angle", "0.6", "--n-excitations", "20"],
    "MP2RAGE": ["--ti", "0.8", "2.7", "--tr", "0.007", "--tr-mp2rage", "6"]
    + ["--flip-angles", "0.07", "0.09", "--n-excitations", "160"],
    "MagnetizationTransfer": ["--sequence", "train.npz"],
    "MonoExponential": ["--te", *map(str, TE)],
    "MultiEchoSpinEcho": ["--te", "0.01", "0.02", "0.03", "0.04"],
    "SaturationRecovery": ["--ts", *TI[1:]],
    "SpinLock": ["--tsl", "0", "0.02", "0.04", "0.08"],
    "PhaseCycledSSFP": ["--flip-angle", "0.5", "--tr", "0.005"]
    + ["--phase-increments", "0", "1.5", "3", "4.5"],
    "SpoiledGradientEcho": ["--alpha", "0.05", "0.2", "0.4", "0.6", "--tr", "0.02"],
    "SpoiledMagnetizationTransfer": ["--offsets", *["1e3"] * 7, "--w1rms", "0", "100"]
    + ["200", "300", "400", "500", "600", "--flip-angles", *["0.1"] * 7]
    + ["--tr", "0.03", "--pulse-duration", "0.01"],
}


N_VOLUMES = dict(ActualFlipAngle=2, BlochSiegert=2, DoubleAngle=2, MP2RAGE=1, MTsat=3)


@pytest.mark.parametrize("name", model_classes())
def test_every_model_needs_no_more_than_its_arguments(name, tmp_path, monkeypatch, capsys):
    """Real images are of the signal that a model has; fits are tested elsewhere."""
    monkeypatch.chdir(tmp_path)
    np.savez("train.npz", alpha=[np.pi, 1.0, 2.0, 1.0], TRF=[2e-4] * 4, TR=3.5e-3)
    shape = 2, 1, 1, N_VOLUMES.get(name, 7 if name.startswith("SpoiledMag") else 4)
    write(tmp_path / "images.nii", np.full(shape, 0.1, np.float32))

    def mapped_blocks(reg, images, *options):
        assert images.is_complex == reg.model.is_complex
        return np.zeros((2, len(images), reg.model.n_parameters))

    monkeypatch.setattr("crbestim.io._map_inputs._fit", lambda *args: None)
    monkeypatch.setattr("crbestim.io._map_command.mapped_blocks", mapped_blocks)
    command = ["map", "images.nii", "--model", name, *NEEDED[name], "--out", "maps"]
    if "signal" not in inspect.signature(model_classes()[name]).parameters:
        command += ["--imaginary", "images.nii"]
    assert main(command) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "required: {map,info"),
        (["map", "echoes.nii.gz"], 2, "give --model NAME, or --estimator FILE"),
        (DECAY, 2, "required: --out"),
        (
            ["--model", "FISPFingerprinting", "--te", "1e-3", "--alpha", *["0.1"] * 4]
            + ["--tr", "0.01", "--out", "o"],
            2,
            "is of complex signals and the images are real; give --phase",
        ),
        (
            ["--model", "MOLLI", "--tr", "0.003", "--out", "o"],
            2,
            r"--tr is no option of .* map; did you mean --tr-readout\? Its --help lists",
        ),
        ([*DECAY, "--loss=huber", "--out", "o"], 2, r"--loss is no option of .* map\."),
        ([*DECAY, "--bids", "o", "--out", "o"], 2, "or --bids ROOT, and not both"),
        ([*DECAY[:2], "--out", "o"], 2, "MonoExponential needs --te"),
        (["--model", "Mono", "--out", "o"], 2, "there is no model Mono; choose one of"),
        ([*DECAY, "0.2", "--out", "o"], 2, "have 4 volumes, .* the settings of 5"),
        ([*DECAY[:3], "10", "30", "60", "100", "--out", "o"], 2, "te is in seconds"),
        ([*DECAY[:3], "0.01", "x", "--out", "o"], 2, "--te has 'x', which is no number"),
        ([*DECAY, "--noise", "white", "--out", "o"], 2, "MonoExponential: noise="),
        ([*DECAY, "--bounds", "T2=1", "--out", "o"], 2, "give NAME=LOW:HIGH"),
        ([*DECAY, "--sigma", "0", "--out", "o"], 2, "--sigma is 0"),
        ([*DECAY, "--b1", "b1.nii", "--out", "o"], 2, "B1 is no parameter of Mono"),
        ([*DECAY, "--known", "b1.nii", "--out", "o"], 2, "give NAME=MAP"),
        ([*DECAY, "--mask", "none.nii", "--out", "o"], 1, "there is no file none.nii"),
        (
            [*DECAY, "--mask", "small.nii", "--out", "o"],
            1,
            "small.nii has 2 x 4 x 3 voxels",
        ),
        ([*DECAY, "--sigma", "x.nii", "--out", "o"], 1, "there is no file x.nii"),
        ([*DECAY, "--out", "mask.nii"], 1, "mask.nii"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    arguments, code, message, files, capsys, monkeypatch
):
    monkeypatch.chdir(files)
    write(files / "small.nii", np.ones((2, 4, 3), np.uint8))
    if arguments and arguments[0] != "map":
        arguments = ["map", "echoes.nii.gz", *arguments]
    try:
        found = main(arguments)
    except SystemExit as error:
        found = error.code
    text = capsys.readouterr().err
    assert found == code
    assert re.search(message, text), text
    assert "Traceback" not in text


def test_a_damaged_volume_is_told_and_shown(files, capsys):
    data = noisy(te=0.01 * np.arange(1, 9))
    path, command = files / "long.nii", ["map", str(files / "long.nii")]
    command += ["--model", "MonoExponential", "--te", *map(str, 0.01 * np.arange(1, 9))]
    command += ["--out", str(files), "--residual"]
    write(path, data)
    assert main([*command, "--sigma", "5"]) == 0
    assert capsys.readouterr().err == ""
    left = read(files / "residual.nii.gz")
    assert 0.7 < np.nanmean(left) < 1.3
    data[1, :, :, 3] *= 0.7
    write(path, data)
    assert main([*command, "--sigma", "5"]) == 0
    text = capsys.readouterr().err
    assert re.search(r"(19|20)(\.\d)? % of the voxels leave more than noise of sigma", text)
    left = read(files / "residual.nii.gz")
    assert np.nanmin(left[1]) > np.nanmax(np.delete(left, 1, axis=0))
    assert main(command) == 2
    assert "--residual compares with noise; give --sigma" in capsys.readouterr().err


PAIR = ["--model", "MP2RAGE", *NEEDED["MP2RAGE"]]


def test_a_scanners_integers_of_uni_images_are_converted(files, capsys):
    model = MP2RAGE([0.8, 2.7], 0.007, 6.0, [0.07, 0.09], 160)
    t1 = np.linspace(0.6, 3.0, np.prod(SHAPE)).reshape(-1, 1)
    uni = np.round((model.signal(t1).reshape(SHAPE) + 0.5) * 4095)
    uni.flat[:2] = 0, 4095
    path = str(write(files / "uni.nii", uni.astype(np.int16)))
    command = ["map", path, *PAIR, "--out", str(files)]
    assert main([*command, "--sigma", "0.001"]) == 0
    text = "values of 0 to 4095 are taken as a scanner's 0 to 4095 of UNI images"
    assert text in capsys.readouterr().err
    np.testing.assert_allclose(read(files / "T1.nii.gz").ravel()[2:], t1[2:, 0], rtol=0.01)
    assert main([*command, "--sigma", "6"]) == 2
    assert "it is the noise of both images over M0" in capsys.readouterr().err


def test_degrees_of_a_command_line(files, capsys):
    path = str(write(files / "vfa.nii", noisy()))
    command = ["map", path, "--model", "SpoiledGradientEcho", "--tr", "0.02", "--sigma"]
    command += ["5", "--out", str(files), "--quiet", "--alpha"]
    assert main([*command, "3", "10", "20", "30"]) == 2
    text = capsys.readouterr().err
    assert "for degrees write deg behind the number, as 20deg" in text
    assert "np." not in text
    assert main([*command, "3deg", "10deg", "20deg", "30deg"]) == 0
    about = json.loads((files / "T1.json").read_text())["EstimationAlgorithm"]
    assert "0.0523" in about and "0.523" in about


def test_units_of_maps_of_b1_are_said_in_options(files, capsys):
    b1 = write(files / "b1s.nii", np.linspace(700, 900, 60).reshape(SHAPE).astype("f4"))
    command = ["map", str(files / "echoes.nii.gz"), "--model", "MultiEchoSpinEcho", "--te"]
    command += ["0.01", "0.02", "0.03", "0.04", "--b1", str(b1), "--out", str(files)]
    assert main(command) == 1
    assert "The option is --b1-nominal." in capsys.readouterr().err
    assert main([*command, "--b1-nominal", "80"]) == 2
    text = "divided by --b1-nominal 80 has a median of 10, and relative B1 is about 1"
    assert text in capsys.readouterr().err


def test_an_image_without_signal_is_a_failure(files, capsys):
    path = str(write(files / "empty.nii", np.zeros((*SHAPE, 4), np.float32)))
    assert main(["map", path, *DECAY, "--out", str(files / "o")]) == 1
    assert "no voxel could be estimated" in capsys.readouterr().err
    assert not (files / "o").exists()


def test_interrupts_and_repeated_warnings(files, capsys, monkeypatch):
    def interrupted(*args, **options):
        for n in (1, 2, 3):
            crbestim._warnings.warn(
                f"{n} voxels are odd (the best is kept; raise n_starts to search); see the "
                "status that fit_voxels returns"
            )
        raise KeyboardInterrupt

    monkeypatch.setattr("crbestim.io._map_command.mapped_blocks", interrupted)
    command = ["map", str(files / "echoes.nii.gz"), *DECAY, "--out", str(files)]
    assert main(command) == 130
    assert capsys.readouterr().err.splitlines() == [
        "warning: 1 voxels are odd (the best is kept)",
        "warning: 2 more like '# voxels are odd (the best is kept)...'",
        "crbestim: interrupted",
    ]


def test_sidecars_beside_images_fill_and_check_options(files, capsys):
    data, names = noisy(), []
    for k in (0, 1, 2, 3):
        names.append(str(write(files / f"e{k}.nii.gz", data[..., k])))
        (files / f"e{k}.json").write_text(json.dumps({"EchoTime": TE[k], "FlipAngle": 90}))
    command = ["--model", "MonoExponential", "--sigma", "5", "--out", str(files)]
    assert main(["map", *names, *command]) == 0
    assert "from sidecars: te" in capsys.readouterr().out
    expected = read(files / "T2.nii.gz")
    assert main(["map", *names, *command, *DECAY]) == 0
    np.testing.assert_array_equal(read(files / "T2.nii.gz"), expected)
    # In the wrong order, as the shell lists e10 before e2.
    wrong = ["map", *names[1:], names[0], *command, *DECAY]
    assert main(wrong) == 2
    message = "--te of volume 1 is 0.01, and its sidecar says 0.03; leave --te out, or give"
    assert message in capsys.readouterr().err
    assert main([*wrong, "--no-sidecars"]) == 0
    (files / "e1.json").write_text('{"EchoTime": [0.01, 0.02]}')
    assert main(["map", *names, *command]) == 2
    assert "MonoExponential needs --te" in capsys.readouterr().err


def test_a_trained_estimator_in_place_of_a_model(files, capsys, monkeypatch):
    model = MonoExponential(TE, signal="magnitude")
    trained = NLLSRegressor(model, bounds={"T2": (0.01, 0.1)}).fit(
        model.signal([[0.05, 1]])
    )
    asked = []

    def load(path, *, trusted=()):
        asked.append((path, trusted))
        return {"net": trained, "other": NLLSRegressor()}[path]

    monkeypatch.setattr(crbestim.io, "load", load, raising=False)
    monkeypatch.setattr(
        crbestim.io, "describe", lambda path: {"class": path.name}, raising=False
    )
    echoes, out = str(files / "echoes.nii.gz"), ["--out", str(files), "--sigma", "5"]
    assert main(["map", echoes, "--estimator", "net", "--trust", "a.b", *out]) == 0
    assert asked == [("net", ("a.b",))]
    X, voxels = read_images(echoes)
    expected = trained.predict(X, sigma=5.0)[:, 0].astype(np.float32)
    np.testing.assert_array_equal(read(files / "T2.nii.gz").ravel(), expected)
    capsys.readouterr()
    for more, code, message in (
        (["other"], 1, "other holds no estimator with a model"),
        (["net", "--model", "MonoExponential"], 2, "and not both"),
        (["net", "--b1", str(files / "b1.nii")], 2, "needs maps of: none"),
        (["net", "--mask", str(files / "b1.nii")], 1, "b1.nii holds"),
    ):
        assert main(["map", echoes, "--estimator", *more, *out]) == code
        assert message in capsys.readouterr().err
    single = str(write(files / "single.nii", noisy()[..., 0]))
    assert main(["map", single, "--estimator", "net", *out]) == 1
    assert "the images have 1 volumes, and net is for 4" in capsys.readouterr().err
    (files / "net.crbestim").write_text("")
    assert main(["info", str(files / "net.crbestim")]) == 0
    assert capsys.readouterr().out == "class:        net.crbestim\n"


def test_info(files, capsys):
    (files / "echoes.json").write_text('{"EchoTime": [0.01], "Units": "arbitrary"}')
    names = [str(files / name) for name in ("echoes.nii.gz", "mask.nii")]
    assert main(["info", *names]) == 0
    text = capsys.readouterr().out
    for line in (
        "voxels:       5 x 4 x 3",
        "volumes:      4",
        "voxel size:   2 x 2.002 x 2.502 mm",
        "numbers:      float32",
        "not finite:   4 of 240",
        "sidecar:      EchoTime, Units",
        "range:        0 to 1",
    ):
        assert line in text
    assert main(["info", str(files / "none.nii")]) == 1
    assert "there is no file" in capsys.readouterr().err
