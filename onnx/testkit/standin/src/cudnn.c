// Stands in for libcudnn 9. Its graph interface sets attributes of descriptors and reads
// them back; plans are traced with the types and shapes of their convolutions. The numbers
// are those of cudnn_graph.h.
#include "standin.h"

typedef int status;
typedef void *handle;

enum { // kinds of descriptors
	engine_config = 3, engine_heuristics = 4, execution_plan = 5, convolution_forward = 10
};
enum { // attributes
	heuristics_graph = 201, heuristics_results = 202, config_engine = 300, config_workspace = 303, config_shared_memory = 304,
	plan_config = 401, plan_workspace = 402, convolution_w = 703, convolution_x = 704, convolution_y = 705,
	graph_operations = 801, graph_engine_count = 802, tensor_type = 901, tensor_dimensions = 902, tensor_id = 906,
	pack_ids = 1000, pack_pointers = 1001, engine_index = 1301,
	graph_of_config = -1 // our own: the graph that a heuristic made a configuration for
};
enum { type_descriptor = 15 };

typedef struct attribute { int name, type; int64_t count; void *data; struct attribute *next; } attribute;
typedef struct { int kind; attribute *first; } descriptor;

static size_t size_of(int type) {
	switch (type) {
	case 0: case 3: case 5: case 6: case type_descriptor: return 8; // handles, int64, double, pointers
	case 2: case 24: return 1; // booleans, characters
	}
	return 4;
}
static attribute *find(const descriptor *d, int name) {
	for (attribute *a = d ? d->first : NULL; a; a = a->next)
		if (a->name == name)
			return a;
	return NULL;
}
static descriptor *descriptor_at(const descriptor *d, int name) {
	attribute *a = find(d, name);
	return a ? *(descriptor **)a->data : NULL;
}

size_t cudnnGetVersion(void) { return 91900; }
const char *cudnnGetErrorString(status s) { return s == 3000 ? "CUDNN_STATUS_NOT_SUPPORTED" : s == 4003 ? "CUDNN_STATUS_ALLOC_FAILED" : s ? "CUDNN_STATUS_INTERNAL_ERROR" : "CUDNN_STATUS_SUCCESS"; }
void cudnnGetLastErrorString(char *text, size_t n) { if (n) *text = 0; }
status cudnnCreate(handle *h) { *h = calloc(1, 64); standin_trace("handle cudnn"); return standin_fault("cudnnCreate"); }
status cudnnDestroy(handle h) { free(h); return 0; }
status cudnnSetStream(handle h, handle stream) { *(handle *)h = stream; return 0; }
status cudnnGetStream(handle h, handle *stream) { *stream = *(handle *)h; return 0; }

status cudnnBackendCreateDescriptor(int kind, descriptor **d) { *d = calloc(1, sizeof **d); (*d)->kind = kind; return 0; }
status cudnnBackendDestroyDescriptor(descriptor *d) { return 0; } // others may still read it
status cudnnBackendSetAttribute(descriptor *d, int name, int type, int64_t n, const void *data) {
	attribute *a = find(d, name);
	if (!a) {
		a = calloc(1, sizeof *a);
		a->name = name, a->next = d->first, d->first = a;
	}
	free(a->data);
	a->type = type, a->count = n, a->data = calloc(n + 1, size_of(type));
	if (data)
		memcpy(a->data, data, n * size_of(type));
	return 0;
}

