package yolo

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
)

func TestDarknet(t *testing.T) {
	root := files(t, map[string]any{"obj.data": "classes = 2\r\ntrain = data/train.txt\r\nnames = data/obj.names\r\nbackup = backup/\r\n", "obj.names": "cat\ndog\n",
		"none.data": "train = data/train.txt\nnames = gone.names\n",
		"train.txt": "data/obj_train_data/a.png\n", "obj_train_data/a.png": picture, "obj_train_data/a.txt": "1 .5 .5 .2 .2"})
	set, err := Open(filepath.Join(root, "obj.data"), dataset.ReadOptions{})
	if err != nil || set.Report.Objects != 1 || fmt.Sprint(set.Names) != "[cat dog]" {
		t.Errorf("%v, %+v", err, set)
	}
	if _, err := Open(filepath.Join(root, "none.data"), dataset.ReadOptions{}); err == nil || !strings.Contains(err.Error(), "gone.names does not exist") {
		t.Errorf("%v", err)
	}
}
