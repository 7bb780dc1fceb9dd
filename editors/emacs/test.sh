#!/usr/bin/env bash
# Drives the program `aent` from Emacs without a screen. Needs Emacs 28 with eglot (Debian: emacs-nox, elpa-eglot), or 29 and newer, and the
# program in $AENT, or else target/debug/aent.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
export AENT=${AENT:-$root/target/debug/aent}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HOME=$folder XDG_CACHE_HOME=$folder/cache
mkdir "$folder/loss"
printf 'let ratio = exp(log_prob - old_log_prob)\nloss = tokn_mean(ratio * advantages)\n' > "$folder/loss/main.aent"
cd "$folder/loss"
timeout 120 emacs --batch --eval "(package-initialize)" -L "$root/editors/emacs" -l aent-mode -l "$root/editors/emacs/test.el"