static void write_tensor(char *to, size_t n, const descriptor *tensor) {
	attribute *type = find(tensor, tensor_type), *sizes = find(tensor, tensor_dimensions);
	int k = snprintf(to, n, " %d:", type ? *(int *)type->data : -1);
	for (int i = 0; sizes && i < sizes->count; i++)
		k += snprintf(to + k, n - k, "%s%lld", i ? "," : "", (long long)((int64_t *)sizes->data)[i]);
}
// operations is the attribute with what a plan runs.
static attribute *operations(const descriptor *plan) {
	return find(descriptor_at(descriptor_at(plan, plan_config), graph_of_config), graph_operations);
}
static void trace_plan(const char *what, const descriptor *plan, const void *stream) {
	attribute *all = operations(plan);
	char line[1000] = "";
	for (int i = 0; all && i < all->count; i++) {
		descriptor *op = ((descriptor **)all->data)[i];
		size_t k = strlen(line);
		snprintf(line + k, sizeof line - k, " op%d", op->kind);
		for (int name = convolution_w; op->kind == convolution_forward && name <= convolution_y; name++) {
			k = strlen(line);
			write_tensor(line + k, sizeof line - k, descriptor_at(op, name));
		}
	}
	standin_trace("%s %p%s", what, stream, line);
}
status cudnnBackendFinalize(descriptor *d) {
	if (d->kind != execution_plan)
		return 0;
	trace_plan("plan", d, NULL);
	return standin_fault("cudnnBackendFinalize");
}
static void give(int64_t *count, void *to, int64_t number, size_t size) {
	if (count)
		*count = 1;
	if (to)
		memcpy(to, &number, size);
}
status cudnnBackendGetAttribute(descriptor *d, int name, int type, int64_t n, int64_t *count, void *to) {
	if (d->kind == engine_heuristics && name == heuristics_results) {
		attribute *graph = find(d, heuristics_graph);
		if (count)
			*count = 1;
		if (to && n > 0 && graph)
			cudnnBackendSetAttribute(*(descriptor **)to, graph_of_config, type_descriptor, 1, graph->data);
		return 0;
	}
	if (d->kind == engine_config && name == config_engine) {
		if (count)
			*count = 1;
		return 0;
	}
	attribute *a = find(d, name);
	if (a) {
		if (count)
			*count = a->count;
		if (to)
			memcpy(to, a->data, size_of(a->type) * (n < a->count ? n : a->count));
		return 0;
	}
	switch (name) {
	case plan_workspace: { const char *bytes = getenv("STANDIN_WORKSPACE"); give(count, to, bytes ? atoll(bytes) : 0, 8); return 0; }
	case config_workspace: give(count, to, 0, 8); return 0;
	case config_shared_memory: give(count, to, 1024, 4); return 0;
	case engine_index: case graph_engine_count: give(count, to, 1, 8); return 0;
	}
	if (count)
		*count = 0;
	return 0;
}

// The one thing that is computed: the 1×1 convolution by which package ort tries a device.
static void *pointer_of(const descriptor *pack, const descriptor *tensor) {
	attribute *ids = find(pack, pack_ids), *pointers = find(pack, pack_pointers), *id = find(tensor, tensor_id);
	for (int i = 0; ids && pointers && id && i < ids->count; i++)
		if (((int64_t *)ids->data)[i] == *(int64_t *)id->data)
			return ((void **)pointers->data)[i];
	return NULL;
}
static int64_t elements(const descriptor *tensor) {
	attribute *sizes = find(tensor, tensor_dimensions);
	int64_t n = sizes ? 1 : 0;
	for (int i = 0; sizes && i < sizes->count; i++)
		n *= ((int64_t *)sizes->data)[i];
	return n;
}
static void compute_tiny(const descriptor *plan, const descriptor *pack) {
	attribute *all = operations(plan);
	descriptor *op = all ? *(descriptor **)all->data : NULL;
	if (!op || op->kind != convolution_forward)
		return;
	descriptor *x = descriptor_at(op, convolution_x), *w = descriptor_at(op, convolution_w), *y = descriptor_at(op, convolution_y);
	float *from = pointer_of(pack, x), *by = pointer_of(pack, w), *to = pointer_of(pack, y);
	if (elements(w) == 1 && elements(x) <= 16 && from && by && to)
		for (int i = 0; i < elements(x); i++)
			to[i] = from[i] * by[0];
}
status cudnnBackendExecute(handle h, descriptor *plan, descriptor *pack) {
	trace_plan("execute", plan, *(handle *)h);
	compute_tiny(plan, pack);
	return standin_fault("cudnnBackendExecute");
}

