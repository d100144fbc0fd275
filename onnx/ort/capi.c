#include "capi.h"

#include <dlfcn.h>

// struct OrtApiBase: the two functions behind the library's one export.
struct base {
	const void *const *(*get_api)(uint32_t version);
	const char *(*version)(void);
};

static const void *const *api; // the function table, a struct OrtApi
static void *host_memory;      // OrtMemoryInfo of ordinary host memory
static void *allocator;        // the runtime's default allocator, for names and lists

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
void *capi_rank(void *info, int *dtype, size_t *rank) {
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
void *capi_bind_output_host(void *binding, const char *name) {
	return CALL(BindOutputToDevice, void *, void *, const char *, void *)(binding, name, host_memory);
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
