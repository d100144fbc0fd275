// Package machine tells what the process may still take of the machine that it runs on.
package machine

import (
	"io/fs"
	"math"
	"os"
	"strings"
	"sync/atomic"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"
)

// FreeMemory returns the bytes that the process can still take: what the system has, or less
// where a control group or a limit on the process (ulimit) says so. 2 GiB where the system
// does not tell. Memory that files are cached in counts as free.
func FreeMemory() int64 {
	free := int64(2 << 30)
	if m, err := mem.VirtualMemory(); err == nil {
		free = int64(min(m.Available, math.MaxInt64))
	}
	return max(min(free, limited(os.DirFS("/"))), 0)
}

// AddressSpace returns the bytes that the process may still reserve, used or not (ulimit -v, -d).
func AddressSpace() int64 { return processLeaves(os.DirFS("/")) }

// TotalMemory returns the bytes of memory that the system has, 0 where it does not tell.
func TotalMemory() int64 {
	m, err := mem.VirtualMemory()
	if err != nil {
		return 0
	}
	return int64(min(m.Total, math.MaxInt64))
}

// Processor is the name of the machine's processor, "" where the system does not tell.
func Processor() string {
	list, err := cpu.Info()
	if err != nil || len(list) == 0 {
		return ""
	}
	return strings.Join(strings.Fields(list[0].ModelName), " ")
}

// limited is the least that limits leave; of systems without /proc, no limit.
func limited(root fs.FS) int64 { return min(groupsLeave(root), processLeaves(root)) }

// PeakMemory returns the most bytes that the process is known to have had resident; where the
// system keeps no such number, the most at any call so far. 0 where nothing is known.
func PeakMemory() int64 {
	now := status(os.DirFS("/"))["VmHWM"]
	if now == 0 {
		if p, err := process.NewProcess(int32(os.Getpid())); err == nil {
			if m, err := p.MemoryInfo(); err == nil {
				now = int64(m.RSS)
			}
		}
	}
	for {
		before := peak.Load()
		if now <= before || peak.CompareAndSwap(before, now) {
			return max(now, before)
		}
	}
}

var peak atomic.Int64

// FreeDisk returns the bytes that can still be written into a folder.
func FreeDisk(dir string) (free int64, known bool) {
	u, err := disk.Usage(dir)
	if err != nil {
		return 0, false
	}
	return int64(min(u.Free, math.MaxInt64)), true
}
