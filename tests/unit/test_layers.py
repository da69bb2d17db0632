"""What import-linter's contracts (pyproject.toml) cannot say."""

import ast
import subprocess
import sys
from pathlib import Path

import focusrail


def imported_modules(source: Path) -> set[str]:
    """The top-level modules that a file imports from outside its own package, anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules.add(node.module)
    return modules


def test_the_model_imports_only_the_standard_library_itself_and_the_errors():
    package = Path(focusrail.__file__).parent
    allowed = {"focusrail.model", "focusrail.errors"}
    strangers = {
        f"{source.relative_to(package)}: {module}"
        for source in (package / "model").rglob("*.py")
        for module in imported_modules(source)
        if module.split(".")[0] not in sys.stdlib_module_names and not any(module.startswith(name) for name in allowed)
    }
    assert not strangers


def test_the_process_that_owns_the_rig_loads_no_image_library() -> None:
    tell = (
        "import focusrail.cli, focusrail.config.schema, sys; focusrail.config.schema.Config();"
        " print(*sorted({'cv2', 'numpy', 'PIL', 'tifffile'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
