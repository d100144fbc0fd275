//go:build !windows

#include "node.h"
#include "pictures.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct node {
	enum kind kind;
	struct settings s;
	int threads;            // that it may use
	pthread_mutex_t lock;   // one run at a time: what follows is of one run
	struct geometry g;      // that the rest was made for
	int working;            // threads at work: no more than pictures
	struct conv *forward, *to_input, *to_kernel;
	struct affine affine;
	float *inverse, *pull, *push;
	struct moments moments[pool_most]; // or sums of gradients and products, of each thread
	void *memory;                      // of all arrays of a channel
	const struct tensor *in;
	struct tensor *out;
};

struct node *node_make(enum kind kind, const struct settings *s, int threads) {
	struct node *n = calloc(1, sizeof *n);
	if (!n) return NULL;
	n->kind = kind;
	n->s = *s;
	n->threads = threads;
	pthread_mutex_init(&n->lock, NULL);
	return n;
}

static void forget(struct node *n) {
	conv_free(n->forward);
	conv_free(n->to_input);
	conv_free(n->to_kernel);
	free(n->memory);
	n->forward = n->to_input = n->to_kernel = NULL;
	n->memory = NULL;
	memset(&n->g, 0, sizeof n->g);
}

void node_free(struct node *n) {
	forget(n);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static int is_gradient(enum kind kind) { return kind % 2; } // each follows its forward pass

// read_between reads the geometry of what is no convolution; a doubling's gradient has y for x.
static const char *read_between(struct node *n, const struct tensor *in, struct geometry *g) {
	const struct tensor *x = &in[n->kind == kind_pool_grad];
	if (x->rank != 4 || x->shape[0] < 1) return "takes pictures [N,H,W,C]";
	memset(g, 0, sizeof *g);
	g->batch = x->shape[0], g->height = x->shape[1], g->width = x->shape[2], g->channels = g->features = x->shape[3];
	g->out_height = 2 * g->height, g->out_width = 2 * g->width;
	switch (n->kind) {
	case kind_double: return NULL;
	case kind_double_grad:
		if (g->height % 2 || g->width % 2) return "takes pictures of even sides";
		g->out_height = g->height, g->out_width = g->width;
		g->height /= 2, g->width /= 2;
		return NULL;
	default:
		for (int i = 0; i < 2; i++) g->kernel[i] = n->s.kernel[i], g->stride[i] = n->s.strides[i];
		for (int i = 0; i < 4; i++) {
			g->pads[i] = n->s.pads[i];
			if (g->pads[i] >= g->kernel[i % 2]) return "its windows may lie in the padding alone";
		}
		int64_t high = g->height + g->pads[0] + g->pads[2] - g->kernel[0], wide = g->width + g->pads[1] + g->pads[3] - g->kernel[1];
		if (high < 0 || wide < 0) return "its window does not fit its pictures";
		g->out_height = high / g->stride[0] + 1;
		g->out_width = wide / g->stride[1] + 1;
		return NULL;
	}
}

// read_geometry reads it from the picture and the kernel that go in.
static const char *read_geometry(struct node *n, const struct tensor *in, struct geometry *g) {
	if (n->kind >= kind_pool) return read_between(n, in, g);
	const struct tensor *x = &in[is_gradient(n->kind)], *w = x + 1; // gradients begin with that of the output
	if (x->rank != 4 || w->rank != 4) return "takes pictures [N,H,W,C] and a kernel [K,C/groups,h,w]";
	memset(g, 0, sizeof *g);
	*g = (struct geometry){.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2], .channels = x->shape[3], .features = w->shape[0], .groups = n->s.group};
	for (int i = 0; i < 2; i++) g->kernel[i] = w->shape[2 + i], g->stride[i] = n->s.strides[i];
	for (int i = 0; i < 4; i++) g->pads[i] = n->s.pads[i];
	int64_t high = g->height + g->pads[0] + g->pads[2] - g->kernel[0], wide = g->width + g->pads[1] + g->pads[3] - g->kernel[1];
	if (g->batch < 1 || high < 0 || wide < 0 || g->groups < 1 || g->features % g->groups || w->shape[1] * g->groups != g->channels)
		return "its kernel does not fit its pictures";
	g->out_height = high / g->stride[0] + 1;
	g->out_width = wide / g->stride[1] + 1;
	return NULL;
}

