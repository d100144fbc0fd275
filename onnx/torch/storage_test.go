package torch

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
)

// oneTensor makes a checkpoint of one tensor "model.0.w" in storage 0.
func oneTensor(t testing.TB, class string, count int, data string, offset int, shape, stride string) []byte {
	return withTensor(t, rebuilt(pid(class, "0", count), offset, shape, stride), data)
}

func withTensor(t testing.TB, tensor, data string) []byte {
	return zipped(t, record{"a/data.pkl", proto(odict(str("model.0.w"), tensor))}, record{"a/data/0", data})
}

func TestTensors(t *testing.T) {
	six := floats(1, 2, 3, 4, 5, 6)
	cases := []struct {
		name  string
		data  []byte
		dtype onnx.DType
		shape []int64
		want  []float64
	}{
		{"float16", oneTensor(t, "HalfStorage", 2, "\x00\x3c\x00\xc0", 0, nums(2), nums(1)), onnx.Float16, []int64{2}, []float64{1, -2}},
		{"bfloat16", oneTensor(t, "BFloat16Storage", 1, "\x80\x3f", 0, nums(1), nums(1)), onnx.BFloat16, []int64{1}, []float64{1}},
		{"float64", oneTensor(t, "DoubleStorage", 1, little(math.Float64bits(0.1), 8), 0, nums(), nums()), onnx.Double, []int64{}, []float64{0.1}},
		{"int64", oneTensor(t, "LongStorage", 1, strings.Repeat("\xff", 8), 0, nums(1), nums(1)), onnx.Int64, []int64{1}, []float64{-1}},
		{"int32", oneTensor(t, "IntStorage", 1, strings.Repeat("\xff", 4), 0, nums(1), nums(1)), onnx.Int32, []int64{1}, []float64{-1}},
		{"int16", oneTensor(t, "ShortStorage", 1, "\xff\xff", 0, nums(1), nums(1)), onnx.Int16, []int64{1}, []float64{-1}},
		{"int8", oneTensor(t, "CharStorage", 1, "\xff", 0, nums(1), nums(1)), onnx.Int8, []int64{1}, []float64{-1}},
		{"uint8", oneTensor(t, "ByteStorage", 1, "\xff", 0, nums(1), nums(1)), onnx.Uint8, []int64{1}, []float64{255}},
		{"bool", oneTensor(t, "BoolStorage", 2, "\x01\x00", 0, nums(2), nums(1)), onnx.Bool, []int64{2}, []float64{1, 0}},
		{"slice", oneTensor(t, "FloatStorage", 6, six, 2, nums(3), nums(1)), onnx.Float, []int64{3}, []float64{3, 4, 5}},
		{"transposed", oneTensor(t, "FloatStorage", 6, six, 0, nums(3, 2), nums(1, 3)), onnx.Float, []int64{3, 2}, []float64{1, 4, 2, 5, 3, 6}},
		{"every second", oneTensor(t, "FloatStorage", 6, six, 1, nums(3), nums(2)), onnx.Float, []int64{3}, []float64{2, 4, 6}},
		{"expanded", oneTensor(t, "FloatStorage", 1, six[:4], 0, nums(2, 2), nums(0, 0)), onnx.Float, []int64{2, 2}, []float64{1, 1, 1, 1}},
		{"odd stride of a dimension of one", oneTensor(t, "FloatStorage", 6, six, 0, nums(1, 6), nums(99, 1)), onnx.Float, []int64{1, 6}, []float64{1, 2, 3, 4, 5, 6}},
		{"empty", oneTensor(t, "FloatStorage", 0, "", 0, nums(0, 3), nums(3, 1)), onnx.Float, []int64{0, 3}, []float64{}},
		{"version 3", withTensor(t, call(glob("torch._utils", "_rebuild_tensor_v3"), pid("UntypedStorage", "0", 8), num(1), nums(2), nums(1),
			"\x89", odict(), glob("torch", "uint16")), "\x00\x00\x01\x00\x02\x00\x03\x00"), onnx.Uint16, []int64{2}, []float64{1, 2}},
		{"with attributes", withTensor(t, call(glob("torch._tensor", "_rebuild_from_type_v2"), glob("torch._utils", "_rebuild_tensor_v2"),
			glob("torch", "Tensor"), tup(pid("FloatStorage", "0", 1), num(0), nums(1), nums(1)), dct()), six[:4]), onnx.Float, []int64{1}, []float64{1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := decode(c.data)
			if err != nil {
				t.Fatal(err)
			}
			w := got.State[0].Tensor
			if v := w.Float64s(); w.DType != c.dtype || !slices.Equal(w.Shape, c.shape) || !slices.Equal(v, c.want) {
				t.Errorf("got %v %v %v", w.DType, w.Shape, v)
			}
		})
	}
}

