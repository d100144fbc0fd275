//go:build !windows

#include "mpi.h"

#include <dlfcn.h>
#include <sched.h>
#include <stddef.h>
#include <time.h>

// Handles of the standard ABI.
#define world ((void *)0x101)
#define type_float ((void *)0x210)
#define type_double ((void *)0x214)
#define type_byte ((void *)0x247)
#define type_int64 ((void *)0x258)
#define op_sum ((void *)0x21)
#define op_max ((void *)0x23)
#define errors_return ((void *)0x143)
#define in_place ((void *)1)

enum { thread_funneled = 1024 };

static int (*get_library_version)(char *, int *);
static int (*get_abi_version)(int *, int *);
static int (*init_thread)(int *, char ***, int, int *);
static int (*comm_rank)(void *, int *), (*comm_size)(void *, int *);
static int (*comm_dup)(void *, void **);
static int (*comm_set_errhandler)(void *, void *);
static int (*error_string)(int, char *, int *);
static int (*iallreduce)(const void *, void *, int, void *, void *, void *, void **);
static int (*ibcast)(void *, int, void *, int, void *, void **);
static int (*iallgatherv)(const void *, int, void *, void *, const int *, const int *, void *, void *, void **);
static int (*isend)(const void *, int, void *, int, int, void *, void **);
static int (*irecv)(void *, int, void *, int, int, void *, void **);
static int (*test)(void **, int *, void *);
static int (*cancel)(void **), (*request_free)(void **);
static int (*finalize)(void);
static int (*abort_all)(void *, int);

static void *library;
static void *beats; // a communicator of their own

const char *mpi_load(const char *path, int *major, char *version, int size) {
	library = dlopen(path, RTLD_NOW | RTLD_GLOBAL); // its transports look for its symbols
	if (!library) return dlerror();
	const struct {
		const char *name;
		void **to;
	} symbols[] = {
		{"MPI_Get_library_version", (void **)&get_library_version},
		{"MPI_Abi_get_version", (void **)&get_abi_version},
		{"MPI_Init_thread", (void **)&init_thread},
		{"MPI_Comm_rank", (void **)&comm_rank},
		{"MPI_Comm_size", (void **)&comm_size},
		{"MPI_Comm_dup", (void **)&comm_dup},
		{"MPI_Comm_set_errhandler", (void **)&comm_set_errhandler},
		{"MPI_Error_string", (void **)&error_string},
		{"MPI_Iallreduce", (void **)&iallreduce},
		{"MPI_Ibcast", (void **)&ibcast},
		{"MPI_Iallgatherv", (void **)&iallgatherv},
		{"MPI_Isend", (void **)&isend},
		{"MPI_Irecv", (void **)&irecv},
		{"MPI_Test", (void **)&test},
		{"MPI_Cancel", (void **)&cancel},
		{"MPI_Request_free", (void **)&request_free},
		{"MPI_Finalize", (void **)&finalize},
		{"MPI_Abort", (void **)&abort_all},
	};
	version[0] = 0;
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		*symbols[i].to = dlsym(library, symbols[i].name);
		if (i == 0 && get_library_version) {
			static char whole[8192];
			int length = 0;
			get_library_version(whole, &length);
			for (length = 0; length < size - 1 && whole[length] && whole[length] != '\n'; length++) version[length] = whole[length];
			version[length] = 0;
		}
		if (!*symbols[i].to) return "it does not serve MPI 5's standard ABI";
	}
	int minor;
	get_abi_version(major, &minor);
	return NULL;
}

int mpi_init(int *rank, int *size) {
	int provided, code = init_thread(NULL, NULL, thread_funneled, &provided);
	if (!code) code = comm_set_errhandler(world, errors_return);
	if (!code) code = comm_rank(world, rank);
	if (!code) code = comm_size(world, size);
	if (!code) code = comm_dup(world, &beats);
	return code;
}

void mpi_text(int code, char text[512]) {
	int length = 0;
	text[0] = 0;
	error_string(code, text, &length);
}

int mpi_start_max(int64_t *data, int count, uintptr_t *request) {
	return iallreduce(in_place, data, count, type_int64, op_max, world, (void **)request);
}
int mpi_start_sum(void *data, int count, int wide, uintptr_t *request) {
	return iallreduce(in_place, data, count, wide ? type_double : type_float, op_sum, world, (void **)request);
}
int mpi_start_broadcast(void *data, int bytes, int root, uintptr_t *request) {
	return ibcast(data, bytes, type_byte, root, world, (void **)request);
}
int mpi_start_gather(const void *data, int bytes, void *all, const int *sizes, const int *places, uintptr_t *request) {
	return iallgatherv(data, bytes, type_byte, all, sizes, places, type_byte, world, (void **)request);
}
int mpi_start_send(beat *data, int rank, uintptr_t *request) { return isend(data, sizeof *data, type_byte, rank, 0, beats, (void **)request); }
int mpi_start_receive(beat *data, int rank, uintptr_t *request) { return irecv(data, sizeof *data, type_byte, rank, 0, beats, (void **)request); }
int mpi_test(uintptr_t *request, int *done) { return test((void **)request, done, NULL); }

int mpi_spin(uintptr_t *request, int *done, int microseconds) {
	struct timespec start, now;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		int code = test((void **)request, done, NULL);
		if (code || *done) return code;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - start.tv_sec) * 1000000L + (now.tv_nsec - start.tv_nsec) / 1000 >= microseconds) return 0;
		sched_yield();
	}
}

void mpi_drop(uintptr_t *request) {
	if (!cancel((void **)request)) request_free((void **)request);
}

// mpich takes leave of its launcher in a handler for the end of the process, which Go's end
// does not call: unloading the library does.
int mpi_finalize(void) {
	int code = finalize();
	dlclose(library);
	return code;
}
void mpi_abort(int code) { abort_all(world, code); }
