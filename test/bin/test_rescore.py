"""Which decoded sets can be rescored together."""

from pathlib import Path

import pytest

from speechllm.bin.rescore import check_names
from speechllm.errors import UserError

DEV, TEST, OTHER = Path("llm/dev"), Path("llm/test"), Path("frozen/test")


@pytest.mark.parametrize(
    ("hyp_dirs", "message"),
    [
        ([TEST, TEST], "llm/test: OUT/test is already that of llm/test; it is given twice, leave"),
        ([TEST, DEV], "llm/dev: OUT/dev is already that of llm/dev; leave it out, --hyp is resc"),
        ([TEST, OTHER], "frozen/test: OUT/test is already that of llm/test; call the command onc"),
        ([Path("frozen/dev")], "frozen/dev: OUT/dev is already that of llm/dev; call the command"),
    ],
)
def test_two_sets_of_one_name_are_told_apart(hyp_dirs, message):
    with pytest.raises(UserError, match=message):
        check_names(DEV, hyp_dirs)


def test_sets_of_different_names_go_together():
    check_names(DEV, [TEST, Path("frozen/train")])
