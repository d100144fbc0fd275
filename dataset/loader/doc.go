// Package loader makes batches of a split's pictures: it decodes them ahead, keeps
// them in memory or on disk, augments them, and lays them out as a network takes them.
package loader
