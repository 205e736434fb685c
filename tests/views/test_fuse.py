from dataclasses import replace

import numpy as np
import pytest

import slicefill
from slicefill.command_line import main
from slicefill.grids.cubic import see
from slicefill.grids.sampled import AlignedView, sample
from slicefill.imputation.verification import verify_imputed_case
from slicefill.simulation.views import ViewsParams, simulate_views
from slicefill.types import Case
from slicefill.views.canvas import lay_canvas, reference_part
from slicefill.views.fused_image import fuse_images
from tests.simulation.test_views import blobs

KNOWN = {"method": "nearest", "registration": "truth", "device": "cpu"}
ACQUIRED = np.s_[..., ::4]


@pytest.fixture(scope="module")
def views():
    params = ViewsParams(slice_mm=4.0, field_mm=48.0, translation=4.0, rotation=20.0)
    return list(simulate_views(blobs(), params, 1).values())


def alike(first, second):
    pairs = [(first == label, second == label) for label in range(1, 5)]
    return np.mean([2 * (one & two).sum() / (one.sum() + two.sum()) for one, two in pairs])


def test_three_views_are_nearer_to_the_truth_than_one_and_acquired_slices_stay(views):
    fused, alone = slicefill.fuse(views, **KNOWN), slicefill.fuse(views[:1], **KNOWN)
    whole = ViewsParams(slice_mm=1.0, field_mm=48.0, planes=("axial",), gamma=(1, 1), gain=(1, 1))
    dense = simulate_views(blobs(), whole, 1)["axial"]
    start = round(views[0].image.affine[2, 3] - dense.image.affine[2, 3])
    truth = dense.label.stored[..., start : start + fused.label.stored.shape[2]]
    assert alike(fused.label.stored, truth) > alike(alone.label.stored, truth) + 0.01
    np.testing.assert_array_equal(fused.image.stored[ACQUIRED], views[0].image.stored)
    np.testing.assert_array_equal(fused.label.stored[ACQUIRED], views[0].label.stored)
    assert verify_imputed_case(fused, views[0]) == []
    assert (fused.maps["confidence"].stored[ACQUIRED] == 10_000).all()


def test_one_view_is_its_imputed_self(views):
    fused = slicefill.fuse(views[:1], **KNOWN)
    imputed = slicefill.impute(views[0], method="nearest", device="cpu")
    np.testing.assert_array_equal(fused.label.stored, imputed.label.stored)
    np.testing.assert_array_equal(fused.image.stored, imputed.image.stored)
    assert fused.record["fusion"]["labels"]["decided_by_one"] == 1


