//go:build !windows

#include "products.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

enum {
	lanes = 8,
	features_most = 2 * lanes, // of a tile
	numbers_most = 6,
	block = 256, // pixels that are summed before they are added to the whole: they stay in the cache, and sums short
	packed_least = 64 // features: with as many, pixels lie so far apart that they are worth being packed
};

typedef float vector __attribute__((vector_size(4 * lanes), aligned(4), may_alias));

// A region of the output's pixels, and where pixel and row begin in both tensors.
struct region {
	const float *x, *dy;
	int64_t pictures, rows, pixels;
	int64_t x_picture, x_row, x_pixel, dy_picture, dy_row, dy_pixel;
};

// tile adds up, over a region, some numbers of each pixel of x times 16 features of dy: as
// many sums as there are registers for.
static inline __attribute__((always_inline)) void tile(const struct region *r, int64_t features, float *sum, const int numbers) {
	vector left[numbers_most] = {{0}}, right[numbers_most] = {{0}};
	for (int64_t n = 0; n < r->pictures; n++)
		for (int64_t row = 0; row < r->rows; row++) {
			const float *x = r->x + n * r->x_picture + row * r->x_row, *dy = r->dy + n * r->dy_picture + row * r->dy_row;
			for (int64_t p = 0; p < r->pixels; p++, x += r->x_pixel, dy += r->dy_pixel) {
				vector a = *(const vector *)dy, b = *(const vector *)(dy + lanes);
#pragma GCC unroll 6
				for (int i = 0; i < numbers; i++) left[i] += x[i] * a, right[i] += x[i] * b;
			}
		}
#pragma GCC unroll 6
	for (int i = 0; i < numbers; i++) {
		*(vector *)(sum + i * features) += left[i];
		*(vector *)(sum + i * features + lanes) += right[i];
	}
}

__attribute__((target("avx2,fma"))) static void tile_of(const struct region *r, int64_t features, float *sum, int numbers) {
	switch (numbers) {
	case 1: tile(r, features, sum, 1); break;
	case 2: tile(r, features, sum, 2); break;
	case 3: tile(r, features, sum, 3); break;
	case 4: tile(r, features, sum, 4); break;
	case 5: tile(r, features, sum, 5); break;
	case 6: tile(r, features, sum, 6);
	}
}

// pack copies some numbers of each pixel of a region, from a place in its first pixel on. It
// copies whole vectors: what is too much of one, the next pixel's numbers take the place of,
// but behind the last pixel of a row, where nothing may be read.
static inline __attribute__((always_inline)) void pack(const struct region *r, const float *from, int64_t picture, int64_t row, int64_t pixel, int numbers, int vectors, float *to) {
	for (int64_t n = 0; n < r->pictures; n++)
		for (int64_t y = 0; y < r->rows; y++) {
			const float *at = from + n * picture + y * row;
			for (int64_t p = 1; p < r->pixels; p++, to += numbers, at += pixel)
				for (int i = 0; i < vectors; i++) ((vector *)to)[i] = ((const vector *)at)[i];
			memcpy(to, at, numbers * sizeof *to);
			to += numbers;
		}
}

// gradient adds a region's part of all rows of the kernel, each [w·C, K]; line is how far
// apart the rows are in x.
__attribute__((target("avx2,fma"))) static void gradient(const struct geometry *g, struct region r, int64_t line, float *sum, float *packs) {
	int64_t pixels = r.pictures * r.rows * r.pixels, k = g->features, numbers = g->kernel[1] * g->channels;
	int64_t tiles = (numbers + numbers_most - 1) / numbers_most; // as even as can be
	int packed = k >= packed_least;
	float *features = packs + numbers_most * pixels; // packed, by tiles
	for (int64_t at = 0; packed && at < k; at += features_most) pack(&r, r.dy + at, r.dy_picture, r.dy_row, r.dy_pixel, features_most, 2, features + at * pixels);
	for (int64_t row = 0; row < g->kernel[0]; row++)
		for (int64_t i = 0; i < tiles; i++) {
			struct share s = share_of(numbers, (int)i, (int)tiles);
			struct region part = r;
			part.x += row * line + s.first;
			if (packed) {
				pack(&r, part.x, r.x_picture, r.x_row, r.x_pixel, (int)s.count, 1, packs);
				part = (struct region){.x = packs, .pictures = 1, .rows = 1, .pixels = pixels, .x_pixel = s.count, .dy_pixel = features_most};
			}
			for (int64_t at = 0; at < k; at += features_most) {
				part.dy = packed ? features + at * pixels : r.dy + at;
				tile_of(&part, k, sum + (row * numbers + s.first) * k + at, (int)s.count);
			}
		}
}

int products_fit(const struct geometry *g) {
	// With AVX-512, with single pixels or with few channels oneDNN is as fast.
	return g->groups == 1 && g->kernel[0] * g->kernel[1] > 1 && g->channels >= lanes && g->features % features_most == 0 && __builtin_cpu_supports("avx2") &&
	       __builtin_cpu_supports("fma") && !__builtin_cpu_supports("avx512f");
}

