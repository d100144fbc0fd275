package torch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
)

// raw is an archive entry whose header may lie.
type raw struct {
	zip.FileHeader
	data string
}

func stored(name, data string) raw {
	return raw{zip.FileHeader{Name: name, CRC32: crc32.ChecksumIEEE([]byte(data)),
		CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data))}, data}
}

// zippedRaw writes entries exactly as they say.
func zippedRaw(t testing.TB, entries ...raw) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.CreateRaw(&e.FileHeader)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte(e.data))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// deflated compresses a record, which torch.save never does but people's archivers do.
func deflated(t testing.TB, records ...record) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, r := range records {
		f, err := w.Create(r.name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte(r.data))
	}
	w.Close()
	return b.Bytes()
}

func TestZippedAgain(t *testing.T) {
	records := append(smallRecords(), record{"best/", ""}, record{"__MACOSX/x", "y"})
	if c, err := decode(deflated(t, records...)); err != nil || len(c.State) != 2 {
		t.Errorf("deflated: %v", err)
	}
}

// A flipped bit anywhere in a record is found by its checksum, which names it.
func TestZipFlippedByte(t *testing.T) {
	records := smallRecords()
	good := zipped(t, records...)
	for _, r := range records {
		begin := bytes.Index(good, []byte(r.data))
		for _, at := range []int{0, len(r.data) / 2, len(r.data) - 1} {
			bad := bytes.Clone(good)
			bad[begin+at] ^= 0x10
			_, err := decode(bad)
			if !errors.Is(err, zip.ErrChecksum) || !strings.Contains(err.Error(), "zip record "+r.name+":") {
				t.Errorf("%s, byte %d: got %v", r.name, at, err)
			}
		}
	}
}

func TestZipCut(t *testing.T) {
	good := zipped(t, smallModelRecords()...)
	for at := range good {
		_, err := decode(good[:at])
		if err == nil {
			t.Fatalf("a file cut at byte %d of %d was read", at, len(good))
		}
		if at > 0 && !strings.Contains(err.Error(), "the download is incomplete") && !strings.Contains(err.Error(), "damaged or incomplete zip directory") {
			t.Errorf("cut at byte %d: %v", at, err)
		}
	}
}

func TestZipRefused(t *testing.T) {
	state := stored("a/data.pkl", smallState())
	data := stored("a/data/0", floats(1, 2, 3, 4, 5, 6))
	last := stored("a/data/1", little(7, 8))
	with := func(e raw, change func(*raw)) raw { change(&e); return e }

	good := zippedRaw(t, state, data, last)
	overlap := bytes.Clone(good) // the second entry's directory record points at the first's bytes
	second := bytes.Index(overlap, []byte("PK\x01\x02")) + 46 + len(state.Name)
	binary.LittleEndian.PutUint32(overlap[second+42:], 0)

	long := bytes.Clone(good) // the last entry's own header claims a name of 64 KiB
	binary.LittleEndian.PutUint16(long[bytes.LastIndex(long, []byte("PK\x03\x04"))+26:], 0xffff)

	cases := []struct {
		name string
		data []byte
		want string
	}{
		{"name beyond the file", long, `zip record a/data/1: 8 bytes at offset 66`},
		{"twice", zippedRaw(t, state, data, last, data), `zip record a/data/0: twice in the archive`},
		{"overlap", overlap, "overlap"},
		{"encrypted", zippedRaw(t, state, with(data, func(e *raw) { e.Flags = 1 }), last), `zip record a/data/0: encrypted`},
		{"method 12", zippedRaw(t, state, with(data, func(e *raw) { e.Method = 12 }), last), "compression method 12"},
		{"two sizes", zippedRaw(t, state, with(data, func(e *raw) { e.UncompressedSize64 = 23 }), last), "stored with two sizes, 24 and 23"},
		{"beyond the file", zippedRaw(t, state, data, with(last, func(e *raw) { e.CompressedSize64, e.UncompressedSize64 = 1<<20, 1<<20 })), "of a file of"},
		{"parent folder", zippedRaw(t, state, data, last, stored("a/../../etc/passwd", "x")), `zip record a/../../etc/passwd: unsafe name`},
		{"absolute", zippedRaw(t, state, stored("/data/0", "x")), "unsafe name"},
		{"backslash", zippedRaw(t, state, stored(`a\data\0`, "x")), "unsafe name"},
		{"no name", zippedRaw(t, state, stored("", "x")), "unsafe name"},
		{"declares much", zippedRaw(t, state, with(data, func(e *raw) { e.Method, e.UncompressedSize64 = zip.Deflate, 1<<33 }), last), "8589934592 bytes uncompressed: the archive grows beyond"},
		{"declares 2^63", zippedRaw(t, state, with(data, func(e *raw) { e.Method, e.UncompressedSize64 = zip.Deflate, 1<<63 }), last), "bytes uncompressed"},
		{"not deflate", zippedRaw(t, state, with(data, func(e *raw) { e.Method = zip.Deflate }), last), `zip record a/data/0: flate: corrupt input`},
		{"bomb", deflated(t, record{"a/data.pkl", smallState()}, record{"a/data/0", strings.Repeat("\x00", 40<<20)}), "41943040 bytes uncompressed: the archive grows beyond"},
		{"bomb in parts", deflated(t, record{"a/0", strings.Repeat("\x00", 9<<20)}, record{"a/1", strings.Repeat("\x00", 9<<20)}), "the archive grows beyond"},
		{"no records", zippedRaw(t), "not a PyTorch checkpoint"},
		{"other archive", zipped(t, record{"a.npy", "x"}), `zip archive without data.pkl (it holds a.npy)`},
		{"two checkpoints", zippedRaw(t, state, stored("b/data.pkl", "x")), "a/data.pkl and b/data.pkl"},
		{"TorchScript", zippedRaw(t, state, stored("a/constants.pkl", "x"), stored("a/code/__torch__.py", "x")), `TorchScript archive (it holds a/constants.pkl)`},
		{"TorchScript code", zippedRaw(t, state, stored("a/code/__torch__.py", "x")), "TorchScript archive"},
		{"big-endian", zippedRaw(t, state, data, last, stored("a/byteorder", "big")), `byte order big is not supported`},
		{"bytes after STOP", zippedRaw(t, stored("a/data.pkl", smallState()+"x"), data, last), "a/data.pkl: corrupt pickle at byte"},
		{"hostile pickle", zippedRaw(t, stored("a/data.pkl", proto(glob("posix", "system"))), data, last), "a/data.pkl: refused: global posix.system at byte 2"},
		{"end record only", []byte("PK\x03\x04 PK\x05\x06" + strings.Repeat("\xff", 30)), "damaged or incomplete zip directory"},
		{"many records", bytes.Repeat([]byte("PK\x03\x04PK\x01\x02"), maxRecords+1), "zip directory of 100001 records"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A deflated record that holds more, or less, than its header says.
func TestZipLies(t *testing.T) {
	for declared, want := range map[uint32]string{23: "zip: checksum error", 25: "unexpected EOF"} {
		bad := deflated(t, smallRecords()...)
		header := bytes.Index(bad, []byte("PK\x01\x02"))
		for !bytes.HasPrefix(bad[header+46:], []byte("best/data/0")) {
			header += 4 + bytes.Index(bad[header+4:], []byte("PK\x01\x02"))
		}
		binary.LittleEndian.PutUint32(bad[header+24:], declared)
		if _, err := decode(bad); err == nil || !strings.Contains(err.Error(), `zip record best/data/0: `+want) {
			t.Errorf("%d declared: got %v", declared, err)
		}
	}
}
