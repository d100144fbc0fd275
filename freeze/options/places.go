package options

import (
	"path/filepath"
	"strings"

	"yolofreeze/onnx/disk"
)

// Kept are the options as files of the run hold them: with paths that mean the same
// in every folder.
func (o Options) Kept() Options {
	o.Data = inData(o.Data, absolute)
	if disk.Exists(o.Weights) {
		o.Weights = absolute(o.Weights)
	}
	if disk.Exists(o.Teacher) {
		o.Teacher = absolute(o.Teacher)
	}
	o.Freeze = inFiles(o.Freeze, absolute)
	return o
}

// inData puts other paths in the place of those that option data names: COCO has a file a
// split, perhaps with the split's name.
func inData(data string, place func(string) string) string {
	if data == "" {
		return ""
	}
	if disk.Exists(data) { // one file, commas and all
		return place(data)
	}
	parts := strings.Split(data, ",")
	for i, part := range parts {
		key, path := splitData(part)
		parts[i] = key + place(path)
	}
	return strings.Join(parts, ",")
}

// inFiles does so with the files of selectors.
func inFiles(selectors []string, place func(string) string) []string {
	var out []string
	for _, s := range selectors {
		tokens := strings.Split(s, ",")
		for i, token := range tokens {
			if file, ok := strings.CutPrefix(token, "@"); ok {
				tokens[i] = "@" + place(file)
			}
		}
		out = append(out, strings.Join(tokens, ","))
	}
	return out
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != "" {
		return abs
	}
	return path
}

// splitData parts train=a.json into what names the split, and the path.
func splitData(part string) (key, path string) {
	if split, path, ok := strings.Cut(part, "="); ok && !disk.Exists(part) {
		return split + "=", path
	}
	return "", part
}

// FindPlaces looks for the files of a run that was moved together with them: the
// ends of their paths, from the run's folder and from the folders above it.
func (o *Options) FindPlaces(runDir string) {
	find := func(path string) string { return moved(path, absolute(runDir)) }
	o.Data = inData(o.Data, find)
	if o.Teacher != "" {
		o.Teacher = find(o.Teacher)
	}
	o.Freeze = inFiles(o.Freeze, find)
}

// moved returns where the file of a path is now, which is where the most of its path
// still fits; path itself where it is there, or nothing is found.
func moved(path, runDir string) string {
	if disk.Exists(path) {
		return path
	}
	segments := strings.Split(strings.TrimLeft(filepath.ToSlash(filepath.Clean(path)), "/"), "/")
	for i := 0; i < len(segments)-1 || i == 0; i++ {
		end := filepath.Join(segments[i:]...)
		for dir := runDir; ; dir = filepath.Dir(dir) {
			if at := filepath.Join(dir, end); disk.Exists(at) {
				return at
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return path
}
