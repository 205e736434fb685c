from matplotlib.figure import Figure

from slicefill.datasets.figures import FiguresDataset


def test_figures_come_back_as_png_in_the_order_of_their_names(tmp_path):
    dataset = FiguresDataset(filepath=str(tmp_path / "figures"))
    assert not dataset.exists()
    dataset.save({name: Figure(figsize=(1, 1)) for name in ("b", "a")})
    loaded = dataset.load()
    assert list(loaded) == ["a", "b"]
    assert all(png.startswith(b"\x89PNG") for png in loaded.values())
    assert dataset.exists()


def test_a_save_replaces_the_figures_of_the_last(tmp_path):
    dataset = FiguresDataset(filepath=str(tmp_path))
    dataset.save({"old": Figure(figsize=(1, 1))})
    dataset.save({"new": Figure(figsize=(1, 1))})
    assert list(dataset.load()) == ["new"]
