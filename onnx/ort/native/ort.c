//go:build !windows

#include "ort.h"

#include <stdlib.h>
#include <string.h>

#define CALL(name, result, ...) ((result(*)(__VA_ARGS__))api[api_##name])

enum { most_inputs = 8, most_outputs = 4 };

// Which inputs may be left out, as bits; every output may but a forward pass's first.
static const struct {
	const char *name;
	int inputs, outputs;
	unsigned optional_inputs, optional_outputs;
} table[kinds] = {
	[kind_norm] = {"ConvBatchNorm", 4, 4, 0, 0},
	[kind_norm_grad] = {"ConvBatchNormGrad", 8, 4, 0, 15},
	[kind_act] = {"ConvAct", 3, 2, 4, 2},
	[kind_act_grad] = {"ConvActGrad", 4, 3, 8, 7},
	[kind_pool] = {"LargestOf", 1, 1, 0, 0},
	[kind_pool_grad] = {"LargestOfGrad", 2, 1, 0, 0},
	[kind_double] = {"Doubled", 1, 1, 0, 0},
	[kind_double_grad] = {"DoubledGrad", 1, 1, 0, 0},
};

struct operator {
	struct custom_op base; // first: the runtime knows this alone
	enum kind kind;
	int threads;
};

struct kernel {
	ort_api api;
	const struct operator* op;
	struct node *node;
};

static const struct operator* of(const struct custom_op *op) { return (const struct operator*)op; }

static const char *name(const struct custom_op *op) { return table[of(op)->kind].name; }
static const char *provider(const struct custom_op *op) { return (void)op, "CPUExecutionProvider"; }
static int type(const struct custom_op *op, size_t i) { return (void)op, (void)i, 1; } // float32
static size_t inputs(const struct custom_op *op) { return table[of(op)->kind].inputs; }
static size_t outputs(const struct custom_op *op) { return table[of(op)->kind].outputs; }
static int input_may_lack(const struct custom_op *op, size_t i) { return table[of(op)->kind].optional_inputs >> i & 1; }
static int output_may_lack(const struct custom_op *op, size_t i) { return table[of(op)->kind].optional_outputs >> i & 1; }
static int host(const struct custom_op *op, size_t i) { return (void)op, (void)i, 0; } // OrtMemTypeDefault
static int one(const struct custom_op *op) { return (void)op, 1; }
static int any(const struct custom_op *op) { return (void)op, 1 << 30; }

static status failure(ort_api api, int code, const char *text) { return CALL(CreateStatus, status, int, const char *)(code, text); }

static status read_settings(ort_api api, const void *info, enum kind kind, struct settings *s) {
	size_t two = 2, four = 4, length = 16;
	char act[16] = "";
	status e = NULL;
	if (kind >= kind_double) return NULL;
	if (kind >= kind_pool) e = CALL(KernelInfoGetAttributeArray_int64, status, const void *, const char *, int64_t *, size_t *)(info, "kernel_shape", s->kernel, &two);
	if (!e) e = CALL(KernelInfoGetAttributeArray_int64, status, const void *, const char *, int64_t *, size_t *)(info, "strides", s->strides, &two);
	if (!e) e = CALL(KernelInfoGetAttributeArray_int64, status, const void *, const char *, int64_t *, size_t *)(info, "pads", s->pads, &four);
	if (e || kind >= kind_pool) return e;
	e = CALL(KernelInfoGetAttribute_int64, status, const void *, const char *, int64_t *)(info, "group", &s->group);
	if (!e) e = CALL(KernelInfoGetAttribute_float, status, const void *, const char *, float *)(info, "epsilon", &s->epsilon);
	if (!e) e = CALL(KernelInfoGetAttribute_float, status, const void *, const char *, float *)(info, "alpha", &s->alpha);
	if (!e) e = CALL(KernelInfoGetAttribute_string, status, const void *, const char *, char *, size_t *)(info, "activation", act, &length);
	if (e) return e;
	static const char *const acts[] = {[act_none] = "", [act_silu] = "SiLU", [act_relu] = "Relu", [act_leaky] = "LeakyRelu", [act_hardswish] = "HardSwish"};
	for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
		if (!strcmp(act, acts[i])) return s->act = (enum activation)i, NULL;
	return failure(api, 2, "unknown activation"); // ORT_INVALID_ARGUMENT
}

