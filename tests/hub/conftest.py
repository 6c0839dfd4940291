"""A Hub that the tests of a module share, where what was pushed is asked for again and again."""

import loopback_hub
import pytest
from huggingface_hub import constants


@pytest.fixture(scope="module")
def lasting_hub():
    with pytest.MonkeyPatch.context() as patch, loopback_hub.serve() as hub:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield hub
