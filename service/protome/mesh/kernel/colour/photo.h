/* Read colours of a photo: what gather.c, band.c and blend.c share. */

#ifndef PROTOME_PHOTO_H
#define PROTOME_PHOTO_H

#include "texture.h"

/* Points of the photo and weights are 16.16; shares are of ONE. */
enum { FRACTION = 7, ONE = 1 << FRACTION, WHOLE = 1 << 16, HALF_WHOLE = WHOLE / 2, COLOURS = 3 };

static inline int32_t within(int32_t value, int32_t limit) {
    return value < 0 ? 0 : value > limit ? limit : value;
}

/* Between two pairs of channels, in bits 0 to 7 and 16 to 23, ``share`` of ONE from the first. */
static inline uint32_t between(uint32_t first, uint32_t second, uint32_t share) {
    return ((first << FRACTION) + (second - first) * share) >> FRACTION & 0xff00ff;
}

/* Bilinear samples at points of the photo, 16.16 pixels; red is the lowest byte. */
static inline void sample(const tx_photo *photo, const int32_t *x, const int32_t *y, size_t count,
                          uint32_t *restrict colours) {
    const int32_t stride = (int32_t)photo->width;
    const int32_t most_x = (int32_t)((photo->width - 1) << 16) - 1;
    const int32_t most_y = (int32_t)((photo->height - 1) << 16) - 1;
    const uint32_t *above = photo->pixels, *below = above + stride;
    for (size_t k = 0; k < count; k++) {
        const int32_t at_x = within(x[k], most_x), at_y = within(y[k], most_y);
        const uint32_t right = (uint32_t)(at_x >> (16 - FRACTION) & (ONE - 1));
        const uint32_t down = (uint32_t)(at_y >> (16 - FRACTION) & (ONE - 1));
        const int32_t at = (at_y >> 16) * stride + (at_x >> 16);
        const uint32_t a = above[at], b = above[at + 1], c = below[at], d = below[at + 1];
        /* Red with blue; green of the upper pixels with that of the lower ones. */
        const uint32_t upper = between(a & 0xff00ff, b & 0xff00ff, right);
        const uint32_t lower = between(c & 0xff00ff, d & 0xff00ff, right);
        const uint32_t green = between((a >> 8 & 0xff) | (c << 8 & 0xff0000),
                                       (b >> 8 & 0xff) | (d << 8 & 0xff0000), right);
        colours[k] = between(upper, lower, down) | between(green & 0xff, green >> 16, down) << 8;
    }
}

#endif
