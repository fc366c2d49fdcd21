/* Make photos as gather.c and blend.c read them. */

#include <string.h>

#include "../wide.h"
#include "photo.h"

void tx_pixels(const uint8_t *channels, size_t count, uint32_t *pixels) {
    if (!count) return;
    for (size_t k = 0; k + 1 < count; k++) {
        uint32_t pixel; /* with the next one's red */
        memcpy(&pixel, channels + 3 * k, sizeof pixel);
        pixels[k] = pixel & 0xffffff;
    }
    const uint8_t *last = channels + 3 * (count - 1);
    pixels[count - 1] = (uint32_t)(last[0] | last[1] << 8 | last[2] << 16);
}

WIDE void tx_halve(const tx_photo *photo, uint32_t *out) {
    const size_t height = photo->height / 2, width = photo->width / 2;
    for (size_t y = 0; y < height; y++, out += width) {
        const uint32_t *above = photo->pixels + 2 * y * photo->width;
        const uint32_t *below = above + photo->width;
        for (size_t x = 0; x < width; x++) {
            const uint32_t a = above[2 * x], b = above[2 * x + 1];
            const uint32_t c = below[2 * x], d = below[2 * x + 1], others = 0xff00ff;
            const uint32_t both = (a & others) + (b & others) + (c & others) + (d & others);
            const uint32_t green =
                (a >> 8 & 255) + (b >> 8 & 255) + (c >> 8 & 255) + (d >> 8 & 255);
            out[x] = ((both + 0x20002) >> 2 & others) | ((green + 2) >> 2) << 8;
        }
    }
}
