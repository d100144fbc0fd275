#!/usr/bin/env bash
# The whole story on data and weights that the program makes itself: pre-train a
# small model, freeze it, fine-tune it frozen and unfrozen, compare.
# usage: scripts/demo.sh [flags of yolofreeze demo]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

make_ready
cd "$root"
exec "$yolofreeze" demo "$@"
