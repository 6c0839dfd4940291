"""What `import hf_dialects` loads, registers and offers."""

import subprocess
import sys

import pytest

import hf_dialects
from hf_dialects.version import __version__


def loaded_modules(argv0: str, code: str = "") -> set[str]:
    """Which of torch and transformers an `import hf_dialects` loads in a process started as `argv0`."""
    script = (
        f"import sys; sys.argv[0] = {argv0!r}; import hf_dialects; {code}\n"
        "print(*[name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("argv0", ["/opt/venv/bin/hf-dialects", "hf-dialects.exe"])
def test_the_command_line_starts_without_torch(argv0):
    assert loaded_modules(argv0) == set()


def test_elsewhere_import_registers():
    code = (
        "from transformers import AutoConfig; assert type(AutoConfig.for_model('dialect')).__name__ == 'DialectConfig'"
    )
    assert {"torch", "transformers"} <= loaded_modules("hf-dialects-study/train.py", code)


def test_register_twice_changes_nothing():
    from transformers import AutoConfig

    hf_dialects.register()
    hf_dialects.register()
    assert type(AutoConfig.for_model("dialect")) is hf_dialects.DialectConfig


def test_every_public_name_can_be_had():
    assert hf_dialects.__version__ == __version__
    assert set(hf_dialects.__all__) <= set(dir(hf_dialects))
    for name in hf_dialects.__all__:
        assert getattr(hf_dialects, name) is not None
    with pytest.raises(AttributeError, match="module 'hf_dialects' has no attribute 'dialect'"):
        _ = hf_dialects.dialect


def test_every_folder_of_the_package_is_in_the_wheel():
    from configparser import ConfigParser
    from pathlib import Path

    root = Path(__file__).parents[1]
    settings = ConfigParser()
    settings.read(root / "setup.cfg", encoding="utf-8")
    listed = set(settings["options"]["packages"].split())
    inside = {".".join(file.parent.relative_to(root).parts) for file in (root / "hf_dialects").rglob("__init__.py")}
    assert listed == inside | {"hf_dialects.dataset_scripts", "hf_dialects.model_cards"}