static struct tensor pictures(const struct geometry *g, int output) {
	if (output) return (struct tensor){.shape = {g->batch, g->out_height, g->out_width, g->features}, .rank = 4};
	return (struct tensor){.shape = {g->batch, g->height, g->width, g->channels}, .rank = 4};
}

static struct tensor channels(const struct geometry *g) { return (struct tensor){.shape = {g->features}, .rank = 1}; }

static struct tensor kernel(const struct geometry *g) {
	return (struct tensor){.shape = {g->features, g->channels / g->groups, g->kernel[0], g->kernel[1]}, .rank = 4};
}

static int same(const struct tensor *t, struct tensor want) {
	return t->rank == want.rank && !memcmp(t->shape, want.shape, want.rank * sizeof *t->shape);
}

const char *node_shapes(struct node *n, const struct tensor *in, struct tensor *out) {
	struct geometry g;
	int first = is_gradient(n->kind);
	const char *wrong = read_geometry(n, in, &g);
	if (wrong) return wrong;
	if (first && !same(&in[0], pictures(&g, 1))) return "the gradient does not have its output's shape";
	int normal = n->kind == kind_norm || n->kind == kind_norm_grad;
	if (normal && (!same(&in[first + 2], channels(&g)) || !same(&in[first + 3], channels(&g)))) return "scale and shift do not have its channels";
	switch (n->kind) {
	case kind_norm:
		out[0] = out[1] = pictures(&g, 1);
		out[2] = out[3] = channels(&g);
		break;
	case kind_act:
		if (in[2].data && !same(&in[2], channels(&g))) return "the bias does not have its channels";
		out[0] = out[1] = pictures(&g, 1);
		break;
	case kind_pool:
	case kind_double:
		out[0] = pictures(&g, 1);
		break;
	case kind_pool_grad:
	case kind_double_grad:
		out[0] = pictures(&g, 0);
		break;
	case kind_norm_grad:
		if (!same(&in[5], pictures(&g, 1)) || !same(&in[6], channels(&g)) || !same(&in[7], channels(&g))) return "what it keeps of its forward pass does not fit";
		out[0] = pictures(&g, 0);
		out[1] = kernel(&g);
		out[2] = out[3] = channels(&g);
		break;
	default:
		if (n->s.act != act_none && !same(&in[3], pictures(&g, 1))) return "what it keeps of its forward pass does not fit";
		out[0] = pictures(&g, 0);
		out[1] = kernel(&g);
		out[2] = channels(&g);
	}
	return NULL;
}

// prepare makes what this node needs for pictures of a size, once for all runs.
static const char *prepare(struct node *n) {
	const struct tensor *in = n->in;
	const char *reason = NULL;
	struct geometry g;
	int grad = is_gradient(n->kind);
	if ((reason = read_geometry(n, in, &g))) return reason;
	if (memcmp(&g, &n->g, sizeof g)) {
		forget(n);
		n->working = g.batch < n->threads ? (int)g.batch : n->threads;
		int64_t k = g.features;
		if (!(n->memory = malloc(k * (6 * sizeof(float) + n->working * 3 * sizeof(double))))) return "out of memory for its sums";
		double *d = n->memory;
		for (int t = 0; t < n->working; t++, d += 3 * k) n->moments[t] = (struct moments){.sum = d, .square = d + k, .pivot = d + 2 * k};
		float *f = (float *)d;
		n->affine = (struct affine){f, f + k, f + 2 * k};
		n->inverse = f + 3 * k, n->pull = f + 4 * k, n->push = f + 5 * k;
		n->g = g;
	}
	if (n->kind >= kind_pool) return NULL;
	if (!grad && !n->forward) {
		int fused = n->kind == kind_act && !n->out[1].data; // nobody asks for the sum before the activation
		n->forward = conv_make(conv_forward, &g, n->working, n->kind == kind_act && in[2].data, fused ? n->s.act : act_none, n->s.alpha, &reason);
		if (!n->forward) return reason;
	}
	if (grad && n->out[0].data && !n->to_input && !(n->to_input = conv_make(conv_to_input, &g, n->working, 0, act_none, 0, &reason))) return reason;
	if (grad && n->out[1].data && !n->to_kernel && !(n->to_kernel = conv_make(conv_to_kernel, &g, n->working, 0, act_none, 0, &reason))) return reason;
	return NULL;
}

