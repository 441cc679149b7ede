"""Groups come from a user's table first, from WordNet, then from the source."""

import importlib.resources
import re

import pytest

from smartgrowth import UserError
from smartgrowth.curriculum.orders import grouped_classes
from smartgrowth.data import load, store, taxonomy

# Of tiny_imagenet, in its manner.
NAMES = (
    "n02085620 Chihuahua",
    "n02099601 golden retriever",
    "n02106662 German shepherd",
    "n02123045 tabby",
    "n02129165 lion",
    "n02814533 beach wagon",
    "n04465501 tractor",
    "n07873807 pizza",
)


def write(tmp_path, text: str | bytes) -> str:
    path = tmp_path / "groups.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.fixture(autouse=True)
def nothing_else_is_said(capsys):
    yield
    assert capsys.readouterr().out == ""


def read(path, names=("wild cat", "wild boar", "oak")):
    return taxonomy.read_groups(path, names)


# WordNet


def test_the_table_is_in_the_package():
    table = importlib.resources.files("smartgrowth.data") / "wordnet_groups.csv"
    assert table.is_file()
    assert "WordNet 3.0 Copyright 2006 by Princeton" in table.read_text("utf-8")


def test_every_wnid_of_imagenet_is_in_the_table_once():
    lines = taxonomy.WORDNET_GROUPS.read_text("utf-8").splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    assert rows[0] == "wnid,group"
    wnids = [row.split(",")[0] for row in rows[1:]]
    assert len(wnids) == len(set(wnids)) == 1000
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids)
    tfds = importlib.resources.files("tensorflow_datasets")
    labels = tfds / "image_classification" / "imagenet_resized_labels.txt"
    assert set(labels.read_text().split()) == set(wnids)


def test_the_groups_are_coarse_and_hardly_any_class_is_left_over():
    groups = list(taxonomy.read_wordnet().values())
    assert 25 <= len(set(groups)) <= 45
    assert groups.count("dog") == 118
    assert groups.count("bird") == 59
    assert groups.count(taxonomy.OTHER) < 10
    assert max(map(groups.count, set(groups))) == 118


def test_breeds_of_dog_are_one_group():
    groups = taxonomy.find_groups(NAMES)
    assert [groups[name] for name in NAMES] == [
        *["dog"] * 3,
        *["cat"] * 2,
        *["vehicle"] * 2,
        "food",
    ]


def test_a_wnid_alone_is_a_name_too():
    """As TFDS calls the classes of imagenette."""
    groups = taxonomy.find_groups(("n02102040", "n03394916", "n03888257"))
    assert groups["n02102040"] == "dog"
    assert groups["n03394916"] == "musical instrument"


def test_a_wnid_that_imagenet_has_not_is_other():
    groups = taxonomy.find_groups(("n02123045 tabby", "n00000001 what"))
    assert groups == {"n02123045 tabby": "cat", "n00000001 what": "other"}


@pytest.mark.parametrize(
    "names",
    [
        ("tabby", "lion"),
        ("n02123045 tabby", "lion"),
        ("n021230455", "n021291655"),
        ("n00000001 this", "n00000002 that"),
    ],
)
def test_names_that_wordnet_does_not_know_have_no_groups(names):
    assert taxonomy.find_groups(names) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_class_order_by_wordnet_puts_siblings_last(seed):
    groups = taxonomy.find_groups(NAMES)
    order = grouped_classes("taxonomy", NAMES, groups, seed)
    entering = [groups[NAMES[index]] for index in order]
    assert set(entering[:4]) == {"dog", "cat", "vehicle", "food"}
    assert set(entering[4:7]) == {"dog", "cat", "vehicle"}
    assert entering[7] == "dog"


# A user's table


def test_a_table_names_classes_as_the_classes_flag_does(tmp_path):
    path = write(
        tmp_path, "class,group\nwild cat,beast\nboar,beast\noak,tree\n"
    )
    groups = {"wild cat": "beast", "wild boar": "beast", "oak": "tree"}
    assert read(path) == groups