// How many rows of the output a block has, and of how many pictures.
static int64_t block_rows(const struct geometry *g) {
	int64_t rows = block / g->out_width;
	return rows < 1 ? 1 : rows < g->out_height ? rows : g->out_height;
}
static int64_t block_pictures(const struct geometry *g, int64_t pictures) {
	int64_t n = block / (g->out_width * g->out_height);
	return n < 1 ? 1 : n < pictures ? n : pictures;
}

static size_t gradient_size(const struct geometry *g) { return g->kernel[0] * g->kernel[1] * g->channels * g->features; }

// padded_size is that of the rows that a block of the output sees, and of their padding.
static size_t padded_size(const struct geometry *g, int64_t pictures) {
	int64_t rows = (block_rows(g) - 1) * g->stride[0] + g->kernel[0];
	return block_pictures(g, pictures) * rows * (g->width + g->pads[1] + g->pads[3]) * g->channels;
}

size_t products_scratch(const struct geometry *g, int64_t pictures) {
	int64_t pixels = block_pictures(g, pictures) * block_rows(g) * g->out_width;
	return gradient_size(g) + padded_size(g, pictures) + pixels * (numbers_most + g->features);
}

// pad copies rows of a picture, from first on, with their padding; rows beyond it are zero.
static void pad(const struct geometry *g, const float *picture, int64_t first, int64_t rows, float *to) {
	int64_t line = g->width * g->channels, left = g->pads[1] * g->channels, right = g->pads[3] * g->channels;
	for (int64_t y = first; y < first + rows; y++, to += left + line + right) {
		if (y < 0 || y >= g->height) {
			memset(to, 0, (left + line + right) * sizeof *to);
			continue;
		}
		memset(to, 0, left * sizeof *to);
		memcpy(to + left, picture + y * line, line * sizeof *to);
		memset(to + left + line, 0, right * sizeof *to);
	}
}

void products_kernel(const struct geometry *g, struct share pictures, const float *x, const float *dy, float *sum) {
	int64_t picture = g->height * g->width * g->channels, plane = g->out_height * g->out_width, k = g->features;
	memset(sum, 0, gradient_size(g) * sizeof *sum);
	x += pictures.first * picture;
	dy += pictures.first * plane * k;
	float *padded = sum + gradient_size(g);
	int64_t line = (g->width + g->pads[1] + g->pads[3]) * g->channels, most_rows = block_rows(g), most = block_pictures(g, pictures.count);
	for (int64_t n = 0; n < pictures.count; n += most)
		for (int64_t y = 0; y < g->out_height; y += most_rows) {
			int64_t count = pictures.count - n < most ? pictures.count - n : most, rows = g->out_height - y < most_rows ? g->out_height - y : most_rows;
			int64_t high = (rows - 1) * g->stride[0] + g->kernel[0];
			for (int64_t i = 0; i < count; i++) pad(g, x + (n + i) * picture, y * g->stride[0] - g->pads[0], high, padded + i * high * line);
			struct region r = {.x = padded, .dy = dy + (n * plane + y * g->out_width) * k, .pictures = count, .rows = rows, .pixels = g->out_width,
				.x_picture = high * line, .x_row = g->stride[0] * line, .x_pixel = g->stride[1] * g->channels,
				.dy_picture = plane * k, .dy_row = g->out_width * k, .dy_pixel = k};
			gradient(g, r, line, sum, padded + padded_size(g, pictures.count));
		}
}

int64_t products_blocks(const struct geometry *g) { return g->features / features_most; }

void products_sum(const struct geometry *g, float *const *gradients, int threads, struct share blocks, float *dw) {
	int64_t taps = g->kernel[0] * g->kernel[1], k = g->features;
	for (int64_t b = blocks.first; b < blocks.first + blocks.count; b++)
		for (int64_t c = 0; c < g->channels; c++)
			for (int64_t tap = 0; tap < taps; tap++) {
				int64_t at = (tap * g->channels + c) * k + b * features_most;
				float sum[features_most];
				memcpy(sum, gradients[0] + at, sizeof sum);
				for (int t = 1; t < threads; t++)
					for (int i = 0; i < features_most; i++) sum[i] += gradients[t][at + i];
				for (int i = 0; i < features_most; i++) dw[((b * features_most + i) * g->channels + c) * taps + tap] = sum[i];
			}
}

#else // fit nowhere: conv.c never comes to the others

int products_fit(const struct geometry *g) { return (void)g, 0; }
size_t products_scratch(const struct geometry *g, int64_t pictures) { return (void)g, (void)pictures, 0; }
void products_kernel(const struct geometry *g, struct share pictures, const float *x, const float *dy, float *scratch) {
	(void)g, (void)pictures, (void)x, (void)dy, (void)scratch;
}
int64_t products_blocks(const struct geometry *g) { return (void)g, 0; }
void products_sum(const struct geometry *g, float *const *gradients, int threads, struct share blocks, float *dw) {
	(void)g, (void)gradients, (void)threads, (void)blocks, (void)dw;
}

#endif
