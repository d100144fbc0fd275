// Package yolo reads and writes data sets in YOLO's layout: a data.yaml that
// names the classes and, per split, folders or lists of pictures, with one
// text file of labels per picture.
//
// Relative paths resolve against the folder of the data.yaml. Its other keys,
// download among them, are never acted upon. The package knows nothing of what
// the pictures are used for.
package yolo
