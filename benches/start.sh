#!/usr/bin/env bash
# How long the program without tensors takes to build, to start and to check a file, and how much memory it holds.
# Goals: built in 90 s from an empty folder on two cores; `--version` and `check` in 20 ms and 32 MiB.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
began=$(date +%s)
CARGO_TARGET_DIR=$folder cargo build --quiet --release -p aent-cli --no-default-features
echo "built in $(($(date +%s) - began)) s"
python3 - "$folder/release/aent" <<'PYTHON'
import os, resource, statistics, subprocess, sys, time

for words in (["--version"], ["check", "examples/recipes/dapo.aent"], ["terms"]):
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        subprocess.run([sys.argv[1], *words], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    child = os.spawnl(os.P_NOWAIT, "/bin/sh", "sh", "-c", f"exec {sys.argv[1]} {' '.join(words)} > /dev/null 2>&1")
    _, _, usage = os.wait4(child, 0)
    scale = 1 if sys.platform == "darwin" else 1024
    print(f"aent {' '.join(words)}: median {1e3 * statistics.median(seconds):.1f} ms, "
          f"at most {usage.ru_maxrss * scale / 2**20:.1f} MiB")
PYTHON
