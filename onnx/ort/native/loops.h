// The passes between convolutions, over rows of channels (NHWC: all pixels of
// some pictures, flattened). Each is compiled for several instruction sets; the
// loader takes the best one that the processor has.
#ifndef YOLOFREEZE_NATIVE_LOOPS_H
#define YOLOFREEZE_NATIVE_LOOPS_H

#include <stdint.h>

enum activation { act_none, act_silu, act_relu, act_leaky, act_hardswish };

// What normalising a channel takes: y = act((z - mean)·slope + shift).
struct affine {
	float *mean, *slope, *shift; // [channels]
};

// Sums over rows, per channel: of deviations from a pivot, and of their squares.
struct moments {
	double *sum, *square, *pivot; // [channels]
	int64_t rows;
};

void loops_moments(const float *z, int64_t rows, int64_t channels, struct moments *out);

// y may be z.
void loops_activate(const float *z, float *y, int64_t rows, int64_t channels, const struct affine *a, enum activation act, float alpha);

// Sums of g = dy·act'(…), and of g·(z - mean), per channel.
void loops_gradient_sums(const float *dy, const float *z, int64_t rows, int64_t channels, const struct affine *a, enum activation act, float alpha,
	double *sum, double *product);

// dz = slope·g - (z - mean)·pull - push, written over z.
void loops_gradient(const float *dy, float *z, int64_t rows, int64_t channels, const struct affine *a, const float *pull, const float *push,
	enum activation act, float alpha);

// dz = dy·act'(z), and its sums per channel where sum is not NULL; dz may be NULL.
void loops_plain_gradient(const float *dy, const float *z, float *dz, int64_t rows, int64_t channels, enum activation act, float alpha, double *sum);

// to[i] += from[i]
void loops_add(float *to, const float *from, int64_t count);

#endif
