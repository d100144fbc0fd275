package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/testkit/hostile"
	"yolofreeze/onnx/testkit/shared"
)

// file makes bytes of a header text and a body, with an honest length.
func file(header string, body ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), body...)
}

func TestRecordedFilesRead(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(shared.Path(t, "golden"), "*", "*.safetensors"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Names) == 0 || len(f.Names) != len(f.Tensors) || len(f.Metadata) == 0 {
				t.Fatalf("%d names, %d tensors, %d metadata entries", len(f.Names), len(f.Tensors), len(f.Metadata))
			}
			for name, x := range f.Tensors {
				for _, v := range x.Float64s() {
					if math.IsNaN(v) {
						t.Fatalf("%s holds NaN", name)
					}
				}
			}
			encoded, err := Encode(f)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Decode(encoded)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(f, again) {
				t.Error("round trip changed the file")
			}
		})
	}
}

func sample() *File {
	return &File{
		Metadata: map[string]string{"case": `{"a": "<&>"}`, "": "empty key", "ünï": "\n\x00"},
		Names:    []string{"step", "w", "half", "none", "mask"},
		Tensors: map[string]*onnx.Tensor{
			"w":    onnx.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3),
			"half": onnx.Of([]float32{0.5, -2, 65504}, 3).ToFloat16(),
			"step": onnx.Scalar(int64(-7)),
			"none": onnx.NewTensor(onnx.Double, 3, 0),
			"mask": onnx.Of([]bool{true, false, true}, 3),
		},
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	first, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := Encode(sample())
	if !bytes.Equal(first, second) {
		t.Error("encoding twice gave different bytes")
	}
	got, err := Decode(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*File{want, got} { // an empty slice and nil hold the same elements
		f.Tensors["none"].Raw = nil
	}
	want.Tensors["step"].Shape = []int64{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if v := onnx.Data[int64](got.Tensors["step"])[0]; v != -7 {
		t.Errorf("step = %d", v)
	}
}

func TestEncodeNil(t *testing.T) {
	for _, f := range []*File{{}, {Tensors: map[string]*onnx.Tensor{"b": onnx.Scalar(float32(1)), "a": onnx.Scalar(float32(2))}}} {
		b, err := Encode(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Tensors) != len(f.Tensors) || !slices.IsSorted(got.Names) {
			t.Errorf("got %+v", got)
		}
	}
}

// Every rule of the format, broken one at a time.
func TestDecodeRefuses(t *testing.T) {
	u8 := func(name string, n, begin, end int) string {
		return fmt.Sprintf(`%q:{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}`, name, n, begin, end)
	}
	hugeLength := binary.LittleEndian.AppendUint64(nil, 100_000_001)
	good, _ := Encode(sample())
	cases := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "too short"},
		{"seven bytes", make([]byte, 7), "too short"},
		{"header too small", file(""), "does not begin with '{'"},
		{"header too large", append(hugeLength, '{'), "exceeds the format's limit of 100000000"},
		{"header length beyond int64", bytes.Repeat([]byte{0xff}, 16), "exceeds the format's limit"},
		{"header longer than file", file("{}")[:9], "the file is incomplete"},
		{"cut body", good[:len(good)-1], "the file is incomplete"},
		{"not json", file("{nonsense}"), "invalid character"},
		{"unfinished json", file(`{"a":{"dtype":"U8"`), "EOF"},
		{"array", file("[]"), "does not begin with '{'"},
		{"leading blank", file(" {}"), "does not begin with '{'"},
		{"text after json", file("{}x"), "after the JSON object"},
		{"two objects", file("{}{}"), "2 bytes after the JSON object"},
		{"invalid UTF-8", file("{\"\xff\":1}"), "not valid UTF-8"},
		{"duplicate tensor", file("{" + u8("a", 1, 0, 1) + "," + u8("a", 1, 0, 1) + "}"), `duplicate key "a"`},
		{"duplicate metadata", file(`{"__metadata__":{"k":"1","k":"2"}}`), `duplicate key "k"`},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`), "duplicate key"},
		{"duplicate field", file(`{"a":{"dtype":"U8","dtype":"F32","shape":[],"data_offsets":[0,4]}}`), `duplicate key "dtype"`},
		{"metadata number", file(`{"__metadata__":{"k":1}}`), "expected a string"},
		{"metadata nested", file(`{"__metadata__":{"k":{}}}`), "expected a string"},
		{"line break for a number", file(`{"a":{"dtype":"U8","shape":["\n"],"data_offsets":[0,1]}}`), `found "\n"`},
		{"name of a kilobyte", file("{" + u8(strings.Repeat("x", 1000), 1, 0, 1) + "}"), "data ends at offset 1 of 0"},
		{"metadata list", file(`{"__metadata__":[]}`), "expected an object"},
		{"tensor number", file(`{"a":1}`), "expected an object"},
		{"missing field", file(`{"a":{"dtype":"U8","shape":[]}}`), "has 2 of them"},
		{"unknown field", file(`{"a":{"dtype":"U8","shape":[],"offset":[0,1]}}`), `unknown field "offset"`},
		{"unknown dtype", file(`{"a":{"dtype":"C64","shape":[],"data_offsets":[0,8]}}`), `unsupported dtype "C64"`},
		{"negative dimension", file(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`), "expected a whole number, found -1"},
		{"fraction", file(`{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`), "expected a whole number, found 1.0"},
		{"dimension beyond int64", file(`{"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}}`), "expected a whole number"},
		{"shape overflow", file(`{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`), "overflows"},
		{"zero hides overflow", file(`{"a":{"dtype":"F64","shape":[0,9223372036854775807],"data_offsets":[0,8]}}`, make([]byte, 8)...), "overflows"},
		{"rank", file(`{"a":{"dtype":"U8","shape":[` + strings.Repeat("1,", 32) + `1],"data_offsets":[0,1]}}`), "more than 32 numbers"},
		{"three offsets", file(`{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1,2]}}`), "more than 2 numbers"},
		{"one offset", file(`{"a":{"dtype":"U8","shape":[],"data_offsets":[0]}}`), "has 1 numbers, not 2"},
		{"size differs", file("{"+u8("a", 3, 0, 2)+"}", 1, 2), "hold 2 bytes, uint8 of shape [3] needs 3"},
		{"backwards", file("{"+u8("a", 0, 1, 0)+"}", 1), "run backwards"},
		{"hole before", file("{"+u8("a", 1, 1, 2)+"}", 1, 2), "hole of 1 bytes"},
		{"hole between", file("{"+u8("a", 1, 0, 1)+","+u8("b", 1, 2, 3)+"}", 1, 2, 3), `tensor "b": hole of 1`},
		{"overlap", file("{"+u8("a", 2, 0, 2)+","+u8("b", 2, 1, 3)+"}", 1, 2, 3), `tensor "b": data at offset 1 overlaps`},
		{"same data twice", file("{"+u8("a", 1, 0, 1)+","+u8("b", 1, 0, 1)+"}", 1), "overlaps"},
		{"bytes after", file("{"+u8("a", 1, 0, 1)+"}", 1, 2), "1 bytes after the last tensor"},
		{"bytes without tensor", file("{}", 1), "1 bytes after the last tensor"},
		{"data beyond file", file("{" + u8("a", 1, 0, 1) + "}"), "data ends at offset 1 of 0"},
		{"bool of 2", file(`{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}`, 1, 2), "bool element 1 is 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode(c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			var bad interface{ BadInput() bool }
			if !errors.As(err, &bad) || !bad.BadInput() || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 400 {
				t.Errorf("%q is not a one-line bad input error", err)
			}
		})
	}
}

