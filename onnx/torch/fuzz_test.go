package torch

import (
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit/hostile"
)

// FuzzPickle runs arbitrary bytes on the machine, with storages that exist, and
// looks at all that a checkpoint made of them offers.
func FuzzPickle(f *testing.F) {
	for _, seed := range []string{smallState(), smallModel(), proto(npArray(nums(1), npType("f8"), "C\x0812345678")),
		proto(call(glob("torch", "Size"), nums(1, 2))), proto("]q\x00h\x00a"),
		proto(rebuilt(pid("HalfStorage", "0", 4), 0, nums(2, 2), nums(1, 2)))} {
		f.Add([]byte(seed))
	}
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		s := newStore(len(data))
		s.record = func(key string) ([]byte, error) { return make([]byte, 8), nil }
		m := newMachine(data, s)
		root, err := m.run()
		if err != nil {
			oneLine(t, err)
			return
		}
		plain(root)
		c, err := newCheckpoint(root)
		if err == nil {
			err = s.finish()
		}
		if err != nil {
			oneLine(t, err)
			return
		}
		examine(t, c)
	})
}

// FuzzZip reads arbitrary bytes as a file.
func FuzzZip(f *testing.F) {
	f.Add(zipped(f, smallRecords()...))
	f.Add(zipped(f, smallModelRecords()...))
	f.Add(deflated(f, smallRecords()...))
	f.Add(legacy(legacyObject(), lst(str("17"), str("940")), little(1, 8)+little(5, 8)+little(2, 8)+floats(1, 2)))
	f.Add([]byte(lfsHead + "v1\nsize 7\n"))
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		c, err := decode(data)
		if err != nil {
			oneLine(t, err)
			return
		}
		examine(t, c)
	})
}

func oneLine(t *testing.T, err error) {
	if text := err.Error(); strings.ContainsAny(text, "\n\r\x1b") || len(text) > 1000 {
		t.Fatalf("not a line to show: %q", text)
	}
}

// examine checks what every loaded checkpoint promises.
func examine(t *testing.T, c *Checkpoint) {
	for _, n := range c.State {
		if int64(len(n.Tensor.Raw)) != onnx.NumElements(n.Tensor.Shape)*int64(n.Tensor.DType.Size()) {
			t.Fatalf("%s: %v of %v holds %d bytes", n.Name, n.Tensor.Shape, n.Tensor.DType, len(n.Tensor.Raw))
		}
	}
	for _, l := range c.Layers {
		for name, child := range l.Object.Children() {
			child.Ints("kernel_size")
			child.Attr(name)
			child.Tensor("weight")
		}
	}
}
