#include "capi.h"

#include "dl.h"

// struct OrtApiBase: the two functions behind the library's one export.
struct base {
	const void *const *(*get_api)(uint32_t version);
	const char *(*version)(void);
};

static const void *const *api; // the function table, a struct OrtApi
static void *host_memory;      // OrtMemoryInfo of ordinary host memory
static void *allocator;        // the runtime's default allocator, for names and lists
static void *environment;      // the process's one OrtEnv, which onnxruntime_go made

#define CALL(name, result, ...) ((result(*)(__VA_ARGS__))api[api_##name])

int capi_load(const char *path, const char **version, const char **reason) {
	void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!library) {
		*reason = dlerror();
		return 0;
	}
	struct base *(*get_base)(void) = (struct base * (*)(void)) dlsym(library, "OrtGetApiBase");
	if (!get_base) {
		*reason = "it is not an ONNX Runtime library: it exports no OrtGetApiBase";
		return 0;
	}
	struct base *base = get_base();
	*version = base->version();
	api = base->get_api(api_version);
	if (!api) {
		*reason = "it is too old";
		return 0;
	}
	void *status = CALL(CreateCpuMemoryInfo, void *, int, int, void **)(0, 0, &host_memory); // device allocator, default memory
	if (!status) status = CALL(GetAllocatorWithDefaultOptions, void *, void **)(&allocator);
	if (status) {
		*reason = capi_message(status);
		return 0;
	}
	return 1;
}

const void *capi_table(void) { return api; }

void *capi_environment(void) {
	return CALL(CreateEnv, void *, int, const char *, void **)(4, "yolofreeze", &environment); // returns the one there is
}

const char *capi_message(void *status) { return CALL(GetErrorMessage, const char *, void *)(status); }
void capi_release_status(void *status) { CALL(ReleaseStatus, void, void *)(status); }

void *capi_providers(char ***names, int *count) {
	return CALL(GetAvailableProviders, void *, char ***, int *)(names, count);
}
void *capi_release_providers(char **names, int count) {
	return CALL(ReleaseAvailableProviders, void *, char **, int)(names, count);
}

void *capi_io_count(void *session, int output, size_t *count) {
	return output ? CALL(SessionGetOutputCount, void *, void *, size_t *)(session, count)
	              : CALL(SessionGetInputCount, void *, void *, size_t *)(session, count);
}
void *capi_io_name(void *session, int output, size_t index, char **name) {
	return output ? CALL(SessionGetOutputName, void *, void *, size_t, void *, char **)(session, index, allocator, name)
	              : CALL(SessionGetInputName, void *, void *, size_t, void *, char **)(session, index, allocator, name);
}
void *capi_io_type(void *session, int output, size_t index, void **owner, void **info) {
	void *status = output ? CALL(SessionGetOutputTypeInfo, void *, void *, size_t, void **)(session, index, owner)
	                      : CALL(SessionGetInputTypeInfo, void *, void *, size_t, void **)(session, index, owner);
	return status ? status : CALL(CastTypeInfoToTensorInfo, void *, void *, void **)(*owner, info);
}
void capi_release_type(void *owner) { CALL(ReleaseTypeInfo, void, void *)(owner); }
void *capi_free(void *memory) { return CALL(AllocatorFree, void *, void *, void *)(allocator, memory); }
void *capi_end_profile(void *session, char **file) {
	return CALL(SessionEndProfiling, void *, void *, void *, char **)(session, allocator, file);
}

void *capi_value_type(void *value, void **info) {
	return CALL(GetTensorTypeAndShape, void *, void *, void **)(value, info);
}
void *capi_rank(void *info, int *dtype, int *has_shape, size_t *rank) {
	*has_shape = CALL(TensorTypeAndShape_HasShape, _Bool, void *)(info);
	void *status = CALL(GetTensorElementType, void *, void *, int *)(info, dtype);
	return status ? status : CALL(GetDimensionsCount, void *, void *, size_t *)(info, rank);
}
void *capi_dims(void *info, int64_t *sizes, const char **names, size_t rank) {
	void *status = CALL(GetDimensions, void *, void *, int64_t *, size_t)(info, sizes, rank);
	if (status || !names) return status;
	return CALL(GetSymbolicDimensions, void *, void *, const char **, size_t)(info, names, rank);
}
void capi_release_info(void *info) { CALL(ReleaseTensorTypeAndShapeInfo, void, void *)(info); }

