"""Public names of a package that load their module when they are first asked for. Layer 0."""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_names(package: dict, modules: Mapping[str, str]) -> tuple[Callable, Callable]:
    """`__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: its `globals()`.
        modules: public name → module of the package that holds it.
    """
    name_of_package = package["__name__"]

    def get(name: str):
        if name not in modules:
            raise AttributeError(f"module {name_of_package!r} has no attribute {name!r}")
        return getattr(import_module(f"{name_of_package}.{modules[name]}"), name)

    def names() -> list[str]:
        return sorted({*package, *modules})

    return get, names
