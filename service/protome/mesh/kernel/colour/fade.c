/* Fade the photo towards what is not seen, so that no edge shows there. */

#include <stdlib.h>

#include "../wide.h"
#include "grid.h"
#include "texture.h"

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

/* Set the weights of those nodes of a row that are of a kind, from the plain ones and those
   smoothed for it. */
static WIDE void fade_row(const float *restrict plain, const float *restrict smooth, uint8_t kind,
                          const uint8_t *restrict kinds, size_t nodes, float *restrict out) {
    const float scale = kind == TX_FADE_MOUTH ? TEETH : kind == TX_FADE_SKIN ? 2 : 1;
    const float less = kind == TX_FADE_SKIN ? 1 : 0;
    const int whole = kind == TX_FADE_MOUTH;
    for (size_t x = 0; x < nodes; x++) {
        const float value = scale * smooth[x] - less, above = value > 0 ? value : 0;
        const float weight = least(above, whole ? 1 : plain[x]);
        out[x] = kinds[x] == kind ? weight : out[x];
    }
}

/* Fade the nodes of a kind: its rows of cells only. */
static void fade_kind(const float *plain, size_t nodes, const uint8_t *kinds, size_t cells,
                      uint8_t kind, float *room, float *out) {
    const size_t block = nodes / cells;
    float *smooth = room + nodes * nodes;
    uint8_t wide[GR_MOST_SIDE];
    size_t rows[2];
    find_rows(kinds, cells, kind, rows);
    gr_blur_rows(plain, nodes, block * rows[0], block * rows[1], KERNELS[kind], room, smooth);
    for (size_t y = block * rows[0]; y < block * rows[1]; y++) {
        for (size_t x = 0; x < nodes && y % block == 0; x++)
            wide[x] = kinds[cells * (y / block) + x / block];
        fade_row(plain + nodes * y, smooth + nodes * y, kind, wide, nodes, out + nodes * y);
    }
}

int tx_fade(float *trace, size_t nodes, const uint8_t *kinds, size_t cells) {
    const size_t count = nodes * nodes;
    float *plain = malloc(4 * count * sizeof *plain), *out = plain + count, *room = out + count;
    if (!plain) return 0;
    for (size_t k = 0; k < count; k++) plain[k] = trace[3 * k + 2];
    /* Folds of skin, as at the corners of the eyes, are too narrow to be seen. */
    gr_dilate(plain, nodes, room, out);
    gr_erode(out, nodes, room, plain);
    for (uint8_t kind = 0; kind < KINDS; kind++)
        fade_kind(plain, nodes, kinds, cells, kind, room, out);
    for (size_t k = 0; k < count; k++) trace[3 * k + 2] = out[k];
    free(plain);
    return 1;
}
