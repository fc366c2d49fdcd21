/* Hold the pictures of a plan while it is made: what plan.c and likeness.c share. */

#ifndef PROTOME_SHEET_H
#define PROTOME_SHEET_H

#include "plan.h"

/* Pictures of the grid. */
typedef struct {
    const tx_cells *in;
    size_t side, count;
    float *weight, *mean[3]; /* of the photo */
    float *logs[3];          /* logarithms of mean + TX_FLOOR */
    int has_face;            /* whether some of the skin is seen */
    float face[3];           /* its mean colour, as logs */
    float *own, *mirrored;   /* shares */
    float *source;           /* the part of the own share that other places are coloured from */
    float *light;            /* as a logarithm, then as a factor */
    float *seen;             /* 4 pictures: colours without light, and their share */
    float *filled;           /* 3 pictures */
    float *room;             /* TX_ROOM pictures */
} tx_sheet;

enum { TX_ROOM = 14, TX_PICTURES = 18 + TX_ROOM };

static inline float least(float a, float b) { return a < b ? a : b; }
static inline float most(float a, float b) { return a > b ? a : b; }
static inline float clipped(float value, float low, float high) {
    return least(most(value, low), high);
}

/* Mean of colours in a group, or in all (-1), that are shares of ``total``. Fails where less than
   half of a cell is seen. */
static inline int mean_of(const tx_sheet *sheet, const float *const colours[3],
                          const float *total, int group, float mean[3]) {
    double sums[3] = {0, 0, 0}, weight = 0;
    for (size_t k = 0; k < sheet->count; k++) {
        if (group >= 0 && sheet->in->groups[k] != group) continue;
        weight += (double)total[k];
        for (int i = 0; i < 3; i++) sums[i] += (double)colours[i][k];
    }
    if (weight < 0.5) return 0;
    for (int i = 0; i < 3; i++) mean[i] = (float)(sums[i] / weight);
    return 1;
}

/* Set how much the colours of skin and hair are like those of the same kind in the 7 x 7 cells
   around them, 0 to 1: mean colours of ``inner`` shares. 1 for hair without such cells and for hair
   that is like the face, 0 for other groups. Only where there is more in ``all`` than in ``inner``.
   like: 11 pictures, of which the first is set. */
void tx_like_inner(const tx_sheet *sheet, const float *inner, const float *all, float *like);

/* Take off the shares of neck and hair whose colours are not the head's. */
void tx_keep_head(const tx_sheet *sheet);

#endif
