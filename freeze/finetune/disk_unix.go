//go:build linux || darwin

package finetune

import "syscall"

// freeDisk returns the bytes that can still be written into a folder.
func freeDisk(dir string) (free int64, known bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
