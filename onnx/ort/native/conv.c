//go:build !windows

#include "products.h"

#include <stdlib.h>
#include <string.h>

// What a thread needs for its share. Shares of one size have one primitive.
struct part {
	struct share share;
	dnnl_primitive work;
	dnnl_memory x, y, w, bias, scratch;
	dnnl_memory plain, laid; // this thread's slice of the kernel, to be re-laid
	dnnl_primitive relay;    // NULL where oneDNN takes it as it is, or the slice is empty
	float *partial;          // of the kernel's gradient, in oneDNN's layout
	float *products;         // the same by our own products, in this thread's scratch
	size_t scratch_size;
};

struct conv {
	enum direction direction;
	struct geometry g;
	int threads, same_layout;
	int own;    // the kernel's gradient by products.h, without oneDNN
	const char *failed; // why some work of any thread was not done; NULL: it was
	float *laid; // the kernel, in oneDNN's layout
	size_t laid_count;
	struct part parts[pool_most];
};

struct share share_of(int64_t whole, int thread, int threads) {
	int64_t first = whole * thread / threads;
	return (struct share){first, whole * (thread + 1) / threads - first};
}

static float *floats(size_t count) {
	void *memory = NULL;
	if (posix_memalign(&memory, 64, count * sizeof(float))) return NULL;
	return memset(memory, 0, count * sizeof(float)); // what a layout pads with stays zero
}

// post describes what follows a forward convolution: an activation, if any.
static dnnl_attr post(enum direction direction, enum activation act, float alpha) {
	dnnl_attr attr = NULL;
	dnnl_post_ops ops = NULL;
	if (dnnl.primitive_attr_create(&attr)) return NULL;
	dnnl.primitive_attr_set_scratchpad_mode(attr, dnnl_user_scratchpad);
	if (direction != conv_forward || act == act_none || dnnl.post_ops_create(&ops)) return attr;
	switch (act) {
	case act_silu: dnnl.post_ops_append_eltwise(ops, dnnl_swish, 1, 0); break;
	case act_hardswish: dnnl.post_ops_append_eltwise(ops, dnnl_hardswish, 1.0f / 6, 0.5f); break;
	default: dnnl.post_ops_append_eltwise(ops, dnnl_relu, act == act_leaky ? alpha : 0, 0);
	}
	dnnl.primitive_attr_set_post_ops(attr, ops);
	dnnl.post_ops_destroy(ops);
	return attr;
}

static int kernel_dims(const struct geometry *g, dnnl_dims dims) {
	int i = 0;
	if (g->groups > 1) dims[i++] = g->groups;
	dims[i++] = g->features / g->groups;
	dims[i++] = g->channels / g->groups;
	dims[i++] = g->kernel[0];
	dims[i++] = g->kernel[1];
	return i;
}

// describe makes the recipe of a convolution over some pictures, with a kernel in a
// given layout, or where laid is NULL in that of oneDNN's choice.
static dnnl_recipe describe(struct conv *c, int64_t pictures, int biased, dnnl_attr attr, dnnl_desc laid) {
	const struct geometry *g = &c->g;
	dnnl_dims xs = {pictures, g->channels, g->height, g->width}, ys = {pictures, g->features, g->out_height, g->out_width}, ws, bs = {g->features};
	dnnl_dims strides = {g->stride[0], g->stride[1]}, dilates = {0, 0}, before = {g->pads[0], g->pads[1]}, after = {g->pads[2], g->pads[3]};
	dnnl_desc x = NULL, y = NULL, w = NULL, b = NULL, hint = NULL; // hint: the kernel of the forward pass that a gradient belongs to
	dnnl_recipe forward = NULL, backward = NULL;
	int failed = dnnl.memory_desc_create_with_tag(&x, 4, xs, dnnl_f32, dnnl_nhwc) || dnnl.memory_desc_create_with_tag(&y, 4, ys, dnnl_f32, dnnl_nhwc) ||
	             (laid ? dnnl.memory_desc_clone(&w, laid) : dnnl.memory_desc_create_with_tag(&w, kernel_dims(g, ws), ws, dnnl_f32, dnnl_any)) ||
	             dnnl.memory_desc_create_with_tag(&hint, kernel_dims(g, ws), ws, dnnl_f32, dnnl_any) ||
	             (biased && dnnl.memory_desc_create_with_tag(&b, 1, bs, dnnl_f32, dnnl_x));
	failed = failed || dnnl.convolution_forward_primitive_desc_create(&forward, engine, dnnl_training, dnnl_direct, x, c->direction == conv_forward ? w : hint, b, y, strides, dilates, before, after, attr);
	if (!failed && c->direction == conv_to_input)
		failed = dnnl.convolution_backward_data_primitive_desc_create(&backward, engine, dnnl_direct, x, w, y, strides, dilates, before, after, forward, attr);
	if (!failed && c->direction == conv_to_kernel)
		failed = dnnl.convolution_backward_weights_primitive_desc_create(&backward, engine, dnnl_direct, x, w, NULL, y, strides, dilates, before, after, forward, attr);
	if (x) dnnl.memory_desc_destroy(x);
	if (y) dnnl.memory_desc_destroy(y);
	if (w) dnnl.memory_desc_destroy(w);
	if (b) dnnl.memory_desc_destroy(b);
	if (hint) dnnl.memory_desc_destroy(hint);
	if (c->direction != conv_forward && forward) {
		dnnl.primitive_desc_destroy(forward);
		forward = NULL;
	}
	if (!failed) return c->direction == conv_forward ? forward : backward;
	if (forward) dnnl.primitive_desc_destroy(forward);
	return NULL;
}

