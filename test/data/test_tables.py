import os
import random
import subprocess

import pytest

from speechllm.data.tables import atomic_write, iter_table, read_table, sorted_rows, write_table
from speechllm.errors import UserError


def random_ids(count: int) -> list[str]:
    rng = random.Random(0)
    letters = ["a", "B", "_", "-", "1", "9", "ß", "ł", "é", "中", "\U0001f600"]
    return sorted({"".join(rng.choices(letters, k=rng.randint(1, 6))) for _ in range(count)})


def test_table_is_in_the_order_of_the_sort_command(tmp_path):
    write_table(tmp_path / "text", {key: "x y" for key in random_ids(300)})
    by_sort = subprocess.run(
        ["sort", tmp_path / "text"], env={**os.environ, "LC_ALL": "C"}, capture_output=True
    ).stdout
    assert (tmp_path / "text").read_bytes() == by_sort
    assert list(read_table(tmp_path / "text")) == random_ids(300)


@pytest.mark.parametrize("run_size", [1, 7, 299, 1000])
def test_rows_sorted_through_files_equal_rows_sorted_in_memory(run_size):
    rows = [(key, f"text {key}") for key in random_ids(300)]
    random.Random(1).shuffle(rows)
    assert list(sorted_rows(iter(rows), run_size)) == sorted(rows)


def test_empty_values_and_tabs_are_read(tmp_path):
    (tmp_path / "text").write_text("a\nb one two \nc\tthree\n")
    assert read_table(tmp_path / "text") == {"a": "", "b": "one two", "c": "three"}


@pytest.mark.parametrize(
    "content, line, says",
    [
        (b"a 1\nb 2\nb 3\n", ":3:", "b stands twice"),
        (b"a 1\nc 2\nb 3\n", ":3:", "b comes after c"),
        (b"a 1\n\nb 2\n", ":2:", "does not start with an utterance id"),
        (b"a 1\nb \xff\xfe\n", ":2", "not UTF-8"),
    ],
)
def test_wrong_table_names_file_line_and_key(tmp_path, content, line, says):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(UserError, match=f"{tmp_path}/text{line}.*{says}"):
        list(iter_table(tmp_path / "text"))


def test_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/utt2spk: No such file"):
        read_table(tmp_path / "utt2spk")


def test_interrupted_write_leaves_the_former_file(tmp_path):
    (tmp_path / "text").write_text("former")
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "text") as file:
        file.write("half")
        raise KeyboardInterrupt
    assert (tmp_path / "text").read_text() == "former"
    assert os.listdir(tmp_path) == ["text"]