@pytest.mark.parametrize("rule", ["gaussian", "staple"])
@pytest.mark.parametrize("shift", [0, 24])
def test_label_maps_that_show_nothing_on_the_grid_fuse_to_one_without_labels(views, rule, shift):
    """Blank ones; and one whose only label lies beyond the side of the grid."""
    image, label = views[0].image, views[0].label
    first = Case(image, label.with_stored(0 * label.stored))
    beyond = 0 * label.stored
    beyond[:, label.stored.shape[1] - shift // 2 :] = shift > 0
    there = image.with_stored(np.roll(image.stored, -shift, 1), _shift(shift, 1))
    other = Case(there, label.with_stored(beyond, _shift(shift, 1)))
    fused = slicefill.fuse([first, other], rule=rule, **{**KNOWN, "registration": "header"},
                           least_similarity=0.0, least_crossing=0.0)  # fmt: skip
    assert not fused.label.stored.any()
    assert len(fused.record["fusion"]["labels"]["fused"]) == 2


def test_views_are_counted_and_believed_where_they_show_no_label_too(views):
    labelled = slicefill.fuse(views, **KNOWN).maps
    images = slicefill.fuse([replace(view, label=None) for view in views], **KNOWN).maps
    alone = slicefill.fuse([replace(views[0], label=None)], **KNOWN).maps
    np.testing.assert_array_equal(labelled["views"].stored, images["views"].stored)
    assert labelled["views"].stored.min() > 0
    assert labelled["confidence"].stored.min() > 0
    assert (alone["views"].stored == 1).all()


def test_a_slice_that_the_reference_lacks_is_fused_not_kept(views):
    kept, lost = np.r_[0:5, 6:12], 5
    volumes = [volume.with_stored(volume.stored.copy()) for volume in _volumes(views[0])]
    for volume in volumes:
        volume.stored[..., lost] = 0
    lacking = Case(*volumes, {}, {**views[0].record, "absent_slices": [lost]})
    fused, whole = (slicefill.fuse([first, *views[1:]], **KNOWN) for first in (lacking, views[0]))
    imputed = slicefill.impute(lacking, method="nearest", device="cpu")
    for made, alone, truth in zip(*map(_volumes, (fused, imputed, views[0])), strict=True):
        np.testing.assert_array_equal(made.stored[ACQUIRED][..., kept], truth.stored[..., kept])
        assert (made.stored[..., 4 * lost] != alone.stored[..., 4 * lost]).any()
    truth = views[0].label.stored[..., lost]
    there = [each.label.stored[..., 4 * lost] for each in (fused, imputed)]
    assert alike(there[0], truth) > alike(there[1], truth) + 0.05
    assert fused.maps["confidence"].stored[..., 4 * lost].max() < 10_000
    far = np.s_[..., : 4 * (lost - 2)]  # beyond the reach of the gap
    np.testing.assert_array_equal(fused.label.stored[far], whole.label.stored[far])


def _volumes(case):
    return case.image, case.label


def test_the_order_of_the_others_and_of_stored_axes_changes_nothing(views):
    first, second, third = views
    plain = slicefill.fuse(views, **KNOWN).label.stored
    np.testing.assert_array_equal(
        slicefill.fuse([first, third, second], **KNOWN).label.stored, plain
    )
    turned = Case(*[_turned(each) for each in (third.image, third.label)], {}, third.record)
    other = slicefill.fuse([first, second, turned], **KNOWN).label.stored
    assert (other == plain).mean() > 0.999  # but for ties, by rounding


def _turned(volume):
    """The same world, stored with the slices first and reversed."""
    step = np.array(
        [[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, volume.stored.shape[2] - 1], [0, 0, 0, 1.0]]
    )
    stored = np.ascontiguousarray(np.moveaxis(volume.stored, 2, 0)[::-1])
    return volume.with_stored(stored, step)


def test_a_view_without_label_or_overlap_or_of_another_subject_is_left_out_with_a_word(views):
    far = views[1].image.with_stored(views[1].image.stored, _shift(500))
    noise = np.random.default_rng(0).normal(size=views[2].image.stored.shape).astype(np.float32)
    others = [replace(views[1], label=None), Case(far), Case(views[2].image.with_stored(noise))]
    fused = slicefill.fuse([views[0], *others], **{**KNOWN, "registration": "header"},
                           least_similarity=0.3)  # fmt: skip
    told = fused.record["fusion"]
    assert told["labels"]["without_label"] in ([], ["view 2"])
    assert "lies inside it, less than 20%" in told["left_out"]["view 3"]
    assert "below 0.3 (least_similarity)" in told["left_out"]["view 4"]


def _shift(voxels, axis=0):
    moved = np.eye(4)
    moved[axis, 3] = voxels
    return moved


def test_a_whole_voxel_matrix_is_a_roll(views):
    label, step = views[0].label, np.eye(4)
    step[0, 3] = 3.0
    moved = AlignedView("moved", views[0], 2, 1, range(12), step)
    box = (slice(5, 20), slice(0, 48), slice(2, 9))
    sampled = sample(moved, label.affine, box)
    assert len(sampled.ids) == 1
    np.testing.assert_array_equal(sampled.ids[0], label.stored[8:23, :, 2:9])


def test_label_maps_alone_and_images_alone_from_files(views, tmp_path, capsys):
    names = []
    for number, view in enumerate(views):
        for kind, volume in (("image", view.image), ("seg", view.label)):
            names.append(str(tmp_path / f"{kind}{number}.nii.gz"))
            slicefill.write(volume, names[-1])
    out, images, masks = str(tmp_path / "out.nii.gz"), names[::2], names[1::2]
    common = ["--registration", "header", "--method", "nearest"]
    status = main(["fuse", *masks, "--out", out, "--confidence", "--record", *common])
    assert "label map of" in capsys.readouterr().out
    assert status in (0, 3)
    fused = slicefill.read(out).image.stored
    np.testing.assert_array_equal(fused[ACQUIRED], views[0].label.stored)
    for ending in ("_confidence.nii.gz", "_views.nii.gz", ".json"):
        assert (tmp_path / f"out{ending}").exists()
    with pytest.raises(SystemExit, match="2"):
        main(["fuse", *masks, "--out", out, *common])
    assert "exists; name another output, or --overwrite" in capsys.readouterr().err
    assert main(["fuse", *images, "--out", out, "--overwrite", *common]) in (0, 3)
    np.testing.assert_array_equal(slicefill.read(out).image.stored[ACQUIRED], views[0].image.stored)
    labels = ["--labels", masks[0], "-", masks[2]]
    assert main(["fuse", *images, *labels, "--out", out, "--overwrite", *common]) in (0, 3)
    assert slicefill.read(out).image.stored.max() == 4


def test_two_outputs_of_one_name_and_a_blank_reference_are_refused(views, tmp_path, capsys):
    names = [str(tmp_path / name) for name in ("view.nii.gz", "blank.nii.gz", "out.nii.gz")]
    image = views[0].image
    for name, stored in zip(names, (image.stored, image.stored * 0), strict=False):
        slicefill.write(image.with_stored(stored), name)
    for wrong, message in (
        ([names[0], "--image", names[2]], "expected a file of its own for every output"),
        ([names[1]], "0 in every voxel"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["fuse", *wrong, "--out", names[2], "--method", "nearest"])
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_view_that_takes_no_part_in_the_image_is_named(views, tmp_path, capsys):
    image, names = views[0].image, [str(tmp_path / f"{n}.nii.gz") for n in "abo"]
    for name, stored in zip(names, (image.stored, np.stack([image.stored] * 2, 3)), strict=False):
        slicefill.write(image.with_stored(stored), name)
    common = ["--out", names[2], "--registration", "header", "--method", "nearest"]
    assert main(["fuse", *names[:2], *common]) == 0
    said = capsys.readouterr().out
    assert "view 2 b.nii.gz: another contrast, or channels; not part of the fused one" in said


def test_views_of_two_rows_are_seen(views):
    image = views[0].image
    middle = image.stored.shape[1] // 2
    wide = image.with_stored(np.tile(image.stored[:, middle : middle + 2], (8, 1, 1)))
    assert wide.stored.shape[0] > 300
    assert see(Case(wide), "image").image.GetSize()[1] >= 1


def test_wrong_words_say_what_is_expected(views):
    with pytest.raises(ValueError, match=r"registration\.kind: expected one of alignnet, header"):
        slicefill.fuse(views, registration="x")
    with pytest.raises(ValueError, match="one or None for each of 3 views, got 1"):
        slicefill.fuse(views, [None])
    with pytest.raises(ValueError, match="expected a label map, with whole numbers"):
        slicefill.fuse([Case(view.image) for view in views], given="masks")
    with pytest.raises(
        ValueError, match=r"imputation\.exact: expected false where views are fused"
    ):
        slicefill.fuse(views, spacing=1.5, exact=True)


def _smaller(view):
    first = np.eye(4)
    first[:3, 3] = 8, 4, 1
    return Case(*[
        volume.with_stored(np.ascontiguousarray(volume.stored[8:30, 4:40, 1:9]), first)
        for volume in (view.image, view.label)
    ], {}, view.record)  # fmt: skip


def test_verify_finds_the_reference_in_a_union(views, tmp_path, capsys):
    small = _smaller(views[0])
    union = slicefill.fuse([small, *views[1:]], **KNOWN, field="union")
    assert verify_imputed_case(reference_part(union, small), small) == []
    assert slicefill.verify(union, small) == []
    paths = [str(tmp_path / f"{name}.nii.gz") for name in ("union", "small")]
    slicefill.write(union.image, paths[0])
    slicefill.write(small.image, paths[1])
    assert main(["verify", paths[0], "--against", paths[1]]) == 0  # single files, without a record
    at = union.record["fusion"]["reference_begins_at"]
    changed = union.image.stored.copy()
    changed[tuple(at)] += 1
    slicefill.write(union.image.with_stored(changed), paths[0])
    assert main(["verify", paths[0], "--against", paths[1]]) == 1
    assert "acquired slice 0" in capsys.readouterr().out
    alone = slicefill.fuse([small, *views[1:]], **KNOWN)
    assert reference_part(alone, small) is alone


def test_a_union_covers_what_any_view_does_on_the_voxels_of_the_reference(views):
    part, small = views[0].image.stored[8:30, 4:40, 1:9], _smaller(views[0])
    alone = slicefill.fuse([small, *views[1:]], **KNOWN)
    union = slicefill.fuse([small, *views[1:]], **KNOWN, field="union")
    at = union.record["fusion"]["reference_begins_at"]
    inner = tuple(slice(a, a + n) for a, n in zip(at, alone.image.stored.shape, strict=True))
    np.testing.assert_array_equal(union.label.stored[inner], alone.label.stored)
    np.testing.assert_array_equal(union.image.stored[inner], alone.image.stored)
    np.testing.assert_array_equal(union.image.stored[inner][ACQUIRED], part)
    for name in ("confidence", "views", "synthetic_mask"):
        mapped = (union.maps[name].stored[inner], alone.maps[name].stored)
        np.testing.assert_array_equal(*mapped)
    world = union.image.affine @ [*at, 1]
    np.testing.assert_allclose(world, small.image.affine[:, 3])
    outside = np.ones(union.label.stored.shape, bool)
    outside[inner] = False
    assert (union.label.stored[outside] > 0).any()
    assert union.maps["synthetic_mask"].stored[outside].all()
    assert (union.image.stored[outside] > union.image.stored.min()).mean() > 0.1


def test_a_union_with_a_view_far_off_is_refused(views):
    own = 2, 1, range(12)
    aligned = [AlignedView(str(n), view, *own, np.eye(4)) for n, view in enumerate(views[:2])]
    far = AlignedView("far", views[1], *own, _shift(5000))
    assert lay_canvas(aligned, "union").case.image.stored.size >= views[0].image.stored.size
    with pytest.raises(ValueError, match="leave out the view that lies far off"):
        lay_canvas([aligned[0], far], "union")


def test_intensities_are_compared_in_the_region_that_is_registered(views):
    outside = views[0].label.stored == 0
    around = np.where(outside, 300.0, views[0].image.stored).astype(np.float32)
    first = replace(views[0], image=views[0].image.with_stored(around))
    brighter = np.where(outside, 900.0, around).astype(np.float32)
    second = replace(views[0], image=views[0].image.with_stored(brighter))
    own = 2, 1, range(12), np.eye(4)
    same = [AlignedView(str(n), view, *own) for n, view in enumerate([first, second])]
    canvas = lay_canvas(same, "reference")
    scales = {
        region: fuse_images(canvas, same, {"1": True}, None, region)[1]["factor_and_offset"]["1"]
        for region in ("label", "image")
    }
    assert scales["label"] == pytest.approx((1, 0), abs=1e-3)
    assert scales["image"] != pytest.approx((1, 0), abs=1e-3)
