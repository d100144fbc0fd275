package disk

import (
	"archive/zip"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ZipLimits are what an archive may hold.
type ZipLimits struct {
	Records int   // files and folders
	Floor   int64 // bytes that any archive may grow to,
	Ratio   int64 // and beyond that, this many times its own length
}

// CheckZip refuses an archive of size bytes that has two readings, leads out of its folder or
// grows without measure, before any of its records is read. All of them must be stored or deflated.
func CheckZip(files []*zip.File, size int64, l ZipLimits) error {
	if len(files) > l.Records {
		return fmt.Errorf("zip directory of %d records, more than %d", len(files), l.Records)
	}
	type span struct {
		begin, end int64
		name       string
	}
	spans := make([]span, 0, len(files))
	seen := make(map[string]bool, len(files))
	grown, most := uint64(0), uint64(l.Floor+l.Ratio*size)
	for _, f := range files {
		wrong := func(format string, args ...any) error {
			return fmt.Errorf("zip record %s: %s", ZipName(f.Name), fmt.Sprintf(format, args...))
		}
		begin, err := f.DataOffset()
		switch {
		case seen[f.Name]:
			return wrong("twice in the archive")
		case unsafeName(f.Name):
			return wrong("unsafe name")
		case f.Flags&(1|1<<6|1<<13) != 0:
			return wrong("encrypted, which is not supported")
		case f.Method != zip.Store && f.Method != zip.Deflate:
			return wrong("compression method %d is not supported", f.Method)
		case err != nil:
			return wrong("damaged header: %v", err)
		case begin > size || f.CompressedSize64 > uint64(size-begin):
			return wrong("%d bytes at offset %d of a file of %d", f.CompressedSize64, begin, size)
		case f.Method == zip.Store && f.CompressedSize64 != f.UncompressedSize64:
			return wrong("stored with two sizes, %d and %d", f.CompressedSize64, f.UncompressedSize64)
		case f.UncompressedSize64 > most-grown:
			return wrong("%d bytes uncompressed: the archive grows beyond %d bytes, a file of %d bytes may not",
				f.UncompressedSize64, most, size)
		}
		if f.Method == zip.Deflate {
			grown += f.UncompressedSize64
		}
		seen[f.Name] = true
		spans = append(spans, span{begin, begin + int64(f.CompressedSize64), f.Name})
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end)) })
	for i := 1; i < len(spans); i++ {
		if spans[i].begin < spans[i-1].end {
			return fmt.Errorf("zip records %s and %s overlap", ZipName(spans[i-1].name), ZipName(spans[i].name))
		}
	}
	return nil
}

func unsafeName(name string) bool {
	if name == "" || name[0] == '/' || strings.ContainsAny(name, "\\\x00") {
		return true
	}
	return slices.Contains(strings.Split(name, "/"), "..")
}

// ZipName prints a stranger's name on one line, of bounded length, in quotes where it needs them.
func ZipName(name string) string {
	const most = 80
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	if q := strconv.Quote(name); name == "" || q != `"`+name+`"` || strings.Contains(name, " ") {
		return q
	}
	return name
}
