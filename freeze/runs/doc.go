// Package runs knows the folder of a run: where it lies, and the files in it that
// tell how training went, results.csv first. Who writes them and who reads them
// has the columns from here.
package runs
