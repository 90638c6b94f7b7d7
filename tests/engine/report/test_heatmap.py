from xml.etree import ElementTree

from headrace.report.heatmap import HeatMap, draw, group_colours


def test_cells_names_and_marks():
    one = HeatMap("Before", [[1, 0.5], [0.5, 1]], ["a", "b"], ["x", "y"], "in order")
    two = HeatMap("After", [[1, -0.2], [-0.2, 1]], ["a", "c"], ["x", "x"], "dots", [1])
    root = ElementTree.fromstring(f"<div>{draw([one, two])}</div>")
    first, second = root.iter("svg")
    heat = [rect for rect in first.iter("rect") if "heat" in rect.get("class")]
    assert [rect.get("fill-opacity") for rect in heat] == ["0.500", "0.500"]
    assert [rect.get("fill-opacity") for rect in second.iter("rect") if "heat" in rect.get("class")] == ["0.000"] * 2
    assert [title.text for title in first.iter("title")][:2] == ["1: a, x", "1: a, x"]
    assert len(list(first.iter("circle"))) == 0
    assert len(list(second.iter("circle"))) == 1
    assert [entry.text or "".join(entry.itertext()) for entry in root.iter("li")] == ["x", "y"]


def test_the_frequent_groups_get_the_colours():
    groups = [f"g{i}" for i in range(10)] + ["g9", "g9", "g8"]
    colours = group_colours(groups)
    assert colours["g9"] == "recall"
    assert colours["g8"] == "rerank"
    assert colours["g0"] == "rank"
    assert [colours[f"g{i}"] for i in (5, 6, 7)] == ["other"] * 3
    assert "3 other categories" in draw([HeatMap("t", [[0.0] * 10] * 10, ["n"] * 10, groups[:10])])


def test_text_is_escaped():
    text = draw([HeatMap("<b>", [[1.0]], ["<i>&"], ['"quoted"'], "<u>")])
    assert "<b>" not in text
    assert "<i>" not in text.replace('<i class="key', "")
    assert "<u>" not in text
    ElementTree.fromstring(f"<div>{text}</div>")
