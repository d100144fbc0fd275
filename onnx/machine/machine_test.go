package machine

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	mounts2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mounts1 = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)

// TestLimits: the least of all limits counts, whichever system of control groups there is.
func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing": {nil, unlimited},
		"version 2, a container's own tree": {map[string]string{"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mounts2,
			"sys/fs/cgroup/memory.max": "1000000\n", "sys/fs/cgroup/memory.current": "400000\n",
			"sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 100000\n"}, 700000},
		"version 2, the group around it is the tighter": {map[string]string{"proc/self/cgroup": "0::/user.slice/job.scope\n", "proc/self/mountinfo": mounts2,
			"sys/fs/cgroup/user.slice/job.scope/memory.max": "max\n", "sys/fs/cgroup/user.slice/job.scope/memory.current": "5\n",
			"sys/fs/cgroup/user.slice/memory.max": "900\n", "sys/fs/cgroup/user.slice/memory.current": "300\n"}, 600},
		"version 2, memory.high": {map[string]string{"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": mounts2,
			"sys/fs/cgroup/a/memory.max": "900\n", "sys/fs/cgroup/a/memory.high": "500\n", "sys/fs/cgroup/a/memory.current": "100\n"}, 400},
		"version 2, more in use than allowed": {map[string]string{"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": mounts2,
			"sys/fs/cgroup/a/memory.max": "900\n", "sys/fs/cgroup/a/memory.current": "1000\n"}, 0},
		"version 1": {map[string]string{"proc/self/cgroup": "4:memory:/docker/x\n2:cpu:/\n0::/\n", "proc/self/mountinfo": mounts1,
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "5000\n", "sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes": "2000\n",
			"sys/fs/cgroup/memory/docker/x/memory.stat":    "inactive_file 3\ntotal_inactive_file 500\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes":   "70000\n",
			"sys/fs/cgroup/unified/memory.max":             "max\n",
			"sys/fs/cgroup/cpu/memory.limit_in_bytes":      "1\n",
			"sys/fs/cgroup/memory/other/memory.max":        "1\n",
			"sys/fs/cgroup/memory/memory.soft_limit_bytes": "1\n"}, 3500},
		"version 1, a container that sees its own group as the root": {map[string]string{"proc/self/cgroup": "4:cpu,memory:/docker/x/y\n",
			"proc/self/mountinfo":                        "35 31 0:32 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory,cpu\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n"}, 4000},
		"version 1, another root": {map[string]string{"proc/self/cgroup": "4:memory:/\n",
			"proc/self/mountinfo":                        "35 31 0:32 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n"}, 4000},
		"address space": {map[string]string{"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units\n" +
			"Max data size             unlimited            unlimited            bytes\nMax address space         8192000              unlimited            bytes\n",
			"proc/self/status": "Name:\tx y\nVmSize:\t    3000 kB\nVmData:\t  1 kB\n"}, 8192000 - 3000<<10},
		"data size": {map[string]string{"proc/self/limits": "Max data size             8192000              unlimited            bytes\n",
			"proc/self/status": "VmData:\t  1000 kB\n"}, 8192000 - 1000<<10},
		"damaged": {map[string]string{"proc/self/cgroup": "0::/a\nx\n::\n", "proc/self/mountinfo": mounts2 + "1 2 -\n- - - -\n", "proc/self/limits": "Max\n",
			"sys/fs/cgroup/a/memory.max": "lots\n"}, unlimited},
	} {
		root := fstest.MapFS{}
		for file, text := range c.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := limited(root); got != c.want {
			t.Errorf("%s: %d bytes are left, want %d", name, got, c.want)
		}
	}
}

// TestMain lets the test run itself under limits.
func TestMain(m *testing.M) {
	if os.Getenv("MACHINE_TEST_FREE") != "" {
		os.Stdout.WriteString(strconv.FormatInt(FreeMemory(), 10))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// freeIn runs a script that ends in this program, and returns what that has free.
func freeIn(t *testing.T, script string) int64 {
	t.Helper()
	cmd := exec.Command("sh", "-c", script, os.Args[0])
	cmd.Env = append(os.Environ(), "MACHINE_TEST_FREE=1")
	text, err := cmd.Output()
	if err != nil {
		t.Skipf("%s: %v", script, err)
	}
	free, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return free
}

// TestRealLimits: under ulimit, and in a control group of version 1 or 2 where one can be
// made, less is free than the limit.
func TestRealLimits(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the limits of Linux")
	}
	const limit = 3 << 30
	if free := freeIn(t, `ulimit -v 3145728; exec "$0"`); free > limit || free == 0 {
		t.Errorf("%d bytes free under ulimit -v, limit %d", free, limit)
	}
	for dir, files := range map[string][2]string{
		"/sys/fs/cgroup/memory/yolofreeze-test": {"memory.limit_in_bytes", "1"},
		"/sys/fs/cgroup/yolofreeze-test":        {"memory.max", "2"},
	} {
		t.Run("version "+files[1], func(t *testing.T) {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Skip(err)
			}
			defer os.Remove(dir)
			if _, err := os.Stat(dir + "/" + files[0]); err != nil {
				t.Skip(err)
			}
			if err := os.WriteFile(dir+"/"+files[0], []byte("268435456"), 0o644); err != nil {
				t.Skip(err)
			}
			script := strings.ReplaceAll(`echo $$ >DIR/cgroup.procs && exec "$0"`, "DIR", dir)
			if free := freeIn(t, script); free > 268435456 || free < 100<<20 {
				t.Errorf("%d bytes free in a group of 256 MiB", free)
			}
		})
	}
}

func TestPeakMemory(t *testing.T) {
	before := PeakMemory()
	block := make([]byte, 64<<20)
	for i := range block {
		block[i] = 1
	}
	if now := PeakMemory(); before < 1<<20 || now < before+32<<20 {
		t.Errorf("%d bytes after %d and 64 MiB more", now, before)
	}
	runtime.KeepAlive(block)
	if free, known := FreeDisk(t.TempDir()); !known || free <= 0 {
		t.Errorf("%d bytes of disk, known %v", free, known)
	}
}
