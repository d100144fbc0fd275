package machine

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

const unlimited = math.MaxInt64

// groupsLeave is the least that the process's control groups and those around them leave, of
// either version.
func groupsLeave(root fs.FS) int64 {
	paths := groupPaths(root)
	left := int64(unlimited)
	for _, m := range groupMounts(root) {
		at, in := paths[m.version]
		if !in {
			continue
		}
		// In a container a part of the tree is mounted, and the process may not see its own group there.
		below, found := strings.CutPrefix(at+"/", strings.TrimSuffix(m.root, "/")+"/")
		if !found {
			below = ""
		}
		for dir := path.Join(m.at, below); ; dir = path.Dir(dir) {
			left = min(left, m.version.leaves(root, dir))
			if dir == m.at || len(dir) <= len(m.at) {
				break
			}
		}
	}
	return left
}

// version is that of the control groups, with the names of its files.
type version int

const (
	v1 version = 1
	v2 version = 2
)

// leaves is what one group leaves: its limit less what it uses, but for cached files that
// make room.
func (v version) leaves(root fs.FS, dir string) int64 {
	limits, used, cached := []string{"memory.max", "memory.high"}, "memory.current", "inactive_file"
	if v == v1 {
		limits, used, cached = []string{"memory.limit_in_bytes"}, "memory.usage_in_bytes", "total_inactive_file"
	}
	limit := int64(unlimited)
	for _, name := range limits {
		if n, ok := number(root, path.Join(dir, name)); ok {
			limit = min(limit, n)
		}
	}
	in, ok := number(root, path.Join(dir, used))
	if limit == unlimited || !ok {
		return limit
	}
	eachLine(root, path.Join(dir, "memory.stat"), func(fields []string) {
		if len(fields) == 2 && fields[0] == cached {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				in -= min(n, in)
			}
		}
	})
	return max(limit-in, 0)
}

// groupPaths are the process's groups that count memory, by version.
func groupPaths(root fs.FS) map[version]string {
	paths := map[version]string{}
	eachLine(root, "proc/self/cgroup", func(fields []string) {
		parts := strings.SplitN(strings.Join(fields, " "), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[0] == "0" && parts[1] == "":
			paths[v2] = parts[2]
		case has(parts[1], "memory"):
			paths[v1] = parts[2]
		}
	})
	return paths
}

// groupMount is where a tree of groups, or the part of it below root, can be seen.
type groupMount struct {
	version  version
	root, at string
}

func groupMounts(root fs.FS) (mounts []groupMount) {
	eachLine(root, "proc/self/mountinfo", func(fields []string) {
		for i, f := range fields {
			if f != "-" || i < 6 || len(fields) < i+4 {
				continue
			}
			m := groupMount{root: fields[3], at: strings.TrimPrefix(fields[4], "/")}
			switch kind, options := fields[i+1], fields[len(fields)-1]; {
			case kind == "cgroup2":
				m.version = v2
			case kind == "cgroup" && has(options, "memory"):
				m.version = v1
			default:
				return
			}
			mounts = append(mounts, m)
			return
		}
	})
	return mounts
}

func has(list, word string) bool { return strings.Contains(","+list+",", ","+word+",") }

// processLeaves is what the limits on the process's own memory leave (ulimit -v and -d).
func processLeaves(root fs.FS) int64 {
	left, used := int64(unlimited), status(root)
	eachLine(root, "proc/self/limits", func(fields []string) {
		if len(fields) < 4 || fields[0] != "Max" {
			return
		}
		in := map[string]string{"address space": "VmSize", "data size": "VmData"}[fields[1]+" "+fields[2]]
		if limit, err := strconv.ParseInt(fields[3], 10, 64); err == nil && in != "" {
			left = min(left, max(limit-used[in], 0))
		}
	})
	return left
}

// status are the sizes in the process's status, in bytes.
func status(root fs.FS) map[string]int64 {
	sizes := map[string]int64{}
	eachLine(root, "proc/self/status", func(fields []string) {
		if len(fields) == 3 && fields[2] == "kB" {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				sizes[strings.TrimSuffix(fields[0], ":")] = n << 10
			}
		}
	})
	return sizes
}

// number reads a file of one number; "max" and what is no number are none.
func number(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

func eachLine(root fs.FS, name string, f func(fields []string)) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f(strings.Fields(lines.Text()))
	}
}