static int pictures_memory(dnnl_memory *memory, int64_t pictures, int64_t channels, int64_t height, int64_t width) {
	dnnl_dims dims = {pictures, channels, height, width};
	dnnl_desc desc = NULL;
	int failed = dnnl.memory_desc_create_with_tag(&desc, 4, dims, dnnl_f32, dnnl_nhwc) || dnnl.memory_create(memory, desc, engine, NULL);
	if (desc) dnnl.memory_desc_destroy(desc);
	return failed;
}

// make_relay lets each of some threads re-lay its own features of the kernel.
static int make_relay(struct conv *c, int threads, const struct dnnl_memory_desc *laid, const struct dnnl_memory_desc *plain) {
	dnnl_dims dims;
	kernel_dims(&c->g, dims);
	int failed = 0;
	int64_t first = 0, all = dims[0];
	for (int t = 0; t < threads && !failed; t++) {
		struct part *p = &c->parts[t];
		int64_t last = t + 1 == threads ? all : all * (t + 1) / threads / 64 * 64; // layouts go by blocks of features
		if (last <= first) continue;
		dnnl_dims size, offset = {first};
		memcpy(size, dims, sizeof size);
		size[0] = last - first;
		dnnl_desc from = NULL, to = NULL;
		dnnl_recipe recipe = NULL;
		failed = dnnl.memory_desc_create_submemory(&from, plain, size, offset) || dnnl.memory_desc_create_submemory(&to, laid, size, offset);
		if (!failed && c->direction == conv_to_kernel) {
			dnnl_desc swap = from;
			from = to;
			to = swap;
		}
		failed = failed || dnnl.reorder_primitive_desc_create(&recipe, from, engine, to, engine, NULL) || dnnl.primitive_create(&p->relay, recipe) ||
		         dnnl.memory_create(&p->plain, c->direction == conv_to_kernel ? to : from, engine, NULL) ||
		         dnnl.memory_create(&p->laid, c->direction == conv_to_kernel ? from : to, engine, c->laid);
		if (recipe) dnnl.primitive_desc_destroy(recipe);
		if (from) dnnl.memory_desc_destroy(from);
		if (to) dnnl.memory_desc_destroy(to);
		first = last;
	}
	return failed;
}

static void drop_relay(struct part *p) {
	if (p->relay) dnnl.primitive_destroy(p->relay);
	if (p->plain) dnnl.memory_destroy(p->plain);
	if (p->laid) dnnl.memory_destroy(p->laid);
	p->relay = NULL;
	p->plain = p->laid = NULL;
}

