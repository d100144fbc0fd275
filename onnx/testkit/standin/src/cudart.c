// Stands in for libcudart of CUDA 13: device memory is the host's, kernels compute
// nothing, and every call that a GPU would feel is traced. No header of CUDA is needed:
// sizes, places and numbers of its interface stand here.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "standin.h"

typedef int status;
typedef void *handle; // of a stream, an event, a graph
typedef struct { unsigned x, y, z; } dim3;

enum { out_of_memory = 2, invalid_device = 101, capture_unsupported = 900, symbol_not_found = 500, not_supported = 801 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *trace;
static int capturing;

__attribute__((constructor)) static void begin(void) {
	const char *path = getenv("STANDIN_TRACE");
	if (path && (trace = fopen(path, "a")))
		setvbuf(trace, NULL, _IOLBF, 1 << 16);
}

void standin_trace(const char *format, ...) {
	if (!trace)
		return;
	va_list arguments;
	va_start(arguments, format);
	pthread_mutex_lock(&lock);
	if (capturing)
		fputc('*', trace);
	vfprintf(trace, format, arguments);
	fputc('\n', trace);
	pthread_mutex_unlock(&lock);
	va_end(arguments);
}

static status last; // as cudaGetLastError tells it

int standin_fault(const char *call) {
	static int calls;
	const char *fault = getenv("STANDIN_FAULT");
	size_t n = strlen(call);
	if (!fault || strncmp(fault, call, n) || fault[n] != '=')
		return 0;
	const char *from = strchr(fault, '@');
	if (from && ++calls < atoi(from + 1))
		return 0;
	return last = atoi(fault + n + 1);
}

// A call that a stream's capture forbids.
static status forbidden(const char *call) {
	if (!capturing)
		return 0;
	standin_trace("violation %s", call);
	return last = capture_unsupported;
}
#define CHECK(call) do { status s_ = standin_fault(call); if (s_) return s_; } while (0)

// Kernels, by the address of what stands for them on the host.
typedef struct { const void *at; const char *name; } kernel;
static kernel *kernels;
static size_t kernel_count, kernel_room;
static int kernels_sorted;

static int by_address(const void *a, const void *b) {
	const kernel *x = a, *y = b;
	return x->at < y->at ? -1 : x->at > y->at;
}
static const char *name_of(const void *at) {
	pthread_mutex_lock(&lock);
	if (!kernels_sorted)
		qsort(kernels, kernel_count, sizeof *kernels, by_address);
	kernels_sorted = 1;
	kernel key = {at, NULL}, *found = bsearch(&key, kernels, kernel_count, sizeof *kernels, by_address);
	pthread_mutex_unlock(&lock);
	return found ? found->name : "?";
}
void **__cudaRegisterFatBinary(void *code) { return calloc(1, sizeof(void *)); }
void __cudaRegisterFatBinaryEnd(void **h) {}
void __cudaUnregisterFatBinary(void **h) {}
void __cudaRegisterVar(void **h, char *v, char *a, const char *n, int e, size_t s, int c, int g) {}
void __cudaRegisterFunction(void **h, const char *at, char *d, const char *name, int t, void *a, void *b, void *c, void *e, int *w) {
	pthread_mutex_lock(&lock);
	if (kernel_count == kernel_room) {
		kernel_room = kernel_room ? 2 * kernel_room : 4096;
		kernels = realloc(kernels, kernel_room * sizeof *kernels);
	}
	kernels[kernel_count++] = (kernel){at, name};
	kernels_sorted = 0;
	pthread_mutex_unlock(&lock);
}
status __cudaGetKernel(handle *kernel, const void *at) { *kernel = (handle)at; return 0; }

static __thread struct { dim3 grid, block; size_t shared; handle stream; } configured;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, handle stream) {
	configured.grid = grid, configured.block = block, configured.shared = shared, configured.stream = stream;
	return 0;
}
status __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, handle *stream) {
	*grid = configured.grid, *block = configured.block, *shared = configured.shared, *stream = configured.stream;
	return 0;
}
static status launch(const void *at, dim3 g, dim3 b, handle stream) {
	CHECK("cudaLaunchKernel");
	standin_trace("kernel %p %u %u %s", stream, g.x * g.y * g.z, b.x * b.y * b.z, name_of(at));
	return 0;
}
status cudaLaunchKernel(const void *at, dim3 g, dim3 b, void **a, size_t shared, handle stream) { return launch(at, g, b, stream); }
status __cudaLaunchKernel(handle at, dim3 g, dim3 b, void **a, size_t shared, handle stream) { return launch(at, g, b, stream); }
status cudaLaunchCooperativeKernel(const void *at, dim3 g, dim3 b, void **a, size_t shared, handle stream) { return launch(at, g, b, stream); }
typedef struct { dim3 grid, block; size_t shared; handle stream; void *attributes; unsigned count; } launch_config;
status cudaLaunchKernelExC(const launch_config *c, const void *at, void **a) { return launch(at, c->grid, c->block, c->stream); }
status cudaLaunchHostFunc(handle stream, void (*f)(void *), void *data) { standin_trace("hostfunc %p", stream); f(data); return 0; }

