package torch

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// Limits of an archive. yolov5x6 has about 1,100 records; torch.save stores
// records uncompressed, so that only files zipped again grow when read.
const (
	maxRecords   = 100_000
	maxPickle    = 64 << 20
	inflateFloor = 16 << 20 // bytes that any file may grow to
	inflateRatio = 20       // beyond that, this many times its own length
)

// archive is a checked zip file: every record's bytes with their checksum verified.
type archive struct {
	names   []string // in the directory's order
	records map[string][]byte
}

// openZip reads the whole archive. Stored records share data's memory.
func openZip(data []byte) (*archive, error) {
	if n := bytes.Count(data, []byte("PK\x01\x02")); n > maxRecords {
		return nil, fmt.Errorf("zip directory of %d records, more than %d", n, maxRecords)
	}
	if !bytes.Contains(data, []byte("PK\x05\x06")) {
		return nil, incomplete(len(data))
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fmt.Errorf("damaged or incomplete zip directory, %d bytes: %w", len(data), err)
	}
	if err := checkDirectory(r.File, int64(len(data))); err != nil {
		return nil, err
	}
	a := &archive{records: make(map[string][]byte, len(r.File))}
	for _, f := range r.File {
		record, err := readRecord(data, f)
		if err != nil {
			return nil, fmt.Errorf("zip record %s: %w", shown(f.Name), err)
		}
		a.names = append(a.names, f.Name)
		a.records[f.Name] = record
	}
	return a, nil
}

func incomplete(size int) error {
	return fmt.Errorf("no zip end record, %d bytes: the download is incomplete", size)
}

// checkDirectory refuses what has two readings or grows without measure, before
// any record is read.
func checkDirectory(files []*zip.File, size int64) error {
	type span struct {
		begin, end int64
		name       string
	}
	spans := make([]span, 0, len(files))
	seen := make(map[string]bool, len(files))
	grown, most := uint64(0), uint64(inflateFloor+inflateRatio*size)
	for _, f := range files {
		wrong := func(format string, args ...any) error {
			return fmt.Errorf("zip record %s: %s", shown(f.Name), fmt.Sprintf(format, args...))
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
			return fmt.Errorf("zip records %s and %s overlap", shown(spans[i-1].name), shown(spans[i].name))
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

// readRecord returns a record's bytes and verifies their checksum against the directory.
func readRecord(data []byte, f *zip.File) ([]byte, error) {
	var record []byte
	if f.Method == zip.Store {
		begin, err := f.DataOffset()
		if err != nil {
			return nil, err
		}
		end := begin + int64(f.CompressedSize64)
		record = data[begin:end:end]
	} else {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		record = make([]byte, f.UncompressedSize64) // within the limits, as checkDirectory saw
		if _, err := io.ReadFull(r, record); err != nil {
			return nil, err
		}
	}
	if crc32.ChecksumIEEE(record) != f.CRC32 {
		return nil, fmt.Errorf("%w: the file is damaged", zip.ErrChecksum)
	}
	return record, nil
}

// pickle finds the one data.pkl and the prefix, "archive/" or any other, that all
// records of a checkpoint share.
func (a *archive) pickle() (prefix string, err error) {
	const name = "data.pkl"
	found := []string{}
	for _, n := range a.names {
		if n == name || strings.HasSuffix(n, "/"+name) {
			found = append(found, n)
		}
	}
	if len(found) == 0 {
		first := "no record"
		if len(a.names) > 0 {
			first = shown(a.names[0])
		}
		return "", fmt.Errorf("zip archive without data.pkl (it holds %s): not a PyTorch checkpoint", first)
	}
	if len(found) > 1 {
		return "", fmt.Errorf("zip archive with %s and %s: not a checkpoint of one model", shown(found[0]), shown(found[1]))
	}
	prefix = strings.TrimSuffix(found[0], name)
	for _, n := range a.names {
		if n == prefix+"constants.pkl" || strings.HasPrefix(n, prefix+"code/") {
			return "", fmt.Errorf("TorchScript archive (it holds %s): give the checkpoint it was exported from", shown(n))
		}
	}
	if order, ok := a.records[prefix+"byteorder"]; ok && string(order) != "little" {
		return "", fmt.Errorf("byte order %s is not supported", shown(string(order)))
	}
	return prefix, nil
}

// unpickleZip reads the archive's pickle and resolves its storages.
func unpickleZip(data []byte) (any, *store, error) {
	a, err := openZip(data)
	if err != nil {
		return nil, nil, err
	}
	prefix, err := a.pickle()
	if err != nil {
		return nil, nil, err
	}
	pickle := a.records[prefix+"data.pkl"]
	if len(pickle) > maxPickle {
		return nil, nil, fmt.Errorf("%s of %d bytes, more than %d", shown(prefix+"data.pkl"), len(pickle), maxPickle)
	}
	s := newStore(len(data))
	s.record = func(key string) ([]byte, error) {
		record, ok := a.records[prefix+"data/"+key]
		if !ok {
			return nil, fmt.Errorf("storage %s has no record %s", shown(key), shown(prefix+"data/"+key))
		}
		return record, nil
	}
	m := newMachine(pickle, s)
	root, err := m.run()
	if err == nil && m.at != len(pickle) {
		err = fmt.Errorf("corrupt pickle at byte %d: %d bytes after STOP", m.at, len(pickle)-m.at)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", shown(prefix+"data.pkl"), err)
	}
	return root, s, nil
}

// newStore allows copies of twice the file's length, and views of eight times, beside a floor for small files.
func newStore(fileSize int) *store {
	return &store{storages: make(map[string]*storage), copies: inflateFloor + 2*int64(fileSize),
		views: inflateFloor + 8*int64(fileSize)}
}
