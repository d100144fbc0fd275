// What this package calls of ONNX Runtime's C API. The API is a table of
// functions (struct OrtApi) that only ever grows at its end, so a function's
// place in it is a fact that holds for every later version. capi_test.go
// compares each place with the header that onnxruntime_go carries.
#ifndef YOLOFREEZE_ORT_CAPI_H
#define YOLOFREEZE_ORT_CAPI_H

#include <stddef.h>
#include <stdint.h>

enum {
	api_version = 24, // ORT_API_VERSION that onnxruntime_go asks for

	api_GetErrorMessage = 2,
	api_CreateEnv = 3,
	api_SessionGetInputCount = 30,
	api_SessionGetOutputCount = 31,
	api_SessionGetInputTypeInfo = 33,
	api_SessionGetOutputTypeInfo = 34,
	api_SessionGetInputName = 36,
	api_SessionGetOutputName = 37,
	api_CreateRunOptions = 39,
	api_CreateTensorAsOrtValue = 48,
	api_CreateTensorWithDataAsOrtValue = 49,
	api_GetTensorMutableData = 51,
	api_CastTypeInfoToTensorInfo = 55,
	api_GetTensorElementType = 60,
	api_GetDimensionsCount = 61,
	api_GetDimensions = 62,
	api_GetSymbolicDimensions = 63,
	api_GetTensorTypeAndShape = 65,
	api_CreateMemoryInfo = 68,
	api_CreateCpuMemoryInfo = 69,
	api_MemoryInfoGetName = 71,
	api_AllocatorFree = 76,
	api_GetAllocatorWithDefaultOptions = 78,
	api_ReleaseStatus = 93,
	api_ReleaseValue = 96,
	api_ReleaseRunOptions = 97,
	api_ReleaseTypeInfo = 98,
	api_ReleaseTensorTypeAndShapeInfo = 99,
	api_SessionEndProfiling = 110,
	api_GetAvailableProviders = 125,
	api_ReleaseAvailableProviders = 126,
	api_CreateAllocator = 131,
	api_ReleaseAllocator = 132,
	api_RunWithBinding = 133,
	api_CreateIoBinding = 134,
	api_ReleaseIoBinding = 135,
	api_BindInput = 136,
	api_BindOutput = 137,
	api_BindOutputToDevice = 138,
	api_GetBoundOutputValues = 140,
	api_AddRunConfigEntry = 165,
	api_GetTensorMemoryInfo = 194,
	api_MemoryInfoGetDeviceType = 225,
	api_GetKeyValuePairs = 298,
	api_ReleaseKeyValuePairs = 300,
	api_GetEpDevices = 303,
	api_SessionOptionsAppendExecutionProvider_V2 = 304,
	api_HardwareDevice_Type = 307,
	api_HardwareDevice_Vendor = 309,
	api_EpDevice_EpName = 312,
	api_EpDevice_EpVendor = 313,
	api_EpDevice_Device = 316,
	api_AllocatorGetStats = 319,
	api_EpDevice_MemoryInfo = 374,
	api_TensorTypeAndShape_HasShape = 390,
	api_Session_GetEpGraphAssignmentInfo = 407,
	api_EpAssignedSubgraph_GetEpName = 408,
	api_EpAssignedSubgraph_GetNodes = 409,
	api_EpAssignedNode_GetName = 410,
	api_EpAssignedNode_GetOperatorType = 412,
};

// capi_load opens the library; on failure it returns a message in *reason, and
// in *version the library's version where it has told one.
int capi_load(const char *path, const char **version, const char **reason);

// capi_table is the table of functions itself, for package native.
const void *capi_table(void);

// capi_environment takes hold of the environment, after onnxruntime_go has made it.
void *capi_environment(void);

// Each function below that returns void* returns an OrtStatus, NULL for success.
const char *capi_message(void *status);
void capi_release_status(void *status);

void *capi_providers(char ***names, int *count);
void *capi_release_providers(char **names, int count);

void *capi_io_count(void *session, int output, size_t *count);
void *capi_io_name(void *session, int output, size_t index, char **name);
void *capi_io_type(void *session, int output, size_t index, void **owner, void **info);
void capi_release_type(void *owner);
void *capi_free(void *memory);
void *capi_end_profile(void *session, char **file);

void *capi_value_type(void *value, void **info);
// has_shape 0: the rank is not known.
void *capi_rank(void *info, int *dtype, int *has_shape, size_t *rank);
void *capi_dims(void *info, int64_t *sizes, const char **names, size_t rank);
void capi_release_info(void *info);

void *capi_value_over(void *data, size_t bytes, int64_t *shape, size_t rank, int dtype, void **value);
// capi_value_part lies over memory of another value, wherever that is, from a byte on.
void *capi_value_part(void *other, size_t offset, size_t bytes, int64_t *shape, size_t rank, int dtype, void **value);
void *capi_value_data(void *value, void **data);
void capi_release_value(void *value);

void *capi_binding(void *session, void **binding);
void capi_release_binding(void *binding);
void *capi_bind_input(void *binding, const char *name, void *value);
void *capi_bind_output(void *binding, const char *name, void *value);
// memory NULL is the host's.
void *capi_bind_output_to(void *binding, const char *name, const void *memory);
void *capi_outputs(void *binding, void ***values, size_t *count);

void *capi_run_options(void **options);
void *capi_run_config(void *options, const char *key, const char *value);
void capi_release_run_options(void *options);
void *capi_run(void *session, void *options, void *binding);

int capi_preload(const char *path); // loads a library for all, 0 when it cannot
int capi_cuda_memory(int device, size_t *free, size_t *total); // 0 where CUDA's runtime is not loaded or does not tell
int capi_cudnn_version(void); // 91900 is 9.19.0; 0 where cuDNN is not loaded

// Devices of plugin providers. They live as long as the environment.
void *capi_devices(const void *const **devices, size_t *count);
const char *capi_device_provider(const void *device);
const char *capi_device_vendor(const void *device);
const char *capi_hardware_vendor(const void *device);
int capi_hardware_type(const void *device);
const void *capi_device_memory(const void *device);
void *capi_append(void *options, const void *device, const char **keys, const char **values, size_t count);

// Device memory.
void *capi_named_memory(const char *name, int id, void **memory);
const char *capi_memory_name(const void *memory);
void *capi_allocator(void *session, const void *memory, void **from);
void capi_release_allocator(void *from);
void *capi_allocate(void *from, int64_t *shape, size_t rank, int dtype, void **value);
void *capi_in_device(void *value, int *yes);
void *capi_stats(void *from, void **pairs, const char *const **keys, const char *const **values, size_t *count);
void capi_release_stats(void *pairs);

// Which provider runs which node.
void *capi_subgraphs(void *session, const void *const **subgraphs, size_t *count);
void *capi_subgraph(const void *subgraph, const char **provider, const void *const **nodes, size_t *count);
void *capi_node(const void *node, const char **name, const char **op);

#endif
