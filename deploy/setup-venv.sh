#!/bin/sh
# Makes the virtual environment .venv, with the package as it stands in this tree:  setup-venv.sh [EXTRA[,EXTRA...]]
# Does its work once; again when setup.cfg, pyproject.toml, the interpreter or the tree's place has changed.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
extras=${1:-}

home() {
    pwd -P
    .venv/bin/python -V
}

state() {
    { home; cat setup.cfg pyproject.toml; } | sha256sum
}

if [ -x .venv/bin/python ] && grep -qxFe "$(state)" ".venv/setup-$extras" 2>/dev/null; then
    exit 0
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "The collector needs Python 3.11 or later; $python is $("$python" -V 2>&1). Try: make PYTHON=/usr/bin/python3 ..." >&2
    exit 1
}
echo "Setting up .venv with $("$python" -V)" >&2
if [ "$(home 2>/dev/null)" != "$(cat .venv/home 2>/dev/null)" ]; then
    "$python" -m venv --clear .venv
    home >.venv/home
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}"
state >".venv/setup-$extras"
