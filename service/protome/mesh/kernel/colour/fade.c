/* Fade the photo towards what is not seen, so that no edge shows there. */

#include <stdlib.h>

#include "../wide.h"
#include "grid.h"
#include "texture.h"

/* Teeth lie deep between the lips, half hidden by the test of depth: so much of their weight is
   taken. */
static const float TEETH = 2.5F;
/* Nodes over which the photo fades on either side of where it is last seen. */
static const gr_kernel FADE = {1, {1.0F / 3, 1.0F / 3}};
static const gr_kernel MOUTH = {3, {1.0F / 7, 1.0F / 7, 1.0F / 7, 1.0F / 7}};

static inline float least(float a, float b) { return a < b ? a : b; }

/* Rows of cells that have a part of the mouth. */
static void find_rows(const uint8_t *mouth, size_t cells, size_t rows[2]) {
    rows[0] = rows[1] = 0;
    for (size_t k = 0; k < cells * cells; k++) {
        if (!mouth[k]) continue;
        if (!rows[1]) rows[0] = k / cells;
        rows[1] = k / cells + 1;
    }
}

/* Set the weights of a row's nodes in the mouth. */
static void fade_mouth(const float *smooth, const uint8_t *mouth, size_t block, size_t nodes,
                       float *out) {
    for (size_t x = 0; x < nodes; x++)
        if (mouth[x / block]) out[3 * x + 2] = least(TEETH * smooth[x], 1);
}

int tx_fade(float *trace, size_t nodes, const uint8_t *mouth, size_t cells) {
    const size_t count = nodes * nodes, block = nodes / cells;
    float *plain = malloc(3 * count * sizeof *plain), *smooth = plain + count;
    float *room = smooth + count;
    size_t rows[2];
    if (!plain) return 0;
    for (size_t k = 0; k < count; k++) plain[k] = trace[3 * k + 2];
    /* Folds of skin, as at the corners of the eyes, are too narrow to be seen. */
    gr_dilate(plain, nodes, room, smooth);
    gr_erode(smooth, nodes, room, plain);
    gr_blur(plain, nodes, &FADE, room, smooth);
    for (size_t k = 0; k < count; k++) trace[3 * k + 2] = least(smooth[k], plain[k]);
    find_rows(mouth, cells, rows);
    gr_blur_rows(plain, nodes, block * rows[0], block * rows[1], &MOUTH, room, smooth);
    for (size_t y = block * rows[0]; y < block * rows[1]; y++)
        fade_mouth(smooth + nodes * y, mouth + cells * (y / block), block, nodes,
                   trace + 3 * nodes * y);
    free(plain);
    return 1;
}