void *capi_value_over(void *data, size_t bytes, int64_t *shape, size_t rank, int dtype, void **value) {
	return CALL(CreateTensorWithDataAsOrtValue, void *, void *, void *, size_t, int64_t *, size_t, int, void **)(
		host_memory, data, bytes, shape, rank, dtype, value);
}
void *capi_value_part(void *other, size_t offset, size_t bytes, int64_t *shape, size_t rank, int dtype, void **value) {
	const void *memory = NULL;
	void *data = NULL;
	void *status = CALL(GetTensorMemoryInfo, void *, void *, const void **)(other, &memory);
	if (!status) status = capi_value_data(other, &data);
	return status ? status : CALL(CreateTensorWithDataAsOrtValue, void *, const void *, void *, size_t, int64_t *, size_t, int, void **)(
		memory, (char *)data + offset, bytes, shape, rank, dtype, value);
}
void *capi_value_data(void *value, void **data) {
	return CALL(GetTensorMutableData, void *, void *, void **)(value, data);
}
void capi_release_value(void *value) { CALL(ReleaseValue, void, void *)(value); }

void *capi_binding(void *session, void **binding) { return CALL(CreateIoBinding, void *, void *, void **)(session, binding); }
void capi_release_binding(void *binding) { CALL(ReleaseIoBinding, void, void *)(binding); }
void *capi_bind_input(void *binding, const char *name, void *value) {
	return CALL(BindInput, void *, void *, const char *, void *)(binding, name, value);
}
void *capi_bind_output(void *binding, const char *name, void *value) {
	return CALL(BindOutput, void *, void *, const char *, void *)(binding, name, value);
}
void *capi_bind_output_to(void *binding, const char *name, const void *memory) {
	return CALL(BindOutputToDevice, void *, void *, const char *, const void *)(binding, name, memory ? memory : host_memory);
}
void *capi_outputs(void *binding, void ***values, size_t *count) {
	return CALL(GetBoundOutputValues, void *, void *, void *, void ***, size_t *)(binding, allocator, values, count);
}

void *capi_run_options(void **options) { return CALL(CreateRunOptions, void *, void **)(options); }
void *capi_run_config(void *options, const char *key, const char *value) {
	return CALL(AddRunConfigEntry, void *, void *, const char *, const char *)(options, key, value);
}
void capi_release_run_options(void *options) { CALL(ReleaseRunOptions, void, void *)(options); }
void *capi_run(void *session, void *options, void *binding) {
	return CALL(RunWithBinding, void *, void *, void *, void *)(session, options, binding);
}

int capi_preload(const char *path) { return dlopen(path, RTLD_LAZY | RTLD_GLOBAL) != NULL; }

void *capi_devices(const void *const **devices, size_t *count) {
	return CALL(GetEpDevices, void *, void *, const void *const **, size_t *)(environment, devices, count);
}
const char *capi_device_provider(const void *device) { return CALL(EpDevice_EpName, const char *, const void *)(device); }
const char *capi_device_vendor(const void *device) { return CALL(EpDevice_EpVendor, const char *, const void *)(device); }
static const void *hardware(const void *device) { return CALL(EpDevice_Device, const void *, const void *)(device); }
const char *capi_hardware_vendor(const void *device) {
	return CALL(HardwareDevice_Vendor, const char *, const void *)(hardware(device));
}
int capi_hardware_type(const void *device) { return CALL(HardwareDevice_Type, int, const void *)(hardware(device)); }
const void *capi_device_memory(const void *device) {
	return CALL(EpDevice_MemoryInfo, const void *, const void *, int)(device, 0); // its default memory
}
void *capi_append(void *options, const void *device, const char **keys, const char **values, size_t count) {
	return CALL(SessionOptionsAppendExecutionProvider_V2, void *, void *, void *, const void *const *, size_t, const char **,
	            const char **, size_t)(options, environment, &device, 1, keys, values, count);
}