struct conv *conv_make(enum direction direction, const struct geometry *g, int threads, int biased, enum activation act, float alpha, const char **reason) {
	struct conv *c = calloc(1, sizeof *c);
	*reason = "out of memory for a convolution";
	if (!c) return NULL;
	c->direction = direction;
	c->g = *g;
	c->threads = threads;
	if (direction == conv_to_kernel && products_fit(g)) {
		c->own = 1;
		for (int t = 0; t < threads; t++) c->parts[t].share = share_of(g->batch, t, threads);
		return c;
	}
	dnnl_attr attr = post(direction, act, alpha);
	dnnl_desc plain = NULL;
	dnnl_dims ws;
	int rank = kernel_dims(g, ws), failed = !attr || dnnl.memory_desc_create_with_tag(&plain, rank, ws, dnnl_f32, rank == 5 ? dnnl_goihw : dnnl_oihw);
	*reason = "oneDNN has no such convolution";
	dnnl_desc laid = NULL; // of the first share: others must have the same
	for (int t = 0; t < threads && !failed; t++) {
		struct part *p = &c->parts[t];
		p->share = share_of(g->batch, t, threads);
		dnnl_recipe recipe = describe(c, p->share.count, biased, attr, laid);
		if (!recipe) {
			*reason = "oneDNN has no such convolution";
			failed = 1;
			break;
		}
		*reason = "out of memory for a convolution"; // oneDNN has it
		const struct dnnl_memory_desc *w = dnnl.primitive_desc_query_md(recipe, direction == conv_to_kernel ? dnnl_query_diff_weights : dnnl_query_weights, 0);
		const struct dnnl_memory_desc *scratch = dnnl.primitive_desc_query_md(recipe, dnnl_query_scratchpad, 0);
		p->scratch_size = dnnl.memory_desc_get_size(scratch);
		if (!laid) {
			failed = dnnl.memory_desc_clone(&laid, w);
			c->laid_count = dnnl.memory_desc_get_size(w) / sizeof(float);
			c->same_layout = dnnl.memory_desc_equal(w, plain);
			c->laid = floats(c->laid_count);
			failed = failed || !c->laid;
		} else if (!dnnl.memory_desc_equal(w, laid)) {
			*reason = "oneDNN lays shares of a convolution differently";
			failed = 1;
		}
		failed = failed || dnnl.primitive_create(&p->work, recipe) || dnnl.memory_create(&p->w, w, engine, c->laid) ||
		         dnnl.memory_create(&p->scratch, scratch, engine, NULL) || pictures_memory(&p->x, p->share.count, g->channels, g->height, g->width) ||
		         pictures_memory(&p->y, p->share.count, g->features, g->out_height, g->out_width);
		if (!failed && biased) {
			dnnl_desc b = NULL;
			dnnl_dims bs = {g->features};
			failed = dnnl.memory_desc_create_with_tag(&b, 1, bs, dnnl_f32, dnnl_x) || dnnl.memory_create(&p->bias, b, engine, NULL);
			if (b) dnnl.memory_desc_destroy(b);
		}
		if (!failed && direction == conv_to_kernel && t > 0) failed = !(p->partial = floats(c->laid_count));
		dnnl.primitive_desc_destroy(recipe);
	}
	// Some layouts have blocks that the features cannot be divided by: then one thread does it all.
	if (!failed && !c->same_layout && make_relay(c, threads, laid, plain)) {
		for (int t = 0; t < threads; t++) drop_relay(&c->parts[t]);
		if ((failed = make_relay(c, 1, laid, plain))) *reason = "oneDNN cannot lay the kernel of a convolution otherwise";
	}
	if (laid) dnnl.memory_desc_destroy(laid);
	if (plain) dnnl.memory_desc_destroy(plain);
	if (attr) dnnl.primitive_attr_destroy(attr);
	if (!failed) return c;
	conv_free(c);
	return NULL;
}

void conv_free(struct conv *c) {
	if (!c) return;
	for (int t = 0; t < c->threads; t++) {
		struct part *p = &c->parts[t];
		dnnl_memory memories[] = {p->x, p->y, p->w, p->bias, p->scratch};
		for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
			if (memories[i]) dnnl.memory_destroy(memories[i]);
		if (p->work) dnnl.primitive_destroy(p->work);
		drop_relay(p);
		free(p->partial);
	}
	free(c->laid);
	free(c);
}

static const char no_scratch[] = "out of memory for a convolution";

static void execute(struct conv *c, struct worker *me, dnnl_primitive work, int count, const dnnl_arg *args) {
	if (dnnl.primitive_execute(work, me->stream, count, args)) c->failed = "oneDNN failed";
}

const char *conv_failed(const struct conv *c) { return c ? c->failed : NULL; }

