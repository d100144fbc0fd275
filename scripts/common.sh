# What the other scripts share; sourced by them. Sets root (the repository), shared (the
# folder of real files, may be absent) and yolofreeze (the program, which setup.sh builds).
export HOME="${HOME:-$(echo ~)}"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
shared=${YOLOFREEZE_SHARED:-$root/../shared}
yolofreeze=$root/yolofreeze
name=$(basename "$0" .sh)

say() { echo "$name: $*" >&2; }
usage() { # the comment at the script's head
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
make_ready() { # flags of setup.sh
	ONNXRUNTIME_SHARED_LIBRARY_PATH=$("$root/scripts/setup.sh" "$@")
	export ONNXRUNTIME_SHARED_LIBRARY_PATH
}
need_shared() {
	[ -d "$shared/models" ] || { say "--smoke needs real files: $shared is absent, set YOLOFREEZE_SHARED"; exit 2; }
}
# python_with NAME [flags of pip install]: prints the path of a Python which has the packages
# that standard input lists, as pip's requirements, in an environment of its own in the user's
# cache folder; made once. Only checks need Python, yolofreeze never does.
python_with() {
	local venv=${XDG_CACHE_HOME:-$HOME/.cache}/yolofreeze/$1 list
	shift
	list=$(cat)
	if [ "$(cat "$venv/installed" 2>/dev/null)" != "$list" ]; then
		say "installing for Python, in $venv:" $(cut -d' ' -f1 <<<"$list")
		python3 -m venv --clear "$venv" >&2 || return 1
		"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: "$@" --requirement <(echo "$list") >&2 || return 1
		echo "$list" >"$venv/installed"
	fi
	echo "$venv/bin/python"
}
# What reads exports there, in the environment consumers-light.
consumers=(numpy==2.4.6 onnxruntime==1.32.0 opencv-python-headless==5.0.0.93)
run() {
	say "\$ yolofreeze $*"
	"$yolofreeze" "$@"
}
sha256() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }

# weights_of WEIGHTS: prints the path of a model: a file or folder as it is given, or an official
# checkpoint by name (yolov5m means yolov5m-v7.0), fetched once, its checksum checked.
weights_of() { "$yolofreeze" weights "$1"; }