void *capi_named_memory(const char *name, int id, void **memory) {
	return CALL(CreateMemoryInfo, void *, const char *, int, int, int, void **)(name, 0, id, 0, memory); // device allocator, default memory
}
const char *capi_memory_name(const void *memory) {
	const char *name = "";
	void *status = CALL(MemoryInfoGetName, void *, const void *, const char **)(memory, &name);
	if (status) capi_release_status(status);
	return name;
}
void *capi_allocator(void *session, const void *memory, void **from) {
	return CALL(CreateAllocator, void *, void *, const void *, void **)(session, memory, from);
}
void capi_release_allocator(void *from) { CALL(ReleaseAllocator, void, void *)(from); }
void *capi_allocate(void *from, int64_t *shape, size_t rank, int dtype, void **value) {
	return CALL(CreateTensorAsOrtValue, void *, void *, int64_t *, size_t, int, void **)(from, shape, rank, dtype, value);
}
void *capi_in_device(void *value, int *yes) {
	const void *memory = NULL;
	int type = 0;
	void *status = CALL(GetTensorMemoryInfo, void *, void *, const void **)(value, &memory);
	if (!status) CALL(MemoryInfoGetDeviceType, void, const void *, int *)(memory, &type);
	*yes = type != 0; // OrtMemoryInfoDeviceType_CPU
	return status;
}
void *capi_stats(void *from, void **pairs, const char *const **keys, const char *const **values, size_t *count) {
	void *status = CALL(AllocatorGetStats, void *, void *, void **)(from, pairs);
	if (!status) CALL(GetKeyValuePairs, void, void *, const char *const **, const char *const **, size_t *)(*pairs, keys, values, count);
	return status;
}
void capi_release_stats(void *pairs) { CALL(ReleaseKeyValuePairs, void, void *)(pairs); }

void *capi_subgraphs(void *session, const void *const **subgraphs, size_t *count) {
	return CALL(Session_GetEpGraphAssignmentInfo, void *, void *, const void *const **, size_t *)(session, subgraphs, count);
}
void *capi_subgraph(const void *subgraph, const char **provider, const void *const **nodes, size_t *count) {
	void *status = CALL(EpAssignedSubgraph_GetEpName, void *, const void *, const char **)(subgraph, provider);
	return status ? status : CALL(EpAssignedSubgraph_GetNodes, void *, const void *, const void *const **, size_t *)(subgraph, nodes, count);
}
void *capi_node(const void *node, const char **name, const char **op) {
	void *status = CALL(EpAssignedNode_GetName, void *, const void *, const char **)(node, name);
	return status ? status : CALL(EpAssignedNode_GetOperatorType, void *, const void *, const char **)(node, op);
}

// capi_cuda_memory asks the CUDA runtime that the provider has loaded. CUDA's
// own error code for success is 0; the thread's current device is put back.
int capi_cuda_memory(int device, size_t *free, size_t *total) {
	void *library = NULL;
	static const char *const names[] = {"libcudart.so.13", "libcudart.so.12"};
	for (size_t i = 0; i < sizeof names / sizeof *names && library == NULL; i++)
		library = dlopen(names[i], RTLD_LAZY | RTLD_NOLOAD);
	if (library == NULL)
		return 0;
	int (*get)(int *) = (int (*)(int *))dlsym(library, "cudaGetDevice");
	int (*set)(int) = (int (*)(int))dlsym(library, "cudaSetDevice");
	int (*info)(size_t *, size_t *) = (int (*)(size_t *, size_t *))dlsym(library, "cudaMemGetInfo");
	int before = 0, known = 0;
	if (get != NULL && set != NULL && info != NULL && get(&before) == 0 && set(device) == 0) {
		known = info(free, total) == 0;
		set(before);
	}
	dlclose(library);
	return known;
}

int capi_cudnn_version(void) {
	void *library = dlopen("libcudnn.so.9", RTLD_LAZY | RTLD_NOLOAD);
	size_t (*get)(void) = library != NULL ? (size_t (*)(void))dlsym(library, "cudnnGetVersion") : NULL;
	int version = get != NULL ? (int)get() : 0;
	if (library != NULL)
		dlclose(library);
	return version;
}
