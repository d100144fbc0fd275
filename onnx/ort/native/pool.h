// Threads that work on one operator together, each on its share of the batch.
#ifndef YOLOFREEZE_NATIVE_POOL_H
#define YOLOFREEZE_NATIVE_POOL_H

#include "dnnl.h"

enum { pool_most = 64 }; // threads

// A worker's own: its number from 0, how many there are, oneDNN's stream.
struct worker {
	int index, count;
	unsigned born; // what pool.c's begin said when the thread was made
	dnnl_stream stream;
	void *scratch; // of oneDNN's primitives, as much as the largest needs
	size_t scratch_size;
};

// pool_run has count threads call work, the caller as number 0, and returns when
// all are done. Runs of several callers follow each other. It returns NULL, or why
// there are not so many threads.
const char *pool_run(int count, void (*work)(struct worker *, void *), void *argument);

// pool_barrier, inside work: goes on when all threads of the run have come to it.
void pool_barrier(struct worker *);

// pool_scratch returns memory of a worker of at least that size, NULL where there is none.
void *pool_scratch(struct worker *, size_t size);

#endif