// own is where a thread's pictures begin in the output, and how many rows of channels they are.
static float *own(struct node *n, struct worker *me, float *whole, int64_t *rows) {
	struct share s = share_of(n->g.batch, me->index, me->count);
	int64_t plane = n->g.out_height * n->g.out_width;
	*rows = s.count * plane;
	return whole ? whole + s.first * plane * n->g.features : NULL;
}

static void norm_forward(struct worker *me, void *argument) {
	struct node *n = argument;
	int64_t rows, k = n->g.features;
	struct share mine = share_of(k, me->index, me->count);
	conv_pictures(n->forward, me, n->in[0].data, n->in[1].data, NULL, n->out[1].data);
	float *z = own(n, me, n->out[1].data, &rows);
	loops_moments(z, rows, k, &n->moments[me->index]);
	pool_barrier(me);
	for (int64_t c = mine.first; c < mine.first + mine.count; c++) {
		// Chan's rule for the moments of several parts
		double count = 0, mean = 0, square = 0;
		for (int t = 0; t < me->count; t++) {
			struct moments *m = &n->moments[t];
			double part = m->sum[c] / m->rows, apart = m->pivot[c] + part - mean, all = count + m->rows;
			square += m->square[c] - m->rows * part * part + apart * apart * count * m->rows / all;
			mean += apart * m->rows / all;
			count = all;
		}
		double variance = square > 0 ? square / count : 0;
		n->out[2].data[c] = (float)mean;
		n->out[3].data[c] = (float)variance;
		n->affine.mean[c] = (float)mean;
		n->affine.slope[c] = (float)(n->in[2].data[c] / sqrt(variance + n->s.epsilon));
		n->affine.shift[c] = n->in[3].data[c];
	}
	pool_barrier(me);
	loops_activate(z, own(n, me, n->out[0].data, &rows), rows, k, &n->affine, n->s.act, n->s.alpha);
}

static void act_forward(struct worker *me, void *argument) {
	struct node *n = argument;
	float *sums = n->out[1].data ? n->out[1].data : n->out[0].data;
	conv_pictures(n->forward, me, n->in[0].data, n->in[1].data, n->in[2].data, sums);
	if (!n->out[1].data) return;
	int64_t rows, k = n->g.features;
	float *z = own(n, me, sums, &rows);
	loops_activate(z, own(n, me, n->out[0].data, &rows), rows, k, &n->affine, n->s.act, n->s.alpha);
}

// The gradient of what the convolution made is written over that: nobody reads it again.
static void norm_gradient(struct worker *me, void *argument) {
	struct node *n = argument;
	int64_t rows, k = n->g.features, all = n->g.batch * n->g.out_height * n->g.out_width;
	struct share mine = share_of(k, me->index, me->count);
	float *dy = own(n, me, n->in[0].data, &rows), *z = own(n, me, n->in[5].data, &rows);
	loops_gradient_sums(dy, z, rows, k, &n->affine, n->s.act, n->s.alpha, n->moments[me->index].sum, n->moments[me->index].square);
	pool_barrier(me);
	for (int64_t c = mine.first; c < mine.first + mine.count; c++) {
		double sum = 0, product = 0, inverse = n->inverse[c];
		for (int t = 0; t < me->count; t++) sum += n->moments[t].sum[c], product += n->moments[t].square[c];
		if (n->out[2].data) n->out[2].data[c] = (float)(product * inverse);
		if (n->out[3].data) n->out[3].data[c] = (float)sum;
		n->push[c] = (float)(n->affine.slope[c] * sum / all);
		n->pull[c] = (float)(n->affine.slope[c] * product * inverse * inverse / all);
	}
	if (!n->out[0].data && !n->out[1].data) return;
	pool_barrier(me);
	loops_gradient(dy, z, rows, k, &n->affine, n->pull, n->push, n->s.act, n->s.alpha);
	if (n->out[0].data) conv_pictures(n->to_input, me, n->out[0].data, n->in[2].data, NULL, n->in[5].data);
	if (n->out[1].data) conv_kernel(n->to_kernel, me, n->in[1].data, n->in[5].data, n->out[1].data);
}

