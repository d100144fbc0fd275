//go:build unix

package disk

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// noFollow has a link not opened.
const noFollow = syscall.O_NOFOLLOW

// foreign says why others than this user and root can write to what a path leads to, "" if they cannot.
func foreign(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return ""
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Sprintf("user %d owns it, not %d, who runs this", st.Uid, os.Geteuid())
	case info.Mode()&fs.ModeSymlink != 0 || info.Mode()&fs.ModeSticky != 0 && st.Uid == 0:
		return "" // a link has no mode, and in /tmp nobody may exchange what is another's
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Sprintf("its mode of %03o lets any user write to it", info.Mode().Perm())
	case info.Mode().Perm()&0o020 != 0 && int(st.Gid) != os.Getegid():
		return fmt.Sprintf("its mode of %03o lets group %d write to it", info.Mode().Perm(), st.Gid)
	}
	return ""
}
