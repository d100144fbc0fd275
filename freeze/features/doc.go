// Package features keeps on the disk what frozen first layers make of augmented pictures:
// caches that appear whole, are held against their checksums, and make room for each other.
package features
