"""What is drawn of a run: no mark is cut off, epochs are whole numbers."""

import pytest

from lilnetx_cli import plots
from lilnetx_cli.plots import curves


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Return a function that draws curves and returns the figure."""

    def draw(lines):
        figures = []
        save = curves.save_figure

        def keep(figure, path):
            save(figure, path)
            figures.append(figure)

        monkeypatch.setattr(curves, "save_figure", keep)
        plots.draw_curves(lines, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").stat().st_size > 1000
        return figures[0]

    return draw


def line(event, epoch, accuracy, size):
    return {"event": event, "epoch": epoch, "accuracy": accuracy,
            "validation_accuracy": accuracy, "estimated_bytes": size}  # fmt: skip


RUNS = {
    "ends largest": [line("epoch", n, n / 10, 20_000 + n) for n in (1, 2, 3)]
    + [line("final", 3, 0.31, 26_100)],
    "ends at 100 %": [line("epoch", n, 1 - 0.5**n, 90_000 - n) for n in range(1, 25)]
    + [line("final", 24, 1.0, 12_000)],
    "one epoch": [line("epoch", 1, 0.5, 20_000), line("final", 1, 0.5, 20_000)],
    "no epoch": [line("final", 0, 0.5, 20_000)],
}
RUNS["channels were pressed"] = [
    {**one, "macs_share": 1 / one["epoch"]} for one in RUNS["ends largest"]
]


@pytest.mark.parametrize("run", RUNS)
def test_the_star_lies_inside_the_picture(drawn, run):
    figure = drawn(RUNS[run])
    stars = 0
    for axes in figure.axes:
        frame = axes.get_window_extent()
        for curve in axes.lines:
            if curve.get_marker() == "*":
                stars += 1
                half = curve.get_markersize() * figure.dpi / 72 / 2
                x, y = curve.get_transform().transform(curve.get_xydata())[0]
                assert frame.x0 + half <= x <= frame.x1 - half
                assert frame.y0 + half <= y <= frame.y1 - half
    assert stars == len(figure.axes) == (3 if "macs_share" in RUNS[run][0] else 2)


@pytest.mark.parametrize("run", RUNS)
def test_epochs_are_whole_numbers(drawn, run):
    for axes in drawn(RUNS[run]).axes:
        assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_a_file_without_weights_is_drawn_too(tmp_path):
    plots.draw_contents([], "12 B whole file", tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1000
