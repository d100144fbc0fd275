// Package metric turns a detector's raw output into detections, and detections
// into the figures that YOLOv5 prints: non-maximum suppression, matching
// against labels, precision, recall, average precision and the confusion
// matrix. The VOC challenge's two ways of averaging precision stand beside
// COCO's.
//
// It knows boxes and numbers only: no pictures, no files, no graphs.
package metric
