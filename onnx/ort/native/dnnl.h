// What this package calls of oneDNN's C API (version 3), which is loaded when the
// program runs. Types are opaque there, too; the numbers are those of its headers
// and hold for every version 3.
#ifndef YOLOFREEZE_NATIVE_DNNL_H
#define YOLOFREEZE_NATIVE_DNNL_H

#include <stddef.h>
#include <stdint.h>

typedef struct dnnl_engine *dnnl_engine;
typedef struct dnnl_stream *dnnl_stream;
typedef struct dnnl_memory_desc *dnnl_desc;
typedef struct dnnl_memory *dnnl_memory;
typedef struct dnnl_primitive_desc *dnnl_recipe; // a primitive that is described, not made
typedef struct dnnl_primitive *dnnl_primitive;
typedef struct dnnl_primitive_attr *dnnl_attr;
typedef struct dnnl_post_ops *dnnl_post_ops;
typedef int64_t dnnl_dims[12];

typedef struct {
	int argument;
	dnnl_memory memory;
} dnnl_arg;

typedef struct {
	int major, minor, patch;
	const char *hash;
	unsigned cpu_runtime, gpu_runtime;
} dnnl_version_info;

enum {
	dnnl_f32 = 3,
	dnnl_any = 1,   // a layout of the primitive's choice
	dnnl_x = 2,     // a vector
	dnnl_oihw = 5,  // a kernel as PyTorch keeps it, and an NCHW picture
	dnnl_goihw = 6, // the same in groups
	dnnl_nhwc = 22,

	dnnl_cpu = 1,
	dnnl_in_order = 1,
	dnnl_training = 64,
	dnnl_direct = 1,
	dnnl_swish = 44,
	dnnl_relu = 32,
	dnnl_hardswish = 52,
	dnnl_user_scratchpad = 1,

	dnnl_query_scratchpad = 136,
	dnnl_query_weights = 131,
	dnnl_query_diff_weights = 132,

	dnnl_src = 1,
	dnnl_dst = 17,
	dnnl_weights = 33,
	dnnl_bias = 41,
	dnnl_scratchpad = 80,
	dnnl_diff_src = 129,
	dnnl_diff_dst = 145,
	dnnl_diff_weights = 161,
};

#define DNNL_FUNCTIONS(F) \
	F(const dnnl_version_info *, version, (void)) \
	F(int, engine_create, (dnnl_engine *, int kind, size_t index)) \
	F(int, stream_create, (dnnl_stream *, dnnl_engine, unsigned flags)) \
	F(int, memory_desc_create_with_tag, (dnnl_desc *, int rank, const dnnl_dims, int type, int tag)) \
	F(int, memory_desc_create_submemory, (dnnl_desc *, const struct dnnl_memory_desc *, const dnnl_dims size, const dnnl_dims offset)) \
	F(int, memory_desc_clone, (dnnl_desc *, const struct dnnl_memory_desc *)) \
	F(int, memory_desc_destroy, (dnnl_desc)) \
	F(int, memory_desc_equal, (const struct dnnl_memory_desc *, const struct dnnl_memory_desc *)) \
	F(size_t, memory_desc_get_size, (const struct dnnl_memory_desc *)) \
	F(int, memory_create, (dnnl_memory *, const struct dnnl_memory_desc *, dnnl_engine, void *)) \
	F(int, memory_set_data_handle, (dnnl_memory, void *)) \
	F(int, memory_destroy, (dnnl_memory)) \
	F(int, convolution_forward_primitive_desc_create, (dnnl_recipe *, dnnl_engine, int kind, int algorithm, dnnl_desc src, dnnl_desc weights, \
		dnnl_desc bias, dnnl_desc dst, const dnnl_dims strides, const dnnl_dims dilates, const dnnl_dims before, const dnnl_dims after, dnnl_attr)) \
	F(int, convolution_backward_data_primitive_desc_create, (dnnl_recipe *, dnnl_engine, int algorithm, dnnl_desc diff_src, dnnl_desc weights, \
		dnnl_desc diff_dst, const dnnl_dims strides, const dnnl_dims dilates, const dnnl_dims before, const dnnl_dims after, dnnl_recipe forward, dnnl_attr)) \
	F(int, convolution_backward_weights_primitive_desc_create, (dnnl_recipe *, dnnl_engine, int algorithm, dnnl_desc src, dnnl_desc diff_weights, \
		dnnl_desc diff_bias, dnnl_desc diff_dst, const dnnl_dims strides, const dnnl_dims dilates, const dnnl_dims before, const dnnl_dims after, dnnl_recipe forward, dnnl_attr)) \
	F(int, reorder_primitive_desc_create, (dnnl_recipe *, const struct dnnl_memory_desc *from, dnnl_engine, const struct dnnl_memory_desc *to, dnnl_engine, dnnl_attr)) \
	F(const struct dnnl_memory_desc *, primitive_desc_query_md, (dnnl_recipe, int what, int index)) \
	F(int, primitive_desc_destroy, (dnnl_recipe)) \
	F(int, primitive_create, (dnnl_primitive *, dnnl_recipe)) \
	F(int, primitive_execute, (dnnl_primitive, dnnl_stream, int count, const dnnl_arg *)) \
	F(int, primitive_destroy, (dnnl_primitive)) \
	F(int, primitive_attr_create, (dnnl_attr *)) \
	F(int, primitive_attr_set_scratchpad_mode, (dnnl_attr, int mode)) \
	F(int, primitive_attr_set_post_ops, (dnnl_attr, dnnl_post_ops)) \
	F(int, primitive_attr_destroy, (dnnl_attr)) \
	F(int, post_ops_create, (dnnl_post_ops *)) \
	F(int, post_ops_append_eltwise, (dnnl_post_ops, int algorithm, float alpha, float beta)) \
	F(int, post_ops_destroy, (dnnl_post_ops))

struct dnnl {
#define MEMBER(result, name, arguments) result(*name) arguments;
	DNNL_FUNCTIONS(MEMBER)
#undef MEMBER
	// OpenMP's, of the copy that oneDNN works with: each of our threads is one of its own.
	void (*set_threads)(int);
};

extern struct dnnl dnnl;
extern dnnl_engine engine;

// dnnl_load opens the library; it returns NULL, or why it could not.
const char *dnnl_load(const char *path);

#endif
