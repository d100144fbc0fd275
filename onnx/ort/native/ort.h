// The operators as ONNX Runtime's custom operators. Numbers are places in the C
// API's table of functions, which only grows at its end; package ort's
// capi_test.go compares them, and the order of struct custom_op, with the header that
// onnxruntime_go carries.
#ifndef YOLOFREEZE_NATIVE_ORT_H
#define YOLOFREEZE_NATIVE_ORT_H

#include "node.h"

enum {
	api_version = 24,

	api_CreateStatus = 0,
	api_CreateCustomOpDomain = 26,
	api_CustomOpDomain_Add = 27,
	api_AddCustomOpDomain = 28,
	api_GetTensorMutableData = 51,
	api_GetDimensionsCount = 61,
	api_GetDimensions = 62,
	api_GetTensorTypeAndShape = 65,
	api_KernelInfoGetAttribute_float = 85,
	api_KernelInfoGetAttribute_int64 = 86,
	api_KernelInfoGetAttribute_string = 87,
	api_KernelContext_GetInputCount = 88,
	api_KernelContext_GetOutputCount = 89,
	api_KernelContext_GetInput = 90,
	api_KernelContext_GetOutput = 91,
	api_ReleaseTensorTypeAndShapeInfo = 99,
	api_KernelInfoGetAttributeArray_int64 = 163,
};

typedef const void *const *ort_api;
typedef void *status; // NULL is success

// struct OrtCustomOp of version 24
struct custom_op {
	uint32_t version;
	void *(*CreateKernel)(const struct custom_op *, ort_api, const void *info);
	const char *(*GetName)(const struct custom_op *);
	const char *(*GetExecutionProviderType)(const struct custom_op *);
	int (*GetInputType)(const struct custom_op *, size_t);
	size_t (*GetInputTypeCount)(const struct custom_op *);
	int (*GetOutputType)(const struct custom_op *, size_t);
	size_t (*GetOutputTypeCount)(const struct custom_op *);
	void (*KernelCompute)(void *, void *context);
	void (*KernelDestroy)(void *);
	int (*GetInputCharacteristic)(const struct custom_op *, size_t);
	int (*GetOutputCharacteristic)(const struct custom_op *, size_t);
	int (*GetInputMemoryType)(const struct custom_op *, size_t);
	int (*GetVariadicInputMinArity)(const struct custom_op *);
	int (*GetVariadicInputHomogeneity)(const struct custom_op *);
	int (*GetVariadicOutputMinArity)(const struct custom_op *);
	int (*GetVariadicOutputHomogeneity)(const struct custom_op *);
	status (*CreateKernelV2)(const struct custom_op *, ort_api, const void *info, void **kernel);
	status (*KernelComputeV2)(void *, void *context);
	status (*InferOutputShapeFn)(const struct custom_op *, void *);
	int (*GetStartVersion)(const struct custom_op *);
	int (*GetEndVersion)(const struct custom_op *);
	size_t (*GetMayInplace)(int **, int **);
	void (*ReleaseMayInplace)(int *, int *);
	size_t (*GetAliasMap)(int **, int **);
	void (*ReleaseAliasMap)(int *, int *);
};

// ort_register adds the domain to session options (OrtSessionOptions); its
// operators work with so many threads. It returns an OrtStatus, NULL for success.
status ort_register(const void *api, void *options, int threads);

#endif