// lend_scratch lends a thread's memory to its work.
static void lend_scratch(struct conv *c, struct part *p, struct worker *me) {
	void *memory = pool_scratch(me, p->scratch_size);
	if (!memory && p->scratch_size) c->failed = no_scratch;
	dnnl.memory_set_data_handle(p->scratch, memory);
}

// relay moves this thread's slice of the kernel from one layout to the other.
// The slices' descriptions carry their offsets, so both memories begin at the whole's.
static void relay(struct conv *c, struct worker *me, void *plain) {
	struct part *p = &c->parts[me->index];
	int back = c->direction == conv_to_kernel;
	if (!p->relay) return;
	dnnl.memory_set_data_handle(p->plain, plain);
	dnnl_arg args[] = {{dnnl_src, back ? p->laid : p->plain}, {dnnl_dst, back ? p->plain : p->laid}};
	execute(c, me, p->relay, 2, args);
}

void conv_pictures(struct conv *c, struct worker *me, float *x, const float *w, const float *bias, float *y) {
	struct part *p = &c->parts[me->index];
	const struct geometry *g = &c->g;
	if (!c->same_layout) {
		relay(c, me, (void *)w);
		pool_barrier(me);
	}
	dnnl.memory_set_data_handle(p->w, c->same_layout ? (void *)w : c->laid);
	dnnl.memory_set_data_handle(p->x, x + p->share.first * g->height * g->width * g->channels);
	dnnl.memory_set_data_handle(p->y, y + p->share.first * g->out_height * g->out_width * g->features);
	lend_scratch(c, p, me);
	dnnl_arg args[5];
	int n = 0;
	args[n++] = (dnnl_arg){c->direction == conv_forward ? dnnl_src : dnnl_diff_src, p->x};
	args[n++] = (dnnl_arg){c->direction == conv_forward ? dnnl_dst : dnnl_diff_dst, p->y};
	args[n++] = (dnnl_arg){dnnl_weights, p->w};
	args[n++] = (dnnl_arg){dnnl_scratchpad, p->scratch};
	if (p->bias) {
		dnnl.memory_set_data_handle(p->bias, (void *)bias);
		args[n++] = (dnnl_arg){dnnl_bias, p->bias};
	}
	if (!c->failed) execute(c, me, p->work, n, args);
}

// own_kernel is conv_kernel by our own products.
static void own_kernel(struct conv *c, struct worker *me, const float *x, const float *dy, float *dw) {
	struct part *p = &c->parts[me->index];
	float *all[pool_most];
	if ((p->products = pool_scratch(me, products_scratch(&c->g, p->share.count) * sizeof(float))))
		products_kernel(&c->g, p->share, x, dy, p->products);
	else
		c->failed = no_scratch;
	pool_barrier(me);
	if (c->failed) return;
	for (int t = 0; t < c->threads; t++) all[t] = c->parts[t].products;
	products_sum(&c->g, all, c->threads, share_of(products_blocks(&c->g), me->index, me->count), dw);
	pool_barrier(me); // until then nobody's scratch may be used again
}

void conv_kernel(struct conv *c, struct worker *me, const float *x, const float *dy, float *dw) {
	struct part *p = &c->parts[me->index];
	const struct geometry *g = &c->g;
	if (c->own) {
		own_kernel(c, me, x, dy, dw);
		return;
	}
	float *sum = c->same_layout ? dw : c->laid; // where the first thread writes
	dnnl.memory_set_data_handle(p->w, p->partial ? p->partial : sum);
	dnnl.memory_set_data_handle(p->x, (void *)(x + p->share.first * g->height * g->width * g->channels));
	dnnl.memory_set_data_handle(p->y, (void *)(dy + p->share.first * g->out_height * g->out_width * g->features));
	lend_scratch(c, p, me);
	dnnl_arg args[] = {{dnnl_src, p->x}, {dnnl_diff_dst, p->y}, {dnnl_diff_weights, p->w}, {dnnl_scratchpad, p->scratch}};
	if (!c->failed) execute(c, me, p->work, 4, args);
	if (me->count > 1) {
		pool_barrier(me);
		struct share mine = share_of(c->laid_count, me->index, me->count);
		for (int t = 1; t < c->threads; t++) loops_add(sum + mine.first, c->parts[t].partial + mine.first, mine.count);
		pool_barrier(me);
	}
	if (!c->same_layout) relay(c, me, dw);
}
