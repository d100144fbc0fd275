package weights

import (
	"context"
	"net/url"
	"path/filepath"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/fetch"
	"yolofreeze/onnx/torch"
)

// Releases is the address below which YOLOv5's releases lie: RELEASE/MODEL.pt.
const Releases = "https://github.com/ultralytics/yolov5/releases/download"

const maxBytes = 1 << 30 // of a checkpoint; the largest has 0.3 GB

// Store is a folder of checkpoints that were fetched, each once.
type Store struct {
	fetch.Client
	Folder  string // such as weights in the cache folder; made where it is not there
	Address string // in the place of Releases, such as a mirror's; "" for Releases
}

// Path is where a checkpoint lies once it is fetched.
func (s *Store) Path(c Checkpoint) string { return filepath.Join(s.Folder, c.Name()+".pt") }

// Has reports whether something lies there. It looks at no content.
func (s *Store) Has(c Checkpoint) bool { return disk.IsFile(s.Path(c)) }

// Get returns the path of a checkpoint, and fetches it as [fetch.Client.Get] does. Where no checksum
// is known, what comes must open as a checkpoint.
func (s *Store) Get(ctx context.Context, c Checkpoint) (string, error) {
	f, err := s.file(c)
	if err == nil {
		err = s.Client.Get(ctx, f)
	}
	if err != nil {
		return "", err
	}
	return f.Path, nil
}

// file is a checkpoint as it is fetched.
func (s *Store) file(c Checkpoint) (fetch.File, error) {
	base := s.Address
	if base == "" {
		base = Releases
	}
	address, err := url.JoinPath(base, c.Release, c.Model+".pt")
	return fetch.File{
		Name: c.Name(), Note: " (licence: its authors', AGPL-3.0 or GPL-3.0)",
		Address: address, Path: s.Path(c), SHA256: c.SHA256, Bytes: c.Bytes, Limit: maxBytes,
		Opens: func(path string) error {
			_, err := torch.Load(path)
			return err
		},
	}, err
}

// Folder is the folder of checkpoints in the user's cache folder.
func Folder() (string, error) {
	cache, err := disk.CacheFolder()
	return filepath.Join(cache, "weights"), err
}
