//go:build !windows

#include "nccl.h"

#include <dlfcn.h>

enum { type_float32 = 7, op_sum = 0, in_progress = 7 }; // of nccl.h
enum { non_blocking = 1, not_ready = 600, cuda_codes = 10000 };

static int (*get_id)(nccl_id *);
static int (*init_rank)(void **, int, nccl_id, int);
static int (*all_reduce)(const void *, void *, size_t, int, int, void *, void *);
static int (*async_error)(void *, int *);
static int (*destroy)(void *), (*give_up)(void *);
static const char *(*error_string)(int);

static int (*set_device)(int);
static int (*stream_create)(void **, unsigned), (*stream_query)(void *), (*stream_destroy)(void *);
static const char *(*cuda_error_string)(int);

typedef struct {
	const char *name;
	void *to; // a pointer to a pointer to a function
} symbol;

static int find(void *library, const symbol *symbols, size_t count) {
	for (size_t i = 0; i < count; i++)
		if (!(*(void **)symbols[i].to = dlsym(library, symbols[i].name))) return 0;
	return 1;
}

const char *nccl_load(const char *path) {
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) return dlerror();
	const symbol own[] = {
		{"ncclGetUniqueId", &get_id}, {"ncclCommInitRank", &init_rank}, {"ncclAllReduce", &all_reduce},
		{"ncclCommGetAsyncError", &async_error}, {"ncclCommDestroy", &destroy}, {"ncclCommAbort", &give_up},
		{"ncclGetErrorString", &error_string},
	};
	if (!find(library, own, sizeof own / sizeof *own)) return "it is no library of NCCL 2";
	static const char *const names[] = {"libcudart.so.13", "libcudart.so.12"};
	void *cuda = NULL;
	for (size_t i = 0; i < 4 && !cuda; i++) // the one that the provider has loaded first
		cuda = dlopen(names[i % 2], RTLD_LAZY | (i < 2 ? RTLD_NOLOAD : 0));
	const symbol runtime[] = {
		{"cudaSetDevice", &set_device}, {"cudaStreamCreateWithFlags", &stream_create}, {"cudaStreamQuery", &stream_query},
		{"cudaStreamDestroy", &stream_destroy}, {"cudaGetErrorString", &cuda_error_string},
	};
	if (!cuda || !find(cuda, runtime, sizeof runtime / sizeof *runtime)) return "CUDA's runtime library is not there";
	return NULL;
}

static int of_cuda(int code) { return code ? cuda_codes + code : 0; }

const char *nccl_text(int code) { return code >= cuda_codes ? cuda_error_string(code - cuda_codes) : error_string(code); }

int nccl_new_id(nccl_id *id) { return get_id(id); }

int nccl_join(int device, int size, const nccl_id *id, int rank, void **communicator, void **stream) {
	int code = of_cuda(set_device(device));
	if (!code) code = of_cuda(stream_create(stream, non_blocking));
	return code ? code : init_rank(communicator, size, *id, rank);
}

int nccl_start_sum(int device, void *data, size_t count, void *communicator, void *stream) {
	int code = of_cuda(set_device(device));
	return code ? code : all_reduce(data, data, count, type_float32, op_sum, communicator, stream);
}

int nccl_done(void *communicator, void *stream, int *done) {
	int state = 0, code = async_error(communicator, &state);
	*done = 0;
	if (code || (state && state != in_progress)) return code ? code : state;
	code = stream_query(stream);
	*done = code == 0;
	return code == not_ready ? 0 : of_cuda(code);
}

void nccl_leave(void *communicator, void *stream, int clean) {
	if (clean) destroy(communicator);
	else give_up(communicator);
	stream_destroy(stream);
}
