"""bicep.py FILE: what can be known of a Bicep file without its compiler, which no registry here has.

The grammar must take it, whatever it names must be declared in it, whatever it declares must be named, and the
functions that it calls must be Bicep's. What the compiler knows of types and Azure of values, this does not.
Prints one line for each mistake and ends with 1 if there is one.
"""
import sys

import tree_sitter_bicep
from tree_sitter import Language, Parser

FUNCTIONS = set(
    "any array base64 concat contains description empty environment extensionResourceId first flatten format guid "
    "items join json last length loadTextContent map max maxLength maxValue min minLength minValue replace "
    "resourceGroup resourceId secure skip split string subscription subscriptionResourceId take tenant toLower "
    "toUpper trim union uniqueString uri".split()
)


def main(path):
    source = open(path, "rb").read()
    root = Parser(Language(tree_sitter_bicep.language())).parse(source).root_node
    declared, used, wrong = {}, set(), []

    def text(node):
        return source[node.start_byte:node.end_byte].decode()

    def at(node):
        return f"{path}:{node.start_point[0] + 1}"

    def walk(node, parent, place):
        if node.type == "ERROR" or node.is_missing:
            wrong.append(f"{at(node)}: this is no Bicep: {text(node)[:40]!r}")
            return
        if node.type == "for_loop_parameters":
            for name in text(node).strip("()").split(","):
                declared.setdefault(name.strip(), (at(node), "loop"))
        if node.type == "identifier":
            name, kind = text(node), parent.type
            if kind == "call_expression" and place == 0:
                if name not in FUNCTIONS:
                    wrong.append(f"{at(node)}: there is no function {name}")
            elif kind in ("parameter_declaration", "variable_declaration", "resource_declaration") and place == 1:
                if name in declared:
                    # A resource in a resource has its name for itself.
                    if kind != "resource_declaration":
                        wrong.append(f"{at(node)}: {name} is declared twice")
                declared[name] = (at(node), kind)
            elif (kind == "lambda_expression" and place == 0) or (kind == "for_statement" and place == 2):
                declared.setdefault(name, (at(node), "loop"))
            elif kind == "output_declaration" and place == 1 or kind == "object_property" and place == 0:
                pass
            else:
                used.add((name, at(node)))
        for i, child in enumerate(node.children):
            walk(child, node, i)

    walk(root, None, 0)
    for name, where in sorted(used):
        if name not in declared and name not in ("true", "false", "null"):
            wrong.append(f"{where}: nothing declares {name}")
    names = {name for name, _ in used}
    for name, (where, kind) in sorted(declared.items()):
        if name not in names and kind in ("parameter_declaration", "variable_declaration"):
            wrong.append(f"{where}: nothing uses {name}")
    if len(declared) < 3:
        wrong.append(f"{path} declares nothing")
    print("\n".join(wrong) or f"{len(declared)} declared, {len(used)} uses")
    return 1 if wrong else 0


sys.exit(main(sys.argv[1]))
