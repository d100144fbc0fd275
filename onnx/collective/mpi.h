// MPI by its standard ABI (MPI 5.0, chapter 20): the same declarations for every library that
// serves it, which is loaded at run time.
#ifndef MPI_H
#define MPI_H

#include <stdint.h>

// A request is an MPI_Request: a number to Go, which would take it for a pointer of its own.

// What a rank tells another in a beat, while it does whatever else.
typedef struct {
	int64_t arrived; // operations that it has come to
	int64_t lost;    // a rank that is lost, counted from 1; 0: none
} beat;

const char *mpi_load(const char *path, int *major, char *version, int size); // NULL, or why not
int mpi_init(int *rank, int *size);                                          // all but mpi_load return MPI's codes, 0 for success
void mpi_text(int code, char text[512]);
int mpi_start_max(int64_t *data, int count, uintptr_t *request);
int mpi_start_sum(void *data, int count, int wide, uintptr_t *request);
int mpi_start_broadcast(void *data, int bytes, int root, uintptr_t *request);
int mpi_start_gather(const void *data, int bytes, void *all, const int *sizes, const int *places, uintptr_t *request);
int mpi_start_send(beat *data, int rank, uintptr_t *request);
int mpi_start_receive(beat *data, int rank, uintptr_t *request);
int mpi_test(uintptr_t *request, int *done);
int mpi_spin(uintptr_t *request, int *done, int microseconds); // tests it for some time
void mpi_drop(uintptr_t *request); // a transfer that is not waited for any more
int mpi_finalize(void);
void mpi_abort(int code);

#endif
