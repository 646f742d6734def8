import csv

import numpy as np
import pytest

from crbestim.io import phantom_report
from crbestim.io._command import main
from crbestim.io._references import REFERENCES
from tests.io.volumes import write

N_VOXELS = 120
REFERENCE = np.array(REFERENCES["nist-mncl2-3T"]["T2"])


def spheres(labels=range(1, 15)):
    """Return labels of voxels, with air before each sphere."""
    return np.concatenate([np.r_[np.zeros(5), np.full(N_VOXELS, k)] for k in labels])


def test_numbers_worked_out_by_hand():
    rois = np.array([[0, 1, 1, 1], [0, 2, 2, 3]])
    t1 = np.array([[[9, 1, 2, 3], [9, 5, 7, 8.0]], [[9, 3, 2, 1], [9, 7, 7, np.nan]]])
    std = np.array([[[9, 1, 1, 2], [9, 1, 1, 1]], [[9, 1, 1, 2], [9, 1, 1, 1.0]]])
    report = phantom_report({"T1": t1}, rois, {"T1": [2, 5, 8]}, std={"T1": std})
    table = report.table
    assert report.n_repetitions == 2
    assert table["n_voxels"].tolist() == [3, 2, 0]
    np.testing.assert_allclose(table["mean"], [2, 6.5, np.nan])
    np.testing.assert_allclose(table["bias_percent"], [0, 30, np.nan])
    # Variances over voxels are 1 and 1, and 2 and 0; between repetitions 2, 0, 2 and 2, 0.
    np.testing.assert_allclose(table["sd"], [1, 1, np.nan])
    np.testing.assert_allclose(table["bound"], [np.sqrt(2), 1, np.nan])
    np.testing.assert_allclose(table["sd_over_bound"], [np.sqrt(0.5), 1, np.nan])
    np.testing.assert_allclose(table["sd_between"], [np.sqrt(4 / 3), 1, np.nan])
    np.testing.assert_allclose(table["sd_of_means"], [0, np.sqrt(0.5), np.nan], atol=1e-15)


def test_what_does_not_fit_is_refused():
    rois = spheres()
    t2 = np.append(0, REFERENCE)[rois.astype(int)]
    for call, message in (
        (dict(maps={}), "maps is empty"),
        (
            dict(maps={"R2": t2}),
            "R2 is not both in maps and in the reference, which has T1, T2",
        ),
        (dict(maps={"T2": t2[1:]}), "T2 has shape .*; give that of rois"),
        (dict(maps={"T2": 1e3 * t2}), "T2 looks like milliseconds; give the map in s"),
        (dict(maps={"T2": np.nan * t2}), "T2 has no estimate in any sphere"),
        (
            dict(rois=np.where(rois > 0, 15 - rois, 0)),
            "spheres counted from the longest time; give descending=True",
        ),
        (dict(rois=0 * rois), "rois must hold whole numbers"),
        (dict(rois=rois + 0.5), "rois must hold whole numbers"),
        (dict(rois=rois + 1), "rois has a sphere 15, and the reference has 14"),
        (dict(std={"T1": t2}), "T1 is not both in maps and in the reference"),
        (dict(std={"T2": np.stack([t2, t2])}), "std of T2 is not shaped like the map"),
        (
            dict(reference="nist"),
            "reference is 'nist', which is no file; give one of nist-",
        ),
        (dict(reference={"T2": [1, -1]}), "give one of nist-.*, a CSV file, or a dict"),
    ):
        with pytest.raises(ValueError, match=message):
            phantom_report(**({"maps": {"T2": t2}, "rois": rois} | call))
    with pytest.raises(TypeError, match="maps is ndarray; give a dict by name"):
        phantom_report(t2, rois)
    turned = np.where(rois > 0, 15 - rois, 0)
    report = phantom_report({"T2": t2}, turned, descending=True)
    np.testing.assert_allclose(report.table["bias"], 0, atol=1e-15)
    assert phantom_report({"T2": t2}, turned, descending=False).table["bias"].any()


