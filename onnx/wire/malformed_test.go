package wire

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit/shared"
)

// msg collects fields into a message.
func msg(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func bytesField(num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), v)
}

func textField(num protowire.Number, v string) []byte { return bytesField(num, []byte(v)) }

func intField(num protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), uint64(v))
}

// file makes a model of the given fields of a graph.
func file(graph ...[]byte) []byte {
	return msg(intField(modelIRVersion, 8), bytesField(modelGraph, msg(graph...)), bytesField(modelOpset, intField(opsetVersion, 17)))
}

func node(op string, inputs, outputs []string, more ...[]byte) []byte {
	var b []byte
	for _, in := range inputs {
		b = append(b, textField(nodeInput, in)...)
	}
	for _, out := range outputs {
		b = append(b, textField(nodeOutput, out)...)
	}
	return bytesField(graphNode, msg(b, textField(nodeOp, op), textField(nodeName, "n-"+op), msg(more...)))
}

func input(name string) []byte {
	return bytesField(graphInput, msg(textField(valueName, name),
		bytesField(valueType, bytesField(typeTensor, intField(tensorTypeElem, 1)))))
}

func initializer(name string, fields ...[]byte) []byte {
	return bytesField(graphInitializer, msg(textField(tensorName, name), msg(fields...)))
}

func attribute(name string, fields ...[]byte) []byte {
	return bytesField(nodeAttribute, msg(textField(attrName, name), msg(fields...)))
}

type malformedCase struct{ name, data, want string }

