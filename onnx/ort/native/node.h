// The operators of domain yolofreeze (package onnx/op says what they mean), on
// tensors in the host's memory. No ONNX Runtime in here.
#ifndef YOLOFREEZE_NATIVE_NODE_H
#define YOLOFREEZE_NATIVE_NODE_H

#include "conv.h"

enum kind { kind_norm, kind_norm_grad, kind_act, kind_act_grad, kind_pool, kind_pool_grad, kind_double, kind_double_grad, kinds };

struct settings { // a node's attributes: a pool has kernel to pads, a doubling none
	int64_t kernel[2], strides[2], pads[4], group;
	float epsilon, alpha;
	enum activation act;
};

struct tensor { // data NULL: an input or output that is left out
	float *data;
	int64_t shape[4];
	int rank;
};

struct node;

struct node *node_make(enum kind, const struct settings *, int threads);
void node_free(struct node *);

// node_shapes fills in the shapes of all outputs from those of the inputs. It
// returns NULL, or what is wrong with these.
const char *node_shapes(struct node *, const struct tensor *in, struct tensor *out);
// node_run computes; it returns NULL, or why it could not.
const char *node_run(struct node *, const struct tensor *in, struct tensor *out);

#endif
