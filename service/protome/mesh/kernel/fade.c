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

/* Weights smoothed for each kind, and those not smoothed. */
typedef struct {
    float *plain, *skin, *hair, *mouth;
} tx_faded;

static inline float least(float a, float b) { return a < b ? a : b; }

static WIDE void write_weights(const tx_faded *in, const uint8_t *kinds, size_t nodes,
                               size_t cells, float *trace) {
    const size_t block = nodes / cells;
    for (size_t y = 0, k = 0; y < nodes; y++) {
        const uint8_t *row = kinds + cells * (y / block);
        for (size_t x = 0; x < nodes; x++, k++) {
            const uint8_t kind = row[x / block];
            const float wide = 2 * in->skin[k] - 1;
            const float on_skin = least(wide > 0 ? wide : 0, in->plain[k]);
            const float on_hair = least(in->hair[k], in->plain[k]);
            trace[3 * k + 2] = kind == TX_FADE_MOUTH  ? least(TEETH * in->mouth[k], 1)
                               : kind == TX_FADE_SKIN ? on_skin
                                                      : on_hair;
        }
    }
}

int tx_fade(float *trace, size_t nodes, const uint8_t *kinds, size_t cells) {
    const size_t count = nodes * nodes;
    float *room = malloc(5 * count * sizeof *room);
    if (!room) return 0;
    const tx_faded faded = {room, room + count, room + 2 * count, room + 3 * count};
    room += 4 * count;
    for (size_t k = 0; k < count; k++) faded.plain[k] = trace[3 * k + 2];
    /* Folds of skin, as at the corners of the eyes, are too narrow to be seen. */
    gr_dilate(faded.plain, nodes, room, faded.skin);
    gr_erode(faded.skin, nodes, room, faded.plain);
    gr_blur(faded.plain, nodes, &SKIN, room, faded.skin);
    gr_blur(faded.plain, nodes, &HAIR, room, faded.hair);
    gr_blur(faded.plain, nodes, &MOUTH, room, faded.mouth);
    write_weights(&faded, kinds, nodes, cells, trace);
    free(faded.plain);
    return 1;
}