// malformed lists files that must be refused, each with what the error says.
func malformed() []malformedCase {
	x := input("x")
	relu := node("Relu", []string{"x"}, []string{"y"})
	withAttr := func(fields ...[]byte) []byte {
		return file(x, node("Op", []string{"x"}, []string{"y"}, attribute("a", fields...)))
	}
	dims := func(sizes ...int64) []byte {
		var b []byte
		for _, s := range sizes {
			b = append(b, intField(tensorDims, s)...)
		}
		return b
	}
	float, int64s := intField(tensorDType, 1), intField(tensorDType, 7)
	raw := func(n int) []byte { return bytesField(tensorRawData, make([]byte, n)) }
	cases := map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, "empty"},
		"web page":      {[]byte("\n<!DOCTYPE html><html>"), "web page"},
		"lfs pointer":   {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7921434\n"), "7921434 bytes; run git lfs pull"},
		"zip":           {[]byte("PK\x03\x04rest"), "zip archive"},
		"text":          {[]byte("hello, world"), "onnx model"},
		"zeros":         {make([]byte, 100), "byte 0"},
		"no graph":      {intField(modelIRVersion, 8), "no graph"},
		"no ir":         {bytesField(modelGraph, relu), "no ir_version"},
		"no opset":      {msg(intField(modelIRVersion, 8), bytesField(modelGraph, relu)), "no opset_import"},
		"two opsets":    {append(file(x, relu), bytesField(modelOpset, intField(opsetVersion, 13))...), "versions 17 and 13"},
		"two graphs":    {append(file(x, relu), file(x, relu)...), "second graph"},
		"appended":      {append(file(x, relu), "hi"...), "unknown field 13: the file is damaged, has something appended"},
		"appended zero": {append(file(x, relu), 0), "not a protobuf field"},
		"functions":     {append(file(x, relu), bytesField(modelFunctions, nil)...), "functions"},
		"wrong wire":    {file(x, intField(graphNode, 1)), "wire type"},

		"external data":     {file(initializer("w", dims(1), float, bytesField(tensorExternalData, msg(textField(entryKey, "location"), textField(entryValue, "../w.bin"))))), `"w": its data lies in another file (location "../w.bin")`},
		"external location": {file(initializer("w", dims(1), float, intField(tensorDataLocation, 1))), "another file"},
		"raw too short":     {file(initializer("w", dims(2, 2), float, raw(15))), "takes 16 bytes, raw_data has 15"},
		"raw too long":      {file(initializer("w", dims(2, 2), float, raw(17))), "takes 16 bytes, raw_data has 17"},
		"no data":           {file(initializer("w", dims(2), float)), "takes 2 elements, the data has 0"},
		"typed too long":    {file(initializer("w", dims(1), int64s, bytesField(tensorInt64Data, []byte{1, 2}))), "the data has 2"},
		"data twice":        {file(initializer("w", dims(1), int64s, intField(tensorInt64Data, 1), raw(8))), "twice"},
		"wrong field":       {file(initializer("w", dims(1), float, intField(tensorInt64Data, 1))), "wrong field"},
		"not a bool":        {file(initializer("w", dims(1), intField(tensorDType, 9), intField(tensorInt32Data, 2))), "element 0, 2, is not a bool"},
		"not a raw bool":    {file(initializer("w", dims(1), intField(tensorDType, 9), bytesField(tensorRawData, []byte{7}))), "element 0 is 7"},
		"not an int8":       {file(initializer("w", dims(1), intField(tensorDType, 3), intField(tensorInt32Data, 128))), "is not a int8"},
		"negative size":     {file(initializer("w", dims(-1), float, raw(4))), "negative"},
		"overflow":          {file(initializer("w", dims(1<<32, 1<<32), float, raw(0))), "too large"},
		"huge":              {file(initializer("w", dims(1<<62), float)), "too large"},
		"strings":           {file(initializer("w", dims(1), intField(tensorDType, 8), textField(tensorStringData, "a"))), "strings"},
		"complex":           {file(initializer("w", dims(1), intField(tensorDType, 14), raw(8))), "dtype(14) is not supported"},
		"sparse":            {file(bytesField(graphSparse, nil)), "sparse"},
		"nameless weight":   {file(initializer("", dims(1), float, raw(4))), "without a name"},
		"two weights":       {file(initializer("w", dims(1), float, raw(4)), initializer("w", dims(1), float, raw(4))), `"w" is bound twice`},

		"undefined input":       {file(relu), `node 0 (Relu "n-Relu"): input 0, "x", is defined nowhere`},
		"undefined output":      {file(x, relu, bytesField(graphOutput, textField(valueName, "q"))), `output "q"`},
		"bound twice":           {file(x, relu, relu), `"y" is bound twice`},
		"input twice":           {file(x, x), `"x" is bound twice`},
		"cycle":                 {file(x, node("Add", []string{"x", "b"}, []string{"a"}), node("Neg", []string{"a"}, []string{"b"})), "cycle"},
		"self":                  {file(node("Neg", []string{"a"}, []string{"a"})), "cycle"},
		"no outputs":            {file(x, node("Neg", []string{"x"}, []string{""})), "no outputs"},
		"operator of two lines": {file(x, node("Neg\n", []string{"x"}, []string{"y"})), "op_type"},
		"no operator":           {file(x, node("", []string{"x"}, []string{"y"})), "no op_type"},
		"untyped input":         {file(bytesField(graphInput, textField(valueName, "x"))), `input "x" has no type`},
		"sequence input":        {file(bytesField(graphInput, msg(textField(valueName, "x"), bytesField(valueType, bytesField(4, nil))))), "no tensor"},
		"name not UTF-8":        {file(x, node("Neg", []string{"\xff"}, []string{"y"})), "UTF-8"},

		"subgraph":        {withAttr(bytesField(attrGraph, nil), intField(attrType, 5)), `attribute "a": subgraphs`},
		"reference":       {withAttr(textField(attrRef, "b")), "references"},
		"sparse attr":     {withAttr(intField(attrType, 11)), "sparse tensor"},
		"attr of no type": {withAttr(), "attribute type 0"},
		"attr type 99":    {withAttr(intField(attrType, 99)), "attribute type 99"},
		"attr no tensor":  {withAttr(intField(attrType, 4)), "without data"},
		"attr twice":      {file(x, node("Op", []string{"x"}, []string{"y"}, attribute("a", intField(attrInt, 1)), attribute("a", intField(attrInt, 2)))), "twice"},
	}
	var list []malformedCase
	for name, c := range cases {
		list = append(list, malformedCase{name, string(c.data), c.want})
	}
	return list
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range malformed() {
		t.Run(c.name, func(t *testing.T) { mustRefuse(t, []byte(c.data), c.want) })
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("folder: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "none.onnx")); !os.IsNotExist(err) && err == nil {
		t.Error("read a file that does not exist")
	}
	_, err := Read(shared.Path(t, "bad", "git-lfs-pointer.onnx"))
	if err == nil || !strings.Contains(err.Error(), "git-lfs-pointer.onnx: a Git LFS pointer") || !strings.Contains(err.Error(), "7921434 bytes") {
		t.Errorf("pointer: %v", err)
	}
}

