# What the other scripts share; sourced by them. Sets root (the repository), shared (the
# folder of real files, may be absent) and yolofreeze (the program, which make_ready builds).
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
	(cd "$root" && go build -o yolofreeze ./cmd/yolofreeze)
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
run() {
	say "\$ yolofreeze $*"
	"$yolofreeze" "$@"
}
sha256() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }

# official_sum NAME: the SHA-256 of a checkpoint of YOLOv5's releases, such as
# yolov5m-v7.0; of the files themselves, as Git LFS pointers to them have it.
official_sum() {
	case "$1" in
	yolov5n-v7.0) echo 4f180cf23ba0717ada0badd6c685026d73d48f184d00fc159c2641284b2ac0a3 ;;
	yolov5s-v7.0) echo 8b3b748c1e592ddd8868022e8732fde20025197328490623cc16c6f24d0782ee ;;
	yolov5m-v7.0) echo beef2600e80c86c23d40a3c74c87de7dd22e9dce0b0c960ee2bf1792698f0f69 ;;
	yolov5l-v7.0) echo c2323a42865bdc3d8e41795548d695b18593b3c99e9a1a8ee59b37fb46041af2 ;;
	yolov5x-v7.0) echo 9f27a794fa0308e2606f90565164571d6f0a0ba18a3ce2e5e5d323b71c157859 ;;
	yolov5n-v6.0) echo 649e089f59b78ac021025de035b2d9c45dc26e544ea252955d0ffcefc1099e2f ;;
	yolov5s-v6.0) echo c3b140f32001a9eec4afa07120b3851eb1b6c2c7c7e7a4303af9eadfacbeb598 ;;
	yolov5m-v6.0) echo 4947bf5605d671037cd4b4cb250e5f52f836c0c5b97c1084aca391997f78d593 ;;
	yolov5l-v6.0) echo 84f0a2d6945dfd65d64b0595ea7b912f6addac32dd23fe77bc3fa6d3c1385f16 ;;
	yolov5x-v6.0) echo 89bd0a9a71639a9b607a82c53cfe2fa1272a867726c68fe2977c80a8f4a08abe ;;
	*) return 1 ;;
	esac
}

# weights_of WEIGHTS: prints the path of a model: a file or folder as it is given, or
# an official checkpoint by name (yolov5m means yolov5m-v7.0), fetched once, its sum checked.
weights_of() {
	[ ! -e "$1" ] || { echo "$1"; return; }
	local id=$1 sum model file
	case "$id" in *-v*) ;; *) id=$id-v7.0 ;; esac
	sum=$(official_sum "$id") || { say "$1: neither a file nor an official checkpoint (yolov5n, s, m, l or x, with -v7.0 or -v6.0)"; return 3; }
	model=${id%-v*}
	file=${XDG_CACHE_HOME:-$HOME/.cache}/yolofreeze/weights/$id.pt
	if [ ! -s "$file" ]; then
		mkdir -p "$(dirname "$file")"
		say "fetching $id (license: AGPL-3.0, its authors') into $file"
		curl -fL --retry 3 -C - -o "$file.part" "https://github.com/ultralytics/yolov5/releases/download/${id#"$model"-}/$model.pt" >&2 ||
			{ say "$id could not be fetched: give a file instead"; return 1; }
		[ "$(sha256 "$file.part")" = "$sum" ] || { rm -f "$file.part"; say "$id: what was fetched does not have the sum $sum, and is thrown away"; return 3; }
		mv "$file.part" "$file"
	fi
	[ "$(sha256 "$file")" = "$sum" ] || { say "$file: its sum is not $sum: remove it"; return 3; }
	echo "$file"
}
