#!/usr/bin/env bash
# Makes the parser in target/tree-sitter, where editors can take it from. With the argument `test` it also runs the tests, and parses
# every example and every file of the library. Needs `tree-sitter` (https://tree-sitter.github.io/tree-sitter/cli), Node and a C compiler.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
made=$root/target/tree-sitter
mkdir -p "$made"
cp -R "$root/editors/tree-sitter/." "$made"
cd "$made"
tree-sitter generate
if [ "${1:-}" = test ]; then
    tree-sitter test
    for query in queries/*.scm; do
        tree-sitter query --quiet "$query" "$root/examples/recipes/aent.aent"
    done
    # `parse` fails where a tree has an error.
    find "$root/examples" "$root/src/load/std" -name '*.aent' -print0 | xargs -0 tree-sitter parse --quiet
    echo "every example parses"
fi
