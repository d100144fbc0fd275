package torch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"math"
	"testing"
)

// Pieces of pickles. A test joins them with cat; each but the bare opcodes leaves
// one value on the stack.

func cat(parts ...string) string {
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString(p)
	}
	return b.String()
}

func little(n uint64, width int) string {
	return string(binary.LittleEndian.AppendUint64(nil, n)[:width])
}

func proto(body ...string) string       { return "\x80\x02" + cat(body...) + "." }
func str(s string) string               { return "X" + little(uint64(len(s)), 4) + s }
func num(n int) string                  { return "\x8a\x08" + little(uint64(n), 8) }
func tup(items ...string) string        { return "(" + cat(items...) + "t" }
func lst(items ...string) string        { return "](" + cat(items...) + "e" }
func dct(items ...string) string        { return "}(" + cat(items...) + "u" }
func glob(module, n string) string      { return "c" + module + "\n" + n + "\n" }
func call(f string, a ...string) string { return f + tup(a...) + "R" }
func odict(items ...string) string {
	return call(glob("collections", "OrderedDict")) + "(" + cat(items...) + "u"
}
func float(v float64) string {
	return "G" + string(binary.BigEndian.AppendUint64(nil, math.Float64bits(v)))
}

func nums(ns ...int) string {
	items := make([]string, len(ns))
	for i, n := range ns {
		items[i] = num(n)
	}
	return tup(items...)
}

func pid(class, key string, count int) string {
	return tup(str("storage"), glob("torch", class), str(key), str("cpu"), num(count)) + "Q"
}

func rebuilt(storage string, offset int, shape, stride string) string {
	return call(glob("torch._utils", "_rebuild_tensor_v2"), storage, num(offset), shape, stride, "\x89", odict())
}

func param(t string) string {
	return call(glob("torch._utils", "_rebuild_parameter"), t, "\x88", odict())
}

// mod is an instance of a torch.nn.Module class; the parts are dict items.
func mod(module, class, params, buffers, children string, attrs ...string) string {
	return glob(module, class) + ")\x81" + dct(append([]string{
		str("_parameters"), odict(params), str("_buffers"), odict(buffers), str("_modules"), odict(children)}, attrs...)...) + "b"
}

// record is one entry of an archive written by zipped.
type record struct{ name, data string }

// zipped writes an archive as torch.save does: stored records in order.
func zipped(t testing.TB, records ...record) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, r := range records {
		f, err := w.CreateHeader(&zip.FileHeader{Name: r.name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte(r.data))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func floats(vs ...float32) string {
	var b []byte
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return string(b)
}

// smallState is the pickle of a state dict of two tensors in storages "0" and "1".
func smallState() string {
	return proto(odict(
		str("w"), rebuilt(pid("FloatStorage", "0", 6), 0, nums(2, 3), nums(3, 1)),
		str("n"), rebuilt(pid("LongStorage", "1", 1), 0, nums(), nums())))
}

func smallRecords() []record {
	return []record{
		{"best/data.pkl", smallState()},
		{"best/byteorder", "little"},
		{"best/data/0", floats(1, 2, 3, 4, 5, 6)},
		{"best/data/1", little(7, 8)},
		{"best/version", "3\n"},
	}
}

// smallModel is the pickle of a checkpoint with one Conv and a Detect of two classes.
func smallModel() string {
	conv := mod("torch.nn.modules.conv", "Conv2d",
		str("weight")+param(rebuilt(pid("HalfStorage", "0", 4), 0, nums(1, 1, 2, 2), nums(1, 1, 1, 2)))+str("bias")+"N", "", "",
		str("kernel_size"), nums(2, 2), str("groups"), num(1), str("padding_mode"), str("zeros"), str("transposed"), "\x89")
	bn := mod("torch.nn.modules.batchnorm", "BatchNorm2d", "",
		str("running_mean")+rebuilt(pid("FloatStorage", "1", 2), 1, nums(1), nums(1))+
			str("hidden")+rebuilt(pid("FloatStorage", "1", 2), 0, nums(1), nums(1)), "",
		str("_non_persistent_buffers_set"), call(glob("__builtin__", "set"), lst(str("hidden"))),
		str("eps"), float(0.001), str("momentum"), num(1))
	layer := mod("models.common", "Conv", "", "", str("conv")+conv+str("bn")+bn+str("act")+"N", str("f"), num(-1), str("i"), num(0))
	detect := mod("models.yolo", "Detect", "", str("anchors")+rebuilt(pid("FloatStorage", "2", 4), 0, nums(1, 2, 2), nums(4, 2, 1)), "",
		str("f"), lst(num(0), num(-1)), str("nc"), num(2), str("stride"), rebuilt(pid("FloatStorage", "3", 1), 0, nums(1), nums(1)))
	model := mod("models.yolo", "Model", "", "",
		str("model")+mod("torch.nn.modules.container", "Sequential", "", "", str("0")+layer+str("1")+detect),
		str("yaml"), dct(str("nc"), num(2), str("backbone"), lst(lst(num(-1), num(1), str("Conv"), lst(num(64), "N", "\x88", float(0.5))))),
		str("names"), dct(num(1), str("dog"), num(0), str("cat")))
	return proto(dct(str("epoch"), num(12), str("model"), "N", str("ema"), tup(model, num(3)),
		str("best_fitness"), num(1), str("date"), str("today"), str("opt"), dct(str("epochs"), num(3)), str("git"), "N"))
}

func smallModelRecords() []record {
	return []record{
		{"archive/data.pkl", smallModel()},
		{"archive/data/0", "\x00\x3c\x00\x40\x00\x42\x00\x44"}, // 1 2 3 4 in float16
		{"archive/data/1", floats(8, 9)},
		{"archive/data/2", floats(1, 2, 3, 4)},
		{"archive/data/3", floats(32)},
	}
}