// Memory: blocks of the host's, of which it is known whose they would be.
enum place { pageable, device, pinned };
static const char *const places[] = {"pageable", "device", "pinned"};
typedef struct { char *at; size_t mapped, asked; enum place place; } block;
static block *blocks;
static size_t block_count, block_room, held;

static size_t total_memory(void) {
	const char *bytes = getenv("STANDIN_MEMORY");
	return bytes ? strtoull(bytes, NULL, 10) : 80ull << 30;
}
static status get(void **at, size_t bytes, enum place place) {
	*at = NULL;
	pthread_mutex_lock(&lock);
	int fits = place != device || held + bytes <= total_memory();
	pthread_mutex_unlock(&lock);
	size_t mapped = (bytes + 4096) & ~(size_t)4095;
	char *p = fits ? mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) : MAP_FAILED;
	if (p == MAP_FAILED) {
		standin_trace("refused %s %zu", places[place], bytes);
		return last = out_of_memory;
	}
	pthread_mutex_lock(&lock);
	if (block_count == block_room) {
		block_room = block_room ? 2 * block_room : 1024;
		blocks = realloc(blocks, block_room * sizeof *blocks);
	}
	blocks[block_count++] = (block){p, mapped, bytes, place};
	if (place == device)
		held += bytes;
	size_t now = held;
	pthread_mutex_unlock(&lock);
	standin_trace("allocate %s %zu %zu", places[place], bytes, now);
	*at = p;
	return 0;
}
static status put(void *at) {
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < block_count; i++)
		if (blocks[i].at == at) {
			munmap(at, blocks[i].mapped);
			if (blocks[i].place == device)
				held -= blocks[i].asked;
			blocks[i] = blocks[--block_count];
			break;
		}
	pthread_mutex_unlock(&lock);
	return 0;
}
static enum place place_of(const void *at) {
	enum place place = pageable;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < block_count; i++)
		if ((char *)at >= blocks[i].at && (char *)at < blocks[i].at + blocks[i].mapped) {
			place = blocks[i].place;
			break;
		}
	pthread_mutex_unlock(&lock);
	return place;
}
status cudaMalloc(void **at, size_t n) { CHECK("cudaMalloc"); status s = forbidden("cudaMalloc"); return s ? s : get(at, n, device); }
status cudaMallocFromPoolAsync(void **at, size_t n, handle pool, handle stream) { return get(at, n, device); }
status cudaFree(void *at) { status s = at ? forbidden("cudaFree") : 0; return s ? s : put(at); }
status cudaFreeAsync(void *at, handle stream) { return put(at); }
status cudaHostAlloc(void **at, size_t n, unsigned flags) { CHECK("cudaHostAlloc"); status s = forbidden("cudaHostAlloc"); return s ? s : get(at, n, pinned); }
status cudaMallocHost(void **at, size_t n) { return cudaHostAlloc(at, n, 0); }
status cudaFreeHost(void *at) { return put(at); }
status cudaMemGetInfo(size_t *free, size_t *total) {
	CHECK("cudaMemGetInfo");
	*total = total_memory(), *free = *total - held;
	return 0;
}

