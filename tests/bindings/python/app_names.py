"""Whether the app here, `main.py`, compiles, and names what its package has and nothing else."""

import ast
import importlib
import sys

sys.path.insert(0, ".")
with open("main.py", encoding="utf-8") as file:
    tree = ast.parse(file.read())
compile(tree, "main.py", "exec")
imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
module = importlib.import_module(imports[0].module)
device = getattr(module, imports[0].names[-1].name)
for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom):
        assert all(hasattr(module, alias.name) for alias in node.names), ast.dump(node)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "plugin":
        assert hasattr(device, node.attr), f"{device.__name__} has no {node.attr}"
