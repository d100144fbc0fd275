// What stands between layers, over channels-last pictures: the largest of each window, and
// pixels repeated to blocks of 2×2. Each is compiled for several instruction sets.
#ifndef YOLOFREEZE_NATIVE_PICTURES_H
#define YOLOFREEZE_NATIVE_PICTURES_H

#include "conv.h"

// All work on a share of the batch; x, y and their gradients are whole batches.
void pictures_pool(const struct geometry *, struct share, const float *x, float *y);
// The gradient goes to the largest; of equals to the first by rows, then columns.
void pictures_pool_gradient(const struct geometry *, struct share, const float *dy, const float *x, float *dx);
void pictures_double(const struct geometry *, struct share, const float *x, float *y);
void pictures_double_gradient(const struct geometry *, struct share, const float *dy, float *dx);

#endif
