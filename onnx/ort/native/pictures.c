//go:build !windows

#include "versions.h"

#include "pictures.h"

#include <string.h>

// A window's taps that lie in the picture: rows and columns from first to last, and the pixel
// that the first would be.
struct taps {
	int64_t top, left, row_first, row_last, column_first, column_last;
};

static struct taps taps_of(const struct geometry *g, int64_t i, int64_t j) {
	int64_t top = i * g->stride[0] - g->pads[0], left = j * g->stride[1] - g->pads[1];
	return (struct taps){top, left, top < 0 ? -top : 0, g->height - top < g->kernel[0] ? g->height - top : g->kernel[0],
		left < 0 ? -left : 0, g->width - left < g->kernel[1] ? g->width - left : g->kernel[1]};
}

// TAPS goes through them, by rows; at is where the pixel begins.
#define TAPS(STATEMENTS) \
	for (int64_t a = t.row_first; a < t.row_last; a++) \
		for (int64_t b = t.column_first; b < t.column_last; b++) { \
			int64_t at = ((t.top + a) * g->width + t.left + b) * channels; \
			STATEMENTS \
		}

// OUTPUTS goes through the pixels of a share's outputs, to is where each begins.
#define OUTPUTS(STATEMENTS) \
	const int64_t channels = g->channels, picture = g->height * g->width * channels; \
	x += mine.first * picture; \
	int64_t to = mine.first * g->out_height * g->out_width * channels; \
	for (int64_t n = 0; n < mine.count; n++, x += picture) \
		for (int64_t i = 0; i < g->out_height; i++) \
			for (int64_t j = 0; j < g->out_width; j++, to += channels) { \
				struct taps t = taps_of(g, i, j); \
				STATEMENTS \
			}

VERSIONS void pictures_pool(const struct geometry *g, struct share mine, const float *x, float *y) {
	OUTPUTS(
		float *restrict best = y + to;
		memcpy(best, x + ((t.top + t.row_first) * g->width + t.left + t.column_first) * channels, channels * sizeof *best);
		TAPS(const float *v = x + at; for (int64_t c = 0; c < channels; c++) best[c] = v[c] > best[c] ? v[c] : best[c];))
}

VERSIONS void pictures_pool_gradient(const struct geometry *g, struct share mine, const float *dy, const float *x, float *dx) {
	float best[g->channels];
	int32_t place[g->channels];
	dx += mine.first * g->height * g->width * g->channels;
	memset(dx, 0, mine.count * g->height * g->width * g->channels * sizeof *dx);
	OUTPUTS(
		const float *restrict from = dy + to;
		float *sums = dx + n * picture;
		int32_t tap = 0;
		memcpy(best, x + ((t.top + t.row_first) * g->width + t.left + t.column_first) * channels, sizeof best);
		memset(place, 0, sizeof place);
		TAPS(
			const float *v = x + at;
			for (int64_t c = 0; c < channels; c++) {
				place[c] = v[c] > best[c] ? tap : place[c];
				best[c] = v[c] > best[c] ? v[c] : best[c];
			}
			tap++;)
		tap = 0;
		TAPS(
			float *restrict sum = sums + at;
			for (int64_t c = 0; c < channels; c++) sum[c] += place[c] == tap ? from[c] : 0;
			tap++;))
}

void pictures_double(const struct geometry *g, struct share mine, const float *x, float *y) {
	int64_t pixel = g->channels, line = g->out_width * pixel, rows = mine.count * g->height;
	x += mine.first * g->height * g->width * pixel;
	y += mine.first * g->out_height * line;
	for (int64_t i = 0; i < rows; i++, y += 2 * line) {
		for (int64_t j = 0; j < 2 * g->width; j++) memcpy(y + j * pixel, x + (i * g->width + j / 2) * pixel, pixel * sizeof *y);
		memcpy(y + line, y, line * sizeof *y);
	}
}

VERSIONS void pictures_double_gradient(const struct geometry *g, struct share mine, const float *dy, float *dx) {
	int64_t pixel = g->channels, line = g->out_width * pixel, rows = mine.count * g->height;
	dx += mine.first * g->height * g->width * pixel;
	dy += mine.first * g->out_height * line;
	for (int64_t i = 0; i < rows; i++, dy += 2 * line)
		for (int64_t j = 0; j < g->width; j++, dx += pixel) {
			const float *restrict a = dy + 2 * j * pixel, *restrict b = a + line;
			for (int64_t c = 0; c < pixel; c++) dx[c] = (a[c] + a[pixel + c]) + (b[c] + b[pixel + c]);
		}
}
