import pytest
from datasets import DatasetDict

from hf_dialects.data.synthetic import load_fixture
from hf_dialects.training.screened import screen_splits


@pytest.fixture(scope="module")
def screened():
    """Every other recording of the fixture."""
    few = {name: split.select(range(0, len(split), 2)) for name, split in load_fixture().items()}
    return screen_splits(DatasetDict(few), ("speaker",), progress=False)
