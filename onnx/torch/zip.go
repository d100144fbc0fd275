package torch

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"yolofreeze/onnx/disk"
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
	if err := disk.CheckZip(r.File, int64(len(data)), disk.ZipLimits{Records: maxRecords, Floor: inflateFloor, Ratio: inflateRatio}); err != nil {
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
		record = make([]byte, f.UncompressedSize64) // within the limits, as disk.CheckZip saw
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