static status create(const struct custom_op *op, ort_api api, const void *info, void **out) {
	struct settings s = {0};
	status e = read_settings(api, info, of(op)->kind, &s);
	if (e) return e;
	struct kernel *k = malloc(sizeof *k);
	struct node *n = node_make(of(op)->kind, &s, of(op)->threads);
	if (!k || !n) {
		free(k);
		if (n) node_free(n);
		return failure(api, 1, "out of memory for a kernel");
	}
	*k = (struct kernel){api, of(op), n};
	*out = k;
	return NULL;
}

static void destroy(void *kernel) {
	struct kernel *k = kernel;
	node_free(k->node);
	free(k);
}

static status read_tensor(ort_api api, void *value, struct tensor *t) {
	void *info = NULL;
	size_t rank = 0;
	status e = CALL(GetTensorTypeAndShape, status, void *, void **)(value, &info);
	if (e) return e;
	e = CALL(GetDimensionsCount, status, void *, size_t *)(info, &rank);
	if (!e && rank > 4) e = failure(api, 2, "has an input of more than 4 dimensions");
	if (!e) e = CALL(GetDimensions, status, void *, int64_t *, size_t)(info, t->shape, rank);
	CALL(ReleaseTensorTypeAndShapeInfo, void, void *)(info);
	t->rank = (int)rank;
	return e ? e : CALL(GetTensorMutableData, status, void *, void **)(value, (void **)&t->data);
}

static status compute(void *kernel, void *context) {
	struct kernel *k = kernel;
	ort_api api = k->api;
	struct tensor in[most_inputs] = {0}, out[most_outputs] = {0};
	size_t given = 0, wanted = 0;
	status e = CALL(KernelContext_GetInputCount, status, void *, size_t *)(context, &given);
	if (!e) e = CALL(KernelContext_GetOutputCount, status, void *, size_t *)(context, &wanted);
	for (size_t i = 0; i < given && !e; i++) {
		void *value = NULL;
		e = CALL(KernelContext_GetInput, status, void *, size_t, void **)(context, i, &value);
		if (!e && value) e = read_tensor(api, value, &in[i]);
	}
	if (e) return e;
	const char *wrong = node_shapes(k->node, in, out);
	for (size_t i = 0; i < wanted && !e && !wrong; i++) {
		void *value = NULL;
		e = CALL(KernelContext_GetOutput, status, void *, size_t, const int64_t *, size_t, void **)(context, i, out[i].shape, out[i].rank, &value);
		if (!e && value) e = CALL(GetTensorMutableData, status, void *, void **)(value, (void **)&out[i].data);
	}
	if (e) return e;
	if (!wrong) wrong = node_run(k->node, in, out);
	return wrong ? failure(api, 1, wrong) : NULL;
}

status ort_register(const void *table_of_api, void *options, int threads) {
	// A domain and its operators outlive every session that has them: one for each number of threads.
	static struct {
		struct operator ops[kinds];
		void *domain;
	} domains[pool_most + 1];
	ort_api api = table_of_api;
	if (!domains[threads].domain) {
		void *domain = NULL;
		status e = CALL(CreateCustomOpDomain, status, const char *, void **)("yolofreeze", &domain);
		for (int i = 0; i < kinds && !e; i++) {
			struct operator* op = &domains[threads].ops[i];
			op->kind = (enum kind)i;
			op->threads = threads;
			op->base = (struct custom_op){.version = api_version, .GetName = name, .GetExecutionProviderType = provider, .GetInputType = type,
				.GetInputTypeCount = inputs, .GetOutputType = type, .GetOutputTypeCount = outputs, .KernelDestroy = destroy,
				.GetInputCharacteristic = input_may_lack, .GetOutputCharacteristic = output_may_lack, .GetInputMemoryType = host,
				.GetVariadicInputMinArity = one, .GetVariadicInputHomogeneity = one, .GetVariadicOutputMinArity = one, .GetVariadicOutputHomogeneity = one,
				.CreateKernelV2 = create, .KernelComputeV2 = compute, .GetStartVersion = one, .GetEndVersion = any};
			e = CALL(CustomOpDomain_Add, status, void *, const struct custom_op *)(domain, &op->base);
		}
		if (e) return e;
		domains[threads].domain = domain;
	}
	return CALL(AddCustomOpDomain, status, void *, void *)(options, domains[threads].domain);
}
