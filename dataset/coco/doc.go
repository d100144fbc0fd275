// Package coco reads and writes data sets in COCO's layout: per split one JSON
// file of images, annotations and categories, with the pictures in a folder
// that is found beside it.
//
// Category ids may have gaps: classes are the categories in the order of their
// ids. Crowd annotations are left out unless asked for, and counted. Files are
// read as a stream; a picture's name never leads out of its folder.
package coco