// Copies are made, but for large ones within the device, whose contents nobody computes.
enum { moved_within = 1 << 16 };
static status copy(void *to, const void *from, size_t n, int waits, handle stream) {
	enum place a = place_of(from), b = place_of(to);
	standin_trace("copy %p %s %s %zu%s", stream, places[a], places[b], n, waits ? " waits" : "");
	status s = waits ? forbidden("cudaMemcpy") : a == pageable || b == pageable ? forbidden("cudaMemcpyAsync of pageable memory") : 0;
	if (!s && !(a == device && b == device && n > moved_within))
		memmove(to, from, n);
	return s;
}
status cudaMemcpy(void *to, const void *from, size_t n, int kind) { CHECK("cudaMemcpy"); return copy(to, from, n, 1, NULL); }
status cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, handle stream) { CHECK("cudaMemcpyAsync"); return copy(to, from, n, 0, stream); }
status cudaMemcpy2DAsync(void *to, size_t tp, const void *from, size_t fp, size_t w, size_t h, int kind, handle stream) {
	standin_trace("copy %p device device %zu", stream, w * h);
	return 0;
}
status cudaMemcpyFromSymbol(void *to, const void *symbol, size_t n, size_t offset, int kind) { memset(to, 0, n); return 0; }
static status set(void *at, int value, size_t n, handle stream, int waits) {
	standin_trace("set %p %zu%s", stream, n, waits ? " waits" : "");
	if (n <= moved_within)
		memset(at, value, n);
	return waits ? forbidden("cudaMemset") : 0;
}
status cudaMemset(void *at, int value, size_t n) { return set(at, value, n, NULL, 1); }
status cudaMemsetAsync(void *at, int value, size_t n, handle stream) { return set(at, value, n, stream, 0); }
typedef struct { int type, device; void *on_device, *on_host; char rest[64]; } pointer_attributes;
status cudaPointerGetAttributes(pointer_attributes *a, const void *at) {
	enum place place = place_of(at);
	memset(a, 0, sizeof *a);
	a->type = place == device ? 2 : place == pinned ? 1 : 0;
	a->on_device = place == pageable ? NULL : (void *)at;
	a->on_host = place == pinned ? (void *)at : NULL;
	return 0;
}

// The device: as many as STANDIN_DEVICES says, each like an H100.
static int devices(void) { const char *n = getenv("STANDIN_DEVICES"); return n ? atoi(n) : 1; }
static __thread int current;
status cudaGetDeviceCount(int *n) { CHECK("cudaGetDeviceCount"); *n = devices(); return 0; }
status cudaGetDevice(int *d) { *d = current; return 0; }
status cudaSetDevice(int d) { CHECK("cudaSetDevice"); if (d < 0 || d >= devices()) return last = invalid_device; current = d; return 0; }
status cudaDeviceSynchronize(void) { standin_trace("wait device"); return forbidden("cudaDeviceSynchronize"); }
status cudaDriverGetVersion(int *v) { *v = 13000; return 0; }
status cudaRuntimeGetVersion(int *v) { *v = 13000; return 0; }
#define PUT(type, at, value) *(type *)((char *)p + (at)) = (value)
status cudaGetDeviceProperties(void *p, int d) { // places of CUDA 13's struct cudaDeviceProp
	CHECK("cudaGetDeviceProperties");
	memset(p, 0, 1008);
	strcpy(p, "Stand-in for an H100");
	PUT(size_t, 288, total_memory()); PUT(size_t, 296, 49152); PUT(int, 304, 65536); PUT(int, 308, 32);
	PUT(size_t, 312, 2147483647); PUT(int, 320, 1024);
	PUT(int, 324, 1024); PUT(int, 328, 1024); PUT(int, 332, 64);
	PUT(int, 336, 2147483647); PUT(int, 340, 65535); PUT(int, 344, 65535);
	PUT(size_t, 352, 65536); PUT(int, 360, 9); PUT(int, 364, 0); PUT(size_t, 368, 512); PUT(int, 384, 132);
	PUT(int, 560, 1); PUT(int, 584, 3); PUT(int, 588, 1); PUT(int, 592, 5120); PUT(int, 596, 52428800); PUT(int, 604, 2048);
	PUT(size_t, 624, 233472); PUT(int, 632, 65536); PUT(int, 668, 1); PUT(size_t, 672, 232448); PUT(int, 688, 32);
	return 0;
}
status cudaDeviceGetAttribute(int *value, int attribute, int d) {
	static const struct { int attribute, value; } known[] = {{1, 1024}, {8, 49152}, {10, 32}, {16, 132}, {39, 2048}, {75, 9}, {76, 0}, {81, 233472}, {97, 232448}};
	*value = 1;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].attribute == attribute)
			*value = known[i].value;
	return 0;
}

