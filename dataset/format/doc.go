// Package format finds out which format a data set is in and opens or writes
// it. It knows the packages yolo, voc and coco and nothing of their formats.
package format
