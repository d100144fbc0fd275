package torch

import (
	"math"
	"math/big"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestPickleValues(t *testing.T) {
	beyond, _ := new(big.Int).SetString("-36893488147419103232", 10) // -2^65
	cases := []struct {
		name, body string
		want       any
	}{
		{"None", "N", nil},
		{"bools", "\x88\x89\x86", []any{true, false}},
		{"ints", "J\xff\xff\xff\xffK\xffM\x01\x02\x87", []any{int64(-1), int64(255), int64(513)}},
		{"longs", "\x8a\x00\x8a\x01\xff\x8b\x02\x00\x00\x00\x00\x80\x87", []any{int64(0), int64(-1), int64(-32768)}},
		{"least long", "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80", int64(math.MinInt64)},
		{"long beyond int64", "\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\xfe", beyond.String()},
		{"float", float(-2.5), -2.5},
		{"texts", "\x8c\x01a" + "\x8d" + little(2, 8) + "bcU\x01d\x87", []any{"a", "bc", "d"}},
		{"old text", "T" + little(3, 4) + "abc", "abc"},
		{"stray bytes", str("a\xed\xb2\x80b"), "a\uFFFDb"},
		{"bytes", "B" + little(1, 4) + "xC\x01y\x8e" + little(1, 8) + "z\x87", []any{"x", "y", "z"}},
		{"latin1", call(glob("_codecs", "encode"), str("a\u00ff"), str("latin1")), "a\xff"},
		{"tuples", "()K\x01\x85t", []any{[]any{}, []any{int64(1)}}},
		{"list", "]K\x01a(K\x02K\x03e", []any{int64(1), int64(2), int64(3)}},
		{"dict", "}" + str("a") + "Ns(" + str("b") + "K\x01K\x02Nu", map[string]any{"a": nil, "b": int64(1), "2": nil}},
		{"a key twice", dct(str("a"), num(1), str("a"), num(2)), map[string]any{"a": int64(2)}},
		{"set", "\x8f(K\x01\x90", []any{int64(1)}},
		{"frozenset", "(K\x01\x91", []any{int64(1)}},
		{"old set", call(glob("__builtin__", "set"), lst(num(1))), []any{int64(1)}},
		{"memo", "K\x05q\x00h\x00r\x00\x00\x01\x00j\x00\x00\x01\x00\x87\x94h\x02\x86", []any{[]any{int64(5), int64(5), int64(5)}, []any{int64(5), int64(5), int64(5)}}},
		{"DUP and POP", "K\x01K\x020(0(K\x0312\x86", []any{int64(1), int64(1)}},
		{"frame", "\x95" + little(1, 8) + "N", nil},
		{"stack global", str("collections") + str("OrderedDict") + "\x93)R", map[string]any{}},
		{"new dict", glob("collections", "OrderedDict") + ")\x81", map[string]any{}},
		{"dict of pairs", call(glob("collections", "OrderedDict"), lst(tup(str("a"), num(1)), lst(str("b"), num(2)))), map[string]any{"a": int64(1), "b": int64(2)}},
		{"counter", call(glob("collections", "Counter"), dct(num(3), num(1))), map[string]any{"3": int64(1)}},
		{"default dict", call(glob("collections", "defaultdict"), glob("builtins", "list")) + str("k") + "Ns", map[string]any{"k": nil}},
		{"dict with attributes", odict() + dct(str("_metadata"), odict()) + "b", map[string]any{}},
		{"namespace", glob("argparse", "Namespace") + ")\x81" + dct(str("lr"), float(0.1)) + "b", map[string]any{"lr": 0.1}},
		{"path", call(glob("pathlib", "PosixPath"), str("/"), str("a"), str("b c")), "/a/b c"},
		{"new path", call(glob("pathlib._local", "PosixPath"), str("a"), str("b")), "a/b"},
		{"windows path", call(glob("pathlib", "WindowsPath"), str(`C:\`), str("a")), `C:\a`},
		{"device", call(glob("torch", "device"), str("cuda"), num(1)), "cuda:1"},
		{"size", call(glob("torch", "Size"), nums(2, 3)), []any{int64(2), int64(3)}},
		{"datetime", call(glob("datetime", "datetime"), "C\x0a\x07\xea\x02\x03\x04\x05\x06\x00\x00\x07"), "2026-02-03T04:05:06.000007"},
		{"date", call(glob("datetime", "date"), "C\x04\x07\xea\x02\x03"), "2026-02-03"},
		{"reference", glob("torch", "float16"), "torch.float16"},
		{"function as a value", glob("torch.nn.functional", "silu"), "torch.nn.functional.silu"},
		{"numpy scalar", call(glob("numpy._core.multiarray", "scalar"), npType("f8"), "C\x08\x00\x00\x00\x00\x00\x00\xe0\x3f"), 0.5},
		{"numpy bool", call(glob("numpy.core.multiarray", "scalar"), npType("b1"), "C\x01\x01"), true},
		{"numpy int", call(glob("numpy.core.multiarray", "scalar"), npType("i2"), "C\x02\xfe\xff"), int64(-2)},
		{"numpy array", npArray(nums(), npType("f4"), "C\x04\x00\x00\x80\x3f"), float64(1)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine([]byte(proto(c.body)), nil)
			v, err := m.run()
			if err != nil {
				t.Fatal(err)
			}
			got, err := plain(v)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v (%v), want %#v", got, err, c.want)
			}
		})
	}
}

func npType(name string) string {
	return call(glob("numpy", "dtype"), str(name), "\x89", "\x88") + tup(num(3), str("<"), "N", "N", "N", num(-1), num(-1), num(0)) + "b"
}

func npArray(shape, dtype, raw string) string {
	return call(glob("numpy.core.multiarray", "_reconstruct"), glob("numpy", "ndarray"), nums(0), "C\x01b") +
		tup(num(1), shape, dtype, "\x89", raw) + "b"
}

// Every way out of the fixed list of names.
func TestPickleRefuses(t *testing.T) {
	shell := glob("posix", "system")
	cases := []struct{ name, body, want string }{
		{"os.system", str("ls") + "0" + shell, "refused: global posix.system at byte 10"},
		{"called", call(shell, str("ls")), "refused: global posix.system at byte 2"},
		{"protocol 4", "\x8c\x02os\x8c\x06system\x93", "refused: global os.system at byte 14"},
		{"memoised names", "\x8c\x02os\x940\x8c\x06system\x940h\x00h\x01\x93", "refused: global os.system"},
		{"INST", "(" + str("ls") + "iposix\nsystem\n", "refused: INST of posix.system at byte 10"},
		{"OBJ", "(No", "refused: opcode OBJ at byte 4"},
		{"EXT1", "\x82\x01", "refused: opcode EXT1 at byte 2"},
		{"EXT2", "\x83\x01\x00", "refused: opcode EXT2"},
		{"EXT4", "\x84\x01\x00\x00\x00", "refused: opcode EXT4"},
		{"NEWOBJ_EX", "NN}\x92", "refused: opcode NEWOBJ_EX"},
		{"eval", glob("builtins", "eval"), "refused: global builtins.eval"},
		{"python 2 eval", glob("__builtin__", "eval"), "refused: global __builtin__.eval"},
		{"method called", call(call(glob("builtins", "getattr"), glob("models.yolo", "Detect"), str("forward")), num(1)), "refused: call of models.yolo.Detect.forward"},
		{"method's class", call(glob("builtins", "getattr"), call(glob("builtins", "getattr"), glob("models.yolo", "Detect"), str("forward")), str("x")),
			"an attribute of a reference to models.yolo.Detect.forward"},
		{"getattr of a builtin", call(glob("builtins", "getattr"), glob("builtins", "int"), str("from_bytes")), "an attribute of a reference to builtins.int"},
		{"getattr of a function", call(glob("builtins", "getattr"), glob("torch", "Size"), str("x")), "an attribute of a reference to torch.Size"},
		{"getattr of a number", call(glob("builtins", "getattr"), num(1), str("real")), "an attribute of an int"},
		{"getattr by a number", call(glob("builtins", "getattr"), glob("models.yolo", "Detect"), num(1)), "the attribute's name is an int"},
		{"setattr", glob("builtins", "setattr"), "refused: global builtins.setattr"},
		{"import", glob("importlib", "import_module"), "refused: global importlib.import_module"},
		{"torch.load inside", glob("torch.storage", "_load_from_bytes"), "refused: global torch.storage._load_from_bytes"},
		{"torch.hub", glob("torch.hub", "load"), "refused: global torch.hub.load"},
		{"prefix only", glob("torch.nn.modulesx", "A"), "refused: global torch.nn.modulesx.A"},
		{"package itself", glob("models", "yolo"), "refused: global models.yolo"},
		{"prefix and an escape", glob("models.yolo os", "system"), `refused: global "models.yolo os.system"`},
		{"prefix and two dots", glob("models..yolo", "Model"), "refused: global models..yolo.Model"},
		{"long name", glob("x", strings.Repeat("y", 200)), `refused: global "x.yyyy`},
		{"ultralytics", glob("ultralytics.nn.tasks", "DetectionModel"), "refused: global ultralytics.nn.tasks.DetectionModel (a checkpoint of the ultralytics package"},
		{"class called", call(glob("models.yolo", "Model"), num(1)), "refused: call of models.yolo.Model at byte"},
		{"builtin called", call(glob("builtins", "int"), str("1")), "refused: call of builtins.int"},
		{"function called", call(glob("torch.nn.functional", "silu"), num(1)), "refused: call of torch.nn.functional.silu"},
		{"instance of a function", glob("torch._utils", "_rebuild_tensor_v2") + ")\x81", "refused: instance of torch._utils._rebuild_tensor_v2"},
		{"rebuild by another", call(glob("torch._tensor", "_rebuild_from_type_v2"), glob("pathlib", "PosixPath"), "N", tup(), "N"), "rebuilds by a reference to pathlib.PosixPath"},
		{"numpy array of another class", call(glob("numpy.core.multiarray", "_reconstruct"), glob("builtins", "int"), "N", "N"), "not a numpy.ndarray"},
		{"numpy object", npType("O8"), `unsupported element type "O8"`},
		{"text opcode", "I1\n", "refused: opcode INT"},
		{"text persistent id", "Px\n", "refused: opcode PERSID"},
		{"out of band buffer", "\x97", "refused: opcode NEXT_BUFFER"},
	}
	refusals(t, cases)
}

// refusals runs each body as a pickle within protocol 2 and looks for its one-line error.
func refusals(t *testing.T, cases []struct{ name, body, want string }) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine([]byte(proto(c.body)), nil)
			_, err := m.run()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPickleCorrupt(t *testing.T) {
	object := glob("models.yolo", "Model") + ")\x81"
	refusals(t, []struct{ name, body, want string }{
		{"SETITEM on a list", "]NNs", "corrupt pickle at byte 5: SETITEM: on a list, not a dict"},
		{"SETITEM on an object", object + "NNs", "SETITEM: on a models.yolo.Model, not a dict"},
		{"SETITEMS on a tuple", ")(NNu", "SETITEMS: on a tuple, not a dict"},
		{"SETITEMS on a str", str("a") + "(NNu", "on a str, not a dict"},
		{"SETITEMS without value", "}(NNNu", "a key without a value"},
		{"list as key", "}]Ns", "a list cannot be a key"},
		{"tuple as key", "})Ns", "a tuple cannot be a key"},
		{"APPEND on a dict", "}Na", "APPEND: on a dict, not a list"},
		{"APPENDS on a number", "K\x01(Ne", "on an int, not a list"},
		{"APPEND on a set", "\x8fNa", "on a set, not a list"},
		{"ADDITEMS on a list", "](N\x90", "on a list, not a set"},
		{"BUILD on a str", str("a") + "}b", "BUILD: a str takes no state"},
		{"BUILD on a list", "]}b", "a list takes no state"},
		{"BUILD on a reference", glob("torch", "Size") + "}b", "takes no state"},
		{"BUILD with a number", object + "K\x01b", "state is an int, not a dict"},
		{"BUILD with a number for slots", object + "NK\x01\x86b", "state is an int, not a dict"},
		{"BUILD with nested tuples", object + "NNN\x86\x86b", "a tuple of tuples"},
		{"BUILD with a numbered attribute", object + dct(num(1), "N") + "b", "an attribute's name is an int"},
		{"BUILD of an OrderedDict with a list", odict() + "]b", "state is a list"},
		{"call of a number", "K\x01)R", "REDUCE: call of an int"},
		{"arguments not a tuple", glob("torch", "Size") + "]R", "arguments of torch.Size are not a tuple"},
		{"instance of a number", "K\x01)\x81", "instance of an int"},
		{"instance with arguments", glob("models.yolo", "Model") + "N\x85\x81", "with arguments"},
		{"stack global of numbers", "K\x01K\x02\x93", "not both str"},
		{"dangling memo", "h\x07", "corrupt pickle at byte 2: BINGET: memo 7 is empty"},
		{"dangling long memo", "j\xff\xff\xff\xff", "memo 4294967295 is empty"},
		{"underflow", "a", "corrupt pickle at byte 2: APPEND: stack underflow"},
		{"underflow of a tuple", "N\x86", "TUPLE2: stack underflow"},
		{"underflow after a MARK is taken back", "N(00", "STOP: stack underflow"},
		{"reach below MARK", "]((a", "APPEND: stack underflow"},
		{"put on nothing", "q\x00", "stack underflow"},
		{"no MARK", "t", "TUPLE: no MARK"},
		{"values left", "NN", "1 values left on the stack"},
		{"MARK left", "(N", "values left on the stack"},
		{"nothing", "", "STOP: stack underflow"},
		{"unknown opcode", "\xff", "corrupt pickle at byte 2: unknown opcode 0xff"},
		{"unknown protocol", "\x80\x06", "unknown protocol 6"},
		{"str of 4 GiB", "X\xff\xff\xff\xff", "needs 4294967295 bytes, 1 are left"},
		{"str of 16 EiB", "\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "needs 18446744073709551615 bytes"},
		{"bytes of 16 EiB", "\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "needs 18446744073709551615 bytes"},
		{"frame beyond the end", "\x95\xff\xff\xff\xff\xff\xff\xff\xff", "frame of 18446744073709551615 bytes"},
		{"int of 2 GiB", "\x8b\xff\xff\xff\x7f", "more than 64 bytes in an int"},
		{"name without end", "cos", "no end of line"},
		{"name too long", "c" + strings.Repeat("x", 300) + "\n\n", "no end of line within 256 bytes"},
		{"persistent id", num(1) + "Q", "unexpected persistent id"},
		{"set of a number", call(glob("builtins", "set"), num(1)), "argument is an int"},
		{"dict of a number", call(glob("collections", "OrderedDict"), num(1)), "argument is an int"},
		{"dict of a triple", call(glob("collections", "OrderedDict"), lst(nums(1, 2, 3))), "not a key and a value"},
		{"encode by a codec", call(glob("_codecs", "encode"), str("a"), str("zip")), "not a str and latin1"},
		{"encode of a number", call(glob("_codecs", "encode"), num(1), str("latin1")), "argument is an int"},
		{"encode beyond latin1", call(glob("_codecs", "encode"), str("\u0100"), str("latin1")), "U+0100 is not in latin1"},
		{"size of a number", call(glob("torch", "Size"), num(1)), "not a tuple"},
		{"path of a number", call(glob("pathlib", "PosixPath"), num(1)), "a part is an int"},
		{"datetime of a str", call(glob("datetime", "datetime"), str("now")), "not the bytes of a date"},
		{"datetime of nothing", call(glob("datetime", "datetime")), "no argument"},
		{"dtype of nothing", call(glob("numpy", "dtype")), "no argument"},
		{"dtype state", call(glob("numpy", "dtype"), str("f8")) + "Nb", "numpy.dtype state is None"},
		{"array state", npArray(nums(2), npType("f4"), "C\x04abcd"), "shape [2] and float32 has 4 bytes"},
		{"array of a negative shape", npArray(nums(-1), npType("f4"), "C\x04abcd"), "shape [-1]"},
		{"array of an overflowing shape", npArray(nums(1<<62, 1<<62), npType("f4"), "C\x04abcd"), "has 4 bytes"},
		{"array without bytes", npArray(nums(1), npType("f4"), "N"), "not shape, dtype and bytes"},
		{"array of no bool", npArray(nums(1), npType("b1"), "C\x01\x02"), "bool element 0 is 2"},
		{"scalar of one argument", call(glob("numpy.core.multiarray", "scalar"), num(1)), "1 arguments, not 2"},
		{"tensor of numbers", call(glob("torch._utils", "_rebuild_tensor_v2"), num(1), num(2), num(3), num(4)), "not a storage, an offset, a size and a stride"},
		{"tensor of little", call(glob("torch._utils", "_rebuild_tensor_v2"), num(1)), "1 arguments"},
		{"parameter of a number", param(num(1)), "argument is an int, not a tensor"},
	})
	m := newMachine([]byte("\x80\x02N"), nil)
	if _, err := m.run(); err == nil || err.Error() != "corrupt pickle at byte 3: end of data: no STOP" {
		t.Errorf("missing STOP: %v", err)
	}
}

// Small or repetitive input that would cost much: each ends with an error within a
// second and 250 MB; a busy machine is given five.
func TestPickleLimits(t *testing.T) {
	laughs := "]q\x00" + str("ha") + "a" // each list holds the one before it ten times
	for i := 1; i < 30; i++ {
		laughs += "]q" + string(rune(i)) + "(" + strings.Repeat("h"+string(rune(i-1)), 10) + "e"
	}
	doubled := num(1) // keys that would hash for ever
	for range 40 {
		doubled += "2\x86"
	}
	longText := "X" + little(1<<20, 4) + strings.Repeat("x", 1<<20)
	cases := []struct{ name, body, want string }{
		{"billion laughs", "(" + laughs + "t", "expands to more than"},
		{"doubling key", "}" + doubled + "Ns", "a tuple cannot be a key"},
		{"opcodes", strings.Repeat("N0", 3_000_000), "more than 3000000 opcodes"},
		{"stack", strings.Repeat("N", 200_000), "more than 100000 values on the stack"},
		{"marks", strings.Repeat("(", 2_000), "more than 1000 open MARKs"},
		{"memo", "N" + strings.Repeat("\x94", 600_000), "more than 300000 memo entries"},
		{"nesting", strings.Repeat("]", 99_000) + strings.Repeat("a", 98_999), "nested deeper than 64"},
		{"nesting by tuples", "N" + strings.Repeat("\x85", 1_000_000), "nested deeper than 64"},
		{"dicts", strings.Repeat("}0", 2_000_000), "bytes of values"},
		{"lists of many", "]" + strings.Repeat("(NNNNNNNNNNe", 500_000), "more than"},
		{"texts", strings.Repeat(longText+"0", 42), "more than 41943040 bytes of values"},
		{"dict items", "}" + strings.Repeat("K\x01Ns", 1_000_000), "bytes of values"},
		{"calls", strings.Repeat("ccollections\nOrderedDict\n)R0", 500_000), "bytes of values"},
		{"copies of a list", "](" + strings.Repeat("N", 50_000) + "eq\x00" +
			strings.Repeat("0c__builtin__\nset\nh\x00\x85R", 200), "bytes of values"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			data := []byte(proto(c.body))
			runtime.GC()
			runtime.ReadMemStats(&before)
			begin := time.Now()
			m := newMachine(data, nil)
			v, err := m.run()
			if err == nil {
				_, err = plain(v)
			}
			took := time.Since(begin)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			// All that was ever allocated bounds what was held at once.
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 250<<20 || took > 5*time.Second {
				t.Errorf("took %v and %d MB", took, grown>>20)
			}
		})
	}
}
