// The gradient of a kernel by products of our own: for each of its rows, what the
// pictures have there times the output's gradient, pixel by pixel, in registers.
// Channels-last pictures need no re-laying for that.
#ifndef YOLOFREEZE_NATIVE_PRODUCTS_H
#define YOLOFREEZE_NATIVE_PRODUCTS_H

#include "conv.h"

// products_fit tells whether a convolution's shape and this processor are fit for them.
int products_fit(const struct geometry *);

// products_scratch is how many floats a thread needs for some pictures: the gradient,
// [h, w, C, K], comes first.
size_t products_scratch(const struct geometry *, int64_t pictures);

// products_kernel computes the gradient of some pictures into scratch.
void products_kernel(const struct geometry *, struct share pictures, const float *x, const float *dy, float *scratch);

// products_sum adds the gradients of all threads up to dw, [K, C, h, w], for a share of
// its products_blocks.
int64_t products_blocks(const struct geometry *);
void products_sum(const struct geometry *, float *const *gradients, int threads, struct share blocks, float *dw);

#endif
