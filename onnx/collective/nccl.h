// NCCL and what of CUDA's runtime it takes, both loaded at run time.
#ifndef NCCL_H
#define NCCL_H

#include <stddef.h>

typedef struct {
	char bytes[128];
} nccl_id;

const char *nccl_load(const char *path); // NULL, or why not
const char *nccl_text(int code);         // what a code of the others says; 0 is success
int nccl_new_id(nccl_id *id);
int nccl_join(int device, int size, const nccl_id *id, int rank, void **communicator, void **stream);
int nccl_start_sum(int device, void *data, size_t count, void *communicator, void *stream); // of float32, in place
int nccl_done(void *communicator, void *stream, int *done);
void nccl_leave(void *communicator, void *stream, int clean);

#endif