// TestTypedData decodes each field that TensorProto has for data, packed and not.
func TestTypedData(t *testing.T) {
	packed := func(num protowire.Number, kind string, values ...uint64) []byte {
		var b []byte
		for _, v := range values {
			switch kind {
			case "varint":
				b = protowire.AppendVarint(b, v)
			case "fixed32":
				b = protowire.AppendFixed32(b, uint32(v))
			case "fixed64":
				b = protowire.AppendFixed64(b, v)
			}
		}
		return bytesField(num, b)
	}
	minus := ^uint64(0)
	for name, c := range map[string]struct {
		dtype onnx.DType
		data  []byte
		want  []float64
	}{
		"float":          {onnx.Float, packed(tensorFloatData, "fixed32", 0x3f800000, 0xc0000000), []float64{1, -2}},
		"double":         {onnx.Double, packed(tensorDoubleData, "fixed64", 0x3ff0000000000000, 0), []float64{1, 0}},
		"int64":          {onnx.Int64, packed(tensorInt64Data, "varint", minus, 5), []float64{-1, 5}},
		"int64 unpacked": {onnx.Int64, msg(intField(tensorInt64Data, -1), intField(tensorInt64Data, 5)), []float64{-1, 5}},
		"int32":          {onnx.Int32, packed(tensorInt32Data, "varint", minus, 5), []float64{-1, 5}},
		"uint32":         {onnx.Uint32, packed(tensorUint64Data, "varint", 1<<32-1, 5), []float64{1<<32 - 1, 5}},
		"int8":           {onnx.Int8, packed(tensorInt32Data, "varint", minus, 5), []float64{-1, 5}},
		"uint8":          {onnx.Uint8, packed(tensorInt32Data, "varint", 255, 5), []float64{255, 5}},
		"bool":           {onnx.Bool, packed(tensorInt32Data, "varint", 1, 0), []float64{1, 0}},
		"float16 bits":   {onnx.Float16, packed(tensorInt32Data, "varint", 0x3c00, 0xc000), []float64{1, -2}},
		"bfloat16 bits":  {onnx.BFloat16, packed(tensorInt32Data, "varint", 0x3f80, 0xc000), []float64{1, -2}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Decode(file(initializer("w", packed(tensorDims, "varint", 2), intField(tensorDType, int64(c.dtype)), c.data)))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Initializers[0].Const.Float64s(); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestOrder checks that nodes in any order are sorted, and a sorted list is left as it is.
func TestOrder(t *testing.T) {
	m, err := Decode(file(input("x"), node("C", []string{"b", "a"}, []string{"c"}), node("B", []string{"a"}, []string{"b"}),
		node("A", []string{"x"}, []string{"a"}), node("D", []string{"x"}, []string{"d"})))
	if err != nil {
		t.Fatal(err)
	}
	order := ""
	for _, n := range m.Nodes {
		order += n.Op
	}
	if err := m.Verify(); err != nil || order != "ABCD" {
		t.Errorf("order %s, %v", order, err)
	}
}

// TestExternalHint: who exported with the weights beside the model learns how to join the two.
func TestExternalHint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.onnx")
	outside := bytesField(tensorExternalData, msg(textField(entryKey, "location"), textField(entryValue, "m.onnx.data")))
	if err := os.WriteFile(path, file(initializer("w", outside)), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Read(path)
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "onnx.save(onnx.load('"+path+"'), 'joined.onnx')") {
		t.Errorf("%v", err)
	}
}

// TestDeep decodes a chain in reverse order that would be too deep for recursion on a small stack.
func TestDeep(t *testing.T) {
	const n = 50000
	name := func(i int) string { return "v" + strconv.Itoa(i) }
	graph := [][]byte{input("x")}
	for i := n; i > 0; i-- {
		in := name(i - 1)
		if i == 1 {
			in = "x"
		}
		graph = append(graph, node("Neg", []string{in}, []string{name(i)}))
	}
	m, err := Decode(file(graph...))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(); err != nil {
		t.Error(err)
	}
}

// TestOldFormat reads an initializer that is listed as an input, and value types.
func TestOldFormat(t *testing.T) {
	info := bytesField(graphValueInfo, msg(textField(valueName, "y"), bytesField(valueType, bytesField(typeTensor,
		msg(intField(tensorTypeElem, 10), bytesField(tensorTypeShape, msg(bytesField(shapeDim, textField(dimParam, "n")), bytesField(shapeDim, intField(dimValue, -1)))))))))
	m, err := Decode(file(input("x"), input("w"), initializer("w", intField(tensorDType, 1), bytesField(tensorRawData, make([]byte, 4))),
		node("Clip", []string{"x", "", "w"}, []string{"y"}), info))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Inputs) != 1 || len(m.Initializers) != 1 {
		t.Errorf("%d inputs, %d initializers", len(m.Inputs), len(m.Initializers))
	}
	n := m.Nodes[0]
	if n.Inputs[1] != nil || n.Outputs[0].Type.String() != "float16[n ?]" {
		t.Errorf("inputs %v, type %v", n.Inputs, n.Outputs[0].Type)
	}
}