// The header's order need not be the data's, and bytes at odd addresses are copied.
func TestDecodeOrderAndAlignment(t *testing.T) {
	data := file(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[1,5]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   `,
		9, 0, 0, 0x80, 0x3f)
	for shift := range 4 {
		moved := append(make([]byte, shift), data...)[shift:]
		f, err := Decode(moved)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.Names, []string{"w", "b"}) || onnx.Data[float32](f.Tensors["w"])[0] != 1 || f.Tensors["b"].Raw[0] != 9 {
			t.Fatalf("shift %d: got %v", shift, f)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	w := onnx.Scalar(float32(1))
	one := func(name string, x *onnx.Tensor) *File {
		return &File{Names: []string{name}, Tensors: map[string]*onnx.Tensor{name: x}}
	}
	cases := []struct {
		name string
		file *File
		want string
	}{
		{"name without tensor", &File{Names: []string{"a"}}, "named but not given"},
		{"tensor without name", &File{Names: []string{}, Tensors: map[string]*onnx.Tensor{"a": w}}, "1 tensors given, 0 named"},
		{"named twice", &File{Names: []string{"a", "a"}, Tensors: map[string]*onnx.Tensor{"a": w}}, "named twice"},
		{"reserved name", one("__metadata__", w), "not a name"},
		{"invalid name", one("\xff", w), "not a name"},
		{"string tensor", one("s", &onnx.Tensor{DType: onnx.String}), "no dtype for string"},
		{"wrong length", one("a", &onnx.Tensor{DType: onnx.Float, Shape: []int64{2}, Raw: w.Raw}), "does not hold 4 bytes"},
		{"negative shape", one("a", &onnx.Tensor{DType: onnx.Float, Shape: []int64{-1, -1}, Raw: w.Raw}), "bad shape"},
		{"bad metadata", &File{Metadata: map[string]string{"k": "\xff"}}, "not valid UTF-8"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Encode(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	for range 2 { // the second replaces the first
		if err := Write(path, sample()); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Read(path)
	if err != nil || len(f.Tensors) != 5 {
		t.Fatalf("read back: %v", err)
	}
	bad := sample()
	bad.Names = bad.Names[1:]
	if err := Write(path, bad); err == nil {
		t.Error("a file that does not encode was written")
	}
	taken := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(taken, "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := Write(taken, sample()); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("writing over a folder: %v", err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 {
		t.Errorf("failed writes left something behind: %v", entries)
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	var bad *FormatError
	var refused *disk.Error
	if _, err := Read(dir); !errors.As(err, &refused) || refused.Path != dir {
		t.Errorf("folder: %v", err)
	}
	path := filepath.Join(dir, "cut")
	os.WriteFile(path, []byte("cut"), 0o666)
	if _, err := Read(path); !errors.As(err, &bad) || bad.Path != path || !strings.HasPrefix(err.Error(), path+": ") {
		t.Errorf("cut file: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	good, err := Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(file(`{"a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}}`, 0, 0x3c, 0, 0x7e))
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		read, err := Decode(data)
		if err != nil {
			return
		}
		encoded, err := Encode(read)
		if err != nil {
			t.Fatalf("what was read does not encode: %v", err)
		}
		again, err := Decode(encoded)
		if err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
		if !slices.Equal(read.Names, again.Names) {
			t.Fatalf("names changed: %q, %q", read.Names, again.Names)
		}
		for name, x := range read.Tensors {
			if y := again.Tensors[name]; x.DType != y.DType || !slices.Equal(x.Shape, y.Shape) || !bytes.Equal(x.Raw, y.Raw) {
				t.Fatalf("tensor %q changed", name)
			}
		}
	})
}
