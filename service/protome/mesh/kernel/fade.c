/* Fade the photo towards what is not seen, so that no edge shows there. */

#include <stdlib.h>

#include "grid.h"
#include "texture.h"
#include "wide.h"

/* Teeth lie deep between the lips, half hidden by the test of depth: so much of their weight is
   taken. */
static const float TEETH = 2.5F;
/* Nodes over which the photo fades on either side of where it is last seen. */
static const gr_kernel SKIN = {2, {0.2F, 0.2F, 0.2F}}, HAIR = {1, {1.0F / 3, 1.0F / 3}};
static const gr_kernel MOUTH = {3, {1.0F / 7, 1.0F / 7, 1.0F / 7, 1.0F / 7}};

static const gr_kernel *const KERNELS[] = {&HAIR, &SKIN, &MOUTH};
enum { KINDS = TX_FADE_MOUTH + 1 };

static inline float least(float a, float b) { return a < b ? a : b; }

/* Rows of cells that have a kind. */
static void find_rows(const uint8_t *kinds, size_t cells, uint8_t kind, size_t rows[2]) {
    rows[0] = rows[1] = 0;
    for (size_t k = 0; k < cells * cells; k++) {
        if (kinds[k] != kind) continue;
        if (!rows[1]) rows[0] = k / cells;
        rows[1] = k / cells + 1;
    }
}

/* Set the weights of a row of nodes from the plain ones and those smoothed for each kind. */
static WIDE void fade_row(const float *restrict plain, float *const smooth[KINDS],
                          const uint8_t *restrict kinds, size_t at, size_t nodes,
                          float *restrict out) {
    const float *hair = smooth[TX_FADE_HAIR] + at, *skin = smooth[TX_FADE_SKIN] + at;
    const float *mouth = smooth[TX_FADE_MOUTH] + at;
    for (size_t x = 0; x < nodes; x++) {
        const float wide = 2 * skin[x] - 1, teeth = least(TEETH * mouth[x], 1);
        const float on_skin = least(wide > 0 ? wide : 0, plain[x]);
        const float on_hair = least(hair[x], plain[x]);
        out[x] = kinds[x] == TX_FADE_MOUTH ? teeth : kinds[x] == TX_FADE_SKIN ? on_skin : on_hair;
    }
}

int tx_fade(float *trace, size_t nodes, const uint8_t *kinds, size_t cells) {
    const size_t count = nodes * nodes, block = nodes / cells;
    float *plain = malloc(5 * count * sizeof *plain), *room = plain + count;
    uint8_t *wide = malloc(nodes);
    if (!plain || !wide) return free(plain), free(wide), 0;
    float *const smooth[KINDS] = {room + count, room + 2 * count, room + 3 * count};
    for (size_t k = 0; k < count; k++) plain[k] = trace[3 * k + 2];
    /* Folds of skin, as at the corners of the eyes, are too narrow to be seen. */
    gr_dilate(plain, nodes, room, smooth[0]);
    gr_erode(smooth[0], nodes, room, plain);
    for (uint8_t kind = 0; kind < KINDS; kind++) {
        size_t rows[2];
        find_rows(kinds, cells, kind, rows);
        gr_blur_rows(plain, nodes, block * rows[0], block * rows[1], KERNELS[kind], room,
                     smooth[kind]);
    }
    for (size_t y = 0; y < nodes; y++) {
        for (size_t x = 0; x < nodes && y % block == 0; x++)
            wide[x] = kinds[cells * (y / block) + x / block];
        fade_row(plain + nodes * y, smooth, wide, nodes * y, nodes, room);
        for (size_t x = 0; x < nodes; x++) trace[3 * (nodes * y + x) + 2] = room[x];
    }
    free(plain);
    free(wide);
    return 1;
}
