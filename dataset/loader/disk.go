package loader

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
	"yolofreeze/onnx/disk"
)

// DiskCache is a folder of the user's for decoded pictures, never one of a
// data set's. It is shared by all runs.
type DiskCache struct {
	Dir    string // "" keeps none
	Budget int64  // bytes; the files used longest ago make room
}

// diskCache keeps each picture in a file of its own: width and height, the
// pixels, and their checksum. Whatever is wrong with a file, the picture is
// decoded again; whatever is wrong with the disk, training goes on without.
type diskCache struct {
	dir string

	mu   sync.Mutex
	room int64
}

const (
	diskHeader = 8
	diskSuffix = ".rgb"
	halfAge    = time.Minute // of a file half written that nobody writes any more: one takes milliseconds
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func openDiskCache(o DiskCache) (*diskCache, error) {
	if err := disk.Private(o.Dir); err != nil {
		return nil, fmt.Errorf("open the picture cache: %w", err)
	}
	c := &diskCache{dir: o.Dir, room: o.Budget}
	files, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the picture cache: %w", err)
	}
	var infos []os.FileInfo
	for _, f := range files {
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if half := disk.Abandoned(f.Name()) || strings.HasPrefix(f.Name(), "writing-"); half && time.Since(info.ModTime()) > halfAge && os.Remove(filepath.Join(o.Dir, f.Name())) == nil {
			continue
		}
		c.room -= info.Size()
		if filepath.Ext(f.Name()) == diskSuffix {
			infos = append(infos, info)
		}
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].ModTime().Before(infos[j].ModTime()) })
	for _, info := range infos {
		if c.room >= 0 {
			break
		}
		if os.Remove(filepath.Join(o.Dir, info.Name())) == nil {
			c.room += info.Size()
		}
	}
	return c, nil
}

// key names the file for a picture as it is now: another state makes another key. "" when the picture cannot be looked at.
func (c *diskCache) key(path string, size int, smooth bool) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	now, err := dataset.StateOf(abs)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "2\x00%s\x00%v\x00%d\x00%v", abs, now, size, smooth))
	return hex.EncodeToString(sum[:])
}

func (c *diskCache) file(key string) string { return filepath.Join(c.dir, key+diskSuffix) }

// read returns a picture, nil when it is not there or damaged.
func (c *diskCache) read(key string) *picture.Image {
	if key == "" {
		return nil
	}
	data, err := disk.Read(c.file(key), picture.DefaultMaxBytes)
	if err != nil || len(data) < diskHeader+crc32.Size {
		return nil
	}
	body, sum := data[:len(data)-crc32.Size], data[len(data)-crc32.Size:]
	w, h := int64(binary.LittleEndian.Uint32(body)), int64(binary.LittleEndian.Uint32(body[4:]))
	if w == 0 || h == 0 || w > picture.DefaultMaxPixels || h > picture.DefaultMaxPixels || 3*w*h != int64(len(body)-diskHeader) ||
		crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return nil
	}
	now := time.Now()
	os.Chtimes(c.file(key), now, now) // as used: failure only makes it older
	return &picture.Image{Width: int(w), Height: int(h), Pix: body[diskHeader:]}
}

// write keeps a picture while there is room.
func (c *diskCache) write(key string, img *picture.Image) {
	n := int64(diskHeader + len(img.Pix) + crc32.Size)
	if key == "" || !c.take(n) {
		return
	}
	data := make([]byte, 0, n)
	data = binary.LittleEndian.AppendUint32(data, uint32(img.Width))
	data = binary.LittleEndian.AppendUint32(data, uint32(img.Height))
	data = append(data, img.Pix...)
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
	_ = disk.Put(c.file(key), disk.Bytes(data))
}

func (c *diskCache) take(n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > c.room {
		return false
	}
	c.room -= n
	return true
}
