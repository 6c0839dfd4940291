"""Imports go in one direction, model files stand alone, files stay short."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "hf_dialects"
LAYERS = [
    {"errors", "extras", "lazy", "locks", "threads", "times", "version", "disk"},
    {"data", "models", "metrics", "space"},
    {"abx", "retrieval", "dataset_scripts"},
    {
        *("inference", "frames", "embeddings", "embedding_files", "embedding_shards", "fingerprints", "saving"),
        *("convert_ecapa", "convert_icefall", "icefall_checkpoint", "icefall_config"),
        *("batch_size", "precision", "recordings", "recording_classifier", "shared_front", "windowing"),
        *("recognition", "snippet_embeddings", "snippet_files", "abx_grid", "abx_items", "abx_source"),
        *("retrieval_audio", "retrieval_blocks", "retrieval_frames", "retrieval_pool", "retrieval_source"),
    },
    {"evaluation"},
    {"hub"},
    {"training"},
    {"report", "model_cards"},
    {"recipes", "reproduce"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
SHIPPED = {"torch", "transformers", "numpy"}  # what a consumer of a checkpoint has
LONGEST = 400  # lines
LONGER = {"modeling_zipformer.py": 850}

SOURCES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted((ROOT / "dataset_scripts").glob("*.py"))
MODEL_FILES = sorted((PACKAGE / "models").glob("*_*.py"))


def imports(source: str, module: str = "") -> list[str]:
    """Dotted names that a source imports anywhere; relative ones are resolved against `module`, its dotted name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".")[: -node.level]
                base = ".".join([*parent, base] if base else parent)
            found += [f"{base}.{alias.name}" for alias in node.names]
    return found


def unit(dotted: str) -> str | None:
    """Top-level folder or module of the package that a dotted name belongs to; None for others and for the root."""
    parts = dotted.split(".")
    if parts[0] == "hf_dialects" and len(parts) > 1:
        return parts[1]
    return "dataset_scripts" if parts[0] == "dataset_scripts" else None


def wrong_imports(source: str, module: str) -> list[str]:
    """Imports of a module that go up, or sideways into another folder."""
    own = unit(module)
    wrong = []
    for name in imports(source, module):
        target = unit(name)
        if target is None or target == own:
            continue
        if target not in LEVEL:
            wrong.append(f"{module} imports {name}: {target} has no layer")
        elif LEVEL[target] > LEVEL[own] or (LEVEL[target] == LEVEL[own] and (is_folder(own) or is_folder(target))):
            wrong.append(f"{module} (layer {LEVEL[own]}) imports {name} (layer {LEVEL[target]})")
    return wrong


def is_folder(name: str) -> bool:
    return (PACKAGE / name).is_dir()


def cycles(graph: dict[str, set[str]]) -> list[str]:
    """Names that reach themselves."""

    def reached(start: str) -> set[str]:
        seen, waiting = set(), list(graph[start])
        while waiting:
            if (name := waiting.pop()) not in seen:
                seen.add(name)
                waiting += graph.get(name, ())
        return seen

    return sorted(name for name in graph if name in reached(name))


def not_shipped(source: str) -> list[str]:
    """Imports that a model file may not have: outside of `try:` only what every consumer has, and siblings by name."""
    wrong = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Try):  # its handlers and the rest are not guarded
            for child in (*node.handlers, *node.orelse, *node.finalbody):
                visit(child)
            return
        if isinstance(node, ast.Import):
            wrong.extend(f"import {alias.name}" for alias in node.names if not allowed(alias.name))
        elif isinstance(node, ast.ImportFrom):
            sibling = node.level == 1 and node.module and (PACKAGE / "models" / f"{node.module}.py").exists()
            if not (sibling if node.level else allowed(node.module)):
                wrong.append(f"from {'.' * node.level}{node.module or ''} import {node.names[0].name}")
        for child in ast.iter_child_nodes(node):
            visit(child)

    def allowed(name: str) -> bool:
        top = name.split(".")[0]
        return top in SHIPPED or top in sys.stdlib_module_names

    visit(ast.parse(source))
    return wrong


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts)


def test_every_module_has_a_layer():
    units = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in SOURCES} - {"__init__"}
    assert units <= set(LEVEL), f"give these a layer: {sorted(units - set(LEVEL))}"


@pytest.mark.parametrize("path", [path for path in SOURCES if path != PACKAGE / "__init__.py"], ids=dotted)
def test_imports_go_down(path):
    assert wrong_imports(path.read_text("utf-8"), dotted(path)) == []


def test_modules_of_one_layer_have_no_cycle():
    modules = [path for path in PACKAGE.glob("*.py") if path.stem != "__init__"]
    graph = {path.stem: {unit(name) for name in imports(path.read_text("utf-8"), dotted(path))} for path in modules}
    assert cycles(graph) == []


def test_only_the_command_line_imports_the_root():
    """The root offers names of every layer; commands call its `register`."""
    for path in SOURCES:
        if "cli" not in path.parts:
            roots = [
                name for name in imports(path.read_text("utf-8"), dotted(path)) if name.split(".")[0] == "hf_dialects"
            ]
            assert all(unit(name) in LEVEL for name in roots), dotted(path)


@pytest.mark.parametrize("path", MODEL_FILES, ids=dotted)
def test_model_files_stand_alone(path):
    assert not_shipped(path.read_text("utf-8")) == []
    names = [node.level for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    assert all(level in (0, 1) for level in names)


@pytest.mark.parametrize("path", SCRIPTS, ids=dotted)
def test_dataset_scripts_import_data_only(path):
    used = {unit(name) for name in imports(path.read_text("utf-8"), f"hf_dialects.{dotted(path)}")}
    assert used <= {None, "data", "dataset_scripts", "errors"}


def test_files_are_short():
    long = {}
    for path in [*SOURCES, *SCRIPTS]:
        length = len(path.read_text("utf-8").splitlines())
        if length > LONGER.get(path.name, LONGEST):
            long[dotted(path)] = length
    assert long == {}


def test_wrong_imports_are_found():
    down = "from hf_dialects.errors import DialectError\nfrom hf_dialects.data.audio import decode\nimport numpy\n"
    assert wrong_imports(down, "hf_dialects.inference") == []
    for source, module in (
        ("from hf_dialects.models.modeling_dialect import DialectModel", "hf_dialects.data.audio"),
        ("import hf_dialects.training.trainer", "hf_dialects.inference"),
        ("from hf_dialects import cli", "hf_dialects.training.trainer"),
        ("from ..models import pooling_dialect", "hf_dialects.data.audio"),
        ("def f():\n    from hf_dialects.report import page", "hf_dialects.evaluation.results"),
        ("if True:\n    from hf_dialects.unheard_of import x", "hf_dialects.cli.main"),
    ):
        assert len(wrong_imports(source, module)) == 1, source
    assert wrong_imports("from hf_dialects.frames import encode_frames", "hf_dialects.embeddings") == []
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b", "x"}}) == ["b", "c"]


def test_what_does_not_travel_is_found():
    fine = (
        "import io\nimport torch\nfrom torch import nn\nfrom .pooling_dialect import build_pooling\n"
        "def f():\n    try:\n        import soundfile\n    except ImportError as error:\n        raise error\n"
    )
    assert not_shipped(fine) == []
    for source in (
        "import soundfile",
        "from hf_dialects.errors import DialectError",
        "from . import pooling_dialect",
        "from ..errors import DialectError",
        "from .nowhere_dialect import x",
        "def f():\n    import scipy.signal",
        "try:\n    import io\nexcept ImportError:\n    import soundfile",
    ):
        assert len(not_shipped(source)) == 1, source
