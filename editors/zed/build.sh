#!/usr/bin/env bash
# Makes the extension in target/zed, for Zed's command `zed: install dev extension`. Zed takes a grammar from a commit of a git repository and compiles
# it, so the parser becomes one in target/tree-sitter. Needs git and what ../tree-sitter/build.sh needs; Zed compiles the extension with rustup's Rust.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
"$root/editors/tree-sitter/build.sh"
grammar=$root/target/tree-sitter
made=$root/target/zed
git -C "$grammar" init --quiet
git -C "$grammar" add .
git -C "$grammar" -c user.name=aent -c user.email=aent@localhost commit --quiet --allow-empty --message 'The parser'
rm -rf "$made"
mkdir -p "$made"
cp -R "$root/editors/zed/"{Cargo.toml,extension.toml,languages,src} "$made"
cp "$root/editors/tree-sitter/queries/highlights.scm" "$made/languages/aent"
sed -i.bak "s|GRAMMAR|file://$grammar|; s|COMMIT|$(git -C "$grammar" rev-parse HEAD)|" "$made/extension.toml"
rm "$made/extension.toml.bak"
echo "target/zed is ready"
