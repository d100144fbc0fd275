// Package lenient reads JSON as label tools write it: numbers as texts and texts as numbers,
// Python's NaN, a byte order mark, files of any length. What it cannot read is told by place.
package lenient