// The older interface: a tensor's descriptor is a block with its shape.
typedef struct { int type, rank, sizes[8], strides[8]; } shape;
status cudnnSetTensorNdDescriptor(shape *d, int type, int rank, const int *sizes, const int *strides) {
	d->type = type, d->rank = rank;
	memcpy(d->sizes, sizes, rank * sizeof *sizes);
	memcpy(d->strides, strides, rank * sizeof *strides);
	return 0;
}
status cudnnGetTensorNdDescriptor(const shape *d, int most, int *type, int *rank, int *sizes, int *strides) {
	*type = d->type, *rank = d->rank;
	memcpy(sizes, d->sizes, d->rank * sizeof *sizes);
	memcpy(strides, d->strides, d->rank * sizeof *strides);
	return 0;
}
static long long count(const shape *d) {
	long long n = 1;
	for (int i = 0; i < d->rank; i++)
		n *= d->sizes[i];
	return n;
}
status cudnnReduceTensor(handle h, const void *r, void *i, size_t is, void *w, size_t ws, const void *al, const shape *a, const void *from, const void *be, const shape *c, void *to) {
	standin_trace("reduce %p %lld %lld", *(handle *)h, count(a), count(c));
	return standin_fault("cudnnReduceTensor");
}
status cudnnAddTensor(handle h, const void *al, const shape *a, const void *from, const void *be, const shape *c, void *to) {
	standin_trace("addtensor %p %lld", *(handle *)h, count(c));
	return 0;
}
status cudnnPoolingForward(handle h, const void *p, const void *al, const shape *a, const void *from, const void *be, const shape *c, void *to) {
	standin_trace("pool %p %lld %lld", *(handle *)h, count(a), count(c));
	return 0;
}
status cudnnBatchNormalizationForwardInference(handle h, int mode, const void *al, const void *be, const shape *x) {
	standin_trace("batchnorm %p %lld", *(handle *)h, count(x));
	return 0;
}
status cudnnGetReductionIndicesSize(handle h, const void *r, const void *a, const void *c, size_t *n) { *n = 0; return 0; }
status cudnnGetReductionWorkspaceSize(handle h, const void *r, const void *a, const void *c, size_t *n) { *n = 0; return 0; }

#define MAKES(name) status name(void **d) { *d = calloc(1, 512); return 0; }
MAKES(cudnnCreateActivationDescriptor) MAKES(cudnnCreateConvolutionDescriptor) MAKES(cudnnCreateDropoutDescriptor) MAKES(cudnnCreateFilterDescriptor)
MAKES(cudnnCreateLRNDescriptor) MAKES(cudnnCreatePoolingDescriptor) MAKES(cudnnCreateRNNDataDescriptor) MAKES(cudnnCreateRNNDescriptor)
MAKES(cudnnCreateReduceTensorDescriptor) MAKES(cudnnCreateTensorDescriptor)
WORKS(cudnnDeriveBNTensorDescriptor) WORKS(cudnnDestroyActivationDescriptor) WORKS(cudnnDestroyConvolutionDescriptor) WORKS(cudnnDestroyDropoutDescriptor)
WORKS(cudnnDestroyFilterDescriptor) WORKS(cudnnDestroyLRNDescriptor) WORKS(cudnnDestroyPoolingDescriptor) WORKS(cudnnDestroyRNNDataDescriptor)
WORKS(cudnnDestroyRNNDescriptor) WORKS(cudnnDestroyReduceTensorDescriptor) WORKS(cudnnDestroyTensorDescriptor) WORKS(cudnnDropoutGetStatesSize)
WORKS(cudnnFindConvolutionForwardAlgorithmEx) WORKS(cudnnGetConvolutionForwardAlgorithm_v7) WORKS(cudnnGetConvolutionForwardWorkspaceSize)
WORKS(cudnnGetRNNTempSpaceSizes) WORKS(cudnnGetRNNWeightParams) WORKS(cudnnSetActivationDescriptor) WORKS(cudnnSetConvolutionGroupCount)
WORKS(cudnnSetConvolutionMathType) WORKS(cudnnSetConvolutionNdDescriptor) WORKS(cudnnSetDropoutDescriptor) WORKS(cudnnSetFilterNdDescriptor)
WORKS(cudnnSetLRNDescriptor) WORKS(cudnnSetPoolingNdDescriptor) WORKS(cudnnSetRNNDataDescriptor) WORKS(cudnnSetRNNDescriptor_v8) WORKS(cudnnSetReduceTensorDescriptor)
COMPUTES(cudnnActivationForward) COMPUTES(cudnnBatchNormalizationForwardTraining) COMPUTES(cudnnConvolutionBiasActivationForward)
COMPUTES(cudnnConvolutionForward) COMPUTES(cudnnSoftmaxForward) COMPUTES(cudnnRNNForward) COMPUTES(cudnnLRNCrossChannelForward)
