#!/usr/bin/env bash
# Drives the program `aent` from Neovim without a screen: findings, hover, completion, definition, rename, formatting.
# Needs `nvim` 0.7 or newer, and the program in $AENT, or else target/debug/aent.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
export AENT=${AENT:-$root/target/debug/aent}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME=$folder/cache XDG_STATE_HOME=$folder/state XDG_DATA_HOME=$folder/data
mkdir "$folder/loss"
cat > "$folder/loss/helpers.aent" <<'AENT'
# A value times a factor.
fn scaled(x, by = 0.5) = by * x
AENT
cat > "$folder/loss/main.aent" <<'AENT'
import "helpers.aent"
# β 🙂
let   ratio = exp(log_prob - old_log_prob)
let half = scaled(ratio)
loss = tokn_mean(half * advantages)
AENT
cd "$folder/loss"
timeout 120 nvim --headless -u NONE -i NONE --cmd "set noswapfile" -c "luafile $root/editors/neovim/aent.lua" -c "luafile $root/editors/neovim/test.lua"
