package torch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
)

// The form before torch 1.6 (torch/serialization.py, _legacy_save): five pickles
// one after the other (a magic number, the protocol, the machine, the value, the
// storages' keys), then for each key an int64 count and the elements.
const legacyProtocol = 1001

// legacyMagic is 0x1950a86a20f9469cfc6c.
var legacyMagic = new(big.Int).SetBytes([]byte{0x19, 0x50, 0xa8, 0x6a, 0x20, 0xf9, 0x46, 0x9c, 0xfc, 0x6c})

// maybeLegacy reports whether data begins with a pickle of protocol 2 or later.
func maybeLegacy(data []byte) bool {
	return len(data) >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5
}

func unpickleLegacy(data []byte) (any, *store, error) {
	s := newStore(len(data))
	m := newMachine(data, nil)
	magic, err := m.run()
	if err != nil {
		return nil, nil, err
	}
	if v, ok := magic.(*big.Int); !ok || v.Cmp(legacyMagic) != 0 {
		return nil, nil, fmt.Errorf("a bare pickle of %s: not a PyTorch checkpoint", kind(magic))
	}
	if protocol, err := m.run(); err != nil {
		return nil, nil, err
	} else if protocol != any(int64(legacyProtocol)) {
		return nil, nil, fmt.Errorf("old PyTorch file of an unknown protocol, not %d", legacyProtocol)
	}
	system, err := m.run()
	if err != nil {
		return nil, nil, err
	}
	if d, ok := system.(*dict); ok && d.get("little_endian") == any(false) {
		return nil, nil, fmt.Errorf("old PyTorch file of a big-endian machine, which is not supported")
	}
	m.store = s
	root, err := m.run()
	if err != nil {
		return nil, nil, err
	}
	m.store = nil
	keys, err := m.run()
	if err != nil {
		return nil, nil, err
	}
	l, ok := keys.(*list)
	if !ok {
		return nil, nil, fmt.Errorf("corrupt pickle at byte %d: the storage keys are %s", m.start, kind(keys))
	}
	return root, s, s.fillInOrder(l.items, data, m.at)
}

// fillInOrder gives the storages their elements, which follow one another from data[at:] on.
func (s *store) fillInOrder(keys []any, data []byte, at int) error {
	if len(keys) != len(s.storages) {
		return fmt.Errorf("%d storage keys for %d storages", len(keys), len(s.storages))
	}
	for _, k := range keys {
		key, _ := k.(string)
		st := s.storages[key]
		if st == nil || st.data != nil {
			return fmt.Errorf("storage key %s is unknown or given twice", shown(key))
		}
		want := st.count * int64(st.dtype.Size())
		left := int64(len(data)-at) - 8
		if left < want {
			return fmt.Errorf("storage %s declares %d bytes, %d are left: the file is incomplete", shown(key), want, max(left, 0))
		}
		if n := binary.LittleEndian.Uint64(data[at:]); n != uint64(st.count) {
			return fmt.Errorf("storage %s declares %d elements, its data %d", shown(key), st.count, n)
		}
		at += 8
		st.data = data[at : at+int(want) : at+int(want)]
		at += int(want)
	}
	if rest := len(data) - at; rest > 0 {
		return fmt.Errorf("%d bytes after the last storage", rest)
	}
	return nil
}

// isTar recognises the form of torch 0.1, a tar archive.
func isTar(data []byte) bool {
	return len(data) > 262 && bytes.Equal(data[257:262], []byte("ustar"))
}
