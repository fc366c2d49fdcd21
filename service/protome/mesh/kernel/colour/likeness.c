/* Decide which of the photo's colours are the head's: a neck like the face, hair like most hair. */

#include <math.h>
#include <string.h>

#include "grid.h"
#include "sheet.h"

/* As in fill.py: most that colours differ from the usual one, in tint, brighter, darker; LIKE_INNER
   of skin and of hair. */
static const float LIKE_FACE[3] = {0.3F, 0.25F, 1.4F}, LIKE_HAIR[3] = {0.6F, 0.9F, 2.0F};
static const float LIKE_INNER[2][3] = {{0.12F, 0.3F, 0.4F}, {0.1F, 0.4F, 0.5F}};
static const float LIKE_SKIN[3] = {0.3F, 0.4F, 0.8F}, LIKE_SOURCE[3] = {0.5F, 0.6F, 1.4F};
static const float FEW_UNLIKE = 0.1F, ENOUGH_UNLIKE = 0.3F, FEW_INNER = 1e-3F;

/* Whether a cell shows hair, or in its place skin. */
static int is_seen_hair(const tx_sheet *sheet, size_t k) {
    return sheet->in->groups[k] == TX_HAIR && sheet->weight[k] > 0.5F;
}

/* The median of a colour's channel over seen hair whose likeness to skin is below ``most_skin``; 0
   if there is none. */
static float usual_hair(const tx_sheet *sheet, const float *skin, float most_skin, int channel) {
    enum { STEPS = 32, BINS = 256 * STEPS };
    uint32_t found[BINS] = {0}, count = 0;
    for (size_t k = 0; k < sheet->count; k++) {
        if (!is_seen_hair(sheet, k) || !(skin[k] < most_skin)) continue;
        found[(size_t)clipped(STEPS * sheet->mean[channel][k], 0, BINS - 1)]++;
        count++;
    }
    uint32_t below = 0;
    size_t bin = 0;
    while (bin + 1 < BINS && 2 * (below + found[bin]) < count) below += found[bin++];
    return count ? ((float)bin + 0.5F) / STEPS : 0;
}

/* How much a cell's colour is like the usual one, which is given as logs, 0 to 1. */
static float likeness(const tx_sheet *sheet, size_t k, const float usual[3],
                      const float limits[3]) {
    float ratio[3], apart = 0;
    for (int i = 0; i < 3; i++) ratio[i] = sheet->logs[i][k] - usual[i];
    const float light = (ratio[0] + ratio[1] + ratio[2]) / 3;
    for (int i = 0; i < 3; i++) apart = most(apart, fabsf(ratio[i] - light));
    const float near = least((limits[0] - apart) / limits[0],
                             least((limits[1] - light) / limits[1],
                                   (light + limits[2]) / limits[2]));
    return clipped(3 * near, 0, 1);
}

/* Set how alike the cells of a group are to a colour; others get ``other``. */
static void compare(const tx_sheet *sheet, int group, const float usual[3], const float limits[3],
                    float other, float *like) {
    for (size_t k = 0; k < sheet->count; k++)
        like[k] = sheet->in->groups[k] == group ? likeness(sheet, k, usual, limits) : other;
}

/* Hair over skin is shown where it is, but its colour does not fill other places. */
static void lend_skin(const tx_sheet *sheet, const float hair[3]) {
    if (!sheet->has_face) return;
    for (size_t k = 0; k < sheet->count; k++) {
        if (sheet->in->groups[k] != TX_SKIN || !(sheet->source[k] > 0)) continue;
        const float skin = likeness(sheet, k, sheet->face, LIKE_SOURCE);
        if (skin < 1) sheet->source[k] *= 1 - likeness(sheet, k, hair, LIKE_HAIR) * (1 - skin);
    }
}

/* Take off what is not hair. The volume of hair may reach over skin: where the photo shows skin,
   that is shown, but its colour does not fill other places. */