def test_a_table_may_come_from_a_spreadsheet(tmp_path):
    text = '\ufeffid,class,group\r\n1,oak, tree \r\n\r\n2,cat,"beast, wild"\r\n'
    path = write(tmp_path, text + "3,boar,beast\r\n")
    assert read(path)["oak"] == "tree"
    assert read(path)["wild cat"] == "beast, wild"


def test_names_of_no_class_are_told_and_passed_over(tmp_path, capsys):
    extra = "".join(f"extra{number},x\n" for number in range(4))
    path = write(tmp_path, f"class,group\n{extra}cat,a\nboar,a\noak,b\n")
    assert len(read(path)) == 3
    assert capsys.readouterr().out == (
        f"--taxonomy={path}: skipped 4 of its names, which are of no "
        "class here: extra0, extra1, extra2, …\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first line is ''; it should be 'class,group'"),
        ("name,kind\noak,tree\n", "line is 'name,kind'; it should be 'class,g"),
        ("class,group\noak,tree\ncat\n", "line 3 has no group.*'cat'"),
        ("class,group\noak, \n", "line 2 has no group.*'oak'.*quotes"),
        ("class,group\n,tree\n", "line 2 has no class.*'tree'"),
        ("class,group\nwild,beast\n", "line 2: 'wild' is more than one class: "
         "wild cat, wild boar; write the whole name"),
        ("class,group\noak,tree\noak,wood\n", "line 3: 'oak' is in 'wood' here"
         " and in 'tree' above; keep one"),
        ("class,group\noak,tree\n", "no group for class 'wild cat' and 1 more; "
         "add a line"),
        (b"class,group\n\xff\xfe,tree\n", "is not UTF-8"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_table_is_named_with_the_way_out(
    tmp_path, text, message
):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"--taxonomy={path}: ")


def test_a_table_that_is_not_there_is_named(tmp_path):
    path = str(tmp_path / "none.csv")
    with pytest.raises(
        UserError, match="none.csv: cannot be read.*class,group"
    ):
        read(path)


# Opening data


def test_the_table_of_the_user_wins_over_wordnet(tmp_path, capsys):
    path = write(tmp_path, "class,group\nn1,a\n" + "".join(
        f"{name},{'odd' if index % 2 else 'even'}\n"
        for index, name in enumerate(NAMES)
    ))  # fmt: skip
    groups = taxonomy.find_groups(NAMES, path)
    assert set(groups.values()) == {"odd", "even"}
    assert "skipped 1 of its names" in capsys.readouterr().out


def test_opened_data_has_the_users_groups_or_the_sources(
    tiny_dataset, tiny_config, tiny_data, tmp_path
):
    source = tiny_data.groups
    config = tiny_config(cache_dir=tiny_dataset)
    assert load.open_data(config).groups == source
    path = write(tmp_path, "class,group\nrook,a\nrock crystal,b\nsun,a\nmoon,b")
    config = tiny_config(cache_dir=tiny_dataset, taxonomy=path)
    groups = load.open_data(config).groups
    assert groups == {"rook": "a", "rock crystal": "b", "sun": "a", "moon": "b"}
    # The store says what it said.
    assert store.open_data(tiny_data.train.directory).groups == source


def test_classes_that_were_not_chosen_need_no_group(
    tiny_dataset, tiny_config, tmp_path
):
    path = write(tmp_path, "class,group\nsun,a\nmoon,b\n")
    config = tiny_config(
        cache_dir=tiny_dataset, taxonomy=path, classes=("sun", "moon")
    )
    opened = load.open_data(config)
    assert opened.groups == {"sun": "a", "moon": "b"}
    config = tiny_config(cache_dir=tiny_dataset, taxonomy=path)
    with pytest.raises(UserError, match="no group for class 'rook'"):
        load.open_data(config)
