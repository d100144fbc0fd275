// Package voc reads and writes data sets in the layout of the PASCAL VOC
// development kit: Annotations with one XML file per picture, JPEGImages, and
// ImageSets/Main with lists of picture names, in one folder or one per year.
//
// Boxes become YOLO's the way YOLOv5's own conversion makes them: centre =
// (min+max)/2 − 1 pixel, size = max − min, as shares of the picture's real
// size. Objects marked difficult are left out unless asked for, and counted.
package voc