static void act_gradient(struct worker *me, void *argument) {
	struct node *n = argument;
	int64_t rows, k = n->g.features;
	float *whole = n->s.act == act_none ? n->in[0].data : n->in[3].data; // the gradient of the sums
	float *dy = own(n, me, n->in[0].data, &rows), *z = own(n, me, whole, &rows);
	if (n->s.act != act_none || n->out[2].data)
		loops_plain_gradient(dy, z, z, rows, k, n->s.act, n->s.alpha, n->out[2].data ? n->moments[me->index].sum : NULL);
	if (n->out[2].data) {
		pool_barrier(me);
		struct share mine = share_of(k, me->index, me->count);
		for (int64_t c = mine.first; c < mine.first + mine.count; c++) {
			double sum = 0;
			for (int t = 0; t < me->count; t++) sum += n->moments[t].sum[c];
			n->out[2].data[c] = (float)sum;
		}
	}
	if (n->out[0].data) conv_pictures(n->to_input, me, n->out[0].data, n->in[2].data, NULL, whole);
	if (n->out[1].data) conv_kernel(n->to_kernel, me, n->in[1].data, whole, n->out[1].data);
}

static void pool_forward(struct worker *me, void *argument) {
	struct node *n = argument;
	pictures_pool(&n->g, share_of(n->g.batch, me->index, me->count), n->in[0].data, n->out[0].data);
}

static void pool_gradient(struct worker *me, void *argument) {
	struct node *n = argument;
	pictures_pool_gradient(&n->g, share_of(n->g.batch, me->index, me->count), n->in[0].data, n->in[1].data, n->out[0].data);
}

static void double_forward(struct worker *me, void *argument) {
	struct node *n = argument;
	pictures_double(&n->g, share_of(n->g.batch, me->index, me->count), n->in[0].data, n->out[0].data);
}

static void double_gradient(struct worker *me, void *argument) {
	struct node *n = argument;
	pictures_double_gradient(&n->g, share_of(n->g.batch, me->index, me->count), n->in[0].data, n->out[0].data);
}

// settle fills in the channels' parameters that are known before the threads start.
static void settle(struct node *n) {
	for (int64_t c = 0; c < n->g.features; c++) {
		if (n->kind == kind_norm_grad) {
			double inverse = 1 / sqrt((double)n->in[7].data[c] + n->s.epsilon);
			n->affine.mean[c] = n->in[6].data[c];
			n->inverse[c] = (float)inverse;
			n->affine.slope[c] = (float)(n->in[3].data[c] * inverse);
			n->affine.shift[c] = n->in[4].data[c];
		} else if (n->kind == kind_act) {
			n->affine.mean[c] = n->affine.shift[c] = 0;
			n->affine.slope[c] = 1;
		}
	}
}

const char *node_run(struct node *n, const struct tensor *in, struct tensor *out) {
	static void (*const work[kinds])(struct worker *, void *) = {norm_forward, norm_gradient, act_forward, act_gradient,
		pool_forward, pool_gradient, double_forward, double_gradient};
	pthread_mutex_lock(&n->lock);
	n->in = in;
	n->out = out;
	const char *wrong = prepare(n);
	if (!wrong) {
		settle(n);
		wrong = pool_run(n->working, work[n->kind], n);
		const struct conv *convs[] = {n->forward, n->to_input, n->to_kernel};
		for (int i = 0; i < 3 && !wrong; i++) wrong = conv_failed(convs[i]);
	}
	pthread_mutex_unlock(&n->lock);
	return wrong;
}
