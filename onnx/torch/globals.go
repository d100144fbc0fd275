package torch

import (
	"fmt"
	"strings"

	"yolofreeze/onnx"
)

// global is a name that a pickle may speak of. Without call it cannot be called,
// without make it has no instances; a bare reference does neither.
type global struct {
	module, name string
	call         func(m *machine, args tuple) (any, error) // REDUCE
	make         func() any                                // NEWOBJ
	dtype        onnx.DType                                // of a storage class or a torch dtype
	storage      bool
}

func (g *global) String() string { return globalName(g.module, g.name) }

// globals is the allow-list of single names. A name that is not here, and not a
// class of moduleClasses, is refused.
var globals = index(
	&global{module: "collections", name: "OrderedDict", call: newDict, make: func() any { return &dict{} }},
	&global{module: "collections", name: "defaultdict", call: newDefaultDict},
	&global{module: "collections", name: "Counter", call: newDict},
	&global{module: "builtins", name: "set", call: newSet},
	&global{module: "builtins", name: "frozenset", call: newSet},
	&global{module: "builtins", name: "bool"},
	&global{module: "builtins", name: "dict"},
	&global{module: "builtins", name: "float"},
	&global{module: "builtins", name: "int"},
	&global{module: "builtins", name: "list"},
	&global{module: "builtins", name: "str"},
	&global{module: "builtins", name: "tuple"},
	&global{module: "builtins", name: "getattr", call: methodOf},
	&global{module: "_codecs", name: "encode", call: encode},

	&global{module: "torch._utils", name: "_rebuild_tensor", call: rebuildTensor},
	&global{module: "torch._utils", name: "_rebuild_tensor_v2", call: rebuildTensor},
	&global{module: "torch._utils", name: "_rebuild_tensor_v3", call: rebuildTensorV3},
	&global{module: "torch._utils", name: "_rebuild_parameter", call: rebuildParameter},
	&global{module: "torch._utils", name: "_rebuild_parameter_with_state", call: rebuildParameter},
	&global{module: "torch._tensor", name: "_rebuild_from_type_v2", call: rebuildFromType},
	&global{module: "torch", name: "Size", call: newSize},
	&global{module: "torch", name: "device", call: newDevice},
	&global{module: "torch", name: "Tensor"},
	&global{module: "torch.nn.parameter", name: "Parameter"},

	&global{module: "numpy.core.multiarray", name: "_reconstruct", call: newNumpyArray},
	&global{module: "numpy.core.multiarray", name: "scalar", call: newNumpyScalar},
	&global{module: "numpy", name: "dtype", call: newNumpyDType},
	&global{module: "numpy", name: "ndarray"},

	&global{module: "pathlib", name: "PosixPath", call: newPath("/")},
	&global{module: "pathlib", name: "PurePosixPath", call: newPath("/")},
	&global{module: "pathlib", name: "WindowsPath", call: newPath(`\`)},
	&global{module: "pathlib", name: "PureWindowsPath", call: newPath(`\`)},
	&global{module: "datetime", name: "datetime", call: newDateTime},
	&global{module: "datetime", name: "date", call: newDateTime},
	inert("argparse", "Namespace"),
)

// moduleClasses are the packages whose classes become inert Objects, whatever
// their names: a layer nobody here knows must load, so that the error can say
// where in the model it is.
var moduleClasses = []string{"models", "torch.nn.modules", "utils.activations"}

// renamed maps the newer spellings of a module to the one in globals: Python 3's
// builtins and pathlib, numpy 2's core, the pip package of YOLOv5.
var renamed = map[string]string{
	"__builtin__": "builtins", "pathlib._local": "pathlib", "numpy._core.multiarray": "numpy.core.multiarray",
	"torch.cuda": "torch", "torch.storage": "torch",
}

var storageTypes = map[string]onnx.DType{
	"FloatStorage": onnx.Float, "DoubleStorage": onnx.Double, "HalfStorage": onnx.Float16,
	"BFloat16Storage": onnx.BFloat16, "LongStorage": onnx.Int64, "IntStorage": onnx.Int32,
	"ShortStorage": onnx.Int16, "CharStorage": onnx.Int8, "ByteStorage": onnx.Uint8,
	"BoolStorage": onnx.Bool, "UntypedStorage": onnx.Uint8,
}

var torchDTypes = map[string]onnx.DType{
	"float16": onnx.Float16, "bfloat16": onnx.BFloat16, "float32": onnx.Float, "float64": onnx.Double,
	"int8": onnx.Int8, "int16": onnx.Int16, "int32": onnx.Int32, "int64": onnx.Int64,
	"uint8": onnx.Uint8, "uint16": onnx.Uint16, "uint32": onnx.Uint32, "uint64": onnx.Uint64, "bool": onnx.Bool,
}

func index(list ...*global) map[string]*global {
	table := make(map[string]*global)
	for name, d := range storageTypes {
		list = append(list, &global{module: "torch", name: name, dtype: d, storage: true})
	}
	for name, d := range torchDTypes {
		list = append(list, &global{module: "torch", name: name, dtype: d})
	}
	for _, g := range list {
		table[g.module+" "+g.name] = g
	}
	return table
}

// inert is a class whose instances hold their attributes and can do nothing.
func inert(module, name string) *global {
	return &global{module: module, name: name, make: func() any { return &Object{Module: module, Name: name} }}
}

// findGlobal returns nil for what is not allowed.
func findGlobal(module, name string) *global {
	module = strings.TrimPrefix(module, "yolov5.")
	if plain, ok := renamed[module]; ok {
		module = plain
	}
	if g := globals[module+" "+name]; g != nil {
		return g
	}
	for _, class := range moduleClasses {
		if inside := strings.HasPrefix(module, class+"."); inside && identifiers(module) && identifiers(name) {
			return inert(module, name)
		}
	}
	if module == "torch.nn.functional" && identifiers(name) { // an activation held as a function
		return &global{module: module, name: name}
	}
	return nil
}

// identifiers reports whether s is Python names joined by dots.
func identifiers(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

func globalName(module, name string) string {
	return shown(module + "." + name)
}

// foreign adds what a well-known stranger is.
func foreign(module string) string {
	if root, _, _ := strings.Cut(module, "."); root == "ultralytics" {
		return " (a checkpoint of the ultralytics package, YOLOv8 or later, is not one of YOLOv5)"
	}
	return ""
}

func newDict(m *machine, args tuple) (any, error) {
	d := &dict{}
	m.charge(80)
	if len(args) == 0 {
		return d, nil
	}
	var pairs []any
	switch v := args[0].(type) {
	case *list:
		pairs = v.items
	case *dict:
		for i, key := range v.keys {
			pairs = append(pairs, tuple{key, v.values[i]})
		}
	default:
		return nil, fmt.Errorf("argument is %s", kind(v))
	}
	m.charge(96 * len(pairs))
	for _, p := range pairs {
		var pair []any
		switch p := p.(type) {
		case tuple:
			pair = p
		case *list:
			pair = p.items
		}
		if len(pair) != 2 || !hashable(pair[0]) {
			return nil, fmt.Errorf("an item is not a key and a value")
		}
		d.set(pair[0], pair[1])
	}
	return d, m.err
}

// methodOf names a method of a model's class or module, as segmentation and fused
// models hold some. Nothing is looked up, and what it gives cannot be called.
func methodOf(m *machine, args tuple) (any, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	name, ok := args[1].(string)
	if !ok || !identifiers(name) {
		return nil, fmt.Errorf("the attribute's name is %s", kind(args[1]))
	}
	m.charge(64 + len(name))
	switch owner := args[0].(type) {
	case *Object:
		return &global{module: owner.Class(), name: name}, m.err
	case *global:
		if owner.make != nil && owner.call == nil {
			return &global{module: owner.String(), name: name}, m.err
		}
	}
	return nil, fmt.Errorf("an attribute of %s", kind(args[0]))
}

// newDefaultDict ignores the factory: nothing here asks for a missing key.
func newDefaultDict(m *machine, args tuple) (any, error) { return newDict(m, nil) }

func newSet(m *machine, args tuple) (any, error) {
	if len(args) == 0 {
		return &set{}, nil
	}
	switch v := args[0].(type) {
	case *list:
		m.charge(16 * len(v.items))
		return &set{append([]any{}, v.items...)}, m.err
	case tuple:
		return &set{v}, nil
	}
	return nil, fmt.Errorf("argument is %s", kind(args[0]))
}

// encode is how protocol 2 spells bytes: a str of code points below 256.
func encode(m *machine, args tuple) (any, error) {
	if len(args) != 2 || args[1] != any("latin1") && args[1] != any("latin-1") {
		return nil, fmt.Errorf("arguments are not a str and latin1")
	}
	s, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("argument is %s", kind(args[0]))
	}
	m.charge(len(s))
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return nil, fmt.Errorf("%U is not in latin1", r)
		}
		b = append(b, byte(r))
	}
	return b, nil
}

func newSize(m *machine, args tuple) (any, error) {
	if len(args) == 1 {
		if dims, ok := args[0].(tuple); ok {
			return dims, nil
		}
	}
	return nil, fmt.Errorf("argument is not a tuple")
}

func newDevice(m *machine, args tuple) (any, error) {
	kindOf, index := "", ""
	if len(args) > 0 {
		kindOf, _ = args[0].(string)
	}
	if len(args) > 1 {
		n, _ := args[1].(int64)
		index = fmt.Sprintf(":%d", n)
	}
	m.charge(len(kindOf) + len(index))
	return kindOf + index, nil
}

// newPath joins a path's parts to a string.
func newPath(separator string) func(*machine, tuple) (any, error) {
	return func(m *machine, args tuple) (any, error) {
		parts := make([]string, len(args))
		for i, arg := range args {
			s, ok := arg.(string)
			if !ok {
				return nil, fmt.Errorf("a part is %s", kind(arg))
			}
			m.charge(len(s) + 17)
			parts[i] = s
		}
		if m.err != nil {
			return nil, m.err
		}
		root := ""
		if len(parts) > 1 && strings.HasSuffix(parts[0], separator) {
			root, parts = parts[0], parts[1:]
		}
		return root + strings.Join(parts, separator), nil
	}
}

// newDateTime reads the 10 bytes of a datetime or the 4 of a date (CPython,
// Lib/_pydatetime.py, _getstate) and returns ISO 8601 text; a time zone is left out.
func newDateTime(m *machine, args tuple) (any, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("no argument")
	}
	b, ok := args[0].([]byte)
	switch {
	case ok && len(b) == 4:
		return fmt.Sprintf("%04d-%02d-%02d", int(b[0])<<8|int(b[1]), b[2], b[3]), nil
	case ok && len(b) == 10:
		micro := int(b[7])<<16 | int(b[8])<<8 | int(b[9])
		return fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06d",
			int(b[0])<<8|int(b[1]), b[2]&0x7f, b[3], b[4], b[5], b[6], micro), nil
	}
	return nil, fmt.Errorf("argument is not the bytes of a date")
}
