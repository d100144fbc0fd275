// Package compare puts runs side by side, yolofreeze's own and those of YOLOv5's
// train.py: by the files in their folders, in groups that differ in more than the
// seed, as a report of one page.
package compare