def test_the_command_maps_repetitions_of_a_series(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    labels = np.arange(6, 12)
    rois, te = spheres(labels), 0.012 * np.arange(1, 13)
    t2, rng = REFERENCE[rois.astype(int) - 1], np.random.default_rng(0)
    clean = np.where(rois[:, None] > 0, 1000 * np.exp(-te / t2[:, None]), 0)
    files = []
    for k in range(3):
        noisy = (clean + rng.normal(scale=4, size=clean.shape))[:, None, None]
        files.append(str(write(tmp_path / f"run{k}.nii.gz", noisy.astype("f4"))))
    write(tmp_path / "rois.nii.gz", rois[:, None, None].astype(np.uint8))
    command = ["phantom", *files, "--rois", str(tmp_path / "rois.nii.gz"), "--sigma", "4"]
    command += ["--reference", "nist-mncl2-3T", "--out", str(tmp_path / "report")]
    command += ["--model", "MonoExponential", "--te", *map(str, te)]
    assert main(command) == 0
    with (tmp_path / "report" / "report.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["sphere"]) for row in rows] == labels.tolist()
    assert {row["n_voxels"] for row in rows} == {str(N_VOXELS)}

    def column(name):
        return np.array([float(row[name]) for row in rows])

    # Five standard deviations of a mean, and of one of 358 or 240 degrees of freedom.
    error = column("bound") / np.sqrt(3 * N_VOXELS)
    assert (np.abs(column("bias")) < 5 * error).all()
    np.testing.assert_allclose(column("sd_over_bound"), 1, atol=5 / np.sqrt(2 * 357))
    np.testing.assert_allclose(
        column("sd_between_over_bound"), 1, atol=5 / np.sqrt(2 * 240)
    )
    assert (tmp_path / "report" / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert "sd/bound" in capsys.readouterr().out


def test_the_command_reads_maps_and_what_is_beside_them(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    rois = spheres()
    t2 = np.append(0, REFERENCE)[rois.astype(int)]
    rois = write(tmp_path / "rois.nii", rois[:, None, None].astype(np.uint8))
    names = "T2_run1", "T2_run1_std", "sub-01_T2map", "sub-01_desc-std_T2map", "other"
    for k, name in enumerate(names):
        write(
            tmp_path / f"{name}.nii",
            (t2 * (0.1 if "std" in name else 1 + k / 100))[:, None],
        )
    end = [
        "--rois",
        str(rois),
        "--reference",
        "nist-mncl2-3T",
        "--out",
        str(tmp_path / "o"),
    ]
    files = [str(tmp_path / f"{name}.nii") for name in names]
    assert main(["phantom", *files[:4], *end]) == 0
    text = (tmp_path / "o" / "report.csv").read_text().splitlines()[-1].split(",")
    # The mean of 1 and 1.02 times the reference, and the standard deviation between them.
    assert text[:4] == ["T2", "14", "120", "0.5813"] and float(text[6]) == pytest.approx(1)
    assert float(text[11]) == pytest.approx(0.02 / np.sqrt(2) / 0.1, rel=1e-5)
    capsys.readouterr()
    for arguments, code, message in (
        (files[4:], 2, "other.nii does not say T1 or T2; give --map-of"),
        (files[1:2], 2, "IMAGES are standard deviations only"),
        ([*files[:1], "--bids", "b"], 2, "give IMAGES and --out"),
        ([*files[:1], "--order", "descending", "--map-of", "T1"], 0, ""),
    ):
        assert main(["phantom", *arguments, *end]) == code
        assert message in capsys.readouterr().err


def test_measured_maps_of_the_system_phantom(shared_data):
    file = shared_data / "data" / "external" / "nist_mncl2_3T_maps.mat"
    if not file.is_file():
        pytest.skip("needs the measured maps of others")
    loadmat = pytest.importorskip("scipy.io").loadmat
    content = loadmat(file, squeeze_me=True)
    maps = {name: content[f"{name}_Map"] for name in ("T1", "T2")}
    table = phantom_report(maps, content["roi"]).table
    for name in maps:
        rows = table["parameter"] == name
        # The file has means of its own, up to 3 % from these.
        np.testing.assert_allclose(table["mean"][rows], content[name], rtol=0.03)
    assert np.median(np.abs(table["bias_percent"])) < 5
    assert (np.abs(table["bias_percent"]) < 20).all()
    with pytest.raises(ValueError, match="looks like milliseconds"):
        phantom_report({"T1": 1e3 * content["T1_Map"]}, content["roi"])


def test_a_reference_that_fits_better_is_named():
    rois = spheres()
    t2 = np.append(0, REFERENCE)[rois.astype(int)]
    message = (
        "T2 is off by a factor of 2.78 in the median .* 1 from the values of nist-mncl2"
    )
    with pytest.warns(UserWarning, match=message):
        phantom_report({"T2": t2}, rois, "nist-nicl2-3T")


def test_the_command_speaks_of_its_options(tmp_path, capsys):
    rois = spheres()[None, :, None]
    turned = np.where(rois > 0, 15 - rois, 0)
    t2 = np.append(0, REFERENCE)[rois.astype(int)]
    names = [tmp_path / name for name in ("T2.nii", "rois.nii", "turned.nii")]
    for path, values in zip(names, (t2, rois, turned), strict=True):
        write(path, values.astype(np.float32))
    command = ["phantom", str(names[0]), "--reference", "nist-mncl2-3T", "--out"]
    command += [str(tmp_path / "o"), "--rois"]
    assert main([*command, str(names[2])]) == 1
    assert "give --order descending if they are, or --order asc" in capsys.readouterr().err
    assert main([*command, str(names[1])]) == 0
    assert "-: sd/bound needs a map of standard deviations" in capsys.readouterr().out