// Streams, events, captured graphs.
static handle made(void) { static long n = 16; return (handle)(__sync_add_and_fetch(&n, 16)); }
static long thread(void) { return syscall(SYS_gettid); }
status cudaStreamCreateWithFlags(handle *s, unsigned flags) { CHECK("cudaStreamCreate"); *s = made(); standin_trace("stream %p %ld", *s, thread()); return 0; }
status cudaStreamCreate(handle *s) { return cudaStreamCreateWithFlags(s, 0); }
status cudaStreamDestroy(handle s) { return 0; }
status cudaStreamSynchronize(handle s) { CHECK("cudaStreamSynchronize"); standin_trace("wait %p", s); return forbidden("cudaStreamSynchronize"); }
status cudaStreamWaitEvent(handle s, handle e, unsigned flags) { standin_trace("await %p %p", s, e); return 0; }
status cudaEventCreate(handle *e) { *e = made(); return 0; }
status cudaEventCreateWithFlags(handle *e, unsigned flags) { return cudaEventCreate(e); }
status cudaEventDestroy(handle e) { return 0; }
status cudaEventElapsedTime(float *ms, handle a, handle b) { *ms = 1; return 0; }
status cudaEventRecord(handle e, handle s) { standin_trace("record %p %p", s, e); return 0; }
status cudaEventSynchronize(handle e) { standin_trace("wait event"); return 0; }
status cudaStreamBeginCapture(handle s, int mode) { capturing = 1; standin_trace("capture %p", s); return 0; }
status cudaStreamEndCapture(handle s, handle *graph) { capturing = 0; *graph = made(); return 0; }
status cudaStreamIsCapturing(handle s, int *yes) { *yes = capturing; return 0; }
status cudaGraphInstantiate(handle *graph, handle g, unsigned long long flags) { CHECK("cudaGraphInstantiate"); *graph = made(); return 0; }
status cudaGraphLaunch(handle graph, handle s) { standin_trace("graph %p", s); return 0; }
WORKS(cudaGraphDestroy) WORKS(cudaGraphExecDestroy)

// What is asked of kernels, and memory pools.
status cudaFuncGetAttributes(void *p, const void *at) {
	memset(p, 0, 144);
	PUT(int, 24, 1024); PUT(int, 28, 32); PUT(int, 32, 90); PUT(int, 36, 90); PUT(int, 44, 232448);
	return 0;
}
status cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, const void *at, int b, size_t s, unsigned f) { *n = 2; return 0; }
status cudaGetDriverEntryPointByVersion(const char *name, void **f, unsigned v, unsigned long long flags, int *found) {
	*f = NULL;
	if (found)
		*found = 1;
	return symbol_not_found;
}
status cudaLibraryGetKernel(handle *k, handle l, const char *name) { return not_supported; }
status cudaLibraryLoadData(handle *l, const void *code, void *a, void **b, unsigned n, void *c, void **d, unsigned m) { return not_supported; }
status cudaMemPoolCreate(handle *pool, const void *properties) { *pool = made(); return 0; }
status cudaMemPoolGetAttribute(handle pool, int attribute, uint64_t *value) { *value = 0; return 0; }
WORKS(cudaFuncSetAttribute) WORKS(cudaKernelSetAttributeForDevice) WORKS(cudaLibraryUnload)
WORKS(cudaMemPoolDestroy) WORKS(cudaMemPoolSetAttribute) WORKS(cudaMemPoolTrimTo)

// Errors by CUDA's own names.
static const struct { status code; const char *name, *text; } errors[] = {
	{2, "cudaErrorMemoryAllocation", "out of memory"},
	{35, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
	{46, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
	{100, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
	{101, "cudaErrorInvalidDevice", "invalid device ordinal"},
	{209, "cudaErrorNoKernelImageForDevice", "no kernel image is available for execution on the device"},
	{700, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
	{719, "cudaErrorLaunchFailure", "unspecified launch failure"},
	{803, "cudaErrorSystemDriverMismatch", "system has unsupported display driver / cuda driver combination"},
	{804, "cudaErrorCompatNotSupportedOnDevice", "forward compatibility was attempted on non supported HW"},
	{900, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
};
const char *cudaGetErrorName(status s) {
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
		if (errors[i].code == s)
			return errors[i].name;
	return "cudaErrorUnknown";
}
const char *cudaGetErrorString(status s) {
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
		if (errors[i].code == s)
			return errors[i].text;
	return "unknown error";
}
status cudaGetLastError(void) { status s = last; last = 0; return s; }
status cudaPeekAtLastError(void) { return last; }