static void keep_hair(const tx_sheet *sheet) {
    float *skin = sheet->room + sheet->count, *like = skin + sheet->count;
    float *around = like + sheet->count, *wide = around + sheet->count, usual[3];
    size_t seen = 0, unlike = 0;
    memset(skin, 0, sheet->count * sizeof *skin);
    if (sheet->has_face) compare(sheet, TX_HAIR, sheet->face, LIKE_SKIN, 0, skin);
    for (size_t k = 0; k < sheet->count; k++) {
        if (!is_seen_hair(sheet, k)) continue;
        seen++;
        unlike += skin[k] < 0.5F;
    }
    const float left = ENOUGH_UNLIKE - (float)unlike / most((float)seen, 1);
    const float share = clipped(left / (ENOUGH_UNLIKE - FEW_UNLIKE), 0, 1);
    for (int i = 0; i < 3; i++) {
        usual[i] = share > 0 ? share * usual_hair(sheet, skin, 2, i) : 0;
        if (share < 1) usual[i] += (1 - share) * usual_hair(sheet, skin, 0.5F, i);
    }
    if (!(usual[0] > 0)) return;
    for (int i = 0; i < 3; i++) usual[i] = logf(usual[i] + TX_FLOOR);
    lend_skin(sheet, usual);
    compare(sheet, TX_HAIR, usual, LIKE_HAIR, 1, like);
    gr_erode(like, sheet->side, sheet->room, around);
    for (size_t k = 0; k < sheet->count; k++) like[k] = most(like[k], skin[k]);
    const gr_kernel kernel = {1, {1.0F / 3, 1.0F / 3}};
    gr_blur(like, sheet->side, &kernel, sheet->room, wide);
    for (size_t k = 0; k < sheet->count; k++) {
        if (sheet->in->groups[k] != TX_HAIR) continue;
        /* Cells beside the background have some of it, so of those less is taken. */
        const float shown = like[k] * clipped(2 * wide[k] - 1, 0, 1);
        sheet->source[k] = sheet->own[k] * least(around[k], shown);
        sheet->own[k] *= shown;
    }
}

/* Groups that have a rim. */
enum { SKIN_KIND = 1, HAIR_KIND };

void tx_like_inner(const tx_sheet *sheet, const float *inner, const float *all, float *like) {
    static const uint8_t KINDS[TX_GROUPS] = {
        [TX_SKIN] = SKIN_KIND, [TX_NECK] = SKIN_KIND, [TX_HAIR] = HAIR_KIND};
    const uint8_t *groups = sheet->in->groups;
    const size_t count = sheet->count;
    const gr_kernel kernel = {3, {1.0F / 7, 1.0F / 7, 1.0F / 7, 1.0F / 7}};
    float *sums[4], *room = like + 5 * count;
    for (size_t k = 0; k < count; k++) like[k] = KINDS[groups[k]] == HAIR_KIND;
    for (int kind = SKIN_KIND; kind <= HAIR_KIND; kind++) {
        /* Skin lies on the head's island. */
        const size_t end = kind == SKIN_KIND ? sheet->in->rows : sheet->side;
        for (size_t i = 0; i < 4; i++) sums[i] = like + count * (i + 1);
        for (size_t k = 0; k < count; k++) sums[3][k] = KINDS[groups[k]] == kind ? inner[k] : 0;
        for (size_t i = 0; i < 3; i++) {
            for (size_t k = 0; k < count; k++) sums[i][k] = sums[3][k] * sheet->mean[i][k];
            gr_blur_rows(sums[i], sheet->side, 0, end, &kernel, room, sums[i]);
        }
        gr_blur_rows(sums[3], sheet->side, 0, end, &kernel, room, sums[3]);
        for (size_t k = 0; k < count; k++) {
            const float share = sums[3][k];
            const int rim = all[k] > inner[k] && KINDS[groups[k]] == kind;
            if (!rim || !(share > FEW_INNER)) continue;
            float usual[3];
            for (int i = 0; i < 3; i++) usual[i] = logf(sums[i][k] / share + TX_FLOOR);
            like[k] = likeness(sheet, k, usual, LIKE_INNER[kind - SKIN_KIND]);
            if (kind == HAIR_KIND && sheet->has_face)
                like[k] = most(like[k], likeness(sheet, k, sheet->face, LIKE_INNER[0]));
        }
    }
}

void tx_keep_head(const tx_sheet *sheet) {
    if (sheet->has_face) {
        float *like = sheet->room + sheet->count, *around = like + sheet->count;
        compare(sheet, TX_NECK, sheet->face, LIKE_FACE, 1, like);
        gr_erode(like, sheet->side, sheet->room, around);
        for (size_t k = 0; k < sheet->count; k++)
            if (sheet->in->groups[k] == TX_NECK) sheet->own[k] *= around[k];
    }
    memcpy(sheet->source, sheet->own, sheet->count * sizeof *sheet->own);
    keep_hair(sheet);
}
