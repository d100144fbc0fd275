// Convolutions by oneDNN over channels-last pictures, each thread on its own
// pictures of the batch. Kernels come and go as PyTorch keeps them,
// [K, C/groups, h, w], and are re-laid at each use.
#ifndef YOLOFREEZE_NATIVE_CONV_H
#define YOLOFREEZE_NATIVE_CONV_H

#include "loops.h"
#include "pool.h"

struct geometry {
	int64_t batch, height, width, channels; // of the input
	int64_t out_height, out_width, features;
	int64_t kernel[2], stride[2], pads[4], groups; // pads: top, left, bottom, right
};

// share is which pictures of a batch a thread works on, or channels, or numbers of a kernel;
// there are no more threads than pictures.
struct share {
	int64_t first, count;
};
struct share share_of(int64_t whole, int thread, int threads);

// A convolution in one direction, for the shares of all threads.
struct conv;
enum direction { conv_forward, conv_to_input, conv_to_kernel };

// conv_make returns NULL and a reason where oneDNN has no such convolution. With
// forward, act is applied to the output, and a bias [K] is added where biased.
struct conv *conv_make(enum direction, const struct geometry *, int threads, int biased, enum activation act, float alpha, const char **reason);
void conv_free(struct conv *);
const char *conv_failed(const struct conv *); // why some work was not done, or NULL; there may be no conv

// Inside pool_run, by every thread; each waits for the others where it must.
// forward: y = x * w + bias; to input: x = the gradient for y.
// x and y are whole batches.
void conv_pictures(struct conv *, struct worker *, float *x, const float *w, const float *bias, float *y);
// dw = the kernel's gradient for the input x and the output's gradient dy.
void conv_kernel(struct conv *, struct worker *, const float *x, const float *dy, float *dw);

#endif
