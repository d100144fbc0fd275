//go:build !unix

package disk

import "io/fs"

// noFollow has a link not opened: where there is no such flag, it is looked for before.
const noFollow = 0

func foreign(fs.FileInfo) string { return "" }