func TestTensorSharesTheRecord(t *testing.T) {
	data := oneTensor(t, "ByteStorage", 4, "abcd", 1, nums(2), nums(1))
	c, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(data), "abcd")
	if raw := c.State[0].Tensor.Raw; &raw[0] != &data[at+1] || cap(raw) != 2 {
		t.Error("a dense tensor was copied, or reaches beyond its elements")
	}
}

func TestTensorsRefused(t *testing.T) {
	six := floats(1, 2, 3, 4, 5, 6)
	huge := 1 << 62
	cases := []struct {
		name string
		data []byte
		want string
	}{
		{"storage larger than its record", oneTensor(t, "FloatStorage", 7, six, 0, nums(7), nums(1)),
			`tensor model.0.w: storage 0 declares 7 float32 elements, 28 bytes; its record has 24 bytes`},
		{"storage smaller than its record", oneTensor(t, "FloatStorage", 5, six, 0, nums(5), nums(1)), "declares 5 float32 elements, 20 bytes; its record has 24 bytes"},
		{"storage of another type", oneTensor(t, "DoubleStorage", 6, six, 0, nums(6), nums(1)), "declares 6 float64 elements, 48 bytes"},
		{"storage without record", withTensor(t, rebuilt(pid("FloatStorage", "9", 1), 0, nums(1), nums(1)), six), `storage 9 has no record a/data/9`},
		{"storage outside", withTensor(t, rebuilt(pid("FloatStorage", "../0", 6), 0, nums(1), nums(1)), six), "has no record"},
		{"negative count", oneTensor(t, "FloatStorage", -1, six, 0, nums(1), nums(1)), "impossible count -1"},
		{"count beyond int64 bytes", oneTensor(t, "DoubleStorage", huge, six, 0, nums(1), nums(1)), "impossible count"},
		{"beyond the end", oneTensor(t, "FloatStorage", 6, six, 1, nums(6), nums(1)), "tensor model.0.w: size [6] with stride [1] at offset 1 needs 7 elements"},
		{"stride beyond the end", oneTensor(t, "FloatStorage", 6, six, 0, nums(2, 3), nums(4, 1)), "needs 7 elements"},
		{"negative size", oneTensor(t, "FloatStorage", 6, six, 0, nums(-6), nums(1)), "tensor model.0.w: impossible size [-6]"},
		{"two negative sizes", oneTensor(t, "FloatStorage", 6, six, 0, nums(-2, -3), nums(3, 1)), "impossible size"},
		{"negative stride", oneTensor(t, "FloatStorage", 6, six, 5, nums(6), nums(-1)), "negative offset or stride"},
		{"negative offset", oneTensor(t, "FloatStorage", 6, six, -1, nums(1), nums(1)), "negative offset or stride"},
		{"size overflows", oneTensor(t, "FloatStorage", 6, six, 0, nums(huge, huge), nums(0, 0)), "impossible size"},
		{"zero hides an overflow", oneTensor(t, "FloatStorage", 6, six, 0, nums(0, huge, huge), nums(0, 0, 0)), "impossible size"},
		{"stride overflows", oneTensor(t, "FloatStorage", 6, six, 0, nums(5, 2), nums(huge, huge)), "overflows"},
		{"sum overflows", oneTensor(t, "FloatStorage", 6, six, math.MaxInt64, nums(3, 3), nums(math.MaxInt64/2, math.MaxInt64/2)), "overflows"},
		{"offset at the end of int64", oneTensor(t, "FloatStorage", 6, six, math.MaxInt64, nums(1), nums(1)), "needs 9223372036854775808 elements"},
		{"expanded to a terabyte", oneTensor(t, "FloatStorage", 1, six[:4], 0, nums(1<<38), nums(0)), "too many for a file of this length"},
		{"size and stride of two ranks", oneTensor(t, "FloatStorage", 6, six, 0, nums(6), nums(1, 1)), "not a storage, an offset, a size and a stride"},
		{"rank 65", oneTensor(t, "FloatStorage", 6, six, 0, nums(make([]int, 65)...), nums(make([]int, 65)...)), "not a storage, an offset"},
		{"size of text", oneTensor(t, "FloatStorage", 6, six, 0, str("6"), nums(1)), "not a storage, an offset"},
		{"bool of 7", oneTensor(t, "BoolStorage", 2, "\x01\x07", 0, nums(2), nums(1)), "tensor model.0.w: bool element 1 is 7"},
		{"quantised", oneTensor(t, "QInt8Storage", 2, "ab", 0, nums(2), nums(1)), "refused: global torch.QInt8Storage"},
		{"class no storage", oneTensor(t, "Size", 2, "ab", 0, nums(2), nums(1)), "not a storage class"},
		{"a key as two storages", withTensor(t, "("+rebuilt(pid("FloatStorage", "0", 6), 0, nums(1), nums(1))+"0"+rebuilt(pid("IntStorage", "0", 6), 0, nums(1), nums(1))+"t", six),
			`storage 0 is 6 int32 here and 6 float32 before`},
		{"a view of a storage", withTensor(t, rebuilt(tup(str("storage"), glob("torch", "FloatStorage"), str("0"), str("cpu"), num(6), nums(1, 2))+"Q", 0, nums(1), nums(1)), six), "is a view of another"},
		{"short persistent id", withTensor(t, tup(str("storage"))+"Q", six), "not that of a storage"},
		{"persistent id of another kind", withTensor(t, nums(1, 2, 3, 4, 5)+"Q", six), "not that of a storage"},
		{"version 3 beyond the end", withTensor(t, call(glob("torch._utils", "_rebuild_tensor_v3"), pid("UntypedStorage", "0", 24), num(0), nums(4), nums(1),
			"\x89", odict(), glob("torch", "float64")), six), "needs 4 elements"},
		{"version 3 of a class", withTensor(t, call(glob("torch._utils", "_rebuild_tensor_v3"), pid("UntypedStorage", "0", 24), num(0), nums(4), nums(1),
			"\x89", odict(), glob("torch", "Size")), six), "element type is a reference to torch.Size"},
		{"unused but wrong", zipped(t, record{"a/data.pkl", proto(dct(str("state_dict"), odict(str("w"), rebuilt(pid("FloatStorage", "0", 1), 0, nums(1), nums(1))),
			str("optimizer"), rebuilt(pid("FloatStorage", "1", 9), 0, nums(1), nums(1))))}, record{"a/data/0", six[:4]}, record{"a/data/1", six}),
			`storage 1 declares 9 float32 elements, 36 bytes; its record has 24 bytes`},
		{"storage of no tensor", zipped(t, record{"a/data.pkl", proto(dct(str("state_dict"), odict(str("w"), rebuilt(pid("FloatStorage", "0", 1), 0, nums(1), nums(1))),
			str("x"), pid("FloatStorage", "1", 9)))}, record{"a/data/0", six[:4]}, record{"a/data/1", six}), `storage 1 declares 9`},
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

// legacy joins the five pickles and the storages of a file before torch 1.6.
func legacy(object string, keys string, data string) []byte {
	return []byte(proto("\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19") + proto(num(1001)) +
		proto(dct(str("protocol_version"), num(1001), str("little_endian"), "\x88")) + proto(object) + proto(keys) + data)
}

func legacyPID(class, key string, count int) string {
	return tup(str("storage"), glob("torch", class), str(key), str("cpu"), num(count), "N") + "Q"
}

func legacyObject() string {
	return odict(
		str("w"), rebuilt(legacyPID("FloatStorage", "940", 2), 0, nums(2), nums(1)),
		str("n"), rebuilt(legacyPID("LongStorage", "17", 1), 0, nums(), nums()))
}

func TestLegacy(t *testing.T) {
	good := legacy(legacyObject(), lst(str("17"), str("940")), little(1, 8)+little(5, 8)+little(2, 8)+floats(1, 2))
	c, err := decode(good)
	if err != nil {
		t.Fatal(err)
	}
	if got := onnx.Data[float32](c.State[0].Tensor); !slices.Equal(got, []float32{1, 2}) || onnx.Data[int64](c.State[1].Tensor)[0] != 5 {
		t.Errorf("got %v", got)
	}
	for at := range good {
		if _, err := decode(good[:at]); err == nil {
			t.Errorf("a file cut at byte %d of %d was read", at, len(good))
		}
	}
	class := tup(str("module"), glob("models.yolo", "Model"), str("yolo.py"), str("class Model: pass")) + "Q"
	withSource := legacy(lst(class, legacyObject()), lst(str("17"), str("940")), little(1, 8)+little(5, 8)+little(2, 8)+floats(1, 2))
	if _, err := decode(withSource); err == nil || !strings.Contains(err.Error(), "holds a list") {
		t.Errorf("a class with its source: %v", err)
	}
}

func TestLegacyRefused(t *testing.T) {
	keys, data := lst(str("17"), str("940")), little(1, 8)+little(5, 8)+little(2, 8)+floats(1, 2)
	good := string(legacy(legacyObject(), keys, data))
	cases := []struct{ name, data, want string }{
		{"other magic", proto("\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x18") + proto(num(1001)), "a bare pickle of an int"},
		{"other protocol", strings.Replace(good, num(1001), num(1002), 1), "unknown protocol"},
		{"big-endian", strings.Replace(good, "\x88", "\x89", 1), "big-endian"},
		{"a global for magic", proto(glob("os", "system")), "refused: global os.system at byte 2"},
		{"a global later", string(legacy(glob("os", "system"), keys, data)), "refused: global os.system at byte"},
		{"keys no list", string(legacy(legacyObject(), dct(), data)), "the storage keys are a dict"},
		{"key missing", string(legacy(legacyObject(), lst(str("17")), data)), "1 storage keys for 2 storages"},
		{"key twice", string(legacy(legacyObject(), lst(str("17"), str("17")), data)), `storage key 17 is unknown or given twice`},
		{"key unknown", string(legacy(legacyObject(), lst(str("17"), num(3)), data)), `storage key "" is unknown`},
		{"another count", string(legacy(legacyObject(), keys, little(2, 8)+data[8:])), `storage 17 declares 1 elements, its data 2`},
		{"cut", good[:len(good)-1], `storage 940 declares 8 bytes, 7 are left: the file is incomplete`},
		{"more", good + "x", "1 bytes after the last storage"},
		{"persistent id among the keys", string(legacy(legacyObject(), legacyPID("FloatStorage", "1", 1), data)), "unexpected persistent id"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode([]byte(c.data))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestConversionOfTensors(t *testing.T) {
	c, err := decode(zipped(t, record{"a/data.pkl", proto(dct(str("state_dict"), odict(str("w"), rebuilt(pid("FloatStorage", "0", 2), 0, nums(2), nums(1))),
		str("best_fitness"), rebuilt(pid("FloatStorage", "0", 2), 1, nums(1), nums(1)),
		str("opt"), dct(str("t"), rebuilt(pid("FloatStorage", "0", 2), 0, nums(1), nums(1)))))}, record{"a/data/0", floats(1, 0.5)}))
	if err != nil {
		t.Fatal(err)
	}
	if w, ok := c.Opt["t"].(*onnx.Tensor); !ok || !reflect.DeepEqual(w.Float64s(), []float64{1}) || c.BestFitness != 0.5 {
		t.Errorf("opt %v, fitness %v", c.Opt, c.BestFitness)
	}
}
